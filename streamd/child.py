"""What every child process does before and around its work: configuration in, signals, lifeline, heartbeats."""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import FrameType

import zmq
from pydantic import ValidationError

from streamd.backups import telling_of_copies
from streamd.config import Config
from streamd.control import DRAIN, RELOAD, RELOADED, ControlLink
from streamd.errors import ProtocolError, StreamdError
from streamd.log import setup_logging
from streamd.metrics import Metrics
from streamd.sockets import Sockets

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Launch:
    """What the supervisor writes to a child's standard input, as one line of JSON."""

    name: str
    """``worker@0``, ``capture@door``."""
    index: int
    """Which of several (workers)."""
    control: str
    """Endpoint of the supervisor's control socket."""
    config: Config

    def to_line(self) -> bytes:
        body = {"name": self.name, "index": self.index, "control": self.control}
        return json.dumps({**body, "config": self.config.model_dump(mode="json")}).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Launch:
        """Raises ProtocolError on anything that ``to_line`` did not make."""
        try:
            body = json.loads(line)
            config = Config.model_validate(body["config"])
            return cls(str(body["name"]), int(body["index"]), str(body["control"]), config)
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise ProtocolError(f"standard input: not a launch line: {type(error).__name__}") from error


class ChildContext:
    """A child's surroundings. ``draining`` turns true once and stays so; loops look at it."""

    def __init__(self, launch: Launch, sockets: Sockets, link: ControlLink) -> None:
        self.name = launch.name
        self.index = launch.index
        self.config = launch.config
        self.sockets = sockets
        self.link = link
        self.metrics = Metrics()
        self.draining = False
        self.reloaded: Config | None = None
        """A new configuration that waits to be taken over (the worker's cameras); take it and set None."""
        self.reload_answers: list[str | None] = []
        """What came of each reload that this child asked for: None, or why it was refused; take them out."""

    def turn(self, woken: Collection[object] | None = None) -> None:
        """To be called once in each pass of the work loop: hears commands, gives a sign of life.

        Args:
            woken: What a poller found readable, if it was asked (``register``): commands are looked for there alone.
        """
        for command in self.link.commands() if woken is None or self.link.socket in woken else ():
            if command.kind == DRAIN:
                self.draining = True
            elif command.kind == RELOAD:
                self._reload(Config.model_validate(command.fields.get("config")))
            elif command.kind == RELOADED:
                error = command.fields.get("error")
                self.reload_answers.append(error if isinstance(error, str) else None)
        self.beat()

    def beat(self) -> None:
        """Give a sign of life where one is due."""
        now_s = time.monotonic()
        if self.link.due(now_s):
            self.link.beat(now_s, self.metrics.snapshot)

    def _reload(self, config: Config) -> None:
        """What is written to the log changes here, for every role; the rest is the role's own to take over."""
        if config.log != self.config.log:
            setup_logging(config.log, role=self.name)
        self.config = self.config.model_copy(update={"log": config.log})
        self.reloaded = config

    def register(self, poller: zmq.Poller) -> None:
        """Wake the loop when a command arrives."""
        if self.link.socket is not None:
            poller.register(self.link.socket, zmq.POLLIN)


Serve = Callable[[ChildContext], int]


def run_supervised(serve: Serve) -> int:
    """Run a role as a child: the launch line comes in on standard input, which then stays open as a lifeline."""
    faulthandler.enable()  # SIGABRT, the supervisor's first step against a hang, prints every stack
    # Ctrl-C reaches the whole process group; children leave when the supervisor says so.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    launch = Launch.from_line(sys.stdin.buffer.readline())
    setup_logging(launch.config.log, role=launch.name)
    heartbeat_s = launch.config.supervision.heartbeat_s
    with Sockets() as sockets:
        link = ControlLink.connect(sockets, launch.control, name=launch.name, heartbeat_s=heartbeat_s)
        context = ChildContext(launch, sockets, link)
        _watch_lifeline(context, launch.config.supervision.drain_s)
        return _guarded(serve, context)


def run_alone(launch: Launch, serve: Serve) -> int:
    """Run a role by hand, without a supervisor."""
    setup_logging(launch.config.log, role=launch.name)
    with Sockets() as sockets:
        context = ChildContext(launch, sockets, ControlLink.unattended())
        return _guarded(serve, context)


def _guarded(serve: Serve, context: ChildContext) -> int:
    def drain(signum: int, frame: FrameType | None) -> None:
        context.draining = True

    signal.signal(signal.SIGTERM, drain)
    if context.link.socket is None:
        signal.signal(signal.SIGINT, drain)
    try:
        # Before READY, too: then a start may take as long as the copy before an upgrade does.
        with telling_of_copies(context.beat):
            return serve(context)
    except StreamdError as error:
        logger.error("%s", error)
        return error.exit_code


def _watch_lifeline(context: ChildContext, drain_s: float) -> None:
    """When standard input ends the supervisor is gone: drain, and leave in any case."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        context.draining = True
        time.sleep(drain_s)
        os._exit(70)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
