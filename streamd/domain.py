"""What streamd talks about. Every convention of the system is stated here, once.

* **Pictures** are uint8. Three-channel arrays are BGR, shape (h, w, 3), unless a name says otherwise. Their
  pixels are square.
* **Boxes** are float pixels ``x1, y1, x2, y2`` of the picture they belong to; x2 and y2 are exclusive.
* **Landmarks** are float32 of shape (5, 2), pixels, in the order of YuNet and ArcFace: the eye on the
  left of the picture (the subject's right), the eye on the right, the nose tip, the mouth corner on
  the left of the picture, the mouth corner on the right.
* **Chips** are faces aligned to 112 x 112 BGR by a five-point similarity.
* **Vectors** (embeddings) are float32 rows of unit length; similarity is their dot product (cosine).
* **Durations and moments**: names in ``_at_s`` are ``time.monotonic()`` seconds of the host at work,
  names in ``_wall_s`` are Unix seconds and appear in events only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the supervisor imports this module, and must not pay for numpy
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    """BGR picture, shape (h, w, 3)."""
    Landmarks = NDArray[np.float32]
    """Five points, shape (5, 2)."""
    Vector = NDArray[np.float32]
    """Embedding of unit length, shape (dim,)."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in float pixels; x2 and y2 are exclusive."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        return self.y2 - self.y1

    @property
    def centre(self) -> tuple[float, float]:
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    def scaled(self, sx: float, sy: float) -> Box:
        return Box(self.x1 * sx, self.y1 * sy, self.x2 * sx, self.y2 * sy)

    def iou(self, other: Box) -> float:
        """Intersection over union, 0..1."""
        w = min(self.x2, other.x2) - max(self.x1, other.x1)
        h = min(self.y2, other.y2) - max(self.y1, other.y1)
        if w <= 0 or h <= 0:
            return 0.0
        inter = w * h
        return inter / (self.width * self.height + other.width * other.height - inter)


@dataclass(frozen=True, slots=True)
class Yuv420:
    """A full-resolution picture as the decoder left it: planar 4:2:0, converted only where a face is cut.

    ``planes`` has shape (h * 3 / 2, w): h rows of luma, then the quarter planes U and V, packed. Width and
    height are even.
    """

    planes: NDArray[np.uint8]
    matrix: Literal["bt601", "bt709"]
    full_range: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.planes.shape[1], self.planes.shape[0] * 2 // 3


@dataclass(frozen=True, slots=True)
class Bgr:
    """A full-resolution picture from a photograph."""

    pixels: Image

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


Picture = Yuv420 | Bgr


