"""Streams to measure with: any number of people who walk in and out, at any size and rate, as real H.264.

The people are those of the demonstration, scaled and moved, never stretched. They are there for a third of the time,
all at once, so that a camera is empty, then lively, then empty again; each of the variants begins at another moment.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from streamd.demo.clips import (
    BIDEN,
    CARPHONE,
    COLLINS,
    OBAMA_SPEAKING,
    OBAMA_STANDING,
    Visit,
    encode_visits,
)

VARIANTS = 6
BITS_PER_PIXEL = 0.15
"""Two megabits a second for 1280x720 at 15 frames: what IP cameras are set to, as their rate or its bound."""
TEXTURE = 14.0
"""Grey levels by which the wall deviates from a plain one."""
_FACES = (OBAMA_SPEAKING, BIDEN, COLLINS, CARPHONE, OBAMA_STANDING)
"""Four different people come first: nobody is there twice at once."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a stream shows."""

    width: int = 1280
    height: int = 720
    fps: int = 15
    people: int = 2
    seconds: float = 30.0
    present: float = 1 / 3
    """Share of the time in which the people are there; 0 is an empty room."""
    rate: Literal["constant", "variable"] = "constant"
    """How the encoder spends its bits: as many at all times, or as many as the picture needs."""
    noise: float = 3.0
    """Grey levels of the sensor's noise, which is another in each frame; cameras in good light have less than one."""

    def visits(self, variant: int) -> tuple[Visit, ...]:
        """Rows of faces, each of which walks to and fro within its own column."""
        if not self.present or not self.people:
            return ()
        stay_s = self.seconds * self.present
        start_s = (self.seconds - stay_s) * variant / max(1, VARIANTS - 1)
        columns = math.ceil(math.sqrt(self.people * self.width / self.height / 1.6))
        rows = math.ceil(self.people / columns)
        face_px = min(0.28 * self.height, 0.5 * self.height / rows, 0.42 * self.width / columns)
        return tuple(self._visit(i, (columns, rows), face_px, (start_s, stay_s)) for i in range(self.people))

    def _visit(self, number: int, grid: tuple[int, int], face_px: float, when: tuple[float, float]) -> Visit:
        columns, rows = grid
        x, y = (number % columns + 0.5) / columns, (number // columns + 0.45) / rows
        reach = 0.22 / columns
        way = ((x - reach, y), (x + reach, y)) if number % 2 else ((x + reach, y), (x - reach, y))
        return Visit(*_FACES[number % len(_FACES)], *when, (face_px, 1.1 * face_px), way)

    def encoding(self) -> dict[str, str]:
        """As IP cameras do it: key frames at fixed distances, no B frames, a bounded rate, filtered block edges."""
        most = str(round(self.width * self.height * self.fps * BITS_PER_PIXEL))
        spent = {"b": most} if self.rate == "constant" else {"crf": "23"}
        bounds = {"maxrate": most, "bufsize": most}
        return {"preset": "veryfast", "g": str(2 * self.fps), "bf": "0", "sc_threshold": "0"} | spent | bounds

    def fingerprint(self) -> str:
        """Changes with everything that decides what the streams look like."""
        visits = [[asdict(visit) for visit in self.visits(variant)] for variant in range(VARIANTS)]
        plan = [asdict(self), visits, self.encoding(), TEXTURE]
        return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:12]


def prepare_streams(scene: Scene, faces: Mapping[str, Path], folder: Path, *, variants: int = VARIANTS) -> list[Path]:
    """The clips of a scene, rendered where they are not there yet; progress on a terminal."""
    name = f"{scene.width}x{scene.height}-{scene.fps}-{scene.people}-{scene.fingerprint()}"
    target = folder / "streams" / name
    target.mkdir(parents=True, exist_ok=True)
    clips = [target / f"{variant}.mp4" for variant in range(variants)]
    missing = [variant for variant, clip in enumerate(clips) if not clip.exists()]
    if missing:
        with ProcessPoolExecutor(min(len(missing), os.cpu_count() or 1)) as pool:
            jobs = [pool.submit(_render, scene, variant, faces, clips[variant]) for variant in missing]
            for done, job in enumerate(jobs, start=1):
                job.result()
                _tell(f"streams {name}: {done} of {len(jobs)}", last=done == len(jobs))
    return clips


def _render(scene: Scene, variant: int, faces: Mapping[str, Path], target: Path) -> None:
    encode_visits(
        f"bench{variant}",
        scene.visits(variant),
        faces,
        target,
        size=(scene.width, scene.height),
        fps=scene.fps,
        seconds=scene.seconds,
        encoding=scene.encoding(),
        texture=TEXTURE,
        noise=scene.noise,
    )


def phases(clips: Sequence[Path], cameras: int) -> list[Path]:
    """A clip for each camera, as different as they can be."""
    return [clips[i % len(clips)] for i in range(cameras)]


def _tell(message: str, *, last: bool) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{message}" + ("\n" if last else ""))
        sys.stderr.flush()
