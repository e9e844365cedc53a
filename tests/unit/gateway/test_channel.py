"""A camera that is watched, with a camera's process that is played by the test."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import pytest

from streamd.domain import Box, FrameId, Yuv420
from streamd.errors import CameraAway
from streamd.gateway import channel as channel_module
from streamd.gateway.audience import Demand, JpegOutlet, VideoOutlet
from streamd.gateway.channel import Channel
from streamd.gateway.encoding import JpegEncoder
from streamd.metrics import Metrics
from streamd.overlays import FaceMark, Overlay
from streamd.viewlink import GatewayViews, Nothing, View, Want

SIZE = (64, 48)


class Camera:
    """Answers each question soon."""

    def __init__(self) -> None:
        self.asked: list[Want] = []
        self.there = True
        self.trouble: str | None = None
        self.channel: Channel | None = None
        self.given = 0

    def want(self, camera: str, want: Want) -> bool:
        if self.there:
            self.asked.append(want)
            asyncio.get_running_loop().call_later(0.01, self._give, False)
        return self.there

    def whole(self, camera: str) -> bool:
        if self.there:
            asyncio.get_running_loop().call_later(0.01, self._give, True)
        return self.there

    def _give(self, whole: bool) -> None:
        assert self.channel is not None
        if self.trouble is not None:
            self.channel.nothing(Nothing("door", self.trouble))
            return
        self.given += 1
        picture = Yuv420(np.full((SIZE[1] * 3 // 2, SIZE[0]), 128, np.uint8), "bt601", False)
        self.channel.view(View(FrameId("door", "e1", self.given), time.monotonic(), time.time(), SIZE, picture, whole))


@contextlib.asynccontextmanager
async def watched(camera: Camera, metrics: Metrics) -> AsyncIterator[Channel]:
    with ThreadPoolExecutor(1) as executor:
        views = cast(GatewayViews, camera)
        channel = camera.channel = Channel("door", views, executor, metrics, touched=lambda: None)
        yield channel
        channel.close()


def played(check: Callable[[Camera, Channel, Metrics], Awaitable[None]], camera: Camera | None = None) -> None:
    async def run() -> None:
        acting, metrics = camera or Camera(), Metrics()
        async with asyncio.timeout(20), watched(acting, metrics) as channel:
            await check(acting, channel, metrics)

    asyncio.run(run())


def encoded(metrics: Metrics, codec: str) -> float:
    return float(metrics.view_encoded.labels(camera="door", codec=codec)._value.get())


def test_three_viewers_cost_one_encoding() -> None:
    async def check(camera: Camera, channel: Channel, metrics: Metrics) -> None:
        outlets = [VideoOutlet("h264") for _ in range(3)]
        taken: Counter[int] = Counter()

        async def take(outlet: VideoOutlet) -> list[Any]:
            return [await outlet.queue.get() for _ in range(10)]

        for outlet in outlets:
            channel.enter(outlet)
        found = await asyncio.gather(*map(take, outlets))
        assert all(packets[0].is_keyframe for packets in found)
        taken.update(id(packet) for packets in found for packet in packets)
        assert max(taken.values()) == 3
        assert encoded(metrics, "h264") <= camera.given

    played(check)


def test_without_an_audience_nothing_is_asked_for() -> None:
    async def check(camera: Camera, channel: Channel, metrics: Metrics) -> None:
        outlet = JpegOutlet(Demand(64, 30.0))
        channel.enter(outlet)
        await outlet.get()
        channel.leave(outlet)
        asked = len(camera.asked)
        await asyncio.sleep(0.1)  # ten frames' time
        assert len(camera.asked) == asked

    played(check)


def test_pictures_of_one_kind_are_encoded_once() -> None:
    async def check(camera: Camera, channel: Channel, metrics: Metrics) -> None:
        outlets = [JpegOutlet(Demand(64, 30.0)) for _ in range(3)]
        for outlet in outlets:
            channel.enter(outlet)
        found = await asyncio.gather(*(outlet.get() for outlet in outlets))
        assert len(set(map(id, found))) == 1
        assert found[0][:2] == b"\xff\xd8"

    played(check)


def test_who_asks_for_less_costs_less() -> None:
    async def check(camera: Camera, channel: Channel, metrics: Metrics) -> None:
        channel.enter(outlet := JpegOutlet(Demand(64, 4.0)))
        began_s = time.monotonic()
        for _ in range(3):
            await outlet.get()
        assert len(camera.asked) <= 4 * (time.monotonic() - began_s) + 2
        assert not camera.asked[-1].smooth

    played(check)


def test_the_next_picture_is_asked_for_by_the_one_that_is_here() -> None:
    async def check(camera: Camera, channel: Channel, metrics: Metrics) -> None:
        channel.enter(outlet := JpegOutlet(Demand(64, 30.0)))
        for _ in range(3):
            await outlet.get()
        assert [want.after for want in camera.asked[:3]] == [-1, 1, 2]
        assert camera.asked[1].epoch == "e1"

    played(check)


def test_a_camera_that_is_offline_says_why() -> None:
    camera = Camera()
    camera.trouble = "the network is down"

    async def check(camera: Camera, channel: Channel, metrics: Metrics) -> None:
        with pytest.raises(CameraAway, match="'door': the network is down"):
            await channel.picture(Demand())
        with pytest.raises(CameraAway, match="the network is down"):
            await channel.whole()

    played(check, camera)


def test_a_process_that_is_not_there_is_waited_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "PATIENCE_S", 0.3)
    camera = Camera()
    camera.there = False

    async def check(camera: Camera, channel: Channel, metrics: Metrics) -> None:
        with pytest.raises(CameraAway, match="process is not there"):
            await channel.picture(Demand())

    played(check, camera)


def test_a_picture_that_is_old_is_not_that_of_now_though_somebody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Camera()

    async def check(camera: Camera, channel: Channel, metrics: Metrics) -> None:
        channel.enter(outlet := JpegOutlet(Demand(64, 30.0)))
        await outlet.get()
        monkeypatch.setattr(channel_module, "PATIENCE_S", 60.0)
        asked = len(camera.asked)
        await channel.picture(Demand(64))
        assert len(camera.asked) == asked, "there is a new one"
        camera.there = False
        monkeypatch.setattr(channel_module, "PATIENCE_S", 0.2)
        await asyncio.sleep(0.3)
        with pytest.raises(CameraAway, match="process is not there"):
            await channel.picture(Demand(64))

    played(check, camera)


def test_watching_goes_on_when_the_camera_is_back() -> None:
    async def check(camera: Camera, channel: Channel, metrics: Metrics) -> None:
        channel.enter(outlet := JpegOutlet(Demand(64, 30.0)))
        await outlet.get()
        camera.trouble = "gone"
        while channel.trouble is None:
            await asyncio.sleep(0.01)
        camera.trouble, camera.there = None, False
        await asyncio.sleep(0.05)
        camera.there = True
        await outlet.get()
        assert await outlet.get()

    played(check)


def test_a_fault_that_nobody_foresaw_is_told_and_watching_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(channel_module, "BROKEN_S", 0.05)
    broken: list[object] = []
    encode = JpegEncoder.encode

    def failing(self: JpegEncoder, picture: Yuv420) -> bytes:
        if not broken or self in broken:
            broken.append(self)
            raise MemoryError("once")
        return encode(self, picture)

    monkeypatch.setattr(JpegEncoder, "encode", failing)
    want = Camera.want

    def asked(self: Camera, camera: str, wanted: Want) -> bool:
        if self.given == 5:
            self.given += 1
            raise RuntimeError("once, too")
        return want(self, camera, wanted)

    monkeypatch.setattr(Camera, "want", asked)

    async def check(camera: Camera, channel: Channel, metrics: Metrics) -> None:
        channel.enter(outlet := JpegOutlet(Demand(64, 30.0)))
        while camera.given < 10:
            assert await outlet.get()
        assert metrics.background_failures.labels(task="live")._value.get() == 2
        assert len(broken) == 1, "another encoder was made"

    played(check)
    assert caplog.text.count("broken, and tried again") == 2
    assert "MemoryError: once" in caplog.text


def test_boxes_are_in_the_pictures_of_those_who_want_them() -> None:
    async def check(camera: Camera, channel: Channel, metrics: Metrics) -> None:
        face = FaceMark("door-1", Box(20, 20, 40, 40), "known", "Ana", None, "Ana 0.7")
        view = await channel.picture(Demand())
        channel.overlay(Overlay("door", "e1", 1, view.captured_at_s - 0.01, time.time(), SIZE, (face,)))
        plain = await channel.jpeg(view, Demand(annotated=False))
        assert await channel.jpeg(view, Demand()) != plain
        assert await channel.jpeg(view, Demand(annotated=False)) == plain

    played(check)


def test_the_whole_picture_comes_once_for_each_who_asks() -> None:
    async def check(camera: Camera, channel: Channel, metrics: Metrics) -> None:
        one, other = await asyncio.gather(channel.whole(), channel.whole())
        assert one.whole
        assert other.whole

    played(check)
