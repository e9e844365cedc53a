"""One sink's way through the journal: in order, from where it stood, whatever became of it meanwhile.

The thread reads the journal by itself, so that a sink that is slow, dead or refuses delays nobody. What the destination
says it has is passed; what it does not answer for is sent again; what it refuses too often is put aside.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from streamd.backoff import doubled_s
from streamd.cooldown import Cooldown
from streamd.deliveries import Deliveries
from streamd.errors import SinkRefused, UnavailableError
from streamd.events import Event, EventType, timestamp
from streamd.interfaces import Destination, Parcel
from streamd.journal import Filter, Journal, readable
from streamd.metrics import Metrics
from streamd.sinkconfig import SinkConfig

logger = logging.getLogger(__name__)

PAGE = 200
"""Events on their way to one destination."""
PAGE_BYTES = 1 << 20
SCAN = 20_000
"""Events looked at in one go, where few are wanted."""
REMEMBERED = 5000
"""Past events from which a destination that keeps a state makes it again."""
IDLE_S = 1.0
FIRST_PAUSE_S = 1.0


class Delivery:
    """A thread that delivers to one destination until it is stopped."""

    def __init__(
        self,
        name: str,
        config: SinkConfig,
        *,
        make: Callable[[], Destination],
        journal: Path,
        deliveries: Path,
        metrics: Metrics,
    ) -> None:
        self.name = name
        self._config = config
        self._make = make
        self._journal_path = journal
        self._deliveries_path = deliveries
        self._metrics = metrics
        for reason in ("cooldown", "refused", "deleted"):  # at 0: the first is an increase
            metrics.events_dropped.labels(transport=name, reason=reason)
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._refusals = 0
        self._was_up = False
        self._keeps_state = self._forgets = False
        self._cooldown = Cooldown(config.cooldown_s)
        self._told = ""
        self._thread = threading.Thread(target=self._run, name=f"sink-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the journal."""
        self._wake.set()

    def stop(self) -> None:
        """Ask the thread to end after the parcels in hand."""
        self._stop.set()
        self._wake.set()

    def join(self, timeout_s: float) -> bool:
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            self._metrics.sink_up.labels(sink=self.name).set(0)
            try:
                self._session()
                failures = 0
            except UnavailableError as error:
                failures = 1 if self._was_up else failures + 1
                self._say(str(error))
                self._pause(failures)
            except Exception:  # of a library: a thread that ended would leave its sink dead for good
                failures += 1
                logger.exception("sink %s is opened anew", self.name)
                self._pause(failures)

    def _session(self) -> None:
        """Deliver until told to stop, or the journal is another. Raises UnavailableError (SinkAway, JournalError)."""
        self._was_up = False
        if not self._journal_path.exists():  # the publisher has not made it yet
            self._wake.wait(IDLE_S)
            return
        with Journal(self._journal_path, read_only=True) as journal, Deliveries(self._deliveries_path) as deliveries:
            place = self._place(journal, deliveries)
            deliveries.move(self.name, place)  # on a full disk the same events would be delivered again and again
            with self._opened(journal, place) as destination:
                while not self._stop.is_set() and journal.in_place:
                    again = self._send_again(journal, deliveries, destination)
                    more = self._step(journal, deliveries, destination)
                    self._up()
                    if not more and not again:
                        destination.idle(time.time())
                        self._wake.wait(IDLE_S)
                    self._wake.clear()

    def _place(self, journal: Journal, deliveries: Deliveries) -> int:
        """Where to go on; a new sink begins with what comes next."""
        place, last = deliveries.place(self.name), journal.last_seq
        if place is None:
            place = last
            deliveries.move(self.name, place)
        elif place > last:
            logger.warning("sink %s: the journal was started anew: from its start", self.name)
            place = 0
            deliveries.move(self.name, place)
        return place

    @contextmanager
    def _opened(self, journal: Journal, place: int) -> Iterator[Destination]:
        destination = self._make()
        try:
            destination.open()
            past = list(readable(journal.last(REMEMBERED, only=Filter(until_seq=place))))
            self._cooldown = Cooldown(self._config.cooldown_s)
            for event in past:
                _ = self._fits(event) and self._cooldown.allows(event)
            self._keeps_state, self._forgets = destination.keeps_state, destination.forgets
            if self._keeps_state:
                destination.recall([event for event in past if self._sees(event)])
            yield destination
        finally:
            destination.close()

    def _step(self, journal: Journal, deliveries: Deliveries, destination: Destination) -> bool:
        """Deliver what is next; whether there may be more at once."""
        place = self._place(journal, deliveries)
        last, first = journal.last_seq, journal.first_seq
        self._metrics.sink_behind.labels(sink=self.name).set(last - place)
        if place >= last:
            return False
        if first > place + 1:
            self._missed(place + 1, first - 1)
            place = first - 1
        until = min(last, place + SCAN)
        rows = journal.since(place, PAGE, only=Filter(until_seq=until), max_bytes=PAGE_BYTES)
        parcels = [p for p in map(self._parcel, readable(rows)) if p is not None]
        upto = rows[-1].seq if rows else until
        if parcels:
            upto = self._deliver(parcels, deliveries, destination, upto)
        deliveries.move(self.name, upto)
        return True

    def _deliver(self, parcels: Sequence[Parcel], deliveries: Deliveries, destination: Destination, upto: int) -> int:
        """Hand over all; the place reached. It is written after each part that arrived."""
        rest = list(parcels)
        while rest:
            if self._stop.is_set():
                return rest[0].event.seq - 1
            try:
                done = destination.deliver(rest)
            except SinkRefused as error:
                if not self._gives_up(error):
                    continue
                self._put_aside(rest[0], deliveries, str(error))
                done = 1
            else:
                self._refusals = 0
                told = sum(parcel.wanted for parcel in rest[:done])
                self._metrics.events_published.labels(transport=self.name).inc(told)
            deliveries.move(self.name, rest[done - 1].event.seq)
            del rest[:done]
        return upto

    def _send_again(self, journal: Journal, deliveries: Deliveries, destination: Destination) -> bool:
        """Whether something that had been put aside was sent."""
        sent = False
        for seq in deliveries.wanted_again(self.name, PAGE):
            rows = journal.since(seq - 1, 1, only=Filter(until_seq=seq))
            for event in readable(rows):
                try:
                    destination.deliver([Parcel(event, rows[0].body)])
                except SinkRefused as error:
                    deliveries.put_aside(self.name, seq, reason=str(error), at=timestamp(time.time()))
                    return sent
            deliveries.settle(self.name, seq)
            sent = True
        return sent

    def _parcel(self, event: Event) -> Parcel | None:
        if not self._sees(event):
            return None
        wanted = self._wants(event)
        forgotten = self._forgets and event.type is EventType.PERSON_FORGOTTEN
        if wanted or self._keeps_state or forgotten:
            return Parcel(event, event.to_json(), wanted)
        return None

    def _sees(self, event: Event) -> bool:
        return not self._config.cameras or event.camera in (*self._config.cameras, "-")

    def _fits(self, event: Event) -> bool:
        return self._sees(event) and (not self._config.types or event.type.value in self._config.types)

    def _wants(self, event: Event) -> bool:
        if not self._fits(event):
            return False
        if self._cooldown.allows(event):
            return True
        self._metrics.events_dropped.labels(transport=self.name, reason="cooldown").inc()
        return False

    def _gives_up(self, error: SinkRefused) -> bool:
        """Count a refusal, and wait; whether there were enough of them."""
        self._refusals += 1
        if self._refusals >= getattr(self._config, "attempts", 1):
            self._refusals = 0
            return True
        self._say(str(error))
        self._metrics.sink_up.labels(sink=self.name).set(0)
        self._pause(self._refusals, least_s=error.after_s)
        return False

    def _put_aside(self, parcel: Parcel, deliveries: Deliveries, reason: str) -> None:
        logger.error("sink %s: event %d is put aside: %s", self.name, parcel.event.seq, reason)
        deliveries.put_aside(self.name, parcel.event.seq, reason=reason, at=timestamp(time.time()))
        self._metrics.events_dropped.labels(transport=self.name, reason="refused").inc()

    def _missed(self, first: int, last: int) -> None:
        logger.warning("sink %s: events %d to %d were deleted before it could get them", self.name, first, last)
        self._metrics.events_dropped.labels(transport=self.name, reason="deleted").inc(last - first + 1)

    def _up(self) -> None:
        if self._was_up and not self._told:
            return
        self._was_up = True
        self._metrics.sink_up.labels(sink=self.name).set(1)
        if self._told:
            logger.info("sink %s takes events again", self.name)
            self._told = ""

    def _say(self, message: str) -> None:
        """Once for as long as it stays the same."""
        if message != self._told:
            logger.warning("sink %s: %s", self.name, message)
        self._told = message

    def _pause(self, failures: int, *, least_s: float = 0.0) -> None:
        """Exponential, with jitter, so that boxes do not come back as one."""
        pause_s = doubled_s(FIRST_PAUSE_S, self._config.retry_max_s, failures - 1)
        self._stop.wait(max(min(least_s, self._config.retry_max_s), pause_s * (0.75 + 0.5 * random.random())))
