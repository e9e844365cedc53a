"""A sink's way through the journal, with a destination that does what it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from publisherprocess import an_event, eventually

from streamd.deliveries import Deliveries
from streamd.delivering import Delivery
from streamd.errors import SinkAway, SinkRefused, UnavailableError
from streamd.events import Event, EventType
from streamd.interfaces import Parcel
from streamd.journal import Entry, Journal
from streamd.metrics import Metrics
from streamd.sinkconfig import WebhookSink


class Fake:
    """Remembers what it was given; ``answer`` may raise."""

    keeps_state = False
    forgets = False

    def __init__(self) -> None:
        self.got: list[int] = []
        self.unwanted: list[int] = []
        self.opened = 0
        self.answer: Callable[[Event], None] = lambda event: None

    def open(self) -> None:
        self.opened += 1

    def recall(self, past: Sequence[Event]) -> None:
        raise AssertionError("it keeps no state")

    def deliver(self, parcels: Sequence[Parcel]) -> int:
        self.answer(parcels[0].event)
        (self.got if parcels[0].wanted else self.unwanted).append(parcels[0].event.seq)
        return 1

    def idle(self, now_wall_s: float) -> None:
        return

    def close(self) -> None:
        return


class Setting:
    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder / "journal.sqlite")
        self.deliveries = Deliveries(folder / "deliveries.sqlite")
        self.fake = Fake()
        self.metrics = Metrics()
        self.delivery: Delivery | None = None
        self.n = 0

    def write(self, count: int, **more: object) -> None:
        for _ in range(count):
            self.n += 1
            self.journal.append([Entry("w", "e", self.n, an_event(self.n, **more))])  # type: ignore[arg-type]
        if self.delivery is not None:
            self.delivery.wake()

    def start(self, **config: object) -> Delivery:
        sink = WebhookSink(kind="webhook", url="http://127.0.0.1/", retry_max_s=0.05, **config)  # type: ignore[arg-type]
        self.delivery = Delivery(
            "hook",
            sink,
            make=lambda: self.fake,
            journal=self.journal.path,
            deliveries=self.journal.path.with_name("deliveries.sqlite"),
            metrics=self.metrics,
        )
        self.delivery.start()
        return self.delivery

    def stop(self) -> None:
        assert self.delivery is not None
        self.delivery.stop()
        assert self.delivery.join(5)

    def arrived(self, seq: int) -> None:
        eventually(lambda: (self.deliveries.place("hook") or 0) >= seq)


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    made = Setting(tmp_path)
    yield made
    if made.delivery is not None:
        made.delivery.stop()
        made.delivery.join(5)
    made.journal.close()


def test_a_new_sink_begins_with_what_comes_next_and_goes_on_where_it_stood(setting: Setting) -> None:
    setting.write(3)
    setting.start()
    setting.arrived(3)
    setting.write(2)
    setting.arrived(5)
    setting.stop()
    setting.write(4)
    setting.start()
    setting.arrived(9)
    assert setting.fake.got == [4, 5, 6, 7, 8, 9]


def test_a_sink_that_was_away_catches_up_in_order(setting: Setting) -> None:
    down = [True]

    def answer(event: Event) -> None:
        if down[0]:
            raise SinkAway("gone")

    setting.fake.answer = answer
    setting.deliveries.move("hook", 0)
    setting.write(5)
    setting.start()
    labels = {"transport": "hook", "reason": "refused"}
    dropped = setting.metrics.registry.get_sample_value("streamd_events_dropped_total", labels)
    assert dropped == 0, "or Prometheus took the first for no increase"
    eventually(lambda: setting.fake.opened > 3)
    assert setting.fake.got == []
    down[0] = False
    setting.arrived(5)
    assert setting.fake.got == [1, 2, 3, 4, 5]


def test_an_event_refused_too_often_is_put_aside_and_can_be_sent_again(setting: Setting) -> None:
    refused = [2]

    def answer(event: Event) -> None:
        if event.seq in refused:
            raise SinkRefused("answered 500")

    setting.fake.answer = answer
    setting.deliveries.move("hook", 0)
    setting.write(3)
    setting.start(attempts=3)
    setting.arrived(3)
    assert setting.fake.got == [1, 3]
    assert [(p.seq, p.reason) for p in setting.deliveries.aside()] == [(2, "answered 500")]
    refused.clear()
    assert setting.deliveries.send_again("hook") == 1
    eventually(lambda: setting.fake.got == [1, 3, 2])
    eventually(lambda: not setting.deliveries.aside())


def test_only_what_a_sink_wants_is_delivered(setting: Setting) -> None:
    setting.deliveries.move("hook", 0)
    setting.write(2, kind=EventType.FACE_LEFT)
    setting.write(2)
    setting.write(1, camera="yard")
    setting.start(types=("face.identified",), cameras=("door",))
    setting.arrived(5)
    assert setting.fake.got == [3, 4]


def test_a_cooldown_outlives_a_restart(setting: Setting) -> None:
    setting.deliveries.move("hook", 0)
    setting.write(7)  # seven people
    setting.start(cooldown_s=60)
    setting.arrived(7)
    setting.stop()
    setting.write(7)
    setting.start(cooldown_s=60)
    setting.arrived(14)
    assert setting.fake.got == [1, 2, 3, 4, 5, 6, 7]


def test_what_was_deleted_before_it_arrived_is_counted(setting: Setting) -> None:
    setting.deliveries.move("hook", 0)
    setting.write(3, wall_s=1000.0)
    setting.write(2)
    assert setting.journal.prune(2000.0) == 3
    setting.start()
    setting.arrived(5)
    assert setting.fake.got == [4, 5]
    dropped = setting.metrics.events_dropped.labels(transport="hook", reason="deleted")
    assert dropped._value.get() == 3


def test_a_journal_started_anew_is_delivered_from_its_start(setting: Setting) -> None:
    setting.deliveries.move("hook", 90)
    setting.write(2)
    setting.start()
    eventually(lambda: setting.fake.got == [1, 2])


def test_while_no_place_can_be_written_down_nothing_is_delivered_over_and_over(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting.deliveries.move("hook", 0)
    setting.write(2)
    tries = []

    def full(_: Deliveries, sink: str, seq: int) -> None:
        tries.append(seq)
        raise UnavailableError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Deliveries, "move", full)
        setting.start()
        eventually(lambda: len(tries) > 3)
        assert setting.fake.got == []
    setting.arrived(2)
    assert setting.fake.got == [1, 2]


def test_a_journal_that_takes_the_place_of_another_is_delivered(setting: Setting) -> None:
    setting.deliveries.move("hook", 0)
    setting.write(3)
    setting.start()
    setting.arrived(3)
    path = setting.journal.path
    setting.journal.close()
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
    setting.journal = Journal(path)
    setting.write(2)
    eventually(lambda: setting.fake.got == [1, 2, 3, 1, 2])


def test_a_journal_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    fake = Fake()
    places = tmp_path / "deliveries.sqlite"
    sink = WebhookSink(kind="webhook", url="http://127.0.0.1/")
    delivery = Delivery("hook", sink, make=lambda: fake, journal=path, deliveries=places, metrics=Metrics())
    with Deliveries(places) as deliveries:
        deliveries.move("hook", 0)
    delivery.start()
    with Journal(path) as journal:
        journal.append([Entry("w", "e", 1, an_event(1))])
        delivery.wake()
        eventually(lambda: fake.got == [1])
        delivery.stop()
        assert delivery.join(5)


def test_a_sink_whose_library_fails_in_an_unknown_way_is_opened_anew(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [RuntimeError("a bug of a library")]

    def answer(event: Event) -> None:
        if failures:
            raise failures.pop()

    setting.fake.answer = answer
    setting.deliveries.move("hook", 0)
    setting.write(2)
    setting.start()
    setting.arrived(2)
    assert setting.fake.got == [1, 2]
    assert "a bug of a library" in caplog.text


def test_a_sink_that_forgets_hears_of_who_is_forgotten_whatever_it_is_to_tell(setting: Setting) -> None:
    setting.fake.forgets = True
    setting.deliveries.move("hook", 0)
    setting.start(types=("face.identified",))
    setting.write(1, kind=EventType.FACE_IDENTIFIED)
    setting.write(1, kind=EventType.PERSON_ENROLLED)
    setting.write(1, kind=EventType.PERSON_FORGOTTEN)
    setting.arrived(3)
    assert (setting.fake.got, setting.fake.unwanted) == ([1], [3])
    told = setting.metrics.registry.get_sample_value("streamd_events_published_total", {"transport": "hook"})
    assert told == 1
