"""One camera's process: keeps the newest frame, and gives it to the worker when the worker asks."""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

import cv2
import zmq

from streamd.child import ChildContext
from streamd.config import CameraConfig, CaptureConfig, redacted_url
from streamd.domain import Frame, FrameId
from streamd.endpoints import offers_endpoint, views_endpoint
from streamd.framelink import Asked, CaptureEnd
from streamd.masking import Mask
from streamd.metrics import Metrics
from streamd.reading import WAKE_ALWAYS, CameraState, Newest, Reader, converted, full_picture
from streamd.showing import Showing
from streamd.sockets import CurveClient
from streamd.sources.gathering import GATHER_S
from streamd.sources.mainwork import MainWork
from streamd.sources.opening import camera_opener, capture_config
from streamd.workerfinder import WorkerFinder

logger = logging.getLogger(__name__)

POLL_S = 0.5
CALM_S = 1.5
"""How long nothing must have moved before the decoder may rest."""
STALE_S, LONGEST_WAIT_S = 0.12, 0.7
"""A picture that is older is not given away where another comes soon; the worker gives up after a second."""


class Capture:
    """The work loop. Its sign of life depends on the reader's: a decoder that hangs silences the process."""

    def __init__(
        self, context: ChildContext, camera: str, link: CaptureEnd, views: zmq.Socket[bytes] | None = None
    ) -> None:
        """``views`` leads to the gateway of this host."""
        config = context.config.cameras[camera]
        if config.url is None:
            raise ValueError(f"camera {camera!r} has no url")
        self._context = context
        self._camera = camera
        self._config: CameraConfig = config
        self._link = link
        self._epoch = uuid.uuid4().hex[:8]
        self._mask = Mask(config.masks)
        self._main_work = MainWork()
        self._reader = Reader(
            camera_opener(config, self._main_work, offers=offers_endpoint(context.config.sockets_dir, camera)),
            capture_config(config),
            name=camera,
            mask=self._mask,
            motion_share=config.detection.motion_share,
        )
        self._metrics = _CameraMetrics(context.metrics, camera)
        self._told: CameraState | None = None
        self._told_at_s = float("-inf")
        self._wanted: Asked | None = None
        self._wanted_at_s = -math.inf
        self._sent: tuple[Newest, Frame] | None = None
        """The frame sent last, whose picture the worker may ask for."""
        self._watched = self._settled = False
        self._showing = Showing(views, camera, self._epoch, self._mask) if views is not None else None

    def run(self) -> int:
        poller = zmq.Poller()
        poller.register(self._link.socket, zmq.POLLIN)
        poller.register(self._reader.wake_fd, zmq.POLLIN)
        if self._showing is not None:
            poller.register(self._showing.socket, zmq.POLLIN)
        self._context.register(poller)
        self._reader.start()
        self._context.link.ready()
        while not self._context.draining:
            woken = dict(poller.poll(int(1000 * (POLL_S if self._wanted is None else STALE_S))))
            if self._reader.wake_fd in woken:
                self._reader.acknowledge()
            self._step(time.monotonic(), woken)
        self._link.bye(reason="stopped", message="capture stopped")
        self._reader.close(timeout_s=2.0)
        return 0

    def _step(self, now_s: float, woken: Collection[object]) -> None:
        self._reader.wake_above = WAKE_ALWAYS  # first, so that no frame comes unnoticed meanwhile
        state = self._reader.state
        if not state.online and (state != self._told or now_s - self._told_at_s >= 1.0):
            # Repeated, as READY is: the worker may have been restarted since.
            self._link.bye(reason=state.reason, message=state.message)
            self._told_at_s = now_s
            self._wanted = self._sent = None
        self._told = state
        if self._link.socket in woken:
            self._hear(self._link.asked(), now_s)
        shown = self._showing is not None and self._showing.smooth(now_s)
        calm = now_s - self._reader.stirred_at_s >= CALM_S
        self._reader.resting = calm and not self._watched and not shown
        self._reader.settled = self._settled and not shown
        newest = self._reader.newest
        if newest is not None and self._wanted is not None:
            if self._is_fresh(newest, now_s) and self._send(picture=self._wanted.picture):
                self._wanted = None
        elif newest is not None:
            self._link.announce(motion=newest.motion, now_s=now_s)
        self._show(state, now_s)
        if self._context.link.due(now_s):
            self._metrics.update(self._reader, state)
            self._metrics.update_views(self._showing.sent if self._showing else 0)
            if self._config.substream is not None:
                self._metrics.update_main(self._main_work)
        if not self._reader.hung(now_s):
            self._context.turn(woken)
        awaited = self._wanted is not None or (self._showing is not None and self._showing.awaits_frame)
        if not awaited and (told := self._link.announced) is not None:
            self._reader.wake_above = told

    def _show(self, state: CameraState, now_s: float) -> None:
        """Serve those who watch, after the worker."""
        if self._showing is None:
            return
        latest = self._reader.latest
        frame, seq = (latest.frame, latest.seq) if latest is not None else (None, 0)
        self._showing.answer(frame, seq, now_s, trouble=None if state.online else state.message)

    def _is_fresh(self, newest: Newest, now_s: float) -> bool:
        shown_s = max(newest.frame.captured_at_s, self._reader.unchanged_at_s)
        patience_s = patience(self._config.capture, resting=self._reader.resting, settled=self._reader.settled)
        return now_s - shown_s <= STALE_S or now_s - self._wanted_at_s >= patience_s

    def _hear(self, asked: Asked, now_s: float) -> None:
        if asked.watched is not None:
            self._watched, self._settled = asked.watched, asked.settled
        if asked.frame:
            self._wanted, self._wanted_at_s = asked, now_s
        if asked.picture_of is not None and self._sent is not None and asked.picture_of == self._sent[0].seq:
            newest, frame = self._sent
            with self._timed():
                frame = replace(frame, picture=full_picture(newest.frame, self._mask))
            self._link.send_picture(frame)

    def _send(self, *, picture: bool) -> bool:
        newest = self._reader.take()
        if newest is None:
            return False
        frame = self._converted(newest, picture=picture)
        unchanged_s = max(0.0, self._reader.unchanged_at_s - frame.captured_at_s)
        frame = replace(frame, unchanged_s=unchanged_s)
        self._sent = newest, replace(frame, picture=None)
        self._link.send(frame)
        self._metrics.sent += 1
        return True

    def _converted(self, newest: Newest, *, picture: bool) -> Frame:
        with self._timed():
            return converted(
                newest.frame,
                FrameId(self._camera, self._epoch, newest.seq),
                self._config.detection.image_side_px,
                motion=newest.motion,
                cut=newest.cut,
                mask=self._mask,
                picture=picture,
            )

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started_s = time.monotonic()
        yield
        self._context.metrics.stage.labels(stage="convert").observe(time.monotonic() - started_s)


