"""What is watched: still pictures, MJPEG and WebRTC of every camera, with boxes; nothing happens while nobody does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zmq

from streamd.config import CameraConfig
from streamd.endpoints import overlays_endpoint, views_endpoint
from streamd.errors import CameraAway, CameraUnknown
from streamd.gateway.audience import WIDEST_VIEW, Demand, JpegOutlet
from streamd.gateway.places import Places
from streamd.loopsocket import LoopSocket
from streamd.metrics import Metrics
from streamd.overlaylink import OverlayReceiver
from streamd.overlays import Overlay
from streamd.sockets import Sockets
from streamd.viewlink import GatewayViews, Nothing, View

if TYPE_CHECKING:
    from streamd.gateway.audience import VideoOutlet
    from streamd.gateway.channel import Channel
    from streamd.gateway.viewing import Viewer

logger = logging.getLogger(__name__)

LINGER_S = 5.0
"""Overlays of a camera go on coming this long after somebody last looked at a still picture."""
OVERLAY_S = 0.4
"""A first still picture waits this long for the boxes of a look."""
LOOK_S = 1.6
"""Where nobody is followed, cameras are looked at once a second."""
SHARED_S = 0.2
"""Still pictures asked for within this time are the same one."""
NICENESS = 5
MJPEG_FPS = 10.0
MJPEG_PATIENCE_S = 5.0


@dataclass(eq=False)
class _Watched:
    """A camera that somebody watches, or did a moment ago."""

    channel: Channel
    until_s: float = 0.0
    """Until then it is kept for those who look at still pictures."""
    stills: dict[Demand, tuple[float, asyncio.Task[bytes]]] = field(default_factory=dict)
    looked: asyncio.Event = field(default_factory=asyncio.Event)
    """An overlay has come."""


@dataclass(frozen=True, eq=False, slots=True)
class _Viewing:
    camera: str
    viewer: Viewer
    outlet: VideoOutlet
    user: str | None
    admitted: Callable[[], bool]
    """Whether whoever watches still may."""


class Live:
    """To be made in a running event loop. Errors are ``LiveError``s with words for people."""

    def __init__(
        self,
        sockets: Sockets,
        sockets_dir: Path,
        *,
        cameras: Mapping[str, CameraConfig],
        max_viewers: int,
        metrics: Metrics,
    ) -> None:
        self._cameras = dict(cameras)
        self._places = Places(max_viewers, bound="gateway.max_viewers")
        self._metrics = metrics
        self._views = GatewayViews(sockets.bind(zmq.ROUTER, views_endpoint(sockets_dir), hwm=4, heartbeats=False))
        self._overlays = OverlayReceiver(
            sockets.bind(zmq.SUB, overlays_endpoint(sockets_dir), hwm=64, heartbeats=False)
        )
        self._views_in = LoopSocket(self._views.socket, self._take_views)
        self._overlays_in = LoopSocket(self._overlays.socket, self._take_overlays)
        self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="live", initializer=_give_way)
        self._watched: dict[str, _Watched] = {}
        self._viewings: dict[str, _Viewing] = {}
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._sweeping: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Hang up on everybody."""
        for viewing in list(self._viewings):
            await self._end(viewing)
        if self._sweeping is not None:
            self._sweeping.cancel()
        for camera in list(self._watched):
            self._forget(camera)
        self._views_in.close()
        self._overlays_in.close()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def set_cameras(self, cameras: Mapping[str, CameraConfig]) -> None:
        """The configuration has changed: cameras that went are not shown any more."""
        gone = self._cameras.keys() - cameras.keys()
        self._cameras = dict(cameras)
        for camera in gone - self._watched.keys():
            self._metrics.forget("camera", camera)
        self._end_all(viewing_id for viewing_id, viewing in self._viewings.items() if viewing.camera not in cameras)

    def viewers(self, camera: str) -> int:
        """How many watch a camera: WebRTC and MJPEG."""
        return self._counts[camera]

    @property
    def all_viewers(self) -> int:
        return self._places.taken

    async def still(self, camera: str, *, width: int = WIDEST_VIEW, annotated: bool = True) -> bytes:
        """The picture of now as JPEG, at most ``width`` wide.

        Raises:
            CameraUnknown, CameraAway
        """
        demand = Demand(_width(width), 1.0, annotated)
        watched = self._watch(self._shown_here(camera))
        now_s = time.monotonic()
        made_s, task = watched.stills.get(demand, (0.0, None))
        if task is None or now_s - made_s > SHARED_S:
            watched.stills = {d: still for d, still in watched.stills.items() if now_s - still[0] <= SHARED_S}
            task = asyncio.create_task(self._still(watched, demand))
            watched.stills[demand] = now_s, task
        return await asyncio.shield(task)

    async def mjpeg(
        self,
        camera: str,
        *,
        width: int = 640,
        annotated: bool = True,
        fps: float = MJPEG_FPS,
        user: str | None = None,
    ) -> AsyncIterator[bytes]:
        """JPEG pictures as they come, at most ``fps`` a second, for ``user``. Close the iterator (``aclosing``).

        Raises:
            CameraUnknown, CameraAway, ViewersFull
        """
        outlet = JpegOutlet(Demand(_width(width), min(max(fps, 0.2), 30.0), annotated))
        watched = self._watch(self._shown_here(camera))
        self._enter(camera, user)
        try:
            await watched.channel.picture(outlet.demand)
            watched.channel.enter(outlet)
            picture = None
            while camera in self._cameras:
                # The last one again says that nothing is broken, and finds out who has gone.
                picture = await _answered(outlet.get(), MJPEG_PATIENCE_S) or picture
                if picture is None:
                    why = watched.channel.trouble or f"no picture within {MJPEG_PATIENCE_S:g} s"
                    raise CameraAway(f"camera {camera!r}: {why}")
                yield picture
        finally:
            self._leave(camera, user)
            watched.channel.leave(outlet)

    async def faces(self, camera: str) -> Overlay | None:
        """The faces of the last look; None where none came.

        Raises:
            CameraUnknown
        """
        self._known(camera)
        watched = self._watch(camera)
        newest = watched.channel.timeline.newest
        if newest is None or time.monotonic() - newest.at_s > LOOK_S:
            await _within(watched.looked, LOOK_S)
        newest = watched.channel.timeline.newest
        return newest if newest is not None and time.monotonic() - newest.at_s < 2 * LOOK_S else None

    async def whole(self, camera: str) -> tuple[View, Overlay | None]:
        """The newest picture in full size (``View.picture``, planar 4:2:0, whose size may be less than
        ``View.full_size`` where the main stream has none), and the faces of the last look, in pixels of the full size.

        Raises:
            CameraUnknown, CameraAway
        """
        watched = self._watch(self._shown_here(camera))
        overlay = await self.faces(camera)
        return await watched.channel.whole(), overlay

    async def watch(
        self, camera: str, offer: str, *, user: str | None = None, admitted: Callable[[], bool] = lambda: True
    ) -> tuple[str, str]:
        """Begin to watch by WebRTC, as ``user``; the id of the viewing, and the SDP of the answer. It ends soon after
        ``admitted`` says that whoever watches may not any more.

        Raises:
            CameraUnknown, CameraAway, ViewersFull, OfferRefused, CodecRefused
        """
        watched = self._watch(self._shown_here(camera))
        self._enter(camera, user)
        try:
            await watched.channel.picture(Demand())
            viewing_id, answered = await self._answer(watched, offer, user, admitted)
        except BaseException:
            self._leave(camera, user)
            raise
        logger.info("a viewer came, %d in all", self.all_viewers, extra={"camera": camera})
        return viewing_id, answered

    async def stop_watching(self, camera: str, viewing_id: str) -> bool:
        """Whether there was such a viewing."""
        viewing = self._viewings.get(viewing_id)
        if viewing is None or viewing.camera != camera:
            return False
        await self._end(viewing_id)
        return True

    # Inside.

    async def _answer(
        self, watched: _Watched, offer: str, user: str | None, admitted: Callable[[], bool]
    ) -> tuple[str, str]:
        from streamd.gateway.viewing import Viewer  # aiortc is large

        viewing_id, camera = secrets.token_urlsafe(12), watched.channel.camera

        async def gone() -> None:
            await self._end(viewing_id)

        viewer = Viewer(gone)
        try:
            answered, outlet = await viewer.connect(offer)
        except BaseException:
            await viewer.close()
            raise
        self._viewings[viewing_id] = _Viewing(camera, viewer, outlet, user, admitted)
        watched.channel.enter(outlet)
        return viewing_id, answered

    def _end_all(self, viewing_ids: Iterable[str]) -> None:
        for viewing_id in list(viewing_ids):
            asyncio.ensure_future(self._end(viewing_id))  # noqa: RUF006  # ends by itself

    async def _end(self, viewing_id: str) -> None:
        viewing = self._viewings.pop(viewing_id, None)
        if viewing is None:
            return
        self._leave(viewing.camera, viewing.user)
        if watched := self._watched.get(viewing.camera):
            watched.channel.leave(viewing.outlet)
        await viewing.viewer.close()
        logger.info("a viewer left, %d in all", self.all_viewers, extra={"camera": viewing.camera})

    async def _still(self, watched: _Watched, demand: Demand) -> bytes:
        channel = watched.channel
        if demand.annotated and channel.timeline.newest is None:
            await _within(watched.looked, OVERLAY_S)
        return await channel.jpeg(await channel.picture(demand), demand)

    def _known(self, camera: str) -> str:
        if camera not in self._cameras:
            raise CameraUnknown(f"there is no camera {camera!r}")
        return camera

    def _shown_here(self, camera: str) -> str:
        if self._cameras[self._known(camera)].remote:
            raise CameraAway(f"camera {camera!r} is captured on another host, whose pictures cannot be watched here")
        return camera

    def _enter(self, camera: str, user: str | None) -> None:
        """Raises ViewersFull."""
        self._places.take(user)
        self._count(camera, 1)

    def _leave(self, camera: str, user: str | None) -> None:
        self._places.leave(user)
        self._count(camera, -1)

    def _count(self, camera: str, step: int) -> None:
        self._counts[camera] += step
        self._metrics.viewers.labels(camera=camera).set(self._counts[camera])

    def _watch(self, camera: str) -> _Watched:
        """A camera's channel, kept for a while."""
        if camera not in self._watched:
            from streamd.gateway.channel import Channel  # codecs, numpy and fonts are large

            channel = Channel(camera, self._views, self._executor, self._metrics, touched=self._views_in.touched)
            self._watched[camera] = _Watched(channel)
            self._overlays.subscribe(camera)
            self._overlays_in.touched()
        self._watched[camera].until_s = time.monotonic() + LINGER_S
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(LINGER_S, self._sweep)
        return self._watched[camera]

    def _sweep(self) -> None:
        """Hang up on those who may not watch any more, and forget cameras that nobody looks at."""
        self._sweeping = None
        self._end_all(viewing_id for viewing_id, viewing in self._viewings.items() if not viewing.admitted())
        now_s = time.monotonic()
        for camera, watched in list(self._watched.items()):
            if self._counts[camera] == 0 and not watched.channel.watched and now_s >= watched.until_s:
                self._forget(camera)
        if self._watched:
            self._sweeping = asyncio.get_running_loop().call_later(LINGER_S, self._sweep)

    def _forget(self, camera: str) -> None:
        self._watched.pop(camera).channel.close()
        self._overlays.unsubscribe(camera)
        if camera not in self._cameras:
            self._metrics.forget("camera", camera)

    def _take_views(self) -> None:
        for message in self._views.receive():
            camera = message.camera if isinstance(message, Nothing) else message.id.camera
            if watched := self._watched.get(camera):
                if isinstance(message, Nothing):
                    watched.channel.nothing(message)
                else:
                    watched.channel.view(message)

    def _take_overlays(self) -> None:
        for overlay in self._overlays.receive():
            if watched := self._watched.get(overlay.camera):
                watched.channel.overlay(overlay)
                watched.looked.set()
                watched.looked.clear()


def _give_way() -> None:
    """Recognition comes before watching where there is not enough of the CPU for both."""
    with contextlib.suppress(OSError):  # not allowed everywhere
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _width(wanted: int) -> int:
    return min(max(wanted, 64), WIDEST_VIEW)


async def _answered(coming: Coroutine[Any, Any, bytes], seconds: float) -> bytes | None:
    try:
        return await asyncio.wait_for(coming, seconds)
    except TimeoutError:
        return None


async def _within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