@dataclass(frozen=True, slots=True)
class FrameId:
    """Which instant of which camera. ``epoch`` changes when the capture process restarts."""

    camera: str
    epoch: str
    seq: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One instant of one camera: a detector-sized image and, of the same instant, the full picture."""

    id: FrameId
    captured_at_s: float
    captured_wall_s: float
    image: Image
    """Detector-sized, BGR, the whole view (never stretched: same aspect as ``picture``)."""
    picture: Picture | None
    """Full resolution; faces are cut from here. None where it was not asked for."""
    motion: float = 0.0
    """Share of the view that changed since the last frame looked at, 0..1."""
    cut: bool = False
    """Whether the camera shows another scene than in the last frame looked at."""
    full_size: tuple[int, int] | None = None
    """Width and height of the picture, where that is not at hand."""
    unchanged_s: float = 0.0
    """How long after this moment the view is known to have looked the same: its packets said that nothing moved."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole view in full resolution; boxes are in these pixels."""
        if self.picture is not None:
            return self.picture.size
        return self.full_size or (self.image.shape[1], self.image.shape[0])


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A face that a detector found, in pixels of the picture that it was given."""

    box: Box
    score: float
    landmarks: Landmarks | None = None

    def scaled(self, sx: float, sy: float) -> Detection:
        """The same face in a picture sx times as wide and sy times as high."""
        if self.landmarks is None:
            return Detection(self.box.scaled(sx, sy), self.score, None)
        scaled = self.landmarks.copy()
        scaled[:, 0] *= sx
        scaled[:, 1] *= sy
        return Detection(self.box.scaled(sx, sy), self.score, scaled)


@dataclass(frozen=True, slots=True)
class Quality:
    """How far a face can be trusted to decide. All parts are 0..1 but for pixels and degrees."""

    score: float
    """The parts combined, 0..1."""
    size_px: float
    """The shorter side of the face's box in full-resolution pixels."""
    sharpness: float
    frontality: float
    exposure: float
    """Light and contrast."""
    detector: float
    reason: str | None = None
    """Why the face may not decide (a metric label: ``too_small blurred turned_away dark bright low_contrast cut_off
    unclear``); None where it may."""
    eyes_px: float = 0.0
    """Between the eyes, in full-resolution pixels; 0 without landmarks."""
    yaw: float | None = None
    """Degrees, as ``pitch`` and ``roll`` (``vision.pose``); None without landmarks."""
    pitch: float | None = None
    roll: float | None = None
    inside: float = 1.0
    """Share of the face's box that lies in the picture."""
    confidence: float | None = None
    """The embedder's own, 0..1; None before the face was embedded, or where the embedder says nothing."""
    grey: bool = False
    """Whether the picture has no colour: black and white, or infra-red."""

    @property
    def usable(self) -> bool:
        return self.reason is None


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face cut from a picture and embedded."""

    detection: Detection
    chip: Image
    quality: Quality
    vector: Vector


@dataclass(frozen=True, slots=True)
class Match:
    """One person's best similarity to a probe."""

    person_id: str
    name: str
    similarity: float
    face_id: int


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom a search considers: people who have, for every key, at least one of its values among their labels.

    Somebody without a label of that key is not considered. An empty scope is everybody, and false. Made by
    ``Scope.of``, so that equal scopes are equal objects.
    """

    wanted: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Keys in order, each with its values in order."""

    @classmethod
    def of(cls, wanted: Mapping[str, Sequence[str]]) -> Scope:
        """From values by key; a key without values asks for nothing."""
        return cls(tuple((key, tuple(sorted(set(wanted[key])))) for key in sorted(wanted) if wanted[key]))

    def __bool__(self) -> bool:
        return bool(self.wanted)

    def __str__(self) -> str:
        return " ".join(f"{key}={'|'.join(values)}" for key, values in self.wanted) or "everybody"


@dataclass(frozen=True, slots=True)
class Population:
    """How many a probe is compared with."""

    people: int
    """People with at least one face of the model in use."""
    faces: int


class Verdict(StrEnum):
    """What is held of a track."""

    PENDING = "pending"
    KNOWN = "known"
    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"
    """Similar enough to somebody, but hardly more than to somebody else."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A person named, with the evidence for it."""

    person_id: str
    name: str
    similarity: float
    threshold: float
    margin: float
    """Similarity above the best *other* person's (1.0 where there is no other)."""
    probability: float = 1.0
    """How likely the name is right, where strangers come as often as known people."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict over a track's views, and what it rests on."""

    verdict: Verdict
    identity: Identity | None = None
    runner_up: Match | None = None
    best: Match | None = None
    """The best match even where it did not suffice."""
    views: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One face followed over time, as the tracker sees it after an update."""

    id: int
    box: Box
    started_at_s: float
    seen_at_s: float
    hits: int
    detection: Detection | None = None
    """The detection of *this* update; None while the track coasts on prediction."""
    confirmed: bool = False
    velocity: tuple[float, float] = (0.0, 0.0)
    """Of the box's centre, in pixels a second."""


@dataclass(frozen=True, slots=True)
class TrackUpdate:
    """What one update changed: the live tracks, and those that ended."""

    live: tuple[Track, ...] = ()
    ended: tuple[Track, ...] = ()
