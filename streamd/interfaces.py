"""What the parts ask of each other. Models, galleries and sinks are exchanged by a line of configuration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from streamd.domain import Box, Detection, Match, Population, Scope, TrackUpdate, Yuv420
from streamd.scores import ScoreModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from streamd.events import Event


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source turned out to be when it was opened."""

    width: int
    height: int
    fps: float
    """Nominal frames per second; 0 where the source does not say."""
    codec: str
    beside: str = ""
    """Of a camera with two streams: what the other one is."""

    @property
    def in_words(self) -> str:
        return f"{self.codec} {self.width}x{self.height}{self.beside}"


class DecodedFrame(Protocol):
    """A frame as the decoder left it. Conversions are made when asked for, and only then."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the full picture in pixels, both even (odd sizes lose their last row or column). Pixels
        are square: where a stream's are not, its pictures are made wider or higher."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of what ``luma`` and ``bgr`` are taken from: less than ``size`` with a sub-stream."""

    @property
    def captured_at_s(self) -> float:
        """Monotonic seconds at which the frame was received (live) or due (paced file)."""

    @property
    def captured_wall_s(self) -> float:
        """Unix seconds of the same moment."""

    @property
    def media_s(self) -> float:
        """Seconds into the stream by its own time stamps; may jump on live streams."""

    def luma(self, step: int) -> NDArray[np.uint8]:
        """Every ``step``-th pixel of every ``step``-th row of the luma plane, shape (~h/step, ~w/step),
        of ``image_size``; less where pixels are not square, for it is as it was decoded."""

    def yuv420(self) -> Yuv420 | None:
        """The full-resolution picture, planar 4:2:0, owned by the caller; None where there is none of this moment,
        which only a camera with a sub-stream says."""

    def small420(self, width: int, height: int) -> Yuv420:
        """The whole view scaled to an even width and height, planar 4:2:0, in one step; owned by the caller, and taken
        from what there is of ``image_size``."""

    def bgr(self, width: int, height: int) -> NDArray[np.uint8]:
        """The whole view scaled to (height, width, 3), BGR, in one step; owned by the caller."""


@dataclass(slots=True)
class DecoderWork:
    """What a source's decoder has done so far."""

    packets: int = 0
    """Decoded or not."""
    skipped: int = 0
    """Packets that were not decoded, because nothing moved."""
    late: int = 0
    """Packets that were not decoded, because the decoder was behind."""
    alarms: int = 0
    """Times that packets said that something began to move."""
    cpu_s: float = 0.0
    packet_at_s: float = -math.inf
    """When the last packet came (monotonic)."""
    unchanged_at_s: float = -math.inf
    """Until when the picture given last stands for the view (monotonic): packets after it are held back, because they
    say that nothing moves, or because key frames alone are wanted."""

    def plus(self, other: DecoderWork) -> DecoderWork:
        """Both together."""
        return DecoderWork(
            self.packets + other.packets,
            self.skipped + other.skipped,
            self.late + other.late,
            self.alarms + other.alarms,
            self.cpu_s + other.cpu_s,
            max(self.packet_at_s, other.packet_at_s),
            max(self.unchanged_at_s, other.unchanged_at_s),
        )


class Source(Protocol):
    """A stream of pictures. Not thread-safe: one thread opens, reads and closes."""

    resting: bool
    """Whether nothing moves and nobody is followed: the source may give fewer frames then. Set by the reader."""

    settled: bool
    """Whether everybody who is followed is known: nobody minds a short delay then. Set by the reader."""

    @property
    def work(self) -> DecoderWork:
        """What its decoder has done so far."""

    @property
    def corrupt_packets(self) -> int:
        """Packets that could not be decoded so far."""

    def open(self) -> SourceInfo:
        """Connect. Raises SourceLost (not there: try again) or SourceRejected (it said no)."""

    def read(self, timeout_s: float) -> DecodedFrame:
        """The next frame, in order. Raises SourceLost after ``timeout_s`` without one, SourceRejected for a
        stream that cannot be decoded, SourceEnded at the end of a file that is played once."""

    def close(self) -> None:
        """Let go of everything; safe to call twice and on a source that never opened."""


class Detector(Protocol):
    """Finds faces. One whose time goes by the size of pictures says so by an attribute ``free_size``."""

    @property
    def model_id(self) -> str:
        """``name@sha256-prefix`` of the weights in use."""

    @property
    def provider(self) -> str:
        """The execution provider really in use: ``cpu``, ``cuda``."""

    @property
    def has_landmarks(self) -> bool: ...

    def detect(self, images: Sequence[NDArray[np.uint8]], *, min_score: float) -> list[list[Detection]]:
        """Faces per BGR image of any size, in that image's pixels, best first. Letterboxed, never stretched."""


