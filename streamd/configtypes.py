"""Types that the sections of the configuration share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

CameraName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
UserName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$")]
TokenHash = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
PositiveSeconds = Annotated[float, Field(gt=0)]
MOST_DAYS = 36_500.0
"""A hundred years: so long before now there is a date."""
Days = Annotated[float, Field(gt=0, le=MOST_DAYS)]
TcpEndpoint = Annotated[str, Field(pattern=r"^tcp://(\*|\[[0-9a-fA-F:]+\]|[^:/\s]+):\d{1,5}$")]

EventsEndpoint = Annotated[
    str, Field(pattern=r"^(tcp://(\*|\[[0-9a-fA-F:]+\]|[^:/\s]+):\d{1,5}|ipc:///\S+)$", max_length=100)
]


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )
