"""All that is watched, with a camera's channel that is played by the test."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from streamd.config import CameraConfig
from streamd.errors import CameraAway
from streamd.gateway import channel, live
from streamd.gateway.audience import VideoOutlet
from streamd.gateway.live import Live
from streamd.metrics import Metrics
from streamd.sockets import Sockets


def played(tmp_path: Path, check: Callable[[Live], Awaitable[None]]) -> None:
    async def run() -> None:
        with Sockets() as sockets:
            cameras = {"door": CameraConfig(url="rtsp://h/x")}
            watching = Live(sockets, tmp_path, cameras=cameras, max_viewers=1, metrics=Metrics())
            try:
                await check(watching)
            finally:
                await watching.close()

    asyncio.run(asyncio.wait_for(run(), 20))


@pytest.mark.parametrize("watched", [True, False])
def test_a_camera_that_went_has_no_metrics_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: bool
) -> None:
    monkeypatch.setattr(live, "LINGER_S", 0.01)

    async def check(watching: Live) -> None:
        if watched:
            watching._watch("door")
        watching._metrics.viewers.labels(camera="door").set(0)
        assert b"door" in watching._metrics.snapshot()
        watching.set_cameras({})
        while b"door" in watching._metrics.snapshot():
            await asyncio.sleep(0.005)

    played(tmp_path, check)


class Watcher:
    def __init__(self) -> None:
        self.hung_up = False

    async def close(self) -> None:
        self.hung_up = True


def test_who_may_not_watch_any_more_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LINGER_S", 0.01)

    async def check(watching: Live) -> None:
        mays = {"a": True, "b": True}
        watchers = {name: Watcher() for name in mays}
        for name, watcher in watchers.items():
            admitted = partial(mays.__getitem__, name)
            watching._viewings[name] = live._Viewing("door", watcher, VideoOutlet("vp8"), None, admitted)  # type: ignore[arg-type]
        watching._watch("door")
        mays["a"] = False
        while not watchers["a"].hung_up:
            await asyncio.sleep(0.005)
        assert list(watching._viewings) == ["b"]
        assert not watchers["b"].hung_up

    played(tmp_path, check)


def test_stills_of_every_width_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def still(self: Live, watched: Any, demand: Any) -> bytes:
        return b"a picture"

    monkeypatch.setattr(Live, "_still", still)
    monkeypatch.setattr(live, "SHARED_S", -1.0)

    async def check(watching: Live) -> None:
        for width in range(100, 200):
            assert await watching.still("door", width=width) == b"a picture"
        assert len(watching._watched["door"].stills) == 1

    played(tmp_path, check)


def test_a_stream_without_a_picture_says_so_and_counts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def there(*_: Any) -> None:
        """A picture, of which nothing is ever shown."""

    monkeypatch.setattr(channel.Channel, "picture", there)
    monkeypatch.setattr(live, "MJPEG_PATIENCE_S", 0.05)

    async def check(watching: Live) -> None:
        async with aclosing(watching.mjpeg("door")) as pictures:  # type: ignore[type-var]  # an async generator
            with pytest.raises(CameraAway, match="'door': no picture within"):
                await anext(pictures)
        assert watching.all_viewers == 0

    played(tmp_path, check)