def patience(config: CaptureConfig, *, resting: bool, settled: bool) -> float:
    """Seconds to wait for a newer picture than a stale one, when the worker asks: one comes soon where pictures come a
    few at a time, because all are known, or at glances, because nothing moves."""
    if resting:
        return min(LONGEST_WAIT_S, config.glance_s)
    return GATHER_S if settled else 0.0


class _CameraMetrics:
    """Turns the reader's running totals into counters."""

    def __init__(self, metrics: Metrics, camera: str) -> None:
        self.sent = 0
        self._metrics = metrics
        self._camera = camera
        self._seen: defaultdict[str, int] = defaultdict(int)
        self._decode_cpu_s = 0.0
        self._main_cpu_s = 0.0

    def update(self, reader: Reader, state: CameraState) -> None:
        camera = self._camera
        decoded, waiting = reader.decoded, reader.newest is not None
        self._metrics.source_up.labels(camera=camera).set(float(state.online))
        self._metrics.decoded_frames.labels(camera=camera).inc(self._grown("decoded", decoded))
        corrupt = self._grown("corrupt", reader.corrupt_packets)
        self._metrics.corrupt_packets.labels(camera=camera).inc(corrupt)
        work = reader.work
        rested = self._grown("rested", work.skipped)
        late = self._grown("late", work.late)
        self._metrics.packets.labels(camera=camera, outcome="skipped").inc(rested)
        self._metrics.packets.labels(camera=camera, outcome="late").inc(late)
        self._metrics.packets.labels(camera=camera, outcome="decoded").inc(
            max(0, self._grown("packets", work.packets) - rested - late)
        )
        self._metrics.decode_cpu.labels(camera=camera).inc(max(0.0, work.cpu_s - self._decode_cpu_s))
        self._decode_cpu_s = work.cpu_s
        skipped = self._grown("skipped", max(decoded - self.sent - waiting, 0))
        self._metrics.frames_skipped.labels(camera=camera, reason="not_asked").inc(skipped)
        reconnects = self._grown("reconnects", reader.reconnects)
        if reconnects:
            self._metrics.source_reconnects.labels(camera=camera, reason=state.reason).inc(reconnects)

    def update_main(self, work: MainWork) -> None:
        """Of a camera with a sub-stream."""
        camera, metrics = self._camera, self._metrics
        metrics.main_up.labels(camera=camera).set(float(work.up))
        for outcome, total in (("decoded", work.decoded), ("passed", work.passed), ("corrupt", work.corrupt)):
            metrics.main_packets.labels(camera=camera, outcome=outcome).inc(self._grown(f"main {outcome}", total))
        for outcome, total in (("sent", work.sent), ("far", work.far), ("down", work.down)):
            metrics.main_pictures.labels(camera=camera, outcome=outcome).inc(self._grown(f"picture {outcome}", total))
        metrics.decode_cpu.labels(camera=camera).inc(max(0.0, work.cpu_s - self._main_cpu_s))
        self._main_cpu_s = work.cpu_s

    def update_views(self, sent: int) -> None:
        """Pictures given to the gateway."""
        self._metrics.view_frames.labels(camera=self._camera).inc(self._grown("views", sent))

    def _grown(self, name: str, total: int) -> int:
        grown = max(0, total - self._seen[name])
        self._seen[name] += grown
        return grown


def serve(context: ChildContext, *, endpoint: str, curve: CurveClient | None = None) -> int:
    """Run the one camera of ``context.config`` until told to drain."""
    cv2.setNumThreads(1)
    (camera,) = context.config.cameras
    config = context.config.cameras[camera]
    beside = f", sub-stream {redacted_url(config.substream)}" if config.substream else ""
    logger.info("capturing %s%s", redacted_url(config.url or ""), beside)
    finder = WorkerFinder(camera, endpoint) if endpoint.startswith("tcp://") else None
    socket = context.sockets.connect(
        zmq.DEALER,
        finder.endpoint if finder else endpoint,
        identity=camera.encode(),
        hwm=2,
        # A frame for a worker that is not there would be old when it comes.
        queue_unconnected=False,
        curve=curve,
    )
    views = _views(context, camera) if endpoint.startswith("ipc://") else None
    return Capture(context, camera, CaptureEnd(socket, finder), views).run()


def _views(context: ChildContext, camera: str) -> zmq.Socket[bytes]:
    return context.sockets.connect(
        zmq.DEALER,
        views_endpoint(context.config.sockets_dir),
        identity=camera.encode(),
        hwm=2,
        queue_unconnected=False,
        heartbeats=False,  # nothing is to happen here while nobody watches
    )
