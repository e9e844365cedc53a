"""The event process: commits what the others decided, acknowledges it, publishes it, answers for the past."""

from __future__ import annotations

import logging
import time

import zmq

from streamd.child import ChildContext
from streamd.diskuse import DiskUse
from streamd.endpoints import verdicts_endpoint
from streamd.errors import JournalError
from streamd.events import Event, timestamp
from streamd.forgotten import Forgotten
from streamd.inbox import VerdictReceiver
from streamd.interfaces import Sink
from streamd.journal import Entry, Journal
from streamd.looseends import without_told
from streamd.replay import ReplayServer
from streamd.sinks.zeromq import ZeromqSink

logger = logging.getLogger(__name__)

BATCH = 512
"""Events in one commit."""
POLL_S = 0.5
HEARTBEAT_S = 1.0
RETRY_S = 1.0
PRUNE_EVERY_S = 600.0
QUIET_S = 1.0
"""While draining: nothing new for this long is the end."""
DRAIN_S = 5.0
DAY_S = 86_400.0


class Intake:
    """From the inbox to the journal and the sinks, in commits of many.

    A commit that fails keeps its events and is tried again each second. Until then nothing more is taken in, so
    that what the journal does not have stays unacknowledged, and bounded, with the senders.
    """

    def __init__(self, context: ChildContext, journal: Journal, *, inbox: VerdictReceiver, sink: Sink) -> None:
        self.pending: list[Entry] = []
        self.committed_at_s = time.monotonic()
        self._context = context
        self._journal = journal
        self._inbox = inbox
        self._sink = sink
        self._forgotten = Forgotten(journal)
        self._retry_at_s: float | None = None

    @property
    def stuck(self) -> bool:
        """Whether the journal refused the last commit."""
        return self._retry_at_s is not None

    def step(self, now_s: float) -> None:
        """Take in what has arrived and commit it, or try the last commit again."""
        if self._retry_at_s is not None and now_s < self._retry_at_s:
            return
        try:
            self.pending = self.pending or self._received()
            numbered = self._journal.append(self.pending) if self.pending else self._probe()
        except JournalError as error:
            self._trouble(str(error), now_s)
            return
        self._recovered()
        self._inbox.acknowledge()
        if self.pending:
            self.committed_at_s = now_s
            self.pending = []
            self._publish([event for event in numbered if event])

    def _received(self) -> list[Entry]:
        """What has arrived, as it is to be written; numbers of what is left out are used up."""
        return without_told(self._forgotten.keep_out(self._inbox.receive(BATCH)), self._journal)

    def _probe(self) -> list[Event | None]:
        """With nothing to commit after a failure (a failed read): does the journal work again?"""
        if self.stuck:
            self._journal.check()
        return []

    def _trouble(self, message: str, now_s: float) -> None:
        if not self.stuck:
            logger.error("events wait: %s", message)
        self._retry_at_s = now_s + RETRY_S
        self._context.link.trouble = message
        self._context.metrics.journal_errors.inc()

    def _recovered(self) -> None:
        if self.stuck:
            logger.info("the journal works again: %d events waited", len(self.pending))
        self._retry_at_s = None
        self._context.link.trouble = None

    def _publish(self, events: list[Event]) -> None:
        for event in events:
            self._sink.emit(event)
            self._context.metrics.events.labels(type=event.type.value).inc()
        self._context.metrics.events_published.labels(transport="zeromq").inc(len(events))
        if events:
            self._context.metrics.journal_seq.set(events[-1].seq)


