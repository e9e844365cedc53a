"""The process behind ``chores``: its configuration, then tasks, come on standard input as lines of JSON."""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.config import CameraConfig, CaptureConfig, Config
from streamd.errors import GalleryError, StreamdError
from streamd.log import setup_logging

if TYPE_CHECKING:
    from streamd.gallery.opening import PhotoModels

logger = logging.getLogger(__name__)

OPEN_S, PICTURE_S = 5.0, 3.0
"""How long a camera on trial may take to answer, and to show a picture."""
_TRIAL_SIDE_PX = 640
_BINS = 40


class Chore:
    """Does tasks; the models are loaded with the first that needs them."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._loaded: PhotoModels | None = None
        self._tasks: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "enroll": self.enroll,
            "calibrate": self.calibrate,
            "try": self.try_camera,
        }

    def do(self, task: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._tasks[task["do"]](task)
        except StreamdError as error:
            return {"error": str(error)}

    @property
    def models(self) -> PhotoModels:
        from streamd.gallery.opening import load_photo_models

        if self._loaded is None:
            self._loaded = load_photo_models(self._config)
        return self._loaded

    def enroll(self, task: dict[str, Any]) -> dict[str, Any]:
        """``{person, files, dry_run, force, actor}`` -> ``{photos: [{file, accepted, reason, message, quality}]}``."""
        from streamd.gallery.enrolment import Enroller
        from streamd.gallery.folderwriter import FolderWriter
        from streamd.gallery.live import LiveGallery
        from streamd.gallery.opening import open_store

        config, models = self._config, self.models
        with (
            open_store(config, actor=task["actor"]) as store,
            LiveGallery(config.gallery_file, model_id=models.embedder.model_id, config=config.gallery) as gallery,
        ):
            writer = FolderWriter(config.gallery_folder, store.database) if config.gallery.write_folder else None
            enroller = Enroller(store, models.detector, models.embedder, gallery=gallery, writer=writer)
            paths = [Path(file) for file in task["files"]]
            results = enroller.enroll(task["person"], paths, dry_run=task["dry_run"], force=task["force"])
            photos = [
                {
                    "file": result.path.name,
                    "accepted": result.accepted,
                    "reason": None if result.accepted else result.reason,
                    "message": _without_folder(result.message, result.path),
                    "quality": None if result.quality is None else round(result.quality, 3),
                }
                for result in results
            ]
        return {"photos": photos}

    def calibrate(self, task: dict[str, Any]) -> dict[str, Any]:
        """The gallery's people against each other, as ``api.calibration`` answers it; nothing is changed."""
        from streamd.gallery.calibration import Enrolled, advice, calibrate
        from streamd.gallery.delta import Mark
        from streamd.gallery.opening import open_store

        embedder = self.models.embedder
        with open_store(self._config, actor=task["actor"]) as store:
            delta = store.delta(embedder.model_id, Mark())
            if not len(delta.face_ids):
                raise GalleryError("the gallery is empty: add people first")
            sources = {face.id: face.source for person in set(delta.person_ids) for face in store.faces_of(person)}
        faces = [int(face) for face in delta.face_ids]
        enrolled = Enrolled(delta.vectors, faces, delta.person_ids, delta.names, sources)
        found = calibrate(enrolled, embedder.scores, target_far=self._config.recognition.target_far)
        return {
            "people": len(found.people),
            "faces": len(faces),
            "own_statistics": found.measured is not None,
            "threshold": found.threshold,
            "target_far": self._config.recognition.target_far,
            "genuine": _histogram(found.genuine),
            "impostor": _histogram(found.impostor),
            "persons": [asdict(person) for person in found.people],
            "advice": advice(found),
            "suspects": [asdict(suspect) for suspect in found.suspects],
        }

    def try_camera(self, task: dict[str, Any]) -> dict[str, Any]:
        """``{camera: {...}}`` -> ``{ok, message, picture}``: its first picture, as JPEG in base64."""
        camera = CameraConfig.model_validate(task["camera"])
        limits = {
            "open_timeout_s": min(camera.capture.open_timeout_s, OPEN_S),
            "read_timeout_s": min(camera.capture.read_timeout_s, PICTURE_S),
        }
        capture = camera.capture.model_copy(update=limits)
        try:
            message, picture = _first_picture(camera.url or "", capture)
            if camera.substream is not None:
                message += f"; sub-stream {_first_picture(camera.substream, capture)[0]}"
        except StreamdError as error:
            return {"ok": False, "message": str(error), "picture": None}
        return {"ok": True, "message": message, "picture": base64.b64encode(picture).decode()}


def _first_picture(url: str, capture: CaptureConfig) -> tuple[str, bytes]:
    import cv2

    from streamd.reading import fitted
    from streamd.sources.opening import open_source

    source = open_source(url, capture)
    try:
        info = source.open()
        frame = source.read(capture.read_timeout_s)
        image = frame.bgr(*fitted(frame.size, _TRIAL_SIDE_PX))
    finally:
        source.close()
    _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return info.in_words, jpeg.tobytes()


def _histogram(scores: Any) -> dict[str, list[float]]:
    """Counts between -0.4 and 1, in equal bins; ``bins`` are the edges."""
    import numpy as np

    counts, edges = np.histogram(scores, bins=_BINS, range=(-0.4, 1.0))
    return {"bins": [round(float(edge), 4) for edge in edges], "counts": [int(count) for count in counts]}


def _without_folder(message: str, path: Path) -> str:
    """Nobody needs to know where uploads lie."""
    return message.replace(str(path), path.name).replace(str(path.parent), "")


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever a library prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    config = Config.model_validate_json(sys.stdin.buffer.readline())
    setup_logging(config.log, role="gateway")
    chore = Chore(config)
    for line in sys.stdin.buffer:
        answer = chore.do(json.loads(line))
        try:
            answers.write(json.dumps(answer, ensure_ascii=False, default=str) + "\n")
            answers.flush()
        except BrokenPipeError:  # the gateway was killed: nobody waits for it, nor for what is still in the buffer
            os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
