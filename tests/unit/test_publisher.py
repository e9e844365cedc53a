from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import zmq
from publisherprocess import an_event, eventually, free_port

from streamd import publisher
from streamd.child import ChildContext, Launch
from streamd.config import Config
from streamd.control import ControlLink
from streamd.endpoints import verdicts_endpoint
from streamd.errors import JournalError
from streamd.events import Event, EventType
from streamd.inbox import VerdictReceiver
from streamd.journal import Entry, Journal
from streamd.looseends import MESSAGE
from streamd.publisher import DAY_S, Intake, serve
from streamd.replay import MAX_ANSWER_BYTES, SCAN, ReplayServer
from streamd.sockets import Sockets
from streamd.verdicts import VerdictSender


class Collected:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        pass


class FailingJournal(Journal):
    """A journal whose disk can be full."""

    full = False

    def append(self, entries: list[Entry]) -> list[Event | None]:  # type: ignore[override]  # narrower, for a test
        if self.full:
            raise JournalError("journal: the disk is full")
        return super().append(entries)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[ChildContext]:
    ports = {name: f"tcp://127.0.0.1:{free_port()}" for name in ("publish", "replay")}
    config = Config.model_validate({"state_dir": tmp_path, "runtime_dir": tmp_path, "events": ports})
    with Sockets() as sockets:
        yield ChildContext(Launch("publisher", 0, "", config), sockets, ControlLink.unattended())


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[FailingJournal]:
    opened = FailingJournal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def sender(context: ChildContext) -> VerdictSender:
    return VerdictSender(context.sockets, verdicts_endpoint(context.config.sockets_dir), worker="w")


Ask = Callable[..., list[bytes]]


@pytest.fixture
def ask(context: ChildContext, journal: FailingJournal) -> Ask:
    server = ReplayServer(context.sockets, "inproc://replay", journal)
    socket = context.sockets.connect(zmq.DEALER, "inproc://replay")

    def send(*parts: bytes, **fields: object) -> list[bytes]:
        socket.send_multipart(parts or [json.dumps({"v": 1, "kind": "REPLAY", **fields}).encode()])
        assert server.answer_waiting() == 1
        return socket.recv_multipart()

    return send


def _intake(context: ChildContext, journal: Journal) -> tuple[Intake, Collected]:
    sink = Collected()
    endpoint = verdicts_endpoint(context.config.sockets_dir)
    inbox = VerdictReceiver(context.sockets, endpoint, committed=journal.last_n)
    return Intake(context, journal, inbox=inbox, sink=sink), sink


def _until(intake: Intake, condition: Callable[[], bool], *, at_s: float = 0.0) -> None:
    """Work until a condition holds, at a clock that stands still."""

    def turn() -> bool:
        intake.step(at_s)
        return condition()

    eventually(turn)


def _filled(journal: Journal, count: int, *, camera: str = "door", message: str | None = None) -> None:
    first = journal.last_seq + 1
    journal.append(
        [Entry("w", "e", n, an_event(n, camera=camera, message=message)) for n in range(first, first + count)]
    )


def test_committed_events_are_published_with_their_numbers(
    context: ChildContext, journal: FailingJournal, sender: VerdictSender
) -> None:
    intake, sink = _intake(context, journal)
    for n in range(5):
        sender.send(an_event(n))
    _until(intake, lambda: len(sink.events) == 5)
    assert [(event.seq, event.id) for event in sink.events] == [(n + 1, f"id-{n}") for n in range(5)]
    assert sender.flush(5.0)


def test_a_full_disk_is_trouble_and_nothing_is_published_or_acknowledged(
    context: ChildContext, journal: FailingJournal, sender: VerdictSender
) -> None:
    intake, sink = _intake(context, journal)
    journal.full = True
    sender.send(an_event(1))
    _until(intake, lambda: intake.stuck)
    assert context.link.trouble == "journal: the disk is full"
    assert not sender.flush(0.1)
    assert sink.events == []
    assert b"journal_errors_total" in context.metrics.snapshot()


def test_a_failed_commit_is_tried_again_each_second_and_takes_nothing_in_meanwhile(
    context: ChildContext, journal: FailingJournal, sender: VerdictSender
) -> None:
    intake, sink = _intake(context, journal)
    journal.full = True
    sender.send(an_event(1))
    _until(intake, lambda: intake.stuck, at_s=10.0)
    sender.send(an_event(2))
    journal.full = False
    intake.step(10.9)
    assert (sink.events, len(intake.pending)) == ([], 1)
    intake.step(11.0)
    assert [event.id for event in sink.events] == ["id-1"]
    assert context.link.trouble is None
    _until(intake, lambda: len(sink.events) == 2, at_s=11.1)
    assert sender.flush(5.0)