class Publisher:
    """The loop around the intake: heartbeats, replays, clean-up, and the end."""

    def __init__(self, context: ChildContext, journal: Journal) -> None:
        config, sockets = context.config, context.sockets
        self._context = context
        self._journal = journal
        self._sink = ZeromqSink(sockets, config.events.publish)
        self._replay = ReplayServer(sockets, config.events.replay, journal)
        endpoint = verdicts_endpoint(config.sockets_dir)
        self._inbox = VerdictReceiver(sockets, endpoint, committed=journal.last_n)
        self._intake = Intake(context, journal, inbox=self._inbox, sink=self._sink)
        self._poller = zmq.Poller()
        for socket in (self._sink.socket, self._replay.socket):
            self._poller.register(socket, zmq.POLLIN)
        context.register(self._poller)
        self._heartbeat_at_s = 0.0
        self._prune_at_s = 0.0
        self._max_bytes = int(config.events.max_mb * 1e6)

    def run(self) -> None:
        """Work until told to drain, then until nothing more arrives.

        Raises:
            JournalError: the journal's file is not there any more.
        """
        while not self._context.draining:
            self._pass()
        started_s = time.monotonic()
        while self._unfinished(started_s):
            self._pass()
        if self._intake.pending:
            logger.error("%d events could not be written before the end", len(self._intake.pending))
        self._beat()
        self._sink.close()

    def _unfinished(self, drain_started_s: float) -> bool:
        now_s = time.monotonic()
        quiet_s = now_s - max(drain_started_s, self._intake.committed_at_s)
        busy = self._intake.pending or quiet_s < QUIET_S
        return bool(busy) and now_s - drain_started_s < DRAIN_S

    def _pass(self) -> None:
        # Events that may not be taken in yet would wake the loop without end.
        self._poller.register(self._inbox.socket, 0 if self._intake.stuck else zmq.POLLIN)
        self._poller.poll(int(POLL_S * 1000))
        self._context.turn()
        now_s = time.monotonic()
        self._intake.step(now_s)
        self._replay.answer_waiting()
        if self._sink.newcomers() or now_s >= self._heartbeat_at_s:
            self._heartbeat_at_s = now_s + HEARTBEAT_S
            self._refuse_a_lost_file()
            self._beat()
        if now_s >= self._prune_at_s:
            self._prune(now_s)

    def _refuse_a_lost_file(self) -> None:
        """End, to be started again with what is there then."""
        if not self._journal.in_place:
            raise JournalError(f"journal {self._journal.path} was moved away or deleted while in use: begun anew")

    def _beat(self) -> None:
        try:
            first_seq, last_seq = self._journal.first_seq, self._journal.last_seq
        except JournalError as error:
            logger.debug("no heartbeat: %s", error)
            return
        self._sink.heartbeat(first_seq=first_seq, last_seq=last_seq)

    def _prune(self, now_s: float) -> None:
        keep_s = self._context.config.events.retention_days * DAY_S
        self._prune_at_s = now_s + PRUNE_EVERY_S
        try:
            deleted = self._journal.prune(self._date() - keep_s) or self._journal.shrink(self._max_bytes)
        except JournalError as error:
            logger.error("old events stay: %s", error)
            return
        if deleted:  # there may be more: in the next pass, so that commits go between
            self._prune_at_s = now_s
            logger.info("%d old events deleted", deleted)

    def _date(self) -> float:
        """From which ages are counted, here and where others delete; notes what the clock says. Raises JournalError."""
        now_wall_s = time.time()
        known = self._journal.calendar(now_wall_s)
        calendar = known.seen(now_wall_s)
        self._journal.note_date(calendar)
        if calendar.doubted_since_wall_s is not None and calendar != known:
            logger.warning(
                "the clock says %s, where %s was to be expected: for a day ages are counted from the earlier one",
                timestamp(now_wall_s),
                timestamp(calendar.believed_wall_s),
            )
        return calendar.reckoned(now_wall_s)


def serve(context: ChildContext) -> int:
    """Run until drained.

    Raises:
        JournalError: the journal cannot be opened, or its file was taken away.
        UnavailableError: a port is taken.
    """
    disk = DiskUse(context.config, context.metrics)
    with Journal(context.config.journal_file) as journal, disk.watched():
        publisher = Publisher(context, journal)
        context.metrics.journal_seq.set(journal.last_seq)
        context.link.ready()
        publisher.run()
    return 0
