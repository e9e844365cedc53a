"""A gallery that several boxes share: what is kept on the server, and what an engine must be able to do.

The server holds one record per person and per face, and one for each that is no more. Every record has a stamp; of two
records of the same thing the one with the later stamp holds, but what is forgotten stays forgotten. So boxes may send
in any order, twice, or after days.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from streamd.config import GalleryConfig
from streamd.errors import GalleryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["person", "face"]
State = Literal["here", "gone", "forgotten"]


@dataclass(frozen=True, slots=True)
class Head:
    """Enough of a record to see whether it is news."""

    kind: Kind
    uid: str
    stamp: int
    arrived: int = 0
    """When the server got it, in microseconds of the server's clock."""
    is_forgotten: bool = False
    """Which holds whatever its stamp: somebody may have been changed elsewhere after they were forgotten."""


@dataclass(frozen=True, slots=True)
class Record:
    """A person or a face as all boxes know it. ``gone`` and ``forgotten`` ones hold nothing but their uid."""

    kind: Kind
    uid: str
    stamp: int
    state: State
    into: str = ""
    """Of a person who is gone because they turned out to be another: that one's uid."""
    person: str = ""
    """Of a face: its person's uid."""
    model: str = ""
    vector: bytes = b""
    """Little-endian float32."""
    chip: bytes = b""
    body: dict[str, Any] = field(default_factory=dict)
    """A person's name, notes, consent, created, labels; a face's quality, source, source_sha256, created, added_by."""

    @property
    def head(self) -> Head:
        return Head(self.kind, self.uid, self.stamp, is_forgotten=self.state == "forgotten")


@dataclass(frozen=True, slots=True)
class Near:
    """A face that the server found."""

    uid: str
    person: str
    similarity: float


class Hub(Protocol):
    """One connection to the server. Not thread-safe. Every method raises GalleryServerAway where the server does not
    answer in time, and GalleryError where it refuses.
    """

    overlap_us: int
    """Records may turn up so long after others that arrived later."""

    def heads(self, since_us: int) -> Iterator[list[Head]]:
        """Everything that arrived at or after ``since_us``, page by page."""

    def fetch(self, heads: Sequence[Head]) -> list[Record]:
        """The records as they are now."""

    def push(self, records: Sequence[Record]) -> None:
        """Keep those that are newer than what is there."""

    def nearest(self, model_id: str, probes: NDArray[Any], count: int) -> list[list[Near]]:
        """For each unit row the ``count`` nearest faces of a model, nearest first, found by the engine's own index."""

    def close(self) -> None: ...


def open_hub(config: GalleryConfig, *, timeout_s: float = 5.0) -> Hub:
    """Connect to the configured server.

    Args:
        timeout_s: longest wait for one answer.

    Raises:
        GalleryServerAway: it does not answer.
        GalleryError: it refuses, or the client library is not installed.
    """
    try:
        if config.kind == "milvus":
            from streamd.gallery.milvus import MilvusHub

            return MilvusHub(config.uri or "", token=config.token or "", timeout_s=timeout_s)
        from streamd.gallery.pgvector import PgvectorHub

        return PgvectorHub(config.dsn or "", timeout_s=timeout_s)
    except ModuleNotFoundError as error:
        advice = f"pip install 'streamd[{config.kind}]'"
        raise GalleryError(
            f"gallery.kind {config.kind} needs {error.name}, which is not installed: {advice}"
        ) from error


def now_us() -> int:
    """This box's clock."""
    return time.time_ns() // 1000