def test_a_repeated_event_is_acknowledged_and_not_published_again(
    context: ChildContext, journal: FailingJournal, sender: VerdictSender
) -> None:
    intake, sink = _intake(context, journal)
    journal.append([Entry("w", sender.epoch, 1, an_event(1))])
    sender.send(an_event(1))
    _until(intake, lambda: sender.flush(0.05))
    assert sink.events == []


def test_serve_ends_after_draining_with_everything_committed(context: ChildContext, sender: VerdictSender) -> None:
    sender.send(an_event(1))
    context.draining = True
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(serve(context)))
    thread.start()
    assert sender.flush(10.0)
    thread.join(10.0)
    assert done == [0]
    with Journal(context.config.journal_file, read_only=True) as journal:
        assert [row.event().id for row in journal.since(0, 9)] == ["id-1"]


def test_a_journal_that_is_moved_away_is_begun_anew(context: ChildContext, sender: VerdictSender) -> None:
    path = context.config.journal_file
    with _publishing(context.config) as (_, ended):
        sender.send(an_event(1))
        assert sender.flush(10.0)
        path.rename(path.with_name("damaged.sqlite"))
        eventually(lambda: len(ended) == 1)
    assert "moved away" in ended[0]
    sender.send(an_event(2))
    with _publishing(context.config) as (again, _):
        assert sender.flush(10.0)
        again.draining = True
    with Journal(path, read_only=True) as journal:
        assert [row.event().id for row in journal.since(0, 9)] == ["id-2"]


@contextmanager
def _publishing(config: Config) -> Iterator[tuple[ChildContext, list[str]]]:
    """A publisher in a thread, and what it ended with."""
    ended: list[str] = []
    with Sockets() as sockets:
        own = ChildContext(Launch("publisher", 0, "", config), sockets, ControlLink.unattended())

        def run() -> None:
            try:
                serve(own)
            except JournalError as error:
                ended.append(str(error))

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield own, ended
        finally:
            own.draining = True
            thread.join(10.0)


def test_replay_gives_events_after_since_with_the_journals_bounds(journal: FailingJournal, ask: Ask) -> None:
    _filled(journal, 5)
    header, *bodies = ask(since=2, limit=2, id="7")
    bounds = {"count": 2, "upto": 4, "first_seq": 1, "last_seq": 5, "id": "7"}
    assert json.loads(header) == {"v": 1, "kind": "EVENTS", **bounds}
    assert [json.loads(body)["seq"] for body in bodies] == [3, 4]


def test_replay_filters_by_camera_and_type_and_says_how_far_it_looked(journal: FailingJournal, ask: Ask) -> None:
    _filled(journal, 3)
    _filled(journal, 2, camera="yard")
    _filled(journal, SCAN)
    header, *bodies = ask(since=0, camera="yard", type="face.identified")
    assert [json.loads(body)["seq"] for body in bodies] == [4, 5]
    assert json.loads(header)["upto"] == SCAN
    assert json.loads(ask(since=SCAN, camera="yard")[0])["upto"] == SCAN + 5


def test_replay_bounds_an_answers_size(journal: FailingJournal, ask: Ask) -> None:
    _filled(journal, 50, message="x" * 100_000)
    header, *bodies = ask(since=0)
    assert len(bodies) < 12
    assert json.loads(header)["upto"] == len(bodies)
    assert sum(map(len, bodies)) < MAX_ANSWER_BYTES + 101_000


def test_replay_beyond_the_end_is_empty(journal: FailingJournal, ask: Ask) -> None:
    _filled(journal, 3)
    assert json.loads(ask(since=100)[0])["upto"] == 3


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (b"[", "not JSON"),
        (b'{"v":2,"kind":"REPLAY","since":0}', "version 2"),
        (b'{"v":1,"kind":"GIVE"}', "only REPLAY is known"),
        (b'{"v":1,"kind":"REPLAY"}', "REPLAY.since: None has the wrong type"),
        (b'{"v":1,"kind":"REPLAY","since":-1}', "REPLAY.since: -1 is not within 0 and"),
        (b'{"v":1,"kind":"REPLAY","since":0,"limit":1001}', "REPLAY.limit: 1001 is not within 1 and 1000"),
        (b'{"v":1,"kind":"REPLAY","since":0,"type":"face.seen"}', "is none of camera.online"),
        (b'{"v":1,"kind":"REPLAY","since":0,"camera":"\\ud800"}', "REPLAY.camera: not valid text"),
        (b'{"v":1,"kind":"REPLAY","since":0,"id":"' + b"x" * 65 + b'"}', "REPLAY.id: longer than 64"),
    ],
)
def test_replay_answers_a_malformed_request_with_the_reason(ask: Ask, request_: bytes, reason: str) -> None:
    answer = json.loads(ask(request_)[0])
    assert answer["kind"] == "ERROR"
    assert reason in answer["reason"]


