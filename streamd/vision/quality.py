"""How far one view of a face can be trusted to decide. Cheap: no network, some 0.3 ms.

The limits below were set on aligned portraits of 150 people, on the same blurred, darkened and turned, and
on surveillance-like clips; beside each stands what it separates. How well the figure predicts wrong answers is measured
by ``streamd bench quality`` (docs/accuracy.md). Once a face was embedded, the embedder's own confidence joins in: it
predicts more than everything else together.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streamd.domain import Detection, Quality
from streamd.vision.grey import is_grey
from streamd.vision.pose import pose_of
from streamd.vision.sharpness import sharpness

if TYPE_CHECKING:
    from streamd.domain import Image, Landmarks

_FACE_OF_CHIP = (slice(24, 104), slice(20, 92))
"""Rows and columns of a chip with skin in them: hair and background have a sharpness of their own."""
_BLURRED = 0.2
"""Of 309 portraits none is below, of those blurred by a twelfth of the distance between the eyes, 8 % of which are not
recognised any more, half, by an eighth (62 %) nearly all."""
_TURNED_AWAY = 0.08
"""Profiles from some 55 degrees on. One portrait in 100 is one, and is recognised by other photos all the same."""
_DARK_LUMA, _BRIGHT_LUMA = 22.0, 240.0
"""Means over the face, of 255. Portraits 60-190. At 25 to 35 one comparison in 70 fails, at 12 four in ten; at 200 to
240 one in eight, above 245 every second."""
_FLAT_CONTRAST = 7.0
"""Standard deviation of luma at which hardly a feature is left. Portraits 20-70; above 7 three comparisons in 100 fail,
at 6 to 7 one in five, below 5 every second."""
_UNCLEAR = 0.25
"""The embedder's confidence below which a vector says nothing. SFace on portraits: 0.8-1 (99 %), in darkness or fog or
blurred by sigma 5: 0.2-0.5."""
_LEAST_INSIDE = 0.85
"""Share of the face's box that must lie in the picture: detectors draw boxes a little beyond the edge."""
_NO_EYES_PX, _GOOD_EYES_PX = 3.0, 25.0
"""Between the eyes. Errors grow below some 15 pixels, not above 25."""
_NO_DETECTION, _SURE_DETECTION = 0.5, 0.93
_WEIGHTS = {"detector": 1.0, "sharpness": 0.75, "frontality": 0.4, "exposure": 0.5, "eyes": 0.2}
_CONFIDENCE_WEIGHT = 5.0
_LEAST_PART = 0.02
"""Logistic regression of wrong refusals on the logarithms of the parts, over 23 kinds of damage to portraits of 170
people, fitted on each half of the people and rounded; ``docs/accuracy.md`` has the curves."""
_YAW_AT_PROFILE = 0.75
"""The nose's shift along the eyes' line, in eye distances; 0 when frontal."""
_PITCH_FRONTAL, _PITCH_SPAN = 0.49, 0.35
"""The nose's place between the eyes' line (0) and the mouth's (1), and how far it goes when turned."""


def assess(detection: Detection, chip: Image, frame_size: tuple[int, int], min_face_px: float) -> Quality:
    """Judge one view.

    Args:
        detection: In full-resolution pixels.
        chip: The aligned face, BGR, (112, 112, 3).
        frame_size: Width and height of the full-resolution picture.
        min_face_px: Faces with a shorter side below this are ``too_small``.
    """
    luma = np.asarray(cv2.cvtColor(chip, cv2.COLOR_BGR2GRAY)[_FACE_OF_CHIP], np.uint8)
    mean, contrast = (float(value[0, 0]) for value in cv2.meanStdDev(luma))
    pose = None if detection.landmarks is None else pose_of(detection.landmarks)
    quality = Quality(
        score=0.0,
        size_px=min(detection.box.width, detection.box.height),
        sharpness=sharpness(luma),
        frontality=frontality(detection.landmarks),
        exposure=exposure(mean, contrast),
        detector=min(1.0, max(0.0, detection.score)),
        grey=is_grey(chip),
        eyes_px=_eyes_px(detection),
        yaw=pose.yaw if pose else None,
        pitch=pose.pitch if pose else None,
        roll=pose.roll if pose else None,
        inside=_inside(detection, frame_size),
    )
    reason = _reason(quality, mean, contrast, min_face_px)
    return replace(quality, score=combined(quality, None), reason=reason)


def with_confidence(quality: Quality, confidence: float | None) -> Quality:
    """The judgement after the face was embedded.

    Args:
        quality: Before.
        confidence: The embedder's own, 0..1; None where it says nothing.
    """
    if confidence is None:
        return quality
    sure = replace(quality, confidence=confidence)
    reason = quality.reason or ("unclear" if confidence < _UNCLEAR else None)
    return replace(sure, score=combined(sure, confidence), reason=reason)


