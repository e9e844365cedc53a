"""``streamd bench quality``: whether the quality figure predicts errors (error-versus-reject curve).

Good portraits make no errors, so the first photo of every genuine pair is damaged, by each kind in turn.
After Grother and Tabassi, "Performance of biometric quality measures", 2007.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamd.bench.accuracy import Pair
from streamd.bench.photographs import FaceReader, people_in, subject
from streamd.errors import UsageError
from streamd.gallery.examiner import PhotoExaminer
from streamd.vision.photos import read_photo

if TYPE_CHECKING:
    from streamd.domain import Face, Image, Quality

REJECTED = (0.0, 0.05, 0.1, 0.2, 0.3)
PARTS: dict[str, Callable[[Quality], float]] = {
    "quality": lambda q: q.score,
    "confidence": lambda q: q.confidence or 0.0,
    "sharpness": lambda q: q.sharpness,
    "frontality": lambda q: q.frontality,
    "exposure": lambda q: q.exposure,
    "detector": lambda q: q.detector,
    "eyes_px": lambda q: q.eyes_px,
}


def _blurred(sigma: float) -> Callable[[Image], Image]:
    return lambda photo: np.asarray(cv2.GaussianBlur(photo, (0, 0), sigma), np.uint8)


def _smeared(length_px: int) -> Callable[[Image], Image]:
    kernel = np.eye(length_px, dtype=np.float32) / length_px
    return lambda photo: np.asarray(cv2.filter2D(photo, -1, kernel), np.uint8)


def _shrunk(factor: float) -> Callable[[Image], Image]:
    return lambda photo: np.asarray(
        cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8
    )


def _enlarged(factor: float) -> Callable[[Image], Image]:
    """As many pixels as before, and the detail of a small photo."""
    shrink = _shrunk(factor)
    return lambda photo: np.asarray(cv2.resize(shrink(photo), photo.shape[1::-1]), np.uint8)


def _lit(gain: float, offset: float, noise: float) -> Callable[[Image], Image]:
    def damage(photo: Image) -> Image:
        grain = np.random.default_rng(1).normal(0, noise, photo.shape)
        return np.clip(photo * gain + offset + grain, 0, 255).astype(np.uint8)

    return damage


def _compressed(photo: Image) -> Image:
    data = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 8])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


DAMAGES: dict[str, Callable[[Image], Image]] = {
    "none": lambda photo: photo,
    "blurred by 3": _blurred(3),
    "blurred by 5": _blurred(5),
    "smeared over 9": _smeared(9),
    "smeared over 17": _smeared(17),
    "a fifth of the detail": _enlarged(0.2),
    "an eighth of the detail": _enlarged(0.13),
    "a fifth of the size": _shrunk(0.2),
    "a seventh of the size": _shrunk(0.14),
    "a quarter of the light": _lit(0.25, 0, 4),
    "a tenth of the light": _lit(0.1, 0, 4),
    "overexposed": _lit(1.8, 40, 0),
    "fog": _lit(0.15, 150, 3),
    "noise": _lit(1, 0, 25),
    "compressed": _compressed,
}


@dataclass(frozen=True, slots=True, eq=False)
class QualityReport:
    """One row per comparison of a damaged photo with a good one."""

    kinds: list[str]
    failed: NDArray[np.bool_]
    """Whether the comparison stayed below the threshold."""
    parts: dict[str, NDArray[np.float64]]
    reasons: list[str | None]
    """Why the product would refuse the damaged face."""
    undetected: int
    threshold: float

    def curve(self, part: str) -> list[float]:
        """Share of failures among what is left after the worst were rejected."""
        order = np.argsort(self.parts[part], kind="stable")
        return [float(self.failed[order[int(share * len(order)) :]].mean()) for share in REJECTED]

    def area(self, part: str) -> float:
        """Mean failure rate while up to half is rejected, as a share of the rate without rejection; smaller is better,
        1 is what chance gives."""
        failed = self.failed[np.argsort(self.parts[part], kind="stable")]
        left = np.cumsum(failed[::-1])[::-1] / np.arange(len(failed), 0, -1)
        return float(left[: max(1, len(left) // 2)].mean() / max(1e-9, failed.mean()))

    def to_json(self) -> dict[str, Any]:
        rows = {
            part: {"curve": [round(v, 4) for v in self.curve(part)], "area": round(self.area(part), 3)}
            for part in self.parts
        }
        return {
            "comparisons": len(self.failed),
            "undetected": self.undetected,
            "threshold": round(self.threshold, 4),
            "rejected": list(REJECTED),
            "failed": {
                kind: round(float(self.failed[[k == kind for k in self.kinds]].mean()), 4)
                for kind in dict.fromkeys(self.kinds)
            },
            "refused": {kind: self._refused(kind) for kind in dict.fromkeys(self.kinds)},
            **rows,
        }

    def _refused(self, kind: str) -> dict[str, float]:
        """Share of the faces with this damage that the product would refuse, by reason."""
        of_kind = [reason for reason, other in zip(self.reasons, self.kinds, strict=True) if other == kind]
        counts = Counter(reason for reason in of_kind if reason is not None)
        return {reason: round(count / len(of_kind), 4) for reason, count in counts.most_common()}


def genuine_pairs(folder: Path) -> list[Pair]:
    """Every two photos of one person, of ``<person>/*.jpg``.

    Raises:
        UsageError: nobody has two.
    """
    photos = people_in(folder).values()
    pairs = [Pair(a, b, True) for of_one in photos for a, b in combinations(of_one, 2)]
    if not pairs:
        raise UsageError(f"{folder}: nobody has two photos; expected <person>/*.jpg")
    return pairs


def measure(pairs: Sequence[Pair], reader: FaceReader, *, threshold: float) -> QualityReport:
    """Damage, compare, and set the failures against the quality of the damaged photo.

    Raises:
        UsageError: no genuine pair has faces on both photos.
    """
    genuine = [pair for pair in pairs if pair.same]
    reader.read_all((pair.b for pair in genuine), "good photos")
    damaged, undetected = _damaged(genuine, reader)
    if not damaged:
        raise UsageError("no pair of one person with a face on both photos")
    qualities = [face.quality for _, face, _ in damaged]
    return QualityReport(
        kinds=[kind for kind, _, _ in damaged],
        failed=np.array([float(face.vector @ good.vector) < threshold for _, face, good in damaged]),
        reasons=[quality.reason for quality in qualities],
        parts={name: np.array([part(quality) for quality in qualities]) for name, part in PARTS.items()},
        undetected=undetected,
        threshold=threshold,
    )


def _damaged(genuine: Sequence[Pair], reader: FaceReader) -> tuple[list[tuple[str, Face, Face]], int]:
    """Kind of damage, the damaged face and its good partner; and how many were not found any more."""
    found: list[tuple[str, Face, Face]] = []
    undetected = 0
    for number, pair in enumerate(genuine):
        good = reader.faces[pair.b]
        kinds = list(DAMAGES)
        kind = kinds[number % len(kinds)]
        face = _face_of(reader.examiner, DAMAGES[kind](read_photo(pair.a)))
        if face is None or good is None:
            undetected += 1
        else:
            found.append((kind, face, good))
    return found, undetected


def _face_of(examiner: PhotoExaminer, photo: Image) -> Face | None:
    return subject(examiner.all_faces(photo), photo)
