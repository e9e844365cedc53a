"""When a child is started, killed and started again. Pure: time is an argument, actions are returned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from streamd.backoff import doubled_s
from streamd.errors import ExitCode


class State(StrEnum):
    STOPPED = "stopped"
    """Not wanted, or not begun."""
    STARTING = "starting"
    """The process exists and has not said READY."""
    RUNNING = "running"
    BACKOFF = "backoff"
    """It ended and waits for its next start."""
    STOPPING = "stopping"
    """It was asked to drain."""
    FATAL = "fatal"
    """It cannot run as configured; not started again."""


class Action(StrEnum):
    START = "start"
    ABORT = "abort"
    """SIGABRT: the stacks of a hung process are worth having."""
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Policy:
    """Times in seconds; see ``SupervisionConfig``."""

    stall_after_s: float = 10.0
    start_timeout_s: float = 60.0
    backoff_min_s: float = 0.5
    backoff_max_s: float = 60.0
    reset_after_s: float = 60.0
    drain_s: float = 20.0
    abort_grace_s: float = 1.0
    """Between SIGABRT and SIGKILL."""


class Lifecycle:
    """One child's state machine.

    Call ``tick`` often and do what it returns; tell it what happened through the ``on_`` methods.
    """

    def __init__(self, policy: Policy, *, jitter: Callable[[], float]) -> None:
        """``jitter`` returns 0..1; a pause is stretched by up to a quarter of it, so that a fleet does not march."""
        self.state = State.STOPPED
        self.since_s = 0.0
        self.restarts = 0
        self.policy = policy
        """As of the newest configuration: may be given anew at any time."""
        self._jitter = jitter
        self._failures = 0
        self._last_sign_s = 0.0
        self._start_at_s = 0.0
        self._aborted_at_s: float | None = None
        self._killed = False

    def begin(self, now_s: float) -> None:
        """The child is wanted from now on."""
        if self.state in (State.STOPPED, State.FATAL):
            self._failures = 0
            self._enter(State.BACKOFF, now_s)
            self._start_at_s = now_s

    def on_started(self, now_s: float) -> None:
        """The process exists."""
        self._last_sign_s = now_s
        self._killed = False
        self._enter(State.STARTING, now_s)

    def on_ready(self, now_s: float) -> None:
        self._last_sign_s = now_s
        if self.state is State.STARTING:
            self._enter(State.RUNNING, now_s)

    def on_beat(self, now_s: float) -> None:
        self._last_sign_s = now_s

    def excuse(self, seconds: float) -> None:
        """Nobody ran for so long, the child as little as who waits for it: this time does not count."""
        self._last_sign_s += seconds
        if self._aborted_at_s is not None:
            self._aborted_at_s += seconds
        if self.state is State.STOPPING:
            self.since_s += seconds

    def on_exit(self, code: int, now_s: float) -> None:
        """The process is gone; ``code`` is its exit status, negative for a signal."""
        self._aborted_at_s = None
        if self.state is State.STOPPING:
            self._enter(State.STOPPED, now_s)
            return
        if code in (ExitCode.USAGE, ExitCode.CONFIG):
            self._enter(State.FATAL, now_s)
            return
        if self.state is State.RUNNING and now_s - self.since_s >= self.policy.reset_after_s:
            self._failures = 0
        self._start_at_s = now_s + self.pause_s()
        self._failures += 1
        self.restarts += 1
        self._enter(State.BACKOFF, now_s)

    def pause_s(self) -> float:
        """How long the next start waits."""
        pause_s = doubled_s(self.policy.backoff_min_s, self.policy.backoff_max_s, self._failures)
        return pause_s * (1 + 0.25 * self._jitter())

    def stop(self, now_s: float) -> bool:
        """The child is not wanted any more; whether it has to be asked to drain."""
        if self.state in (State.STARTING, State.RUNNING):
            self._enter(State.STOPPING, now_s)
            return True
        if self.state in (State.BACKOFF, State.FATAL):
            self._enter(State.STOPPED, now_s)
        return False

    def tick(self, now_s: float) -> Action | None:
        if self.state is State.BACKOFF:
            return Action.START if now_s >= self._start_at_s else None
        if self._aborted_at_s is not None:
            return self._kill_once(now_s - self._aborted_at_s >= self.policy.abort_grace_s)
        if self.state is State.STOPPING:
            return self._kill_once(now_s - self.since_s >= self.policy.drain_s)
        if self._overdue(now_s):
            self._aborted_at_s = now_s
            return Action.ABORT
        return None

    def deadline_s(self) -> float | None:
        """When ``tick`` may next have something to say."""
        if self.state is State.BACKOFF:
            return self._start_at_s
        if self._killed or self.state in (State.STOPPED, State.FATAL):
            return None
        if self._aborted_at_s is not None:
            return self._aborted_at_s + self.policy.abort_grace_s
        if self.state is State.STOPPING:
            return self.since_s + self.policy.drain_s
        return self._last_sign_s + self._patience_s()

    def _overdue(self, now_s: float) -> bool:
        running = self.state in (State.STARTING, State.RUNNING)
        return running and now_s - self._last_sign_s >= self._patience_s()

    def _patience_s(self) -> float:
        starting = self.state is State.STARTING
        return self.policy.start_timeout_s if starting else self.policy.stall_after_s

    def _kill_once(self, due: bool) -> Action | None:
        if not due or self._killed:
            return None
        self._killed = True
        return Action.KILL

    def _enter(self, state: State, now_s: float) -> None:
        self.state = state
        self.since_s = now_s