@runtime_checkable
class Warmable(Protocol):
    """A detector or embedder whose first runs may take long."""

    def warm_up(self) -> None:
        """Have them behind; at once where there is nothing to do."""


class Embedder(Protocol):
    """Turns aligned faces into vectors."""

    @property
    def model_id(self) -> str:
        """``name@sha256-prefix`` of the weights in use; vectors of two ids are never compared."""

    @property
    def provider(self) -> str:
        """The execution provider really in use: ``cpu``, ``cuda``."""

    @property
    def dim(self) -> int: ...

    @property
    def threshold(self) -> float:
        """Similarity at and above which one view of a small gallery's person is believed."""

    @property
    def scores(self) -> ScoreModel:
        """What its similarities are worth: thresholds and probabilities come from here."""

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Unit rows of shape (n, dim) from BGR chips of shape (n, 112, 112, 3), aligned as ArcFace has it.

        An embedder that wants them otherwise has an ``alignment`` (``streamd.vision.geometry.Alignment``).
        Raises NoDirection where it makes nothing of one of them.
        """


def embed_rated(embedder: Embedder, chips: NDArray[np.uint8]) -> tuple[NDArray[np.float32], Sequence[float | None]]:
    """Unit rows, and the embedder's confidence in each, 0..1.

    An embedder may have a method of this name; from one without it the confidences are None.
    """
    rated = getattr(embedder, "embed_rated", None)
    if rated is None:
        return embedder.embed(chips), [None] * len(chips)
    rows, confidences = rated(chips)
    return rows, [None] * len(rows) if confidences is None else [float(value) for value in confidences]


class Tracker(Protocol):
    """Follows faces of one camera. Pure: time is an argument."""

    def update(self, detections: Sequence[Detection], at_s: float) -> TrackUpdate:
        """A frame was looked at and these faces were found (perhaps none). Boxes in full-resolution pixels."""

    def predict(self, at_s: float) -> TrackUpdate:
        """No frame was looked at; where the tracks are expected to be, and which have been gone too long."""

    def expected(self, at_s: float) -> list[Box]:
        """Where the followed faces will be, each with room for what is not known about that; changes nothing."""

    def drop(self, track_id: int) -> None:
        """Whoever was on this track is followed on another one."""


class Gallery(Protocol):
    """Known people, searchable. Thread-safe; never pauses while it is changed."""

    @property
    def version(self) -> int:
        """Grows with every change that a search can see."""

    def search(self, vectors: NDArray[np.float32], *, people: int = 2, scope: Scope | None = None) -> list[list[Match]]:
        """For each unit row the ``people`` nearest people within ``scope``, best first, one match each."""

    def population(self, scope: Scope | None = None) -> Population:
        """How many people and faces a search within ``scope`` compares with; cheap."""

    def scores(self, own: ScoreModel) -> ScoreModel:
        """What similarities are worth here: the embedder's ``own`` model, refined by the gallery's calibration."""

    def nearest_other(self, person_id: str) -> float | None:
        """Highest similarity between a face of this person and a face of anybody else, whatever their labels."""


class Sink(Protocol):
    """Takes committed events somewhere."""

    def emit(self, event: Event) -> None:
        """Hand over one event, in order of ``seq``. Must not block."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Parcel:
    """An event of the journal on its way to a destination."""

    event: Event
    body: bytes
    """Its JSON, number included."""
    wanted: bool = True
    """False where the sink is configured not to tell of it; only destinations that keep a state get those, and of
    people who are forgotten those that forget."""


class Destination(Protocol):
    """Where a sink's events go. Used by one thread, which may wait in it."""

    keeps_state: bool
    """Whether it is to see all events, and those before its place in the journal once it is opened (``recall``)."""
    forgets: bool
    """Whether it takes out of what it wrote whoever is forgotten: it hears of all of them."""

    def open(self) -> None:
        """Connect. Raises SinkAway."""

    def recall(self, past: Sequence[Event]) -> None:
        """What went before, oldest first: delivered already, for the state that follows from it."""

    def deliver(self, parcels: Sequence[Parcel]) -> int:
        """Hand over parcels in order; how many from the front have arrived, at least one.

        Raises:
            SinkAway: the first has not arrived, and the connection is of no use any more.
            SinkRefused: the first is not wanted.
        """

    def idle(self, now_wall_s: float) -> None:
        """Called about once a second while there is nothing to deliver. Raises SinkAway."""

    def close(self) -> None: ...
