"""What detectors of one network have in common: how pictures come in, and how faces go out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from streamd.domain import Detection
from streamd.errors import ModelError
from streamd.vision.blobs import to_blob
from streamd.vision.catalog import Manifest
from streamd.vision.decoding import Candidates, Fitted, by_size, fit, require_bgr
from streamd.vision.engines import GPU_BUCKETS
from streamd.vision.onnx import Session

Array = NDArray[np.float32]
Room = tuple[int, int]
"""Height and width of what a network is given."""

GPU_ROOMS: tuple[Room, ...] = ((192, 192), (320, 320), (384, 640), (640, 640))
"""What pictures are filled up to on a GPU. The first run of a shape takes up to three seconds there (cuDNN compiles),
and black pixels nothing: windows around faces, the half view, and whole views of 640 pixels in either direction."""
_STEP_PX = 640
"""Of the sides of larger ones."""
Outputs = Mapping[str, Array]


class NetworkDetector:
    """A network, and what its manifest says of it."""

    def __init__(self, manifest: Manifest, session: Session) -> None:
        self._input = manifest.input
        self._session = session
        self.has_landmarks = manifest.landmarks
        self.model_id = manifest.model_id
        self.provider = session.provider


class FreeSizeDetector(NetworkDetector, ABC):
    """Takes pictures of any size as they are: the caller scales them. Those of one size share a run; on a GPU those
    that find room in one."""

    free_size = True

    def warm_up(self) -> None:
        batches = [size for size in GPU_BUCKETS if size <= self._session.largest_batch]
        shapes = ((batch, 3, *room) for room in GPU_ROOMS for batch in batches)
        self._session.warm_up(self._input.name, shapes)

    def detect(self, images: Sequence[NDArray[np.uint8]], *, min_score: float) -> list[list[Detection]]:
        """Faces per BGR image, in its pixels, best first."""
        for image in images:
            require_bgr(image)
        return by_size(images, self._room, lambda alike, room: self._detect_alike(alike, room, min_score))

    def _detect_alike(self, images: list[NDArray[np.uint8]], room: Room, min_score: float) -> list[list[Detection]]:
        outputs = self._session.run_rows(self._input.name, to_blob(images, self._input, room=room))
        return [self._decode(outputs, row, room[1], min_score).detections() for row in range(len(images))]

    def _room(self, image: NDArray[np.uint8]) -> Room:
        height, width, stride = *image.shape[:2], self._input.stride
        return gpu_room(height, width) if self._session.on_gpu else (height + -height % stride, width + -width % stride)

    @abstractmethod
    def _decode(self, outputs: Outputs, row: int, width_px: int, min_score: float) -> Candidates:
        """Candidates of one picture of the batch."""


def gpu_room(height: int, width: int) -> Room:
    """The smallest of ``GPU_ROOMS`` for a picture; for a larger one, sides in steps of 640."""
    fitting = (room for room in GPU_ROOMS if height <= room[0] and width <= room[1])
    return next(fitting, (height + -height % _STEP_PX, width + -width % _STEP_PX))


class AnchorDetector(NetworkDetector, ABC):
    """Has heads of anchors, which the manifest describes; exports of it are often of one size and batch 1."""

    def __init__(self, manifest: Manifest, session: Session) -> None:
        """Raises ModelError: the manifest has no anchors, or names an output that the graph lacks."""
        super().__init__(manifest, session)
        if manifest.anchors is None:
            raise ModelError(f"model '{manifest.name}': decoding '{manifest.decoding}' needs anchors")
        self._anchors = manifest.anchors
        for output in (*self._anchors.scores, *self._anchors.boxes, *self._anchors.points):
            if output not in session.outputs:
                has = ", ".join(session.outputs)
                raise ModelError(f"model '{manifest.name}': anchors: the graph has no output '{output}'; it has {has}")

    def detect(self, images: Sequence[NDArray[np.uint8]], *, min_score: float) -> list[list[Detection]]:
        """Faces per BGR image, in its pixels, best first."""
        for image in images:
            require_bgr(image)
        return [self._detect_one(image, min_score) for image in images]

    def _detect_one(self, image: NDArray[np.uint8], min_score: float) -> list[Detection]:
        fitted = fit(image, self._input)
        outputs = self._session.run_rows(self._input.name, to_blob(fitted.canvas[None], self._input))
        return self._decode(outputs, fitted, min_score).detections()

    @abstractmethod
    def _decode(self, outputs: Outputs, fitted: Fitted, min_score: float) -> Candidates:
        """Candidates in the image's own pixels."""
