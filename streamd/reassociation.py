"""Whose story a face continues, by what it looks like, where its place does not say. Pure.

Boxes say who is who from look to look, but not after an absence, and not when two people cross. Then a new view of each
face is compared with what is known of those whom it may be.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from streamd.domain import Box, Track
from streamd.scores import ScoreModel

if TYPE_CHECKING:
    from streamd.domain import Vector

NEAR_FACES = 3.0
"""Who walks past somebody who comes the other way covers so much between two looks at people who are known."""
MEET_FACES, AHEAD_S = 1.6, 1.6
"""Four looks at people who are known; a velocity is known badly after one or two."""
CROSSING_IOU = 0.1
"""Overlap of two faces from which the boxes alone do not tell them apart."""
SAME_FAR = 1e-3
"""Share of other people who may be taken for somebody who was there a moment ago."""
CLEARER = 0.15
"""How much more similar faces must be exchanged than as they are, each, on SFace's scale: views of one face in one
video differ by about as much."""

Key = TypeVar("Key", bound=Hashable)


def crossing(boxes: Mapping[int, Box]) -> set[int]:
    """Those of the faces that overlap another one; of a hall full of people in milliseconds."""
    if len(boxes) < 2:
        return set()
    x1, y1, x2, y2 = np.array([(b.x1, b.y1, b.x2, b.y2) for b in boxes.values()], np.float64).T
    width = np.minimum(x2[:, None], x2) - np.maximum(x1[:, None], x1)
    height = np.minimum(y2[:, None], y2) - np.maximum(y1[:, None], y1)
    inter = np.maximum(width, 0) * np.maximum(height, 0)
    areas = (x2 - x1) * (y2 - y1)
    iou = np.divide(inter, areas[:, None] + areas - inter, out=np.zeros_like(inter), where=inter > 0)
    np.fill_diagonal(iou, 0.0)
    overlaps = iou >= CROSSING_IOU
    return {track for track, crosses in zip(boxes, overlaps.any(axis=1).tolist(), strict=True) if crosses}


def may_meet(tracks: Sequence[Track]) -> bool:
    """Whether any two of the faces may be taken for each other before long; of a hall full of people in milliseconds.

    They are within ``NEAR_FACES`` of the larger one, and as they move now come as close as ``MEET_FACES`` within
    ``AHEAD_S``. Who stands or walks side by side does not.
    """
    if len(tracks) < 2:
        return False
    one, other = np.triu_indices(len(tracks), 1)
    sides = np.array([(t.box.width, t.box.height) for t in tracks])
    centres, velocities = np.array([t.box.centre for t in tracks]), np.array([t.velocity for t in tracks])
    size = np.maximum(sides[one], sides[other])
    apart = (centres[one] - centres[other]) / size
    near = np.abs(apart).max(axis=1) < NEAR_FACES
    apart, way = apart[near], ((velocities[one] - velocities[other]) / size * AHEAD_S)[near]
    # The closest point of the way that the one goes, as seen from the other.
    length = (way * way).sum(axis=1)
    share = np.clip(-(apart * way).sum(axis=1) / np.where(length > 0, length, 1.0), 0.0, 1.0)
    return bool((np.abs(apart + share[:, None] * way).max(axis=1) < MEET_FACES).any())


def continued(views: Mapping[int, Vector], memories: Mapping[Key, Vector], scores: ScoreModel) -> dict[int, Key]:
    """Which memory each new face continues, where one is similar enough; no memory twice.

    Args:
        views: unit vectors by track.
        memories: unit vectors of those who were there.
    """
    if not views or not memories:
        return {}
    similarity = _similarities(list(views.values()), list(memories.values()))
    least = scores.threshold(SAME_FAR, len(memories))
    rows, columns = linear_sum_assignment(-similarity)
    tracks, keys = list(views), list(memories)
    return {
        tracks[row]: keys[column]
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if similarity[row, column] >= least
    }


def exchanged(views: Mapping[int, Vector], memories: Mapping[int, Vector], scores: ScoreModel) -> dict[int, int]:
    """Which track's memory each track should have instead of its own, after they came apart.

    Args:
        views: new unit vectors, of tracks that were seen since; who was not says nothing.
        memories: what was known of the same tracks before.

    Returns:
        Only what changes: a permutation of some of the tracks; empty where they are as they were.
    """
    tracks = list(memories)
    if len(tracks) < 2 or not any(track in views for track in tracks):
        return {}
    unseen = np.zeros_like(memories[tracks[0]])
    similarity = _similarities([views.get(t, unseen) for t in tracks], [memories[t] for t in tracks])
    rows, columns = linear_sum_assignment(-similarity)
    order = columns[np.argsort(rows)].tolist()
    moved = [i for i, j in enumerate(order) if i != j]
    gain = sum(similarity[i, order[i]] - similarity[i, i] for i in moved)
    if not moved or gain < len(moved) * CLEARER * scores.scale:
        return {}
    return {tracks[i]: tracks[order[i]] for i in moved}


def _similarities(views: Sequence[Vector], memories: Sequence[Vector]) -> NDArray[np.float32]:
    return np.asarray(np.stack(views) @ np.stack(memories).T, np.float32)
