"""A stream decoded by a device and by the CPU, in a process of its own. Prints one line of JSON.

``python tests/gpu/decoding.py cuda libx264 [--frames N]``

H.264 and H.265 say exactly what a decoder gives, so both must give the same pictures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from mediafiles import write_video
from numpy.typing import NDArray

from streamd.config import CaptureConfig
from streamd.errors import SourceEnded, SourceError
from streamd.sources.av import AvSource

SIZE = (1280, 720)
WARM = 15
"""Frames before times are taken: a device's first frame waits for its driver."""
LOOKED_AT = 5
"""Of so many frames one is fetched as a whole picture, as a daemon does at most."""


def main() -> int:
    args = _arguments()
    with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        found = compared(Path(folder), args)
    print(json.dumps(found))
    return 0


def compared(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    if args.codec not in av.codecs_available:
        return {"skipped": f"this PyAV encodes no {args.codec}"}
    path = write_video(folder / "clip.mp4", moving(args.frames), codec=args.codec, fps=15)
    expected, cpu = decoded(path, "none")
    before_mb = used_mb()
    try:
        got, device = decoded(path, args.device)
    except SourceError as error:
        return {"refused": str(error)}
    same = len(got) == len(expected) and all(map(np.array_equal, got, expected))
    off = max((float(np.abs(a.astype(int) - b).max()) for a, b in zip(got, expected, strict=False)), default=None)
    return {"same": same, "most_off": off, "cpu": cpu, "device": device, "memory_before_mb": before_mb}


def decoded(path: Path, hwaccel: str) -> tuple[list[NDArray[np.uint8]], dict[str, Any]]:
    """What the daemon looks at of each frame, and milliseconds a frame after the first ones."""
    source = AvSource(
        str(path), config=CaptureConfig.model_validate({"hwaccel": hwaccel, "pace": "fast", "loop": False})
    )
    source.open()
    seen: list[NDArray[np.uint8]] = []
    frames, cpu_s, wall_s, memory_mb = 0, 0.0, 0.0, None
    try:
        while True:
            frame = source.read(5.0)
            seen.append(frame.luma(2))
            frames += 1
            if frames % LOOKED_AT == 0:
                seen.append(frame.yuv420().planes)
            if frames == WARM:
                memory_mb = used_mb()
                cpu_s, wall_s = time.process_time(), time.perf_counter()
    except SourceEnded:
        pass
    finally:
        spent = (time.process_time() - cpu_s, time.perf_counter() - wall_s)
        source.close()
    cpu_ms, wall_ms = (1000 * seconds / (frames - WARM) for seconds in spent)
    return seen, {"frames": frames, "cpu_ms": cpu_ms, "wall_ms": wall_ms, "memory_mb": memory_mb}


def used_mb() -> float | None:
    """Of the GPU, by everyone. By another program: FFmpeg refuses a device that this process uses in another way."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0])
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return None


def moving(count: int) -> Iterator[NDArray[np.uint8]]:
    """Pictures in which something moves before a wall with grain, BGR."""
    rng = np.random.default_rng(7)
    wall = cv2.resize(rng.integers(40, 216, (18, 32, 3), dtype=np.uint8), SIZE, interpolation=cv2.INTER_CUBIC)
    for number in range(count):
        picture = wall.astype(np.float32) + rng.normal(0, 3, (SIZE[1], SIZE[0], 1)).astype(np.float32)
        cv2.circle(picture, (100 + 10 * number % 1000, 360), 90, (60, 120, 200), -1)
        yield picture.clip(0, 255).astype(np.uint8)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("device", choices=("cuda", "vaapi", "qsv", "none"))
    parser.add_argument("codec", nargs="?", default="libx264")
    parser.add_argument("--frames", type=int, default=90)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
