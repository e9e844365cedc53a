"""The pictures of docs/placing.md: one known face at several distances, in several lights, as replay draws them.

usage: placing.py [FOLDER]     (PYTHONPATH=tests, after `make models`; default: docs/placing)

Each scene is two seconds of a clip of 1280x720, annotated by `streamd replay --annotate`; of the last frame the middle
is kept. Prints what was said of each scene.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
from mediafiles import write_video
from numpy.typing import NDArray

from streamd.config import Config
from streamd.demo.faces import pull_faces

Picture = NDArray[np.uint8]
SIZE = (1280, 720)
FPS, SECONDS = 10, 2
FACE_SHARE = 0.33
"""Of the photograph's height: the face in it, by YuNet."""
SHOWN = (320, 240)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    faces = Config().state_dir / "demo" / "faces"
    pull_faces(faces)
    photograph = cv2.imread(str(faces / "obama2.jpg"))
    assert photograph is not None
    scenes = made(np.asarray(photograph[100:1100], np.uint8))
    with tempfile.TemporaryDirectory() as scratch:
        gallery = Path(scratch) / "gallery" / "Barack Obama"
        gallery.mkdir(parents=True)
        shutil.copy(faces / "obama.jpg", gallery)
        for name, picture in scenes.items():
            shown, said = annotated(Path(scratch), name, picture, gallery.parent)
            cv2.imwrite(str(folder / f"{name}.jpg"), shown, [cv2.IMWRITE_JPEG_QUALITY, 80])
            print(f"{name}: {said}", flush=True)


def made(photograph: Picture) -> dict[str, Picture]:
    """Each scene, by its name."""
    near = scene(photograph, 120)
    return {
        "160px": scene(photograph, 160),
        "80px": scene(photograph, 80),
        "48px": scene(photograph, 48),
        "28px": scene(photograph, 28),
        "dark": np.asarray(near * 0.08, np.uint8),
        "backlit": backlit(near),
        "blurred": np.asarray(cv2.filter2D(near, -1, np.full((1, 25), 1 / 25, np.float32)), np.uint8),
    }


def scene(photograph: Picture, face_px: int) -> Picture:
    """The photograph in a plain hall, its face so many pixels high."""
    height = round(face_px / FACE_SHARE)
    width = round(photograph.shape[1] * height / photograph.shape[0])
    small = cv2.resize(photograph, (width, height), interpolation=cv2.INTER_AREA)[: SIZE[1]]
    canvas = np.full((SIZE[1], SIZE[0], 3), (150, 158, 155), np.uint8)
    top, left = max(0, SIZE[1] // 2 - height // 3), SIZE[0] // 2 - width // 2
    rows = min(small.shape[0], SIZE[1] - top)
    canvas[top : top + rows, left : left + width] = small[:rows]
    return canvas


def backlit(picture: Picture) -> Picture:
    """A bright window behind somebody whose face gets no light."""
    wall = np.all(picture == picture[0, 0], axis=2)
    dark = np.asarray(picture * 0.1, np.uint8)
    dark[wall] = 250
    return dark


def annotated(scratch: Path, name: str, picture: Picture, gallery: Path) -> tuple[Picture, str]:
    clip, drawn = scratch / f"{name}.mp4", scratch / f"{name}-drawn.mp4"
    write_video(clip, [picture] * (FPS * SECONDS), fps=FPS)
    command = [
        sys.executable,
        "-m",
        "streamd",
        "replay",
        str(clip),
        "--gallery",
        str(gallery),
        "--annotate",
        str(drawn),
    ]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    with av.open(str(drawn)) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    last = frames[-2]
    x, y = (SIZE[0] - 2 * SHOWN[0]) // 2, (SIZE[1] - 2 * SHOWN[1]) // 2
    middle = last[y : y + 2 * SHOWN[1], x : x + 2 * SHOWN[0]]
    return np.asarray(cv2.resize(middle, SHOWN, interpolation=cv2.INTER_AREA), np.uint8), _said(done.stdout)


def _said(printed: str) -> str:
    events = [json.loads(line) for line in printed.splitlines() if line.startswith('{"schema')]
    return ", ".join(dict.fromkeys(event["type"] for event in events)) or printed[-300:]


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/placing"))
