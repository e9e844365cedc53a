"""Starts the processes, watches them, starts them again, and stops them in order. Imports no codec and no model."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import random
import signal
import time
from collections.abc import Callable

import zmq

import streamd
from streamd.balancing import Balancer, Move
from streamd.childprocess import Child, cause, policy
from streamd.config import Config
from streamd.control import DRAIN, HEARTBEAT, READY, RELOAD, RELOADED, STATUS, SystemStatus
from streamd.endpoints import control_endpoint
from streamd.errors import DiskFull, ExitCode, ProtocolError, StreamdError, UnavailableError, UsageError
from streamd.lifecycle import Action, Lifecycle, State
from streamd.log import setup_logging
from streamd.metrics import Metrics
from streamd.notify import notify, watchdog_interval_s
from streamd.sockets import Socket, Sockets, try_send
from streamd.specs import assignment, specs
from streamd.statedir import admit_state, lock_state, prepare_directories
from streamd.wire import decode, encode
from streamd.workload import work_of

logger = logging.getLogger(__name__)

LONGEST_WAIT_S = 1.0
HALT_S = 2.0
"""Who wakes so much later than asked was not let run, and nor were the children: a machine that was paused."""
WEIGH_EVERY_S = 5.0
"""How often the workers' load is looked at."""
EXTEND_EVERY_S = 10.0
ROOM_EVERY_S = 5.0
"""How often a start that waits for room on the disk looks for it."""
DRAIN_ORDER = ("capture", "worker", "publisher", "courier", "gateway", "printer")
"""Whoever produces is stopped before whoever consumes."""


