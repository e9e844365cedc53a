"""The publisher's end of ``streamd.verdicts``: what arrives, each event once and in its sender's order."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import zmq

from streamd.errors import JournalError, ProtocolError
from streamd.events import Event
from streamd.journal import Entry
from streamd.sockets import Sockets, try_send
from streamd.verdicts import WINDOW, waiting_messages
from streamd.wire import Header, decode, encode

logger = logging.getLogger(__name__)

RUNS_BOUND = 1024
"""Runs whose position is remembered; those seen least recently are looked up in the journal again."""
MAX_N = 2**53


@dataclass(slots=True)
class _Run:
    """How far a receiver is with one run of one process."""

    identity: bytes
    committed: int
    received: int
    gap_told: bool = False
    """Whether the sender was told of the gap; again only after progress, or each message would repeat it."""


class VerdictReceiver:
    """The publisher's end.

    Args:
        committed: how far the journal has a run, by (worker, epoch).
    """

    def __init__(self, sockets: Sockets, endpoint: str, *, committed: Callable[[str, str], int]) -> None:
        self.socket = sockets.bind(zmq.ROUTER, endpoint, hwm=2 * WINDOW)
        self.refused = 0
        """Messages that were not ours, and events that cannot be stored."""
        self._committed = committed
        self._runs: OrderedDict[tuple[str, str], _Run] = OrderedDict()
        self._touched: dict[tuple[str, str], _Run] = {}

    def receive(self, limit: int) -> list[Entry]:
        """What has arrived, each event once and in its sender's order; never blocks, takes any bytes.

        Raises:
            JournalError: the journal could not be asked for a run's position.
        """
        entries: list[Entry] = []
        for parts in waiting_messages(self.socket, limit):
            try:
                entry = self._take(parts)
            except ProtocolError as error:
                self._refuse("message of a worker", error)
            except JournalError:
                # The events taken so far go with this exception: they must come in again, unacknowledged.
                self._runs.clear()
                self._touched.clear()
                raise
            else:
                entries += [entry] if entry else []
        return entries

    def acknowledge(self) -> None:
        """Everything that ``receive`` gave so far is committed: say so."""
        for (_, epoch), run in self._touched.items():
            run.committed = run.received
            try_send(self.socket, [run.identity, encode("ACK", epoch=epoch, committed=run.committed)])
        self._touched.clear()

    def _take(self, parts: list[bytes]) -> Entry | None:
        if len(parts) not in (2, 3):
            raise ProtocolError(f"message of {len(parts)} parts")
        header = decode(parts[1])
        if header.kind not in ("EVENT", "HELLO") or len(parts) != (3 if header.kind == "EVENT" else 2):
            raise ProtocolError(f"{header.kind} of {len(parts)} parts")
        key = _name(header, "worker"), _name(header, "epoch")
        run = self._run(key, parts[0], _count(header, "base"))
        if header.kind == "HELLO":
            self._tell(key[1], run)
            return None
        return self._entry(key, run, _count(header, "n"), parts[2])

    def _entry(self, key: tuple[str, str], run: _Run, n: int, body: bytes) -> Entry | None:
        if n > run.received + 1 and not run.gap_told:
            run.gap_told = True
            self._tell(key[1], run)
        if n != run.received + 1:
            return None
        run.received, run.gap_told = n, False
        self._touched[key] = run
        try:
            return Entry(*key, n, _storable(body))
        except ProtocolError as error:
            # Its number is used up all the same: a poisoned event must not stop those behind it.
            self._refuse(f"event {n} of {key[0]}", error)
            return None

    def _run(self, key: tuple[str, str], identity: bytes, base: int) -> _Run:
        run = self._runs.get(key)
        if run is None:
            known = self._committed(*key)
            run = self._runs[key] = _Run(identity, known, known)
            while len(self._runs) > RUNS_BOUND and self._forget_oldest():
                pass
        self._runs.move_to_end(key)
        run.identity = identity
        if base > run.received:  # acknowledged by a journal that this one has replaced, or pruned since
            run.committed = run.received = base
        return run

    def _forget_oldest(self) -> bool:
        """Runs with uncommitted events stay."""
        key = next((key for key in self._runs if key not in self._touched), None)
        return key is not None and self._runs.pop(key, None) is not None

    def _tell(self, epoch: str, run: _Run) -> None:
        state = encode("STATE", epoch=epoch, committed=run.committed, received=run.received)
        try_send(self.socket, [run.identity, state])

    def _refuse(self, what: str, error: ProtocolError) -> None:
        self.refused += 1
        if self.refused <= 10 or self.refused % 1000 == 0:
            logger.warning("%s refused (%d so far): %s", what, self.refused, error)


def _storable(body: bytes) -> Event:
    """An event that the journal can write, and every reader read.

    Raises:
        ProtocolError: it is not one.
    """
    event = Event.from_json(body)
    try:
        event.to_json()
        event.topic.encode()
        event.at.encode()
    except ValueError as error:  # lone surrogates, not-a-number
        raise ProtocolError(f"event cannot be written: {error}") from error
    return event


def _name(header: Header, field: str) -> str:
    value = header.text(field)
    if not 0 < len(value) <= 128 or not value.isprintable():
        raise ProtocolError(f"{header.kind}.{field}: not a name of at most 128 characters")
    return value


def _count(header: Header, field: str) -> int:
    value = header.integer(field)
    if not 0 <= value <= MAX_N:
        raise ProtocolError(f"{header.kind}.{field}: {value} is not a count")
    return value
