from __future__ import annotations

import asyncio
import gc
import json
import logging
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import zmq
from publisherprocess import an_event, eventually, free_port

from streamd.client import AsyncSubscription, Subscription, asubscribe, subscribe
from streamd.events import Event, EventType
from streamd.journal import Entry, Journal
from streamd.replay import ReplayServer
from streamd.sinks.zeromq import ZeromqSink
from streamd.sockets import Sockets


class Server:
    """The publishing half of a publisher, in a thread; ``lossy`` events reach the journal and no subscriber."""

    def __init__(self, folder: Path, endpoints: tuple[str, str] | None = None) -> None:
        self.publish, self.replay = endpoints or (f"tcp://127.0.0.1:{free_port()}", f"tcp://127.0.0.1:{free_port()}")
        self._path = folder / "journal.sqlite"
        self._orders: list[tuple[str, list[int]]] = []
        self._obeyed = threading.Condition()
        self._stop = threading.Event()
        self.start()

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def emit(self, *numbers: int) -> None:
        self._order("emit", list(numbers))

    def lose(self, *numbers: int) -> None:
        self._order("lose", list(numbers))

    def prune(self) -> None:
        self._order("prune", [])

    def replace_journal(self) -> None:
        self.stop()
        self._path.unlink()
        self.start()

    def _order(self, what: str, numbers: list[int]) -> None:
        with self._obeyed:
            self._orders.append((what, numbers))
            assert self._obeyed.wait_for(lambda: not self._orders, 10.0)

    def _run(self) -> None:
        with Sockets() as sockets, Journal(self._path) as journal:
            sink = ZeromqSink(sockets, self.publish)
            replay = ReplayServer(sockets, self.replay, journal)
            beats = 0
            while not self._stop.is_set():
                replay.socket.poll(5)
                replay.answer_waiting()
                with self._obeyed:
                    for what, numbers in self._orders:
                        self._obey(journal, sink, what, numbers)
                    self._orders.clear()
                    self._obeyed.notify_all()
                beats += 1
                if sink.newcomers() or beats % 10 == 0:
                    sink.heartbeat(first_seq=journal.first_seq, last_seq=journal.last_seq)

    def _obey(self, journal: Journal, sink: ZeromqSink, what: str, numbers: list[int]) -> None:
        if what == "prune":
            journal.prune(4e9)
        run = "e"
        events = journal.append([Entry("w", run, n, _event(n)) for n in numbers])
        for event in events if what == "emit" else []:
            if event:
                sink.emit(event)


def _event(n: int) -> Event:
    kind = EventType.FACE_LEFT if n % 2 else EventType.FACE_IDENTIFIED
    return an_event(n, kind=kind, camera="yard" if n % 3 == 0 else "door", wall_s=1e9)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.stop()


def _open(server: Server, **kwargs: object) -> Subscription:
    return Subscription(publish=server.publish, replay=server.replay, timeout_s=5.0, **kwargs)  # type: ignore[arg-type]  # test's own


def _take(subscription: Subscription, count: int) -> list[int]:
    events = [subscription.next(10.0) for _ in range(count)]
    return [event.seq for event in events if event]


def _listening(subscription: Subscription) -> None:
    def heard() -> bool:
        assert subscription.next(0.1) is None
        return subscription.connected

    eventually(heard)


def test_only_new_events_without_since(server: Server) -> None:
    server.emit(1, 2, 3)
    with _open(server) as subscription:
        _listening(subscription)
        server.emit(4, 5)
        assert _take(subscription, 2) == [4, 5]


def test_everything_from_since_on(server: Server) -> None:
    server.emit(*range(1, 2501))
    with _open(server, since=10) as subscription:
        assert _take(subscription, 2490) == list(range(11, 2501))
        server.emit(2501)
        assert _take(subscription, 1) == [2501]