class Supervisor:
    """Runs until told to stop, or until a child cannot run as configured."""

    def __init__(
        self,
        config: Config,
        sockets: Sockets,
        *,
        reload: Callable[[], Config] | None = None,
        print_events: bool = False,
    ) -> None:
        """``reload`` reads the configuration again; it may raise ConfigError."""
        self._config = config
        self._reload = reload
        self._print_events = print_events
        self._endpoint = control_endpoint(config.sockets_dir)
        self._control: Socket = sockets.bind(zmq.ROUTER, self._endpoint)
        self._children: dict[str, Child] = {}
        self._worker_of: dict[str, int] = {}
        """By camera."""
        self._balancer = Balancer()
        self._weighed_at_s = float("-inf")
        self._due_s = -math.inf
        """When there is something to do beside hearing heartbeats."""
        self._metrics = Metrics()
        self._metrics.build.labels(version=streamd.__version__).set(1)
        self._stopping = False
        self._announced = False
        self._exit_code = ExitCode.OK
        self._signals: list[int] = []
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watchdog_s = watchdog_interval_s()
        self._fed_at_s = float("-inf")
        self._extended_at_s = float("-inf")

    def run(self) -> int:
        """The loop. Returns the daemon's exit code."""
        self._catch_signals()
        self._apply(self._config)
        poller = zmq.Poller()
        poller.register(self._control, zmq.POLLIN)
        poller.register(self._wake_read, zmq.POLLIN)
        while not self._done():
            poller.poll(math.ceil(max(0.0, self._due_s - time.monotonic()) * 1000))
            self._excuse(time.monotonic() - self._due_s)
            self._heed_signals()
            self._hear(time.monotonic())
            if time.monotonic() < self._due_s:
                continue  # a heartbeat, which can wait
            self._reap(time.monotonic())
            self._act(time.monotonic())
            self._balance(time.monotonic())
            self._report(time.monotonic())
            self._due_s = time.monotonic() + self._wait_s()
        return self._exit_code

    # -- what is wanted ------------------------------------------------------------------------------------------

    def _apply(self, config: Config) -> None:
        """Make the children what the configuration calls for, touching only what differs."""
        now_s = time.monotonic()
        self._worker_of = assignment(config, kept=self._worker_of)
        found = specs(config, workers=self._worker_of, print_events=self._print_events)
        wanted = {spec.name: spec for spec in found}
        for name, child in self._children.items():
            spec = wanted.get(name)
            if spec is None:
                logger.info("%s is not wanted any more", name)
                child.retired = True
                self._stop_child(child, now_s)
                continue
            child.lifecycle.policy = policy(config, spec.role)
            if not spec.same_process(child.spec):
                logger.info("%s restarts with its new configuration", name)
                child.spec = spec
                self._stop_child(child, now_s)
            elif spec != child.spec:
                child.spec = spec
                self._tell(child)
        self._forget_retired()
        for name, spec in wanted.items():
            if name not in self._children:
                self._children[name] = Child(spec, Lifecycle(policy(config, spec.role), jitter=random.random))
            child = self._children[name]
            child.retired = False
            child.lifecycle.begin(now_s)
        for name in self._config.cameras.keys() - config.cameras.keys():
            self._metrics.forget("camera", name)
        self._config = config

    def _reload_now(self) -> str | None:
        """Why the configuration stays as it was; None where it was taken over."""
        if self._reload is None or self._stopping:
            return "streamd is stopping" if self._stopping else "the daemon has no configuration file"
        refused = None
        if self._announced:  # READY would say otherwise that what is still starting has started
            notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            config = self._reload()
            self._refuse_moves(config)
        except StreamdError as error:
            for line in str(error).splitlines():
                logger.error("configuration kept as it was: %s", line)
            refused = str(error)
        else:
            if config.log != self._config.log:
                setup_logging(config.log, role="supervisor")
            self._apply(config)
            logger.info("configuration reloaded: %d cameras", len(config.cameras))
        if self._announced:
            notify("READY=1")
        return refused

    def _refuse_moves(self, config: Config) -> None:
        if (config.state_dir, config.sockets_dir) != (self._config.state_dir, self._config.sockets_dir):
            raise UsageError("state_dir and runtime_dir change only with a restart")

    def _stop_everything(self) -> None:
        if self._stopping:
            logger.warning("second signal: children are killed")
            for child in self._children.values():
                child.signal(signal.SIGKILL)
            return
        self._stopping = True
        notify("STOPPING=1")
        logger.info("stopping")

    # -- what happens --------------------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda n, _: self._signals.append(n))
        signal.signal(signal.SIGCHLD, lambda n, _: None)

    def _heed_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
            self._due_s = -math.inf  # SIGCHLD among them
        heard, self._signals = self._signals, []
        for number in heard:
            if number != signal.SIGHUP:
                self._stop_everything()
        if signal.SIGHUP in heard:  # once for all that came: whoever sends many must not keep this loop from its work
            self._reload_now()

    def _hear(self, now_s: float) -> None:
        while True:
            try:
                parts = self._control.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                self._heed(parts, now_s)
            except ProtocolError as error:
                logger.warning("control message dropped: %s", error)

    def _heed(self, parts: list[bytes], now_s: float) -> None:
        if len(parts) < 2:
            raise ProtocolError(f"message of {len(parts)} parts")
        header = decode(parts[1])
        if header.kind == STATUS:
            try_send(self._control, [parts[0], *self._status(now_s).to_parts()])
            return
        child = self._children.get(parts[0].decode(errors="replace"))
        if child is None:
            return
        if header.kind == READY:
            child.was_ready = True
            self._due_s = -math.inf
            child.lifecycle.on_ready(now_s)
            logger.info("%s is ready", child.spec.name)
            if child.told != child.spec:  # changed while it was not there to be told
                self._tell(child)
        elif header.kind == RELOAD and child.spec.role == "gateway":
            self._send(child, encode(RELOADED, error=self._reload_now()))
        elif header.kind == HEARTBEAT:
            child.lifecycle.on_beat(now_s)
            trouble = header.fields.get("trouble")
            child.trouble = trouble if isinstance(trouble, str) else None
            child.snapshot = parts[2] if len(parts) > 2 else child.snapshot

    def _reap(self, now_s: float) -> None:
        for child in self._children.values():
            if (code := child.exit_code()) is not None:
                self._ended(child, code, now_s)
        self._forget_retired()

    def _forget_retired(self) -> None:
        """Children that are not wanted and have no process any more."""
        gone = [name for name, child in self._children.items() if child.retired and child.process is None]
        for name in gone:
            del self._children[name]
            self._metrics.forget("child", name)

    def _ended(self, child: Child, code: int, now_s: float) -> None:
        expected = child.lifecycle.state is State.STOPPING
        child.lifecycle.on_exit(code, now_s)
        child.snapshot = b""
        if expected:
            if not (self._stopping or child.retired):
                child.lifecycle.begin(now_s)
            return
        self._metrics.restarts.labels(child=child.spec.name).inc()
        # By itself and in good order, as a worker does that is to be replaced by one with another embedder.
        level = logging.INFO if code == ExitCode.OK else logging.WARNING
        logger.log(level, "%s ended: %s", child.spec.name, cause(code))
        # What cannot be had at the very start (a port in use, a missing model) is the operator's to see at once; what
        # breaks later, or cannot be had by a child that a reload adds, is tried again, and the others go on.
        begun = self._announced or child.was_ready
        missing = code == ExitCode.UNAVAILABLE and not begun and not self._disk_is_full()
        if not self._stopping and (missing or code in (ExitCode.USAGE, ExitCode.CONFIG)):
            logger.error("%s cannot run: see its message above", child.spec.name)
            self._exit_code = code
            self._stop_everything()

    def _disk_is_full(self) -> bool:
        """Filled since the start, which had waited for room: children are tried again until there is some."""
        try:
            prepare_directories(self._config)
        except DiskFull:
            return True
        except UnavailableError:
            pass
        return False

    def _excuse(self, late_s: float) -> None:
        """What counts is how long children are silent while they could speak."""
        if not HALT_S <= late_s < math.inf:
            return
        logger.warning("the machine halted for %.1f s, or gave no time to this process: no child is blamed", late_s)
        for child in self._children.values():
            child.lifecycle.excuse(late_s)

    # -- who looks after whom ------------------------------------------------------------------------------------

    def _balance(self, now_s: float) -> None:
        """Give a camera of a worker that has too much to do to one that has little."""
        if self._stopping or now_s - self._weighed_at_s < WEIGH_EVERY_S:
            return
        self._weighed_at_s = now_s
        workers = [child for child in self._children.values() if child.spec.role == "worker"]
        for child in workers:
            self._weigh(child, now_s)
        if any(child.lifecycle.state is not State.RUNNING for child in workers):
            return
        movable = frozenset(name for name, camera in self._config.cameras.items() if not camera.remote)
        move = self._balancer.proposal(self._worker_of, movable, now_s)
        if move is not None:
            self._move(move, now_s)

    def _weigh(self, child: Child, now_s: float) -> None:
        threads = self._config.workers.threads
        work = work_of(child.snapshot, child.spec.config.cameras, threads=threads) if child.snapshot else None
        if work is None:
            self._balancer.forget(child.spec.index)
        else:
            self._balancer.heard(child.spec.index, work, now_s)
        if (busy := self._balancer.busy(child.spec.index)) is not None:
            self._metrics.worker_busy.labels(child=child.spec.name).set(busy)

    def _move(self, move: Move, now_s: float) -> None:
        logger.info(
            "goes from worker %d, which has too much to do, to worker %d",
            move.start,
            move.end,
            extra={"camera": move.camera},
        )
        self._metrics.cameras_moved.labels(camera=move.camera).inc()
        self._worker_of[move.camera] = move.end
        self._balancer.moved(move, now_s)
        self._apply(self._config)

    # -- what is done --------------------------------------------------------------------------------------------

    def _act(self, now_s: float) -> None:
        if self._stopping:
            self._drain_next(now_s)
        for child in self._children.values():
            action = child.lifecycle.tick(now_s)
            if action is Action.START:
                self._start(child, now_s)
            elif action is Action.ABORT:
                logger.error("%s gives no sign of life: stopped the hard way", child.spec.name)
                child.signal(signal.SIGABRT)
            elif action is Action.KILL:
                child.signal(signal.SIGKILL)

    def _start(self, child: Child, now_s: float) -> None:
        try:
            child.start(self._endpoint, now_s)
        except OSError as error:  # as where the box has no memory or no process left: the others go on
            logger.error("%s cannot be started: %s", child.spec.name, error.strerror or error)
            child.lifecycle.on_exit(ExitCode.INTERNAL, now_s)
            self._metrics.restarts.labels(child=child.spec.name).inc()

    def _drain_next(self, now_s: float) -> None:
        """Ask the first role in ``DRAIN_ORDER`` that still runs to drain; the later ones wait for it."""
        for role in DRAIN_ORDER:
            group = [c for c in self._children.values() if c.spec.role == role]
            for child in group:
                self._stop_child(child, now_s)
            if any(c.process is not None for c in group):
                return

    def _stop_child(self, child: Child, now_s: float) -> None:
        if child.lifecycle.stop(now_s):
            self._send(child, encode(DRAIN))
            child.signal(signal.SIGTERM)

    def _tell(self, child: Child) -> None:
        """Have a running child take its configuration over."""
        if self._send(child, encode(RELOAD, config=child.spec.config.model_dump(mode="json"))):
            child.told = child.spec

    def _send(self, child: Child, header: bytes) -> bool:
        sent = try_send(self._control, [child.identity, header])
        if not sent:
            logger.debug("%s is not connected", child.spec.name)
        return sent

    # -- what is told --------------------------------------------------------------------------------------------

    def _report(self, now_s: float) -> None:
        if not self._announced and all(c.lifecycle.state is State.RUNNING for c in self._children.values()):
            self._announced = True
            logger.info("ready: %d cameras", len(self._config.cameras))
            notify("READY=1", f"STATUS=watching {len(self._config.cameras)} cameras")
        self._ask_for_patience(now_s)
        if self._watchdog_s is not None and now_s - self._fed_at_s >= self._watchdog_s / 2:
            self._fed_at_s = now_s
            notify("WATCHDOG=1")

    def _ask_for_patience(self, now_s: float) -> None:
        """On a GPU a worker may take longer than systemd waits for a start; children that hang are killed here."""
        patient = policy(self._config, "worker").start_timeout_s > self._config.supervision.start_timeout_s
        building = patient and not self._announced
        if building and now_s - self._extended_at_s >= EXTEND_EVERY_S:
            self._extended_at_s = now_s
            notify(f"EXTEND_TIMEOUT_USEC={round(3e6 * EXTEND_EVERY_S)}")

    def _status(self, now_s: float) -> SystemStatus:
        for child in self._children.values():
            up = child.lifecycle.state is State.RUNNING
            self._metrics.process_up.labels(child=child.spec.name).set(float(up))
            self._metrics.restarts.labels(child=child.spec.name)  # at 0: a first restart is an increase
        rows = tuple(child.status(now_s) for child in self._children.values())
        snapshots = {c.spec.name: c.snapshot for c in self._children.values() if c.snapshot}
        return SystemStatus(rows, {**snapshots, "supervisor": self._metrics.snapshot()})

    def _wait_s(self) -> float:
        now_s = time.monotonic()
        deadlines = [d for c in self._children.values() if (d := c.lifecycle.deadline_s()) is not None]
        longest = min(LONGEST_WAIT_S, self._watchdog_s / 4) if self._watchdog_s else LONGEST_WAIT_S
        return min([longest, *(max(0.0, d - now_s) for d in deadlines)])

    def _done(self) -> bool:
        return self._stopping and all(c.process is None for c in self._children.values())


def prepare_when_there_is_room(config: Config) -> None:
    """``prepare_directories``, as soon as the disk is not full any more: a daemon that runs bears that, and one that
    ends is not started again for ever. Raises UnavailableError."""
    told = False
    while True:
        try:
            return prepare_directories(config)
        except DiskFull as error:
            if not told:
                logger.error("%s; waits until there is room", error)
            told = True
            notify(f"EXTEND_TIMEOUT_USEC={round(3e6 * ROOM_EVERY_S)}", f"STATUS={error}")
            time.sleep(ROOM_EVERY_S)


def supervise(config: Config, *, reload: Callable[[], Config] | None = None, print_events: bool = False) -> int:
    """Run the daemon until it is told to stop."""
    if not config.cameras:
        raise UsageError("no cameras: name at least one under 'cameras:' (see config/minimal.yaml)")
    prepare_when_there_is_room(config)
    lock = lock_state(config.state_dir)
    try:
        admit_state(config.state_dir)
        with Sockets() as sockets:
            return Supervisor(config, sockets, reload=reload, print_events=print_events).run()
    finally:
        os.close(lock)
