"""The loop that people write: every frame, every face, one thread. Run by any interpreter that has what it needs.

It imports nothing of streamd, because what it is compared with may not fit into streamd's environment. A job comes on
standard input as JSON, the answer is written as JSON to the file that the job names::

    {"contender": "opencv-yunet", "weights": {"yunet": "yunet.onnx", "sface": "sface.onnx"},
     "gallery": {"Ada": ["ada.jpg"]}, "clips": ["a.mp4"], "out": "answer.json"}

CPU seconds are those of this process and its children between the first and the last frame of each clip: loading,
enrolment and a first frame are not counted, nor is what only this bench does (taking notes, looking at a frame without
a face a second time).
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import sys
import time
from pathlib import Path
from typing import Any, Protocol

ONE = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "threads;1",
    "ORT_DISABLE_TELEMETRY": "1",
}
"""One thread, no GPU, no reports to anybody: to be set before the libraries are imported."""
if __name__ == "__main__":
    os.environ.update(ONE)

import cv2  # noqa: E402
import numpy as np  # noqa: E402

COSINE = 0.363
"""OpenCV's own threshold for SFace."""
SSD_SCORE, YUNET_SCORE, LANDMARK_SCORE = 0.5, 0.6, 0.3
"""Least scores: those that streamd's catalogue states for the same models."""
MARGIN, CANVAS_PX = 0.5, 160
"""How much is added around a box whose landmarks are looked for, and what it is scaled to."""


class Loop(Protocol):
    """Somebody's way from a frame to faces with vectors."""

    threshold: float

    def faces(self, frame: Any) -> list[tuple[list[float], Any]]:
        """Corners x1 y1 x2 y2 and unit vector of each face."""

    def portrait(self, path: str) -> Any:
        """The unit vector of the largest face of a photograph; None where there is none."""

    def whole(self, frame: Any) -> Any:
        """What it takes the whole frame for, where it found no face; None where it does no such thing."""

    def versions(self) -> dict[str, str]: ...


