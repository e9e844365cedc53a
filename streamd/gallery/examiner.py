"""Looks at a photograph and gives its one face, or the reason why there is none to be had.

A photo is refused where it could teach a wrong face: two people on it, too few pixels, a blurred or averted face. A
poor face in the gallery does harm for as long as it stays there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streamd.domain import Bgr, Box, Detection, Face
from streamd.errors import NoDirection, PhotoRefused
from streamd.interfaces import Detector, Embedder, embed_rated
from streamd.vision.crops import cut_chip
from streamd.vision.embedding import alignment_of
from streamd.vision.landmarks import landmark_detector
from streamd.vision.photos import shrink_for_detection
from streamd.vision.quality import assess, with_confidence
from streamd.vision.refining import cut_outs, mean_direction, refine_landmarks
from streamd.vision.tiling import distinct

if TYPE_CHECKING:
    from streamd.domain import Image, Landmarks, Vector

MIN_FACE_PX = 40
"""Shorter side of the face in the photo; below, the chip would be mostly interpolation."""
MIN_SCORE = 0.6
SECOND_FACE_SHARE = 0.4
"""A second face from this share of the largest one's size makes a photo ambiguous; smaller ones are bystanders."""
_SIDES_PX = (1920, 640, 320)
"""Faces are looked for at all these sizes: in a face of over 500 pixels a detector sees parts as faces."""


class PhotoExaminer:
    """Finds, judges and embeds the faces of photographs; knows no gallery."""

    def __init__(self, detector: Detector, embedder: Embedder) -> None:
        self._detector = detector
        self._embedder = embedder

    @property
    def model_id(self) -> str:
        """Of the embedder."""
        return self._embedder.model_id

    def all_faces(self, photo: Image) -> list[Face]:
        """Every face that can be aligned and embedded, largest first, whatever its quality."""
        detections = [d for d in _detect(self._detector, photo) if d.landmarks is not None]
        return self._embedded(photo, detections)

    def one_face(self, photo: Image, *, origin: str) -> Face:
        """The face of a portrait. Raises PhotoRefused where there is none, or more than one, or a poor one."""
        detection = _only(_detect(self._detector, photo), origin)
        if detection.landmarks is None:
            raise PhotoRefused(
                "no_landmarks", f"{origin}: detector {self._detector.model_id} finds no eyes and mouth; use yunet"
            )
        face = next(iter(self._embedded(photo, [detection])), None)
        if face is None:
            raise PhotoRefused("unclear", f"{origin}: {_WORDS['unclear']}")
        if face.quality.reason is not None:
            raise PhotoRefused(face.quality.reason, f"{origin}: {_in_words(face)}")
        return face

    def _embedded(self, photo: Image, detections: Sequence[Detection]) -> list[Face]:
        faces = []
        size = (photo.shape[1], photo.shape[0])
        for detection in detections:
            if detection.landmarks is None:
                continue
            landmarks = refine_landmarks(landmark_detector(self._detector), photo, detection)
            refined = Detection(detection.box, detection.score, landmarks)
            chip = cut_chip(Bgr(photo), landmarks)
            try:
                vector, confidence = self._vector(photo, landmarks)
            except NoDirection:
                continue
            quality = with_confidence(assess(refined, chip, size, MIN_FACE_PX), confidence)
            faces.append(Face(refined, chip, quality, vector))
        return faces

    def _vector(self, photo: Image, landmarks: Landmarks) -> tuple[Vector, float | None]:
        """The mean over several cut-outs of one face, and the embedder's confidence in the first."""
        alignment = alignment_of(self._embedder)
        cuts = [(cut_chip(Bgr(photo), points, alignment), mirrored) for points, mirrored in cut_outs(landmarks)]
        chips = np.stack([chip[:, ::-1] if mirrored else chip for chip, mirrored in cuts])
        vectors, confidences = embed_rated(self._embedder, chips)
        return mean_direction(vectors), confidences[0]


def _detect(detector: Detector, photo: Image) -> list[Detection]:
    """Faces in the photo's own pixels, largest first."""
    longer_px = max(photo.shape[:2])
    sides_px = {min(longer_px, side_px) for side_px in _SIDES_PX}
    pooled = [detection for side_px in sides_px for detection in _detect_at(detector, photo, side_px)]
    found = distinct(pooled) or distinct(_detect_bordered(detector, photo))
    return sorted(found, key=lambda d: -_size_px(d.box))


def _detect_at(detector: Detector, photo: Image, side_px: int) -> list[Detection]:
    small, _ = shrink_for_detection(photo, side_px)
    sx, sy = photo.shape[1] / small.shape[1], photo.shape[0] / small.shape[0]
    return [d.scaled(sx, sy) for d in detector.detect([small], min_score=MIN_SCORE)[0]]


def _detect_bordered(detector: Detector, photo: Image) -> list[Detection]:
    """A face that fills the picture to its edges is found once there is something around it."""
    small, scale = shrink_for_detection(photo, 320)
    border = max(small.shape[:2]) // 2
    padded = cv2.copyMakeBorder(small, border, border, border, border, cv2.BORDER_CONSTANT)
    found = detector.detect([np.asarray(padded, dtype=np.uint8)], min_score=MIN_SCORE)[0]
    return [_moved(d, -border).scaled(1 / scale, 1 / scale) for d in found]


def largest_landmarks(detector: Detector, photo: Image) -> Landmarks | None:
    """Five points of the photo's largest face, refined; None where none is found."""
    found = [d for d in _detect(detector, photo) if d.landmarks is not None]
    return refine_landmarks(landmark_detector(detector), photo, found[0]) if found else None


def _only(detections: Sequence[Detection], origin: str) -> Detection:
    """The one face of a portrait; bystanders much smaller than it are no matter."""
    if not detections:
        raise PhotoRefused("no_face", f"{origin}: no face found")
    largest = _size_px(detections[0].box)
    others = sum(_size_px(d.box) >= SECOND_FACE_SHARE * largest for d in detections[1:])
    if others:
        raise PhotoRefused(
            "several_faces", f"{origin}: {others + 1} faces of similar size; cut the photo to one person"
        )
    if largest < MIN_FACE_PX:
        raise PhotoRefused(
            "too_small", f"{origin}: the face is {largest:.0f} pixels wide; at least {MIN_FACE_PX} are needed"
        )
    return detections[0]


_WORDS = {
    "too_small": f"the face is too small; at least {MIN_FACE_PX} pixels are needed",
    "blurred": "the face is blurred",
    "turned_away": "the face is turned away from the camera",
    "dark": "the face is too dark",
    "low_contrast": "the face has too little contrast",
    "unclear": "the recogniser can make nothing of the face",
    "bright": "the face is overexposed",
    "cut_off": "the face is cut off by the edge of the photo",
}


def _in_words(face: Face) -> str:
    reason = face.quality.reason or ""
    return f"{_WORDS.get(reason, reason.replace('_', ' '))} (quality {face.quality.score:.2f})"


def _size_px(box: Box) -> float:
    return min(box.width, box.height)


def _moved(detection: Detection, by_px: float) -> Detection:
    box = detection.box
    moved = Box(box.x1 + by_px, box.y1 + by_px, box.x2 + by_px, box.y2 + by_px)
    landmarks = None if detection.landmarks is None else detection.landmarks + np.float32(by_px)
    return Detection(moved, detection.score, landmarks)