def test_over_files_it_hears_the_publisher_that_comes_after_the_one_that_was_killed(tmp_path: Path) -> None:
    with TemporaryDirectory() as folder:  # a socket's path is short
        publish, replay = f"ipc://{folder}/publish.sock", f"ipc://{folder}/replay.sock"
        Path(folder, "publish.sock").touch()  # as it lies there after a kill
        server = Server(tmp_path, (publish, replay))
        try:
            server.emit(1, 2)
            with _open(server, since=0) as subscription:
                assert _take(subscription, 2) == [1, 2]
                server.stop()
                server.start()
                server.emit(3)
                assert _take(subscription, 1) == [3]
        finally:
            server.stop()


def test_a_gap_is_closed_by_the_next_event(server: Server) -> None:
    with _open(server) as subscription:
        _listening(subscription)
        server.emit(1)
        server.lose(2, 3, 4)
        server.emit(5)
        assert _take(subscription, 5) == [1, 2, 3, 4, 5]


def test_a_gap_is_closed_by_a_heartbeat_while_idle(server: Server) -> None:
    with _open(server) as subscription:
        _listening(subscription)
        server.lose(1, 2)
        assert _take(subscription, 2) == [1, 2]


def test_nothing_is_given_twice(server: Server) -> None:
    server.emit(1, 2, 3)
    with _open(server, since=0) as subscription:
        server.emit(4, 5)
        assert _take(subscription, 5) == [1, 2, 3, 4, 5]
        assert subscription.next(0.5) is None


def test_filters_drop_events_and_not_numbers(server: Server) -> None:
    server.emit(*range(1, 7))
    with _open(server, since=0, cameras=["yard"]) as subscription:
        assert _take(subscription, 2) == [3, 6]
    with _open(server, since=0, types=["face.left"]) as subscription:
        assert _take(subscription, 3) == [1, 3, 5]
        server.emit(7, 8, 9)
        assert _take(subscription, 2) == [7, 9]


def test_an_unknown_type_is_refused(server: Server) -> None:
    with pytest.raises(ValueError, match=r"face\.seen"):
        _open(server, types=["face.seen"])