class OpenCvLoop:
    """OpenCV alone: YuNet, or the res10 SSD with YuNet's landmarks in its boxes; then SFace."""

    threshold = COSINE

    def __init__(self, weights: dict[str, str], *, ssd: bool) -> None:
        self._yunet = cv2.FaceDetectorYN.create(weights["yunet"], "", (320, 320), YUNET_SCORE)
        self._points = cv2.FaceDetectorYN.create(weights["yunet"], "", (CANVAS_PX, CANVAS_PX), LANDMARK_SCORE)
        self._sface = cv2.FaceRecognizerSF.create(weights["sface"], "")
        self._ssd = cv2.dnn.readNetFromCaffe(weights["ssd_prototxt"], weights["ssd"]) if ssd else None

    def faces(self, frame: Any) -> list[tuple[list[float], Any]]:
        rows = self._by_yunet(frame) if self._ssd is None else self._by_ssd(self._ssd, frame)
        return [(corners(row), self._vector(frame, row)) for row in rows]

    def portrait(self, path: str) -> Any:
        photo = cv2.imread(path)
        if photo is None:
            return None
        shrink = min(1.0, 1024 / max(photo.shape[:2]))
        photo = cv2.resize(photo, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        rows = self._by_yunet(photo)
        return self._vector(photo, max(rows, key=lambda row: row[2] * row[3])) if rows else None

    def whole(self, frame: Any) -> Any:
        return None

    def versions(self) -> dict[str, str]:
        return {"opencv": cv2.__version__}

    def _vector(self, frame: Any, row: Any) -> Any:
        return unit(self._sface.feature(self._sface.alignCrop(frame, row)))

    def _by_yunet(self, frame: Any) -> list[Any]:
        self._yunet.setInputSize((frame.shape[1], frame.shape[0]))
        found = self._yunet.detect(frame)[1]
        return [] if found is None else list(found)

    def _by_ssd(self, ssd: Any, frame: Any) -> list[Any]:
        height, width = frame.shape[:2]
        ssd.setInput(cv2.dnn.blobFromImage(cv2.resize(frame, (300, 300)), 1.0, (300, 300), (104.0, 177.0, 123.0)))
        boxes = [row[3:7] * [width, height, width, height] for row in ssd.forward()[0, 0] if row[2] > SSD_SCORE]
        rows = [self._landmarks(frame, box) for box in boxes]
        return [row for row in rows if row is not None]

    def _landmarks(self, frame: Any, box: Any) -> Any:
        """YuNet's best face in a box, as a row in the frame's pixels."""
        margin = MARGIN * max(box[2] - box[0], box[3] - box[1])
        left, top = (max(0, int(side - margin)) for side in box[:2])
        cut = frame[top : int(box[3] + margin), left : int(box[2] + margin)]
        if not cut.size:
            return None
        scale = CANVAS_PX / max(cut.shape[:2])
        small = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        self._points.setInputSize((small.shape[1], small.shape[0]))
        found = self._points.detect(small)[1]
        if found is None:
            return None
        row = max(found, key=lambda each: each[14]).copy()
        row[:14] /= scale
        row[0:14:2] += [left, left, *[left] * 5]
        row[1:14:2] += [top, top, *[top] * 5]
        row[2:4] -= [left, top]  # width and height
        return row


class DeepFaceLoop:
    """``DeepFace.represent`` on each frame, with SFace; a frame without a face raises, as it does by default."""

    def __init__(self, detector: str) -> None:
        one_thread_onnxruntime()
        with contextlib.redirect_stdout(sys.stderr):
            from deepface import DeepFace
            from deepface.modules.verification import find_threshold

        self._represent = DeepFace.represent
        self._detector = detector
        self.threshold = 1 - float(find_threshold("SFace", "cosine"))

    def faces(self, frame: Any) -> list[tuple[list[float], Any]]:
        try:
            found = self._looked(frame, self._detector, enforce=True)
        except ValueError:  # FaceNotDetected
            return []
        return [(area(face["facial_area"]), unit(face["embedding"])) for face in found]

    def portrait(self, path: str) -> Any:
        try:
            found = self._looked(path, "yunet", enforce=True)
        except ValueError:
            return None
        return unit(max(found, key=lambda face: face["facial_area"]["w"])["embedding"])

    def whole(self, frame: Any) -> Any:
        """With ``enforce_detection=False``, which is what callers set who want no exception."""
        return unit(self._looked(frame, self._detector, enforce=False)[0]["embedding"])

    def versions(self) -> dict[str, str]:
        import importlib.metadata

        return {"deepface": importlib.metadata.version("deepface"), "opencv": cv2.__version__}

    def _looked(self, picture: Any, detector: str, *, enforce: bool) -> list[Any]:
        found: list[Any] = self._represent(
            picture, model_name="SFace", detector_backend=detector, enforce_detection=enforce
        )
        return found


def one_thread_onnxruntime() -> None:
    """Newer DeepFace runs SFace by onnxruntime, with as many spinning threads as there are cores."""
    try:
        import onnxruntime
    except ImportError:
        return
    made = onnxruntime.InferenceSession

    def session(path: str, sess_options: Any = None, **more: Any) -> Any:
        options = sess_options or onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return made(path, sess_options=options, **more)

    onnxruntime.InferenceSession = session


def corners(row: Any) -> list[float]:
    x, y, width, height = (float(value) for value in row[:4])
    return [x, y, x + width, y + height]


def area(facial_area: dict[str, Any]) -> list[float]:
    return corners([facial_area[side] for side in "xywh"])


def unit(vector: Any) -> Any:
    flat = np.asarray(vector, np.float32).ravel()
    return flat / np.linalg.norm(flat)


def enrolled(loop: Loop, gallery: dict[str, list[str]]) -> tuple[list[str], Any]:
    """Names and vectors, one for each photograph that shows a face."""
    named = [(name, loop.portrait(photo)) for name, photos in gallery.items() for photo in photos]
    usable = [(name, vector) for name, vector in named if vector is not None]
    return [name for name, _ in usable], np.array([vector for _, vector in usable], np.float32)


def named(vector: Any, names: list[str], vectors: Any, threshold: float) -> tuple[str, float] | None:
    """The most similar person's name and similarity, where it reaches the threshold."""
    if not names:
        return None
    similarities = vectors @ vector
    best = int(np.argmax(similarities))
    return (names[best], float(similarities[best])) if similarities[best] >= threshold else None


def cpu_s() -> float:
    """CPU seconds of this process and of its children that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def play(loop: Loop, clip: str, names: list[str], vectors: Any) -> dict[str, Any]:
    """One clip from its first to its last frame, as fast as it goes."""
    capture = cv2.VideoCapture(clip)
    if not capture.isOpened():
        raise SystemExit(f"{clip}: cannot be opened")
    fps = capture.get(cv2.CAP_PROP_FPS)
    seen: list[Any] = []
    frames = faces = empty = whole_named = 0
    began_s, apart_s, started_s = cpu_s(), 0.0, time.perf_counter()
    while True:
        got, frame = capture.read()
        if not got:
            break
        found = loop.faces(frame)
        matches = [(named(vector, names, vectors, loop.threshold), box) for box, vector in found]
        before_s = cpu_s()
        seen += [[frames / fps, match[0], round(match[1], 4), box] for match, box in matches if match is not None]
        if not found:
            taken = loop.whole(frame)
            empty += 1
            whole_named += taken is not None and named(taken, names, vectors, loop.threshold) is not None
        apart_s += cpu_s() - before_s
        frames += 1
        faces += len(found)
    used_s = cpu_s() - began_s - apart_s
    capture.release()
    return {
        "frames": frames,
        "fps": fps,
        "cpu_s": used_s,
        "elapsed_s": time.perf_counter() - started_s,
        "faces": faces,
        "without_face": empty,
        "whole_named": whole_named,
        "seen": seen,
    }


def warm_up(loop: Loop, clip: str) -> None:
    """The first run of a network is slower."""
    capture = cv2.VideoCapture(clip)
    got, frame = capture.read()
    if got:
        loop.faces(frame)
    capture.release()


def made(contender: str, weights: dict[str, str]) -> Loop:
    library, _, detector = contender.partition("-")
    if library == "deepface":
        return DeepFaceLoop(detector)
    return OpenCvLoop(weights, ssd=detector == "ssd")


def main() -> None:
    job = json.load(sys.stdin)
    cv2.setNumThreads(1)
    loop = made(job["contender"], job["weights"])
    names, vectors = enrolled(loop, job["gallery"])
    warm_up(loop, job["clips"][0])
    answer = {
        "contender": job["contender"],
        "threshold": loop.threshold,
        "enrolled": names,
        "versions": {"python": platform.python_version(), **loop.versions()},
        "clips": [play(loop, clip, names, vectors) for clip in job["clips"]],
        "resident_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    Path(job["out"]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
