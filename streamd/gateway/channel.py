"""One camera while somebody watches: its pictures come one by one, wait for their boxes, and are encoded once for all.

A picture taken at t is shown at t plus a small delay, by when the looks before and after t are known. The queue in
between holds ``HELD`` pictures; of those that are due only the newest is shown, the others are dropped and counted.
Everything here runs in the event loop but the encoding.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from streamd.domain import Yuv420
from streamd.drawing import draw_marks
from streamd.errors import CameraAway
from streamd.gateway.audience import LARGEST_VIEW, Codec, Demand, JpegOutlet, VideoOutlet, merged
from streamd.gateway.encoding import JpegEncoder, VideoEncoder
from streamd.metrics import Metrics
from streamd.overlays import FaceMark, Overlay, ShowDelay, Timeline
from streamd.viewlink import LEASE_S, REPEAT_S, GatewayViews, Nothing, View, Want

if TYPE_CHECKING:
    from streamd.gateway.audience import Packet

logger = logging.getLogger(__name__)

HELD = 16
"""Pictures that wait for their boxes: half a second at 30 a second."""
AWAY_S = 0.25
"""Pause before a camera whose process is not there is asked again."""
TROUBLED_S = 0.5
"""The same where it has no picture."""
PATIENCE_S = 3.0
"""A picture that is waited for longer does not come."""
BROKEN_S, LONGEST_BROKEN_S = 0.5, 10.0
"""Pause before what failed in a way that nobody foresaw is tried again: at first, and at most."""
KEY_PAUSE_S = 0.5
"""Key frames are made at most this often, however many viewers ask."""

Outlet = VideoOutlet | JpegOutlet


class Channel:
    """Use ``enter`` and ``leave``; without an audience it does nothing."""

    def __init__(
        self, camera: str, views: GatewayViews, executor: Executor, metrics: Metrics, *, touched: Callable[[], None]
    ) -> None:
        """``touched`` is called after each send through ``views``."""
        self.camera = camera
        self.timeline = Timeline()
        self.trouble: str | None = None
        """Why there is no picture, for people."""
        self._views = views
        self._touched = touched
        self._executor = executor
        self._metrics = metrics
        self._failures = metrics.background_failures.labels(task="live")  # at 0: the first is an increase
        self._delay = ShowDelay()
        self._outlets: list[Outlet] = []
        self._held: deque[View] = deque()
        self._newest: View | None = None
        self._news = asyncio.Event()
        """A picture, or none and why, has come."""
        self._waiting = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._video: dict[Codec, VideoEncoder] = {}
        self._jpeg: dict[tuple[int, bool], JpegEncoder] = {}
        self._wholes: list[asyncio.Future[View]] = []
        self._keyed_at_s = -KEY_PAUSE_S
        self._dropped: dict[int, int] = {}

    # The link's side.

    def view(self, view: View) -> None:
        """A picture has come."""
        self.trouble = None
        if view.whole:
            self._resolve(view)
            return
        self._newest = view
        if self._outlets:
            if len(self._held) >= HELD:
                self._held.popleft()
                self._count_dropped("late")
            self._held.append(view)
            self._waiting.set()
        self._news.set()

    def nothing(self, nothing: Nothing) -> None:
        """The camera has no picture."""
        self.trouble = nothing.message
        self._newest = None
        self._news.set()
        self._resolve(CameraAway(f"camera {self.camera!r}: {nothing.message}"))

    def overlay(self, overlay: Overlay) -> None:
        """A look has become known."""
        self.timeline.add(overlay)
        self._delay.looked(overlay, time.monotonic())

    # The audience's side.

    @property
    def watched(self) -> bool:
        return bool(self._outlets)

    def enter(self, outlet: Outlet) -> None:
        self._outlets.append(outlet)
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._kept_up(work)) for work in (self._pull, self._show)]
        self._news.set()  # the demand has changed

    def leave(self, outlet: Outlet) -> None:
        if outlet not in self._outlets:
            return
        self._outlets.remove(outlet)
        self._dropped.pop(id(outlet), None)
        if not self._outlets:
            self.close()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        self._held.clear()
        self._video, self._jpeg = {}, {}
        self._keyed_at_s = -KEY_PAUSE_S
        self._newest = None

    async def picture(self, demand: Demand) -> View:
        """The newest picture, of about this width; raises CameraAway where none comes."""
        began_s, newest = time.monotonic(), self._newest
        fits = newest is not None and newest.picture.size[0] >= min(demand.width, newest.full_size[0]) - 1
        fresh = newest is not None and began_s - newest.captured_at_s < PATIENCE_S
        if self._outlets and fits and fresh and newest is not None:
            return newest
        self._newest = None
        while True:
            self._news.clear()
            sent = self._ask(Want(demand.width, LARGEST_VIEW))
            await self._news_within(REPEAT_S if sent else AWAY_S)
            if self._newest is not None:
                return self._newest
            self._check_patience(began_s, sent=sent)

    async def whole(self) -> View:
        """The newest picture in full size; raises CameraAway where none comes."""
        future: asyncio.Future[View] = asyncio.get_running_loop().create_future()
        self._wholes.append(future)
        began_s = time.monotonic()
        try:
            while not future.done():
                sent = self._views.whole(self.camera)
                self._touched()
                await asyncio.wait([future], timeout=REPEAT_S if sent else AWAY_S)
                if not future.done():
                    self._check_patience(began_s, sent=sent)
            return future.result()
        finally:
            if future in self._wholes:
                self._wholes.remove(future)
            future.cancel()

    async def jpeg(self, view: View, demand: Demand) -> bytes:
        """A picture as JPEG, with the boxes that are known now."""
        loop = asyncio.get_running_loop()
        marks = self.timeline.at(view.captured_at_s) if demand.annotated else ()
        encoder = JpegEncoder(demand.width)
        self._metrics.view_encoded.labels(camera=self.camera, codec="jpeg").inc()
        return await loop.run_in_executor(self._executor, lambda: encoder.encode(_drawn(view, marks)))

    # The work.

    def _check_patience(self, began_s: float, *, sent: bool) -> None:
        if self.trouble is not None:
            raise CameraAway(f"camera {self.camera!r}: {self.trouble}")
        waited_s = time.monotonic() - began_s
        if waited_s >= PATIENCE_S:
            why = f"no picture within {PATIENCE_S:g} s" if sent else "its process is not there (yet)"
            raise CameraAway(f"camera {self.camera!r}: {why}")

    def _resolve(self, result: View | CameraAway) -> None:
        for future in self._wholes:
            if future.done():
                continue
            if isinstance(result, View):
                future.set_result(result)
            else:
                future.set_exception(result)

    def _ask(self, want: Want) -> bool:
        sent = self._views.want(self.camera, want)
        self._touched()
        return sent

    async def _news_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    async def _kept_up(self, work: Callable[[], Awaitable[None]]) -> None:
        """A fault that nobody foresaw is logged, counted and tried again: all who watch wait for this work."""
        pause_s = BROKEN_S
        while True:
            began_s = time.monotonic()
            try:
                return await work()
            except Exception:
                logger.exception("showing the camera: broken, and tried again", extra={"camera": self.camera})
                self._failures.inc()
            self._video, self._jpeg = {}, {}  # an encoder that failed is not used again
            if time.monotonic() - began_s > LONGEST_BROKEN_S:
                pause_s = BROKEN_S
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_BROKEN_S, 2 * pause_s)

    async def _pull(self) -> None:
        """Ask for picture after picture."""
        while (demand := merged(outlet.demand for outlet in self._outlets)) is not None:
            self._news.clear()
            asked_s, before = time.monotonic(), self._newest
            epoch, seq = (before.id.epoch, before.id.seq) if before is not None else ("", -1)
            sent = self._ask(Want(demand.width, LARGEST_VIEW, epoch, seq, demand.smooth))
            await self._news_within(REPEAT_S if sent else AWAY_S)
            if self._newest is not None and self._newest is not before:
                rest_s = 1 / demand.fps - (time.monotonic() - asked_s) if demand.fps < 30 else 0.0
                await asyncio.sleep(min(max(0.0, rest_s), LEASE_S / 2))
            elif self.trouble is not None:
                await asyncio.sleep(TROUBLED_S)

    async def _show(self) -> None:
        """Show each picture when its time has come."""
        while True:
            if not self._held:
                self._waiting.clear()
                await self._waiting.wait()
            now_s = time.monotonic()
            delay_s = self._delay.now(now_s)
            early_s = self._held[0].captured_at_s + delay_s - now_s
            if early_s > 0:
                await asyncio.sleep(early_s)
                continue
            view = self._held.popleft()
            while self._held and self._held[0].captured_at_s + delay_s <= now_s:
                view = self._held.popleft()
                self._count_dropped("late")
            await self._encode(view, now_s)

    async def _encode(self, view: View, now_s: float) -> None:
        """Encode one picture in all that is wanted, and hand it out."""
        loop = asyncio.get_running_loop()
        marks = self.timeline.at(view.captured_at_s)
        video = self._video_due(now_s)
        jpegs = [o for o in self._outlets if isinstance(o, JpegOutlet) and o.due(now_s)]
        if not video and not jpegs:
            return
        kinds = {(o.demand.width, o.demand.annotated) for o in jpegs}
        encoders = {kind: self._jpeg.setdefault(kind, JpegEncoder(kind[0])) for kind in kinds}

        def work() -> tuple[dict[Codec, list[Packet]], dict[tuple[int, bool], bytes]]:
            drawn = _drawn(view, marks)
            packets = {encoder.codec: encoder.encode(drawn, view.captured_at_s, key=key) for encoder, key in video}
            pictures = {kind: e.encode(drawn if kind[1] else view.picture) for kind, e in encoders.items()}
            return packets, pictures

        packets, pictures = await loop.run_in_executor(self._executor, work)
        self._hand_out(packets, pictures, jpegs, now_s)
        self._metrics.view_age.labels(camera=self.camera).observe(max(0.0, time.monotonic() - view.captured_at_s))

    def _video_due(self, now_s: float) -> list[tuple[VideoEncoder, bool]]:
        """The encoders that somebody needs, and whether a key frame is asked of each."""
        queues = [(o.codec, o.queue) for o in self._outlets if isinstance(o, VideoOutlet) and o.queue.open]
        codecs = dict.fromkeys(codec for codec, _ in queues)
        self._video = {codec: self._video.get(codec) or VideoEncoder(codec) for codec in codecs}
        lacking = {codec for codec, queue in queues if queue.needs_key}
        keyed = bool(lacking) and now_s - self._keyed_at_s >= KEY_PAUSE_S
        if keyed:
            self._keyed_at_s = now_s
        return [(encoder, keyed and codec in lacking) for codec, encoder in self._video.items()]

    def _hand_out(
        self,
        packets: dict[Codec, list[Packet]],
        pictures: dict[tuple[int, bool], bytes],
        jpegs: list[JpegOutlet],
        now_s: float,
    ) -> None:
        for codec in packets:
            self._metrics.view_encoded.labels(camera=self.camera, codec=codec).inc()
        self._metrics.view_encoded.labels(camera=self.camera, codec="jpeg").inc(len(pictures))
        for outlet in self._outlets:
            if isinstance(outlet, VideoOutlet):
                for packet in packets.get(outlet.codec, ()):
                    outlet.queue.put(packet)
                self._count_slow(id(outlet), outlet.queue.dropped)
        for outlet in jpegs:
            outlet.put(pictures[outlet.demand.width, outlet.demand.annotated], now_s)
            self._count_slow(id(outlet), outlet.dropped)

    def _count_slow(self, outlet: int, dropped: int) -> None:
        grown = dropped - self._dropped.get(outlet, 0)
        if grown:
            self._dropped[outlet] = dropped
            self._metrics.view_dropped.labels(camera=self.camera, reason="slow").inc(grown)

    def _count_dropped(self, reason: str) -> None:
        self._metrics.view_dropped.labels(camera=self.camera, reason=reason).inc()


def _drawn(view: View, marks: tuple[FaceMark, ...]) -> Yuv420:
    return draw_marks(view.picture, marks, view.full_size) if marks else view.picture
