"""The inference process: asks cameras for frames, runs the pipeline, hands events to the publisher."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import cv2
import zmq

from streamd.album import Album
from streamd.captions import overlay
from streamd.child import ChildContext
from streamd.config import CameraConfig, Config
from streamd.curator import Curator
from streamd.domain import Frame
from streamd.endpoints import frames_endpoint, overlays_endpoint, remote_frames_endpoint, verdicts_endpoint
from streamd.errors import ModelError, UsageError
from streamd.events import Event
from streamd.facefinding import Look
from streamd.framelink import Arrived, Bye, Message, Ready, WorkerEnd
from streamd.gallery.enrolment import Enroller
from streamd.gallery.folder import FolderSync
from streamd.gallery.live import LiveGallery
from streamd.gallery.opening import open_store
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangerbook import StrangerBook
from streamd.gallery.strangers import StrangerRecords
from streamd.gallery.vault import load_vault
from streamd.handover import Handover, handover
from streamd.interfaces import Detector, Embedder, Warmable
from streamd.leftovers import Leftovers
from streamd.looseends import loose_ends
from streamd.metrics import Metrics
from streamd.overlaylink import OverlaySender
from streamd.pipeline import Models, Pipeline
from streamd.presence import Presence
from streamd.scheduling import Attention, Intervals, Scheduler, strain
from streamd.sharing import GalleryLink
from streamd.shedding import Ladder, Step
from streamd.sockets import CurveServer, Socket, public_key_names
from streamd.steadiness import settle
from streamd.upkeep import Upkeep
from streamd.verdicts import VerdictSender
from streamd.vision.loading import load_detector, load_embedder
from streamd.vision.onnx import on_gpu, watch_runs

logger = logging.getLogger(__name__)

LONGEST_WAIT_S = 0.25
AGE_EVERY_S = 0.1
"""How often tracks and cameras that give no frames are thought of, and what others changed in the gallery."""
PICTURE_TIMEOUT_S = 0.5
"""A picture that does not come by then is not waited for."""


@dataclass(frozen=True, slots=True)
class _Awaited:
    look: Look
    until_s: float


class Worker:
    """The work loop: one thread, which waits in one place."""

    def __init__(
        self,
        context: ChildContext,
        link: WorkerEnd,
        sender: VerdictSender,
        models: Models,
        *,
        detectors: DetectorShelf,
        curator: Curator,
        handover: Handover | None = None,
        link_to_server: GalleryLink | None = None,
        album: Album | None = None,
        overlays: OverlaySender | None = None,
        leftovers: Leftovers | None = None,
    ) -> None:
        self._leftovers = leftovers
        self._overlays = overlays
        self._handover = handover
        self._gallery_link = link_to_server
        config = context.config
        self._context = context
        self._detectors = detectors
        self._curator = curator
        self._link = link
        self._sender = sender
        gpu = on_gpu(models.embedder.provider)
        self._max_batch = config.workers.max_batch or (8 if gpu else 1)
        self._budget_s = config.workers.latency_budget_ms / 1000
        embeddings = config.workers.embeddings_per_step or (32 if gpu else 4)
        self._pipeline = Pipeline(models, context.metrics, embeddings_per_step=embeddings, album=album)
        self._scheduler = Scheduler({}, max_batch=self._max_batch)
        self._presence: dict[str, Presence] = {}
        self._left_out: dict[str, Presence] = {}
        """Cameras whose detector cannot be had."""
        self._without: list[str] = []
        """Why not, in words."""
        self._embedder_id = models.embedder.model_id
        self._in_hand: list[Frame] = []
        self._awaited: dict[str, _Awaited] = {}
        """Frames whose pictures were asked for, by camera."""
        self._processes = config.workers.processes
        """How many workers there are."""
        self._news_until: int | None = None
        """How many events were sent when the last news of the gallery had been; None once the journal has them."""
        self._aged_at_s = -math.inf
        self._relief = Step.NOTHING
        self._ladder = Ladder() if config.workers.shed_load else None
        self._whole_frames = config.snapshots.frames != "none"
        self._take_cameras(config.cameras)

    def run(self, poller: zmq.Poller) -> int:
        self._context.link.ready()
        while not self._context.draining and not (self._handover and self._handover.is_due):
            woken = dict(poller.poll(math.ceil(self._wait_s() * 1000)))
            self._step(time.monotonic(), woken)
        code = self._drain()
        self._clear_leftovers(math.inf)
        return code

    def _step(self, now_s: float, woken: Collection[object]) -> None:
        self._context.turn(woken)
        if (reloaded := self._context.reloaded) is not None:
            self._context.reloaded = None
            self._processes = reloaded.workers.processes
            self._take_cameras(reloaded.cameras)
        for message in self._link.receive(woken):
            self._take(message, now_s)
        if self._in_hand and self._batch_is_due(now_s):
            self._look(now_s)
        self._give_up_pictures(now_s)
        self._grant(time.monotonic())
        if now_s - self._aged_at_s >= AGE_EVERY_S:
            self._aged_at_s = now_s
            self._grow_old(now_s)
        self._shed(now_s)
        self._sender.pump(now_s, woken)
        self._context.metrics.unacknowledged.set(self._sender.unacknowledged)

    def _wait_s(self) -> float:
        """Until the next thing to do: at once with frames in hand, else the next due camera."""
        now_s = time.monotonic()
        if self._in_hand:
            return 0.0 if self._batch_is_due(now_s) else self._budget_s / 4
        next_s = self._scheduler.next_s(now_s)
        return LONGEST_WAIT_S if next_s is None else min(LONGEST_WAIT_S, max(0.0, next_s - now_s))

    def _take(self, message: Message, now_s: float) -> None:
        camera = message.id.camera if isinstance(message, Frame | Arrived) else message.camera
        if not self._scheduler.knows(camera):
            logger.debug("a message of camera %r, which is not configured here", camera)
            if isinstance(message, Ready) and camera not in self._left_out:
                self._link.elsewhere(camera, worker=self._context.index, workers=self._processes)
            return
        if isinstance(message, Bye):
            self._awaited.pop(camera, None)
            self._offline(camera, message.reason, message.message)
            self._scheduler.gone(camera)
            return
        self._send(self._presence[camera].heard(now_s))
        if isinstance(message, Arrived):
            self._complete(message)
        elif isinstance(message, Ready):
            self._scheduler.ready(camera, message.motion, now_s)
        else:
            self._scheduler.arrived(camera, now_s)
            self._in_hand.append(message)

    def _batch_is_due(self, now_s: float) -> bool:
        """Full, or nothing else about to come, or the oldest has waited for the budget."""
        if len(self._in_hand) >= self._max_batch or not self._scheduler.awaits(now_s, self._budget_s):
            return True
        return now_s - min(frame.captured_at_s for frame in self._in_hand) >= self._budget_s

    def _look(self, now_s: float) -> None:
        frames, self._in_hand = self._in_hand, []
        for frame in frames:
            age_s = max(0.0, now_s - frame.captured_at_s - frame.unchanged_s)
            self._context.metrics.frame_age.labels(camera=frame.id.camera).observe(age_s)
            self._context.metrics.frames.labels(camera=frame.id.camera, outcome="looked_at").inc()
        looks = []
        for look in self._pipeline.detect(frames):
            if self._pipeline.needs_picture(look) and self._link.ask_picture(look.frame.id):
                self._awaited[look.frame.id.camera] = _Awaited(look, time.monotonic() + PICTURE_TIMEOUT_S)
                self._scheduler.granted(look.frame.id.camera, now_s)
            else:
                looks.append(look)
        self._decide(looks)
        self._scheduler.worked((time.monotonic() - now_s) / len(frames))

    def _decide(self, looks: Sequence[Look]) -> None:
        if not looks:
            return
        self._send_all(self._pipeline.decide(looks))
        for look in looks:
            camera = look.frame.id.camera
            self._scheduler.looked(camera, self._pipeline.attention(camera), look.frame.captured_at_s)
            if self._overlays is not None and self._overlays.wanted(camera):
                self._overlays.send(overlay(look.frame, self._pipeline.appearances(camera)))

    def _complete(self, arrived: Arrived) -> None:
        """The picture is here of a frame that was looked at without it."""
        awaited = self._awaited.get(arrived.id.camera)
        if awaited is None or awaited.look.frame.id != arrived.id:
            return
        del self._awaited[arrived.id.camera]
        now_s = time.monotonic()
        self._scheduler.arrived(arrived.id.camera, now_s)
        self._decide([Look(replace(awaited.look.frame, picture=arrived.picture), awaited.look.faces)])
        self._scheduler.worked(time.monotonic() - now_s)

    def _give_up_pictures(self, now_s: float) -> None:
        """Go on without pictures that do not come: the faces are followed all the same."""
        for camera in [name for name, awaited in self._awaited.items() if now_s >= awaited.until_s]:
            look = self._awaited.pop(camera).look
            self._scheduler.arrived(camera, now_s)
            self._decide([look])

    def _shed(self, now_s: float) -> None:
        """Do without what cannot be done in time."""
        waits = self._scheduler.waits()
        for wait in waits:
            self._context.metrics.wait.labels(camera=wait.camera).observe(wait.seconds)
        before = self._relief
        if self._ladder is None or self._ladder.observe(strain(waits), now_s) is before:
            return
        self._relief = self._ladder.step
        self._scheduler.stretch = self._relief.stretch
        self._pipeline.shed(self._relief)
        self._context.metrics.shedding.set(self._relief)
        word = "more" if self._relief > before else "less"
        logger.info("load: does without %s: %s", word, self._relief.name.lower())

    def _grant(self, now_s: float) -> None:
        for camera in self._scheduler.grants(now_s, in_hand=[frame.id.camera for frame in self._in_hand]):
            attention = self._pipeline.attention(camera)
            picture = self._whole_frames or self._pipeline.wants_picture(camera)
            watched, settled = attention is not Attention.NOTHING, attention is Attention.TRACKED
            if not self._link.grant(camera, picture=picture, watched=watched, settled=settled):
                self._scheduler.refused(camera)
        for camera, count in self._scheduler.lost_grants().items():
            self._context.metrics.frames.labels(camera=camera, outcome="unanswered").inc(count)

    def _grow_old(self, now_s: float) -> None:
        """Tracks end and cameras fall silent whether or not frames come."""
        for camera, presence in self._presence.items():
            self._send_all(self._pipeline.idle(camera, now_s))
            if presence.silent(now_s):
                self._offline(camera, "silent", "no sign of the capture process")
        self._tell_news()
        self._tell_trouble()
        self._clear_leftovers(now_s)
        if self._gallery_link is not None:
            self._send_all(self._gallery_link.events())

    def _clear_leftovers(self, now_s: float) -> None:
        if self._leftovers is not None:
            journal_works = self._sender.taken > 0 and not self._sender.unacknowledged
            self._leftovers.look(now_s, journal_works=journal_works)

    def _tell_news(self) -> None:
        """What became of people: told once the journal has it, so that a worker that is killed loses none of it."""
        if self._news_until is not None and self._sender.settled >= self._news_until:
            self._news_until = None
            self._curator.told()
        news = self._curator.events()
        self._send_all(self._pipeline.gallery_changed())
        if news:  # who is said to be forgotten was taken out of what is held of the faces before
            self._send_all(news)
            self._news_until = self._sender.taken

    def _offline(self, camera: str, reason: str, message: str) -> None:
        self._send_all(self._pipeline.end_tracks(camera))
        self._send(self._presence[camera].gone(reason, message))

    def _take_cameras(self, wanted: Mapping[str, CameraConfig]) -> None:
        lacking = self._detectors.lacking(camera.detection.model for camera in wanted.values())
        cameras = {name: camera for name, camera in wanted.items() if camera.detection.model not in lacking}
        self._send_all(self._pipeline.set_cameras(cameras))
        before = self._left_out | self._presence
        for name in self._presence.keys() - wanted.keys():
            self._send(self._presence[name].gone("stopped", "no camera of this worker any more"))
        self._scheduler.replace({name: Intervals.of(camera.detection) for name, camera in cameras.items()})
        self._in_hand = [frame for frame in self._in_hand if frame.id.camera in cameras]
        self._awaited = {name: awaited for name, awaited in self._awaited.items() if name in cameras}
        self._presence = {name: before.get(name) or Presence(name) for name in cameras}
        self._left_out = {name: before.get(name) or Presence(name) for name in wanted.keys() - cameras.keys()}
        self._tell_left_out(
            {name: f"detection.model: {lacking[wanted[name].detection.model]}" for name in self._left_out}
        )
        for name in before.keys() - wanted.keys():
            self._context.metrics.forget("camera", name)

    def _tell_left_out(self, reasons: Mapping[str, str]) -> None:
        """Say which cameras nobody looks at, and why; the others go on."""
        for name, reason in reasons.items():
            if (event := self._left_out[name].gone("rejected", reason)) is not None:
                logger.error("nobody looks at it: %s", reason, extra={"camera": name})
                self._send(event)
        self._without = [f"camera {name!r}: {why}" for name, why in reasons.items()]
        self._tell_trouble()

    def _tell_trouble(self) -> None:
        blind = [f"{self._embedder_id} makes nothing of any face"] if self._pipeline.is_blind else []
        self._context.link.trouble = "; ".join(self._without + blind) or None

    def tell(self, events: Sequence[Event]) -> None:
        """Events of before the work began."""
        self._send_all(events)

    def _send_all(self, events: Sequence[Event]) -> None:
        for event in events:
            self._send(event)

    def _send(self, event: Event | None) -> None:
        if event is None:
            return
        if logger.isEnabledFor(logging.DEBUG):
            camera = event.camera if event.camera != "-" else None
            logger.debug("%s", _without_names(event), extra={"camera": camera, "track": event.track})
        if not self._sender.send(event):
            self._context.metrics.events_dropped.labels(transport="journal", reason="full").inc()

    def _drain(self) -> int:
        """End every track, and stay until the publisher has the events, a few seconds at most."""
        for camera in self._presence:
            self._send_all(self._pipeline.end_tracks(camera))
        self._tell_news()
        deadline_s = time.monotonic() + 5.0
        poller = zmq.Poller()
        poller.register(self._sender.socket, zmq.POLLIN)
        while self._sender.unacknowledged and (now_s := time.monotonic()) < deadline_s:
            self._sender.pump(now_s)
            self._context.turn()
            poller.poll(50)
        if self._sender.unacknowledged:
            logger.error("%d events were not acknowledged by the publisher", self._sender.unacknowledged)
        return 0


def _without_names(event: Event) -> str:
    """An event for the log, which may be sent to whoever looks for a fault."""
    identity, evidence = event.identity or {}, event.evidence or {}
    figures = {
        "similarity": identity.get("similarity", evidence.get("best")),
        "threshold": identity.get("threshold"),
        "margin": identity.get("margin"),
        "views": evidence.get("views"),
        "quality": event.quality,
    }
    told = "".join(f", {name} {value:.3g}" for name, value in figures.items() if value is not None)
    return f"{event.type.value}{told}"


class DetectorShelf(dict[str, Detector]):
    """Detectors by name; a camera that is added later may ask for one more."""

    def __init__(self, config: Config, metrics: Metrics) -> None:
        super().__init__()
        self._config = config
        self._metrics = metrics

    def require(self, names: Iterable[str]) -> None:
        """Load what is missing."""
        workers = self._config.workers
        for name in set(names) - set(self):
            self[name] = load_detector(name, models=self._config.models_path, **workers.placement(name))
            self._metrics.accelerator.labels(model=name, provider=self[name].provider).set(1)

    def lacking(self, names: Iterable[str]) -> dict[str, ModelError]:
        """Load what is missing. What cannot be loaded, and why."""
        found: dict[str, ModelError] = {}
        for name in sorted(set(names)):
            try:
                self.require([name])
            except ModelError as error:
                found[name] = error
        return found


def _one_embedder(config: Config) -> str:
    name = config.recognition.embedder
    for camera, entry in config.cameras.items():
        if entry.recognition.embedder != name:
            raise UsageError(
                f"cameras.{camera}.recognition.embedder: {entry.recognition.embedder!r}: "
                f"one gallery has one embedder, and recognition.embedder is {name!r}"
            )
    return name


def _remote_end(context: ChildContext) -> tuple[Socket | None, dict[str, str]]:
    """The socket for cameras on other hosts, and which key may speak for which camera."""
    frames = context.config.frames
    if frames.listen is None:
        return None, {}
    endpoint = remote_frames_endpoint(frames.listen, context.index)
    if frames.server_key is None or frames.clients is None:
        # Loopback only: `Sockets.bind` refuses anything else without keys.
        return context.sockets.bind(zmq.ROUTER, endpoint, hwm=64), {}
    curve = CurveServer(frames.server_key, frames.clients)
    return context.sockets.bind(zmq.ROUTER, endpoint, hwm=64, curve=curve), public_key_names(frames.clients)


def serve(context: ChildContext) -> int:
    """Load the models, open the gallery, work until told to drain."""
    config = context.config
    workers = config.workers
    local = context.sockets.bind(zmq.ROUTER, frames_endpoint(config.sockets_dir, context.index), hwm=64)
    remote, trusted = _remote_end(context)
    link = WorkerEnd(local, remote, trusted=trusted, jpeg_quality=config.frames.jpeg_quality)
    sender = VerdictSender(context.sockets, verdicts_endpoint(config.sockets_dir), worker=context.name)
    cv2.setNumThreads(1)
    watch_runs(lambda run: context.metrics.ran(run.model, run.shape, seconds=run.seconds, cpu_s=run.cpu_s))
    detectors = DetectorShelf(config, context.metrics)
    detectors.require([config.detection.model])
    embedder_name = _one_embedder(config)
    embedder = load_embedder(embedder_name, models=config.models_path, **workers.placement(embedder_name))
    context.metrics.accelerator.labels(model=embedder_name, provider=embedder.provider).set(1)
    change = handover(config, embedder, context.metrics, leads=context.index == 0)
    if change is not None and change.previous is not None:
        embedder = change.previous
    for model in (*detectors.values(), embedder):
        if isinstance(model, Warmable):
            model.warm_up()
    with LiveGallery(config.gallery_file, model_id=embedder.model_id, config=config.gallery) as gallery:
        store = open_store(config, actor="daemon", adopt=True)
        # Photos that change while the old model answers are taken over by the new one.
        folder = (
            None
            if change is not None and change.previous is not None
            else _folder(context, store, detectors[config.detection.model], embedder, gallery=gallery)
        )
        book = _strangers(config, store, embedder)
        upkeep = Upkeep(store, config) if context.index == 0 else None
        curator = Curator(store, gallery, folder, metrics=context.metrics, upkeep=upkeep, strangers=book)
        seen = context.sockets.connect(zmq.XPUB, overlays_endpoint(config.sockets_dir), hwm=8, heartbeats=False)
        poller = zmq.Poller()
        for socket in (*link.sockets, sender.socket):
            poller.register(socket, zmq.POLLIN)
        context.register(poller)
        models = Models(detectors, embedder, gallery, book)
        vault = load_vault(config.gallery.key_file)
        album = Album(config.snapshots_dir, config.snapshots, vault=vault, metrics=context.metrics)
        shared = context.index == 0 and config.gallery.kind != "local"
        server = GalleryLink(config, context.metrics) if shared else None
        worker = Worker(
            context,
            link,
            sender,
            models,
            detectors=detectors,
            curator=curator,
            handover=change,
            link_to_server=server,
            album=album,
            overlays=OverlaySender(seen),
            leftovers=Leftovers(config.snapshots_dir, config.journal_file, config.cameras),
        )
        worker.tell(loose_ends(config.journal_file, config.cameras))
        settle()
        with (
            album.running(),
            curator.running(),
            change.running() if change is not None else nullcontext(),
            server.running() if server is not None else nullcontext(),
        ):
            return worker.run(poller)


def _strangers(config: Config, store: GalleryStore, embedder: Embedder) -> StrangerBook | None:
    if not config.gallery.unknowns:
        return None
    return StrangerBook(
        StrangerRecords(store.database),
        model_id=embedder.model_id,
        scores=embedder.scores,
        target_far=config.recognition.target_far,
    )


def _folder(
    context: ChildContext, store: GalleryStore, detector: Detector, embedder: Embedder, *, gallery: LiveGallery
) -> FolderSync | None:
    """The folder of photographs is kept by the first worker alone."""
    config = context.config
    if context.index != 0 or not config.gallery.sync:
        return None
    return FolderSync(
        config.gallery_folder,
        store,
        Enroller(store, detector, embedder, gallery=gallery, checks=config.gallery.check_photos),
    )
