"""How soon a dozing camera wakes: real clips after a still, noisy view, encoded as cameras do.

usage: waking.py CLIP [--start FRAME] [--still-s 20] [--fps 15]

Each scene is the clip's frame START held still under sensor noise, and then something that moves: the clip itself
(whole), or the clip in small (0.75 % of the view, a head and shoulders with a face of 36 pixels in 720 lines), which
stands in the middle from one frame to the next (far) or comes in from the edge (slow), by day and by night (dark).
Each is encoded at a constant and at a variable rate, with key frames 1, 2 and 4 s apart, and its packets are sifted as
in ``AvSource``; motion is measured on what is decoded as in ``Reader``. Prints how long it took from the first frame
that differs (slow: of which half has come in) until the camera was awake, how often packets woke it while all was
still, and the share of packets that were decoded then.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from streamd.config import CaptureConfig
from streamd.motion import COLUMNS, MotionMeter
from streamd.sources.dozing import Doze

SIZE = (1280, 720)
RATES = {
    "constant": {"b": "2000k", "maxrate": "2000k", "bufsize": "2000k"},
    "variable": {"crf": "26"},
    "intra-refresh": {"crf": "26"},
}
PIECE = (72, 96)
STEP_PX = 3
"""Width and height of what is small, in pixels of the view."""
GLANCE_S = CaptureConfig().glance_s
MOTION_SHARE, CALM_S, LOOK_EVERY_S, SAMPLE_EVERY_S = 0.004, 1.5, 1.0, 0.12

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """Luma pictures: still ones, then moving ones."""

    name: str
    noise: float
    dark: bool = False


SCENES = (
    Scene("whole", 0.5),
    Scene("far", 0.5),
    Scene("slow", 0.5),
    Scene("far", 1.0),
    Scene("slow", 1.0),
    Scene("slow", 2.5),
    Scene("slow", 4.0, dark=True),
)


def clip(path: Path, start: int) -> list[Grey]:
    with av.open(str(path)) as container:
        frames = islice(container.decode(video=0), start, start + 80)
        return [cv2.resize(frame.to_ndarray(format="gray"), SIZE, interpolation=cv2.INTER_AREA) for frame in frames]


def pictures(scene: Scene, moving: list[Grey], *, still: int, after: int) -> Iterator[Grey]:
    random = np.random.default_rng(1)
    fields = [random.normal(0, scene.noise, (SIZE[1], SIZE[0])).round().astype(np.int16) for _ in range(16)]
    for index in range(still + after):
        view = moving[0].copy()
        step = index - still
        if scene.name == "whole" and step >= 0:
            view = moving[min(step, len(moving) - 1)]
        if scene.name in ("far", "slow") and step >= 0:
            place(view, moving[-1 - step % 40], slow=scene.name == "slow", step=step)
        field = np.roll(fields[int(random.integers(16))], int(random.integers(720)), 0)
        light = view.astype(np.int16) // (4 if scene.dark else 1)
        yield np.clip(light + field, 16, 235).astype(np.uint8)


def place(view: Grey, frame: Grey, *, slow: bool, step: int) -> None:
    """The clip in small: from the right edge inwards, or in the middle."""
    piece = cv2.resize(frame, PIECE, interpolation=cv2.INTER_AREA)
    way = STEP_PX * (step + 1)
    shown = min(PIECE[0], way) if slow else PIECE[0]
    right = SIZE[0] - max(0, way - PIECE[0]) if slow else SIZE[0] // 2
    view[300 : 300 + PIECE[1], right - shown : right] = piece[:, :shown]


def encoded(images: Iterator[Grey], rates: list[tuple[str, int]], fps: int) -> list[bytes]:
    """The same pictures in each of the encodings."""
    files = [io.BytesIO() for _ in rates]
    outputs = [av.open(file, "w", format="matroska") for file in files]
    streams = []
    for output, (rate, gop) in zip(outputs, rates, strict=True):
        options = {"preset": "superfast", "tune": "zerolatency", "x264-params": "log-level=none", **RATES[rate]}
        if rate == "intra-refresh":
            options["intra-refresh"] = "1"
        stream = output.add_stream("libx264", rate=fps, options=options | {"g": str(gop)})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        streams.append(stream)
    for image in images:
        planes = np.full((SIZE[1] * 3 // 2, SIZE[0]), 128, np.uint8)
        planes[: SIZE[1]] = image
        for output, stream in zip(outputs, streams, strict=True):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
    for output, stream in zip(outputs, streams, strict=True):
        output.mux(stream.encode())
        output.close()
    return [file.getvalue() for file in files]


class Watcher:
    """The parts of AvSource, Reader and Capture that decide when a camera is awake."""

    def __init__(self, fps: int) -> None:
        self.doze: Doze[av.Packet] = Doze("packets")
        self.decoded = 0
        self._fps = fps
        self._meter = MotionMeter()
        self._stirred_s, self._sampled_s, self._looked_s = 0.0, -1.0, -1.0
        self._alarms = 0

    def see(self, packet: av.Packet, now_s: float) -> bool:
        """Whether the camera is awake with this packet."""
        self.doze.resting = now_s - self._stirred_s >= CALM_S
        due = self.doze.sift(packet, most_held=4 * self._fps, most_unseen=round(GLANCE_S * self._fps))
        for held in due:
            for frame in held.decode():
                self.decoded += 1
                if held is due[-1]:
                    self._look(frame, now_s)
        if self.doze.alarms > self._alarms:
            self._alarms, self._stirred_s = self.doze.alarms, now_s
        return now_s - self._stirred_s < CALM_S

    def _look(self, frame: av.VideoFrame, now_s: float) -> None:
        if now_s - self._sampled_s < SAMPLE_EVERY_S:
            return
        step = frame.width // COLUMNS
        sample = frame.to_ndarray()[: frame.height : step, : frame.width : step].copy()
        if self._meter.look(sample, now_s) >= MOTION_SHARE:
            self._stirred_s = now_s
        self._sampled_s = now_s
        if now_s - self._looked_s >= LOOK_EVERY_S:
            self._meter.refer_to(sample)
            self._looked_s, self._sampled_s = now_s, -1.0


def tried(data: bytes, *, fps: int, change_s: float) -> tuple[float | None, int, float, bool]:
    """Delay until awake, alarms while still, share of packets decoded while still (the second half), long."""
    watcher = Watcher(fps)
    decoded_before = 0
    alarms = 0
    with av.open(io.BytesIO(data)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        for index, packet in enumerate(packets):
            now_s = index / fps
            awake = watcher.see(packet, now_s)
            if now_s < change_s:
                alarms = watcher.doze.alarms
                if now_s < change_s / 2:
                    decoded_before = watcher.decoded
                decoded = watcher.decoded
            elif awake:
                return now_s - change_s, alarms, (decoded - decoded_before) / (change_s / 2 * fps), watcher.doze.long
    return None, alarms, (decoded - decoded_before) / (change_s / 2 * fps), watcher.doze.long


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip", type=Path)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--still-s", type=float, default=20.0)
    parser.add_argument("--fps", type=int, default=15)
    parser.add_argument("--noise", type=float, nargs="*", help="only the scenes with this much noise")
    args = parser.parse_args()
    moving = clip(args.clip, args.start)
    rates = [(rate, gop * args.fps) for rate in ("constant", "variable") for gop in (1, 2, 4)]
    rates.append(("intra-refresh", args.fps))
    print(f"{'scene':14}{'rate':14}{'gop s':>6}{'awake after s':>15}{'false alarms':>14}{'decoded':>9}{'long':>6}")
    for scene in (scene for scene in SCENES if not args.noise or scene.noise in args.noise):
        # Not at a key frame, which would be too easy.
        still = int(args.still_s * args.fps) + 4
        files = encoded(pictures(scene, moving, still=still, after=5 * args.fps), rates, args.fps)
        for (rate, gop), data in zip(rates, files, strict=True):
            half_s = PIECE[0] / 2 / STEP_PX / args.fps if scene.name == "slow" else 0.0
            delay_s, alarms, share, long = tried(data, fps=args.fps, change_s=still / args.fps)
            delay_s = None if delay_s is None else delay_s - half_s
            name = f"{scene.name} {scene.noise:g}" + (" dark" if scene.dark else "")
            when = "-" if delay_s is None else f"{delay_s:.2f}"
            print(f"{name:14}{rate:14}{gop / args.fps:>6g}{when:>15}{alarms:>14}{share:>9.2f}{long!s:>6}", flush=True)


if __name__ == "__main__":
    main()