def test_replay_refuses_a_request_of_many_parts(ask: Ask) -> None:
    assert "request of 2 parts" in json.loads(ask(b"{}", b"{}")[0])["reason"]


def test_a_clock_that_is_ahead_at_the_start_deletes_no_events_until_it_has_held_for_a_day(
    context: ChildContext, journal: FailingJournal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wall_s = 1.8e9
    monkeypatch.setattr(publisher, "time", SimpleNamespace(time=lambda: wall_s, monotonic=time.monotonic))
    work = publisher.Publisher(context, journal)
    journal.append([Entry("w", "e", 1, an_event(1, wall_s=wall_s))])
    work._prune(0.0)
    wall_s += 9 * 365 * DAY_S
    for _ in range(3):
        work._prune(0.0)
    assert journal.first_seq == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"], "told once"
    wall_s += DAY_S
    work._prune(0.0)
    assert journal.first_seq == 2


def test_what_comes_after_somebody_was_forgotten_does_not_name_them(
    context: ChildContext, journal: FailingJournal, sender: VerdictSender
) -> None:
    """As of a worker that had not noticed yet, or of a face that was compared with theirs."""
    intake, sink = _intake(context, journal)
    ann = {"id": "a" * 32, "name": "Ann Smith", "similarity": 0.7}
    bob = {"id": "b" * 32, "name": "Bob Ray", "similarity": 0.8}
    account = {"faces": 2, "views": [{"quality": 0.9, "best": bob, "runner_up": ann}, {"quality": 0.8, "best": ann}]}

    def named(n: int, who: object, **fields: object) -> Event:
        snapshot = {"face": "d/1.jpg", "people": [ann["id"]]}
        return replace(an_event(n), track=f"door-{n}", identity=who, account=account, snapshot=snapshot, **fields)  # type: ignore[arg-type]

    gone = replace(an_event(2), type=EventType.PERSON_FORGOTTEN, track=None, identity={"id": ann["id"]})
    for event in (named(1, bob, runner_up=ann), gone, named(3, bob, runner_up=ann), named(4, ann)):
        sender.send(event)
    _until(intake, lambda: len(sink.events) == 4)
    _, _, beside, theirs = sink.events
    assert (beside.identity, beside.runner_up) == (bob, None)
    assert (theirs.type, theirs.identity, theirs.snapshot) == (EventType.FACE_UNKNOWN, None, None)
    assert journal.account("door-3") == {"faces": 2, "views": [{"quality": 0.9, "best": bob}, {"quality": 0.8}]}
    assert journal.account("door-4") is None


def test_who_was_forgotten_before_the_publisher_started_stays_out_as_well(
    context: ChildContext, journal: FailingJournal, sender: VerdictSender
) -> None:
    ann = {"id": "a" * 32, "name": "Ann Smith"}
    gone = replace(an_event(1), type=EventType.PERSON_FORGOTTEN, identity={"id": ann["id"]})
    journal.append([Entry("w", "earlier", 1, gone)])
    intake, sink = _intake(context, journal)
    sender.send(replace(an_event(2), identity=ann))  # type: ignore[arg-type]
    _until(intake, lambda: len(sink.events) == 1)
    assert sink.events[0].identity is None


def test_a_departure_that_was_told_after_the_next_worker_had_looked_is_not_told_twice(
    context: ChildContext, journal: FailingJournal, sender: VerdictSender
) -> None:
    """As where a worker ends while its publisher waits for room on the disk."""

    def left(number: int, track: str, message: str | None = None) -> Event:
        return replace(an_event(number, kind=EventType.FACE_LEFT, message=message), track=track)

    journal.append([Entry("before", "e", 1, left(1, "door-1"))])
    intake, sink = _intake(context, journal)
    late = left(2, "door-2")
    ends = [left(3, "door-1", MESSAGE), left(4, "door-2", MESSAGE), left(5, "door-3", MESSAGE), left(6, "door-4")]
    for event in (late, *ends):
        sender.send(event)
    _until(intake, lambda: bool(sink.events) and sink.events[-1].track == "door-4")
    assert [event.track for event in sink.events] == ["door-2", "door-3", "door-4"]
    assert [row.seq for row in journal.since(0, 10)] == [1, 2, 3, 4]
    assert sender.flush(5.0)