def _reason(quality: Quality, mean: float, contrast: float, min_face_px: float) -> str | None:
    """Why the face may not decide: the first that applies."""
    reasons = {
        "cut_off": quality.inside < _LEAST_INSIDE,
        "too_small": quality.size_px < min_face_px,
        "dark": mean < _DARK_LUMA,
        "bright": mean > _BRIGHT_LUMA,
        "low_contrast": contrast < _FLAT_CONTRAST,
        "turned_away": quality.frontality < _TURNED_AWAY,
        "blurred": quality.sharpness < _BLURRED,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def frontality(landmarks: Landmarks | None) -> float:
    """1 for a face seen from the front, 0 for a profile; 0.5 where nobody knows.

    Measured along and across the line of the eyes, so that a head tilted to a shoulder loses little.
    """
    if landmarks is None:
        return 0.5
    points = [(float(x), float(y)) for x, y in landmarks]
    (lx, ly), (rx, ry), nose, left_mouth, right_mouth = points
    distance = math.hypot(rx - lx, ry - ly)
    if not distance > 0:
        return 0.0
    right = ((rx - lx) / distance, (ry - ly) / distance)
    middle = ((lx + rx) / 2, (ly + ry) / 2)
    mouth = ((left_mouth[0] + right_mouth[0]) / 2, (left_mouth[1] + right_mouth[1]) / 2)

    def along(point: tuple[float, float]) -> float:
        return (point[0] - middle[0]) * right[0] + (point[1] - middle[1]) * right[1]

    def below(point: tuple[float, float]) -> float:
        return (point[1] - middle[1]) * right[0] - (point[0] - middle[0]) * right[1]

    if not below(mouth) > 0.3 * distance:  # upside down, or eyes and mouth on one line
        return 0.0
    # The nose turns further than mouth and eyes, against whose middle it is measured.
    yaw = abs(along(nose) - along(mouth) / 2) / distance
    pitch = abs(below(nose) / below(mouth) - _PITCH_FRONTAL)
    # Profiles bring the eyes together: the face becomes narrow for its height.
    narrow = _ramp(distance / below(mouth), 0.25, 0.6)
    turned = max(0.0, 1 - yaw / _YAW_AT_PROFILE) * max(0.0, 1 - max(0.0, pitch - 0.1) / _PITCH_SPAN)
    return turned * narrow


def exposure(mean: float, contrast: float) -> float:
    """1 for a well-lit face; falls towards black, white and grey fog. Both in units of luma, 0..255."""
    return (_ramp(mean, _DARK_LUMA / 3, 50.0) * _ramp(255 - mean, (255 - _BRIGHT_LUMA) / 2, 55.0)) * _ramp(
        contrast, _FLAT_CONTRAST / 2, 25.0
    )


def _eyes_px(detection: Detection) -> float:
    points = detection.landmarks
    return 0.0 if points is None else float(np.hypot(*(points[1] - points[0])))


def _inside(detection: Detection, frame_size: tuple[int, int]) -> float:
    """Share of the box in the picture; 0 where a landmark lies outside."""
    width, height = frame_size
    box, points = detection.box, detection.landmarks
    if points is not None and ((points < 0) | (points > np.array([width, height], np.float32))).any():
        return 0.0
    inside_w = min(box.x2, width) - max(box.x1, 0)
    inside_h = min(box.y2, height) - max(box.y1, 0)
    area = box.width * box.height
    if area <= 0 or min(inside_w, inside_h) <= 0:
        return 0.0
    return min(1.0, inside_w * inside_h / area)


def combined(quality: Quality, confidence: float | None) -> float:
    """The weighted geometric mean of the parts: one near nothing makes the whole worth little.

    Args:
        quality: Its parts; the ``score`` and ``confidence`` in it are not looked at.
        confidence: The embedder's; None leaves it out.
    """
    parts = {
        "detector": _ramp(quality.detector, _NO_DETECTION, _SURE_DETECTION),
        "sharpness": quality.sharpness,
        "frontality": quality.frontality,
        "exposure": quality.exposure,
        "eyes": _ramp(quality.eyes_px, _NO_EYES_PX, _GOOD_EYES_PX) if quality.eyes_px else 0.5,
    }
    weighted = [(parts[name], weight) for name, weight in _WEIGHTS.items()]
    if confidence is not None:
        weighted.append((confidence, _CONFIDENCE_WEIGHT))
    total = sum(weight for _, weight in weighted)
    return math.prod(math.pow(max(_LEAST_PART, part), weight / total) for part, weight in weighted)


def _ramp(value: float, nothing: float, full: float) -> float:
    return min(1.0, max(0.0, (value - nothing) / (full - nothing)))
