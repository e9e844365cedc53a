"""streamd: watches live video and says, within a second, who is there."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamd.oneliners import Recognition as Recognition
    from streamd.oneliners import Verification as Verification
    from streamd.oneliners import recognize as recognize
    from streamd.oneliners import verify as verify

__version__ = "0.1.0"
__all__ = ["Recognition", "Verification", "recognize", "verify"]


def __getattr__(name: str) -> Any:
    """The one-liners, loaded when they are first asked for: the daemon's supervisor needs no model."""
    if name in __all__:
        return getattr(importlib.import_module("streamd.oneliners"), name)
    raise AttributeError(f"module 'streamd' has no attribute {name!r}")
