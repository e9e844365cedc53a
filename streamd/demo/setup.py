"""The demonstration's folder: faces, clips, enrolled photographs and a configuration."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from streamd.demo.clips import CLIPS, fingerprint, render
from streamd.demo.faces import pull_faces
from streamd.vision.progress import Progress

ENROLLED = {"Barack Obama": "obama.jpg", "Eileen Collins": "astronaut.png"}
"""Barack Obama is enrolled by a photograph that no clip shows. Of Eileen Collins there is one free photograph, so the
clips show the one that she is enrolled by, scaled, moved and encoded. The others stay unknown."""
GATEWAY = "127.0.0.1:8470"


def prepare_demo(
    folder: Path,
    *,
    models: Path | None = None,
    fetched: Progress | None = None,
    rendered: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Make what is missing; returns the configuration's path. What is there already is left as it is.

    Raises:
        ModelError: a face could not be fetched.
    """
    faces = prepare_gallery(folder, fetched=fetched)
    clips = folder / f"clips-{fingerprint()}"
    clips.mkdir(parents=True, exist_ok=True)
    missing = [name for name in CLIPS if not (clips / f"{name}.mp4").exists()]
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="film") as pool:
        for done in [pool.submit(render, n, faces, clips / f"{n}.mp4", progress=rendered) for n in missing]:
            done.result()
    return _write_config(folder, clips, models)


def prepare_gallery(folder: Path, *, fetched: Progress | None = None) -> dict[str, Path]:
    """The faces, by name, and the folder of those who are enrolled. Raises ModelError."""
    faces = pull_faces(folder / "faces", progress=fetched)
    for person, photo in ENROLLED.items():
        target = folder / "gallery" / person / photo
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(faces[photo], target)
    return faces


def _write_config(folder: Path, clips: Path, models: Path | None) -> Path:
    body = {
        "state_dir": str(folder.absolute() / "state"),
        "cameras": {name: {"url": str(clips.absolute() / f"{name}.mp4")} for name in CLIPS},
        "gallery": {"folder": str(folder.absolute() / "gallery")},
        "gateway": {"listen": GATEWAY},
        "log": {"level": "warning", "format": "text"},
    }
    if models is not None:
        body["models_dir"] = str(models)
    path = folder / "streamd.yaml"
    path.write_text("# The demonstration; written anew by each `streamd run --demo`.\n" + yaml.safe_dump(body))
    return path
