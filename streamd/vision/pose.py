"""Which way a face looks, from its five landmarks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streamd.vision.geometry import TEMPLATE

if TYPE_CHECKING:
    from streamd.domain import Landmarks

_EYES_APART_PX = 35.24
"""In the template."""
_NOSE_DEPTH, _MOUTH_DEPTH = 0.5, 0.05
"""How far nose tip and mouth corners stand out before the eyes, in distances between the eyes. The tip of a nose
stands some 30 mm before the pupils, which are 63 mm apart."""
_DEPTHS = np.array([0, 0, _NOSE_DEPTH, _MOUTH_DEPTH, _MOUTH_DEPTH]) * _EYES_APART_PX
_FACE = np.column_stack([TEMPLATE, _DEPTHS]).astype(np.float64)
_TO_CAMERA = np.linalg.pinv(_FACE - _FACE.mean(axis=0))
"""Least squares of a scaled orthographic camera, shape (3, 5) (DeMenthon and Davis, "Model-based object pose", 1995,
without its iterations: the distance to the camera is unknown and large)."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Degrees; all 0 for a face that looks straight into the camera."""

    yaw: float
    """Above 0: the nose points to the right of the picture."""
    pitch: float
    """Above 0: upwards."""
    roll: float
    """Above 0: the head is turned clockwise in the picture."""


def pose_of(landmarks: Landmarks) -> Pose | None:
    """The pose of a rigid average face whose projection fits the landmarks best; None where none does."""
    points = np.asarray(landmarks, np.float64)
    across, down = (_TO_CAMERA @ (points - points.mean(axis=0))).T
    lengths = float(np.linalg.norm(across)), float(np.linalg.norm(down))
    if not (min(lengths) > 0 and math.isfinite(sum(lengths))):
        return None
    across, down = across / lengths[0], down / lengths[1]
    # The third of the vector product of the two: the line of sight.
    x, y, z = float(across[2]), float(down[2]), float(across[0] * down[1] - across[1] * down[0])
    return Pose(
        yaw=math.degrees(math.atan2(x, z)),
        pitch=math.degrees(math.atan2(-y, math.hypot(x, z))),
        roll=math.degrees(math.atan2(down[0] - across[1], across[0] + down[1])),
    )
