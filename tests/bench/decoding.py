"""What decoding costs: threads, what is skipped, and what is converted.

usage: python tests/bench/decoding.py CLIP [WIDTHxHEIGHT]   (from the repository's root)

The clip is encoded at the size (1920x1080) with and without B-frames, two seconds from key frame to key frame. Each
camera is a process that decodes 150 frames of it, as fast as it can, once with fewer cameras than cores and once with
more. Prints CPU time and wall time per frame and camera, in milliseconds.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2

FRAMES, FPS = 150, 15
SMALL = (640, 360)


def encode(clip: Path, path: Path, size: tuple[int, int], bframes: int) -> Path:
    with av.open(str(clip)) as container:
        frames = list(itertools.islice(container.decode(video=0), FRAMES))
    with av.open(str(path), "w") as output:
        options = {
            "preset": "veryfast",
            "crf": "23",
            "bf": str(bframes),
            "slices": "4",
            "x264-params": "log-level=none",
        }
        stream = output.add_stream("libx264", rate=FPS, options=options | {"g": str(2 * FPS)})
        stream.width, stream.height = size
        for index, frame in enumerate(itertools.islice(itertools.cycle(frames), FRAMES)):
            picture = frame.reformat(*size, format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, FPS)
            output.mux(stream.encode(picture))
        output.mux(stream.encode())
    return path


def decode(path: str, threads: int, skip: str, convert: str) -> None:
    """One camera: prints CPU and wall milliseconds per frame of the stream."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        context.thread_count, context.thread_type = threads, "SLICE"
        if skip in ("NONREF", "NONKEY"):
            context.skip_frame = skip
        if skip == "loop filter":
            context.options = {"skip_loop_filter": "all"}
        packets = list(container.demux(stream))
        cpu_s, wall_s = time.process_time(), time.monotonic()
        for packet in packets:
            for frame in packet.decode():
                if convert == "small":
                    frame.reformat(*SMALL, format="bgr24", threads=1)
                elif convert == "full":
                    full = frame.reformat(format="bgr24", threads=1).to_ndarray()
                    cv2.resize(full, SMALL, interpolation=cv2.INTER_AREA)
        spent = (time.process_time() - cpu_s, time.monotonic() - wall_s)
    print(*(1000 * value / FRAMES for value in spent))


def cameras(count: int, path: Path, threads: int, skip: str, convert: str) -> tuple[float, float]:
    """Means over cameras at work at once."""
    command = [sys.executable, __file__, "--decode", str(path), str(threads), skip, convert]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    found = [tuple(map(float, process.communicate()[0].split())) for process in running]
    return sum(cpu for cpu, _ in found) / count, sum(wall for _, wall in found) / count


def main(clip: Path, size: tuple[int, int]) -> None:
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        plain = encode(clip, Path(folder) / "plain.mp4", size, 0)
        ordered = encode(clip, Path(folder) / "b.mp4", size, 2)
        rows = [(plain, "no B", threads, "nothing", "none") for threads in (1, 2, 0)]
        rows += [(plain, "no B", 1, skip, "none") for skip in ("loop filter", "NONREF", "NONKEY")]
        rows += [(ordered, "2 B", 1, skip, "none") for skip in ("nothing", "NONREF", "NONKEY")]
        rows += [(plain, "no B", 1, "nothing", convert) for convert in ("small", "full")]
        print(f"{'frames':8}{'threads':>8}  {'skipped':14}{'to BGR':8}", end="")
        counts = (1, 2 * cores)
        print("".join(f"{f'{count} cameras: CPU':>18}{'wall':>8}" for count in counts))
        for path, kind, threads, skip, convert in rows:
            print(f"{kind:8}{threads or 'auto':>8}  {skip:14}{convert:8}", end="", flush=True)
            for count in counts:
                cpu_ms, wall_ms = cameras(count, path, threads, skip, convert)
                print(f"{cpu_ms:>18.2f}{wall_ms:>8.2f}", end="", flush=True)
            print()


if __name__ == "__main__":
    if sys.argv[1] == "--decode":
        decode(sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5])
    else:
        width, _, height = (sys.argv[2] if len(sys.argv) > 2 else "1920x1080").partition("x")
        main(Path(sys.argv[1]), (int(width), int(height)))