def test_deleted_events_are_counted_and_passed_over(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.emit(*range(1, 11))
    server.prune()
    server.emit(11, 12)
    with _open(server, since=4) as subscription, caplog.at_level(logging.WARNING):
        assert _take(subscription, 2) == [11, 12]
        assert subscription.missed == 6
    assert "events 5 to 10 were deleted" in caplog.text


def test_a_restarted_publisher_is_found_again(server: Server) -> None:
    with _open(server) as subscription:
        _listening(subscription)
        server.emit(1)
        assert _take(subscription, 1) == [1]
        server.stop()
        assert subscription.next(0.2) is None
        server.start()
        server.lose(2)
        server.emit(3)
        assert _take(subscription, 2) == [2, 3]


def test_a_journal_started_anew_is_read_from_its_start(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.emit(1, 2, 3)
    with _open(server, since=0) as subscription, caplog.at_level(logging.WARNING):
        assert _take(subscription, 3) == [1, 2, 3]
        server.replace_journal()
        server.emit(1)
        assert _take(subscription, 1) == [1]
    assert "the journal was started anew" in caplog.text


def test_a_silent_replay_is_asked_again(tmp_path: Path) -> None:
    publish, replay = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    with Sockets() as sockets, Subscription(publish=publish, replay=replay, since=0) as subscription:
        router = sockets.bind(zmq.ROUTER, replay)
        asked: list[str] = []

        def twice() -> bool:
            assert subscription.next(0.5) is None
            while router.poll(0):
                asked.append(json.loads(router.recv_multipart()[1])["id"])
            return len(asked) >= 2

        eventually(twice)
        assert asked[:2] == ["1", "2"]


def test_iteration_ends_after_the_time_out(server: Server) -> None:
    server.emit(1, 2)
    with Subscription(publish=server.publish, replay=server.replay, since=0, timeout_s=0.5) as subscription:
        first = subscription.next(10.0)
        assert first is not None
        assert [first.seq, *(event.seq for event in subscription)] == [1, 2]


def test_subscribe_is_an_iterator_of_events(server: Server) -> None:
    server.emit(1, 2)
    events = subscribe(publish=server.publish, replay=server.replay, since=0)
    assert [next(events).seq, next(events).seq] == [1, 2]
    events.close()  # type: ignore[attr-defined]  # a generator


def test_garbage_from_the_publisher_is_ignored(tmp_path: Path) -> None:
    publish, replay = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    with Sockets() as sockets:
        xpub = sockets.bind(zmq.XPUB, publish)
        with Subscription(publish=publish, replay=replay) as subscription:
            xpub.recv()
            xpub.recv()
            for parts in ([b"event."], [b"event.x", b"{"], [b"heartbeat", b"[]"], [b"heartbeat", b"\xff", b""]):
                xpub.send_multipart(parts)
            xpub.send_multipart([b"event.door", an_event(1).numbered(1).to_json()])
            assert _take(subscription, 1) == [1]


def test_asyncio_gets_the_same_events_and_closes_gaps(server: Server) -> None:
    async def read() -> list[int]:
        found = []
        async with AsyncSubscription(publish=server.publish, replay=server.replay, since=0, timeout_s=5.0) as events:
            async for event in events:
                found.append(event.seq)
                if event.seq == 2:
                    await asyncio.to_thread(server.lose, 3, 4)
                    await asyncio.to_thread(server.emit, 5)
                if event.seq == 5:
                    break
        return found

    server.emit(1, 2)
    assert asyncio.run(read()) == [1, 2, 3, 4, 5]


def test_asubscribe_leaves_the_loop_free(server: Server) -> None:
    async def read() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        events = asubscribe(publish=server.publish, replay=server.replay, since=0)
        first = await anext(events)
        waiting = asyncio.create_task(anext(events))
        while ticks < 20:
            await asyncio.sleep(0.01)
        waiting.cancel()
        ticking.cancel()
        return first.seq

    server.emit(1)
    assert asyncio.run(read()) == 1


def test_a_connection_that_died_unnoticed_is_made_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamd.client.SILENT_S", 0.3)
    server.emit(1)
    with Subscription(publish=server.publish, replay=server.replay, since=0) as events:
        assert events.next(5.0) is not None
        events._live.disconnect(server.publish)
        server.emit(2)
        found = events.next(10.0)
    assert found is not None
    assert found.seq == 2


def test_a_publisher_that_is_away_for_long_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamd.client.SILENT_S", 0.0)
    gone = []
    close = zmq.Socket.close

    def closed(socket: zmq.Socket[bytes], linger: int | None = None) -> None:
        gone.append(weakref.ref(socket))
        close(socket, linger)

    monkeypatch.setattr(zmq.Socket, "close", closed)
    publish, replay = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    with Subscription(publish=publish, replay=replay) as events:
        for _ in range(5):
            assert events.next(0.01) is None  # connects again each time
        gc.collect()
        assert len(gone) >= 5
        assert [socket() for socket in gone if socket() is not None] == []


def test_the_loop_forgets_a_socket_before_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another connection gets the closed socket's file descriptor, and must be heard by the loop all the same."""
    monkeypatch.setattr("streamd.client.SILENT_S", 0.01)  # at 0 more sockets are made than libzmq closes meanwhile

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        await reader.read()
        writer.close()

    async def answered(port: int) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello\n")
        async with asyncio.timeout(5.0):
            heard = await reader.readline() == b"hello\n"
        writer.close()
        return heard

    async def run() -> None:
        publish, replay = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            async with AsyncSubscription(publish=publish, replay=replay) as events:
                for _ in range(5):
                    assert await events.next(0.05) is None  # connects again each time
                assert all(await asyncio.gather(*(answered(port) for _ in range(5))))
            assert all(await asyncio.gather(*(answered(port) for _ in range(5))))

    asyncio.run(run())
