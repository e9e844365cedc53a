"""What watching costs, and how late it is: a daemon on one 720p camera with a known face, and a phone.

usage: viewers.py [--seconds 20] [--rounds 2]

Prints, of the same run, the gateway's share of a core and the 95th percentile of the age at which frames are looked at,
with nobody and with three viewers in turn; and the time from a picture at the sender to the same picture, decoded, at a
viewer: for a phone (WHIP in, WHEP out), and for the RTSP camera when what it shows changes. The three viewers do not
decode, as they would do that on other machines.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import cv2
import numpy as np
from e2e.daemon import Daemon
from numpy.typing import NDArray
from rtsp_fixtures import RtspServer, placed
from sender import Phone
from watcher import Watcher

from streamd.config import Config

SIZE = (1280, 720)
BITS, BLOCK = 20, 16
"""A picture's time in milliseconds, as black and white blocks along its upper edge."""
Picture = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--watch", metavar="URL", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.watch:
        asyncio.run(watch_blindly(args.watch))
        return
    folder = Path(tempfile.mkdtemp(prefix="viewers-"))
    faces = Path(os.environ.get("STREAMD_TEST_FACES") or Config().state_dir / "demo" / "faces")
    gallery = folder / "gallery" / "Barack Obama"
    gallery.mkdir(parents=True)
    shutil.copy(faces / "obama.jpg", gallery)
    picture = read(faces / "obama2.jpg")[100:900]
    (folder / "rtsp").mkdir()
    with RtspServer(folder / "rtsp", size=SIZE) as server:
        cameras = {"door": {"url": server.url("cam1")}, "phone": {"url": "whip://"}}
        with Daemon(folder / "d", models=Config().models_path, cameras=cameras, gallery=gallery.parent) as daemon:
            server.show("cam1", placed(picture, SIZE, height=600))
            daemon.await_event("face.identified", camera="door")
            costs(daemon, seconds=args.seconds, rounds=args.rounds)
            asyncio.run(phone_delay(daemon, placed(picture, (640, 480), height=400)))
            asyncio.run(camera_delay(daemon, server, picture))
    shutil.rmtree(folder, ignore_errors=True)


def read(path: Path) -> Picture:
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.asarray(picture, np.uint8)


def costs(daemon: Daemon, *, seconds: float, rounds: int) -> None:
    print("viewers  gateway_core  capture_core   worker_core  age_p50_ms    age_p95_ms    looks  encoded  view_p50_ms")
    for _ in range(rounds):
        for viewers in (0, 3):
            clients = [
                subprocess.Popen([sys.executable, __file__, "--watch", daemon.http], preexec_fn=lambda: os.nice(10))
                for _ in range(min(1, viewers))
            ]
            time.sleep(5)  # until what came before is over, and the delay has settled
            before, cpu = daemon.metrics(), shares(daemon)
            time.sleep(seconds)
            after, used = daemon.metrics(), shares(daemon)
            if viewers:
                assert after.total("streamd_viewers", camera="door") == viewers
            for client in clients:
                client.kill()
                client.wait()
            cores = [f"{(used[name] - cpu[name]) / seconds:.3f}" for name in ("gateway", "capture@door", "worker@0")]
            told = after.since(before)
            ages = told.quantiles("streamd_frame_age_seconds", [0.5, 0.95], camera="door")
            looks = told.total("streamd_frame_age_seconds_count", camera="door") / seconds
            encoded = told.total("streamd_view_encoded_total", camera="door") / seconds
            shown = told.quantiles("streamd_view_age_seconds", [0.5], camera="door")
            print(f"{viewers:7}  " + "  ".join(f"{c:>12}" for c in cores), end="")
            print(
                f"  {ms(ages[0]):>12}  {ms(ages[1]):>12}  {looks:5.1f}  {encoded:7.1f}  {ms(shown[0]):>12}", flush=True
            )
            if viewers:
                wait_for_none(daemon)


def ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f}"


def wait_for_none(daemon: Daemon) -> None:
    """Viewers who were killed are noticed after half a minute."""
    while daemon.metrics().total("streamd_viewers", camera="door"):
        time.sleep(1)


def shares(daemon: Daemon) -> dict[str, float]:
    """CPU seconds so far, by child."""
    found = {}
    for child in daemon.status().children:
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        found[child.name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


async def watch_blindly(base: str) -> None:
    """Three viewers that decode nothing."""
    import aiortc.rtcrtpreceiver

    class Nothing:
        def decode(self, frame: object) -> list[object]:
            return []

    aiortc.rtcrtpreceiver.get_decoder = lambda codec: Nothing()  # type: ignore[assignment,return-value]
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(Watcher(base, "door"))
        await asyncio.sleep(3600)


def stamped(picture: Picture, began_s: float) -> Picture:
    """A copy with the time in it."""
    made = picture.copy()
    value = round((time.monotonic() - began_s) * 1000)
    for bit in range(BITS):
        made[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 235 if value >> bit & 1 else 16
    return made


def stamp_of(picture: Picture) -> int:
    row = picture[BLOCK // 2, BLOCK // 2 : BITS * BLOCK : BLOCK].mean(axis=1)
    return sum(int(level > 128) << bit for bit, level in enumerate(row))


async def phone_delay(daemon: Daemon, picture: Picture) -> None:
    began_s = time.monotonic()
    delays: list[float] = []
    async with Phone(daemon.http, "phone", picture, codec="H264") as phone:

        async def restamp() -> None:
            while True:
                phone.show.picture = stamped(picture, began_s)
                await asyncio.sleep(0.005)

        stamping = asyncio.create_task(restamp())
        await asyncio.to_thread(daemon.await_event, "face.identified", camera="phone")
        async with Watcher(daemon.http, "phone") as watcher:
            watcher.on_frame = lambda seen: delays.append((time.monotonic() - began_s) * 1000 - stamp_of(seen))
            await watcher.until(lambda: len(delays) >= 200, timeout_s=60)
        stamping.cancel()
        await phone.hang_up()
    report("phone to viewer, with a face", delays[60:])


async def camera_delay(daemon: Daemon, server: RtspServer, face: Picture) -> None:
    delays: list[float] = []
    async with Watcher(daemon.http, "door") as watcher:
        await watcher.until(lambda: watcher.frames > 60, timeout_s=30)
        for turn in range(12):
            level = 40 if turn % 2 else 200
            shown = placed(face, SIZE, height=600)
            shown[:, :100] = level
            came: asyncio.Future[float] = asyncio.get_running_loop().create_future()

            def look(seen: Picture, level: int = level, came: asyncio.Future[float] = came) -> None:
                if not came.done() and abs(float(seen[300, 20:80].mean()) - level) < 20:
                    came.set_result(time.monotonic())

            watcher.on_frame = look
            began_s = await asyncio.to_thread(server.show, "cam1", shown)
            delays.append((await asyncio.wait_for(came, 10) - began_s) * 1000)
            await asyncio.sleep(0.7)
    report("RTSP camera to viewer", delays)


def report(what: str, delays_ms: list[float]) -> None:
    p50, p95 = np.percentile(delays_ms, [50, 95])
    print(
        f"{what}: {p50:.0f} ms p50, {p95:.0f} ms p95, {max(delays_ms):.0f} ms at most, of {len(delays_ms)}", flush=True
    )


if __name__ == "__main__":
    main()
