"""What a camera's process costs with and without a sub-stream, at 1920x1080 and 640x360, 15 frames a second, on RTSP.

usage: PYTHONPATH=tests python tests/bench/substream.py CLIP [SECONDS]   (from the repository's root)

The clip is encoded in both sizes beforehand, so that the server only sends. ``streamd capture`` runs as a process of
its own; this one plays the worker and asks for five frames a second: for the image alone, with the picture always, or
with the picture for one second in ten. Prints the CPU time of the capture per second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from itertools import chain, cycle, islice
from pathlib import Path

import av
import zmq
from rtsp_fixtures import RtspServer, _free_port

from streamd.domain import Frame
from streamd.framelink import Arrived, WorkerEnd
from streamd.sockets import Sockets

SIZES = {"main": (1920, 1080), "sub": (640, 360)}
FPS, GOP_S = 15, 2
ASK_EVERY_S = 0.2
WARM_S = 4.0


def encode(clip: Path, folder: Path, seconds: float) -> dict[str, Path]:
    with av.open(str(clip)) as container:
        frames = list(islice(container.decode(video=0), 200))
    scene = list(islice(cycle(chain(frames, reversed(frames))), round(seconds * FPS)))
    paths = {name: folder / f"{name}.mp4" for name in SIZES}
    for name, path in paths.items():
        with av.open(str(path), "w") as output:
            options = {"preset": "veryfast", "tune": "zerolatency", "crf": "23", "x264-params": "log-level=none"}
            stream = output.add_stream("libx264", rate=FPS, options=options | {"g": str(GOP_S * FPS)})
            stream.width, stream.height = SIZES[name]
            for index, frame in enumerate(scene):
                picture = frame.reformat(*SIZES[name], format="yuv420p")
                picture.pts, picture.time_base = index, Fraction(1, FPS)
                output.mux(stream.encode(picture))
            output.mux(stream.encode())
    return paths


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Asker:
    """The worker's end of the link."""

    def __init__(self, port: int, sockets: Sockets) -> None:
        self.link = WorkerEnd(sockets.bind(zmq.ROUTER, f"tcp://127.0.0.1:{port}", hwm=16))
        self.frames = self.pictures = 0

    def ask_for(self, seconds: float, pictures: str) -> None:
        end_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < end_s:
            for message in self.link.receive():
                if isinstance(message, Frame):
                    self.frames += 1
                    self.pictures += message.picture is not None
                elif isinstance(message, Arrived):
                    self.pictures += message.picture is not None
            wanted = pictures == "always" or (pictures == "1 s in 10" and now_s % 10 < 1)
            self.link.grant("bench", picture=wanted, watched=True)
            time.sleep(ASK_EVERY_S)


def measured(urls: list[str], pictures: str, seconds: float) -> tuple[float, int, int]:
    """CPU seconds per second; frames and pictures that came."""
    with Sockets() as sockets:
        asker = Asker(port := _free_port(), sockets)
        command = [sys.executable, "-m", "streamd", "capture", "--camera", "bench", "--url", urls[0]]
        command += ["--connect", f"tcp://127.0.0.1:{port}", *(["--substream", urls[1]] if len(urls) > 1 else [])]
        with (
            tempfile.TemporaryDirectory() as folder,
            subprocess.Popen(
                command, cwd=folder, stderr=subprocess.DEVNULL, env={**os.environ, "STREAMD_CONFIG": ""}
            ) as process,
        ):
            asker.ask_for(WARM_S, pictures)
            before_s, began_s = cpu_s(process.pid), time.monotonic()
            asker.frames = asker.pictures = 0
            asker.ask_for(seconds, pictures)
            spent_s = (cpu_s(process.pid) - before_s) / (time.monotonic() - began_s)
            process.terminate()
        return spent_s, asker.frames, asker.pictures


def main(clip: Path, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = encode(clip, Path(folder), seconds + WARM_S + 8)
        print(f"{'pictures':12}{'main alone':>12}{'with sub':>12}{'ratio':>8}   frames/pictures")
        for pictures in ("never", "1 s in 10", "always"):
            found = []
            for urls in (["main"], ["main", "sub"]):
                with RtspServer(Path(folder), files=files) as server:
                    found.append(measured([server.url(name) for name in urls], pictures, seconds))
            (alone, *counts), (both, *more) = found
            print(f"{pictures:12}{alone:>12.3f}{both:>12.3f}{both / alone:>8.2f}   {counts} {more}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 20.0)
