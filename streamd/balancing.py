"""Which worker looks after which camera: spread by what they cost, and moved when one worker has too much.

Pure: time is an argument. A camera that moves is away for some seconds, so it is done seldom, and only where it helps
by a clear margin.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Weight:
    """What is known of a camera before it runs."""

    cost: float
    """Of one look at it, on any scale that all cameras share."""
    fixed: int | None = None
    """The worker that it cannot leave: captures on other hosts connect to one worker's port."""


def assign(cameras: Mapping[str, Weight], workers: int, *, kept: Mapping[str, int]) -> dict[str, int]:
    """Each camera's worker. Those of ``kept`` stay where they are; the others go where least is, the costly first."""
    found: dict[str, int] = {}
    burden = [0.0] * workers
    for name, weight in cameras.items():
        if name in kept and kept[name] < workers:
            found[name] = kept[name]
            burden[kept[name]] += weight.cost
    rest = [name for name in cameras if name not in found]
    for name in sorted(rest, key=lambda name: -cameras[name].cost):
        weight = cameras[name]
        found[name] = burden.index(min(burden)) if weight.fixed is None else weight.fixed
        burden[found[name]] += weight.cost
    return {name: found[name] for name in cameras}


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker has done since it started."""

    busy_s: float
    """Seconds of one thread."""
    by_camera: Mapping[str, float] = field(default_factory=dict)
    """What each camera took of it, on any scale that all share."""


@dataclass(frozen=True, slots=True)
class Move:
    camera: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Patience:
    """When a camera is moved."""

    window_s: float = 30.0
    """Over which work is averaged; as long must a worker have been watched."""
    pause_s: float = 60.0
    """Between two moves."""
    settled_s: float = 600.0
    """A camera that was moved stays for this long."""
    overloaded: float = 0.85
    """Share of its time that a worker computes from which it may give a camera away."""
    idle: float = 0.6
    """Share up to which another may take it."""
    margin: float = 0.05
    """By which the two must come closer to each other."""


class Balancer:
    """Watches workers, and says which camera to move."""

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()
        self._heard: dict[int, deque[tuple[float, Work]]] = {}
        self._moved_at_s = float("-inf")
        self._moved: dict[str, float] = {}

    def heard(self, worker: int, work: Work, now_s: float) -> None:
        """Take note of a worker's totals."""
        history = self._heard.setdefault(worker, deque())
        if history and work.busy_s < history[-1][1].busy_s:  # it was started again
            history.clear()
        history.append((now_s, work))
        while len(history) > 2 and now_s - history[1][0] >= self._patience.window_s:
            history.popleft()

    def forget(self, worker: int) -> None:
        """The worker has ended, or has other cameras."""
        self._heard.pop(worker, None)

    def busy(self, worker: int) -> float | None:
        """Share of its time that a worker computed of late; None before that is known."""
        span = self._span(worker)
        return None if span is None else min(1.0, max(0.0, (span[2].busy_s - span[1].busy_s) / span[0]))

    def costs(self, worker: int) -> dict[str, float]:
        """What each camera takes of a worker's time, as a share of it."""
        span, busy = self._span(worker), self.busy(worker)
        if span is None or busy is None:
            return {}
        _, first, last = span
        done = {name: total - first.by_camera.get(name, 0.0) for name, total in last.by_camera.items()}
        total = sum(value for value in done.values() if value > 0)
        return {name: busy * max(0.0, value) / total for name, value in done.items()} if total else {}

    def proposal(self, assignment: Mapping[str, int], movable: frozenset[str], now_s: float) -> Move | None:
        """The one move that helps most, if one is due and helps clearly."""
        busy = {worker: share for worker in self._heard if (share := self._watched(worker)) is not None}
        if len(busy) < 2 or now_s - self._moved_at_s < self._patience.pause_s:
            return None
        start, end = max(busy, key=lambda worker: busy[worker]), min(busy, key=lambda worker: busy[worker])
        if busy[start] < self._patience.overloaded or busy[end] > self._patience.idle:
            return None
        costs = {
            name: cost
            for name, cost in self.costs(start).items()
            if name in movable and assignment.get(name) == start and not self._lately_moved(name, now_s)
        }
        if not costs:
            return None
        apart = busy[start] - busy[end]
        after = {name: abs(apart - 2 * cost) for name, cost in costs.items()}
        best = min(after, key=lambda name: after[name])
        return Move(best, start, end) if after[best] <= apart - self._patience.margin else None

    def moved(self, move: Move, now_s: float) -> None:
        """The move was made: what was measured before says nothing any more."""
        self._moved_at_s = self._moved[move.camera] = now_s
        self.forget(move.start)
        self.forget(move.end)

    def _watched(self, worker: int) -> float | None:
        """``busy``, once the worker has been watched for long enough to judge it."""
        span = self._span(worker)
        return self.busy(worker) if span is not None and span[0] >= self._patience.window_s else None

    def _span(self, worker: int) -> tuple[float, Work, Work] | None:
        history = self._heard.get(worker)
        if not history or len(history) < 2:
            return None
        (start_s, first), (end_s, last) = history[0], history[-1]
        return (end_s - start_s, first, last) if end_s > start_s else None

    def _lately_moved(self, camera: str, now_s: float) -> bool:
        return now_s - self._moved.get(camera, float("-inf")) < self._patience.settled_s
