"""A detector in 8 bits beside single precision: faces found, false ones, and CPU milliseconds at 640 x 384.

usage: python tests/bench/int8_detector.py BOXES.json ROOT [DETECTOR]

From the repository's root, after `make models`.

BOXES.json and ROOT are those of ``streamd bench detectors``; ranges are taken from the demonstration's clips.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np

from streamd.bench.detectors import measure, read_boxes
from streamd.config import Config
from streamd.vision.blobs import to_blob
from streamd.vision.engines import CPU, Engine, open_engine
from streamd.vision.loading import detector_of
from streamd.vision.modelstore import ModelStore
from streamd.vision.onnx import Session
from streamd.vision.openvino import OpenVinoEngine
from streamd.vision.probing import FREE_SIZE, probe
from streamd.vision.quantising import quantise
from streamd.vision.runtimes import cpu_seconds

PICTURES, APART = 40, 80


def clip_pictures() -> np.ndarray:
    found = []
    for path in sorted((Config().state_dir / "demo").rglob("*.mp4")):
        with av.open(str(path)) as clip:
            for number, frame in enumerate(clip.decode(video=0)):
                if number % APART == 0:
                    found.append(cv2.resize(frame.to_ndarray(format="bgr24"), FREE_SIZE[::-1]))
    return np.stack(found[:PICTURES])


def main(boxes: Path, root: Path, name: str) -> None:
    store = ModelStore(Config().models_path)
    manifest = store.manifest(name, kind="detector")
    path, pictures = store.ready(manifest), read_boxes(boxes, root)
    with tempfile.TemporaryDirectory() as folder:
        eight = Path(folder) / f"{name}.int8.onnx"
        quantise(path, eight, fed=manifest.input.name, pictures=to_blob(clip_pictures(), manifest.input))
        engines: dict[str, Engine] = {
            "onnxruntime": open_engine(path, [CPU], 1),
            "onnxruntime-int8": open_engine(eight, [CPU], 1),
            "openvino": OpenVinoEngine(path, threads=1, bf16=False),
            "openvino-bf16": OpenVinoEngine(path, threads=1, bf16=True),
            "openvino-int8": OpenVinoEngine(eight, threads=1, bf16=False),
        }
        for label, engine in engines.items():
            detector = detector_of(manifest, Session(engine, path))
            report = measure(detector, pictures, longer_side_px=640, min_score=manifest.threshold)
            ms = 1000 * cpu_seconds(partial(engine.run, probe(engine.inputs)), at_least_s=1.0)
            print(f"{label:18} recall {report.to_json()['recall']} false {report.false} {ms:.2f} ms", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "yunet")
