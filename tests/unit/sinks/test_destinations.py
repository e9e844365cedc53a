"""Files, commands and webhooks, each against the real thing."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from publisherprocess import an_event, eventually

from streamd.errors import SinkAway, SinkRefused
from streamd.events import EventType
from streamd.interfaces import Parcel
from streamd.signatures import HEADER, signature, signature_is_valid
from streamd.sinkconfig import CommandSink, FileSink, WebhookSink
from streamd.sinks.command import CommandDestination
from streamd.sinks.jsonlines import FileDestination
from streamd.sinks.webhook import WebhookDestination


def parcels(*numbers: int) -> list[Parcel]:
    events = [an_event(n).numbered(n) for n in numbers]
    return [Parcel(event, event.to_json()) for event in events]


def seqs(path: Path) -> list[int]:
    return [json.loads(line)["seq"] for line in path.read_bytes().splitlines()]


def file_sink(path: Path, **more: float) -> FileDestination:
    destination = FileDestination(FileSink(kind="file", path=path, **more))
    destination.open()
    return destination


def test_a_file_gets_a_line_per_event_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "events.jsonl"
    destination = file_sink(path)
    assert destination.deliver(parcels(1, 2, 3)) == 3
    assert seqs(path) == [1, 2, 3]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_cut_off_by_a_kill_is_removed_and_nothing_is_there_twice(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file_sink(path).deliver(parcels(1, 2))
    with path.open("ab") as file:
        file.write(parcels(3)[0].body[:40])
    destination = file_sink(path)
    destination.deliver(parcels(2, 3, 4))
    assert seqs(path) == [1, 2, 3, 4]


@pytest.mark.parametrize(("max_mb", "count"), [(10.0, 200), (0.04, 200), (0.001, 3)])
def test_whatever_was_on_its_way_at_a_kill_is_there_once(tmp_path: Path, max_mb: float, count: int) -> None:
    """Also where it was much, or its file was put by just then."""
    path = tmp_path / "events.jsonl"
    events = [an_event(n, message="x" * 1000).numbered(n) for n in range(1, count + 1)]
    sent = [Parcel(event, event.to_json()) for event in events]
    file_sink(path, max_mb=max_mb, keep=20).deliver(sent)
    file_sink(path, max_mb=max_mb, keep=20).deliver(sent)
    files = sorted(tmp_path.iterdir())
    assert sorted(seq for file in files for seq in seqs(file)) == [event.seq for event in events]


def test_a_journal_started_anew_is_written_although_its_numbers_are_lower(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file_sink(path).deliver(parcels(7, 8))
    again = replace(an_event(99), seq=1)
    file_sink(path).deliver([Parcel(again, again.to_json())])
    assert seqs(path) == [7, 8, 1]


def test_a_large_file_is_put_by_and_the_oldest_deleted(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    destination = file_sink(path, max_mb=0.001, keep=2)
    destination.deliver(parcels(*range(1, 30)))
    files = [tmp_path / f"events.jsonl.{n}" for n in (2, 1)]
    kept = [seq for file in (*files, path) for seq in seqs(file)]
    assert kept == list(range(kept[0], 30))
    assert kept[0] > 1
    assert not (tmp_path / "events.jsonl.3").exists()


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    destination = file_sink(path)
    destination.deliver(parcels(1))
    path.rename(tmp_path / "mine")
    destination.idle(0.0)
    destination.deliver(parcels(2))
    assert seqs(path) == [2]


def test_who_is_forgotten_is_taken_out_of_the_files(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    destination = file_sink(path, max_mb=0.001)
    destination.deliver(parcels(*range(1, 8)))
    gone = replace(an_event(8, kind=EventType.PERSON_FORGOTTEN, camera="-"), identity={"id": "p3"}, seq=8)
    destination.deliver([Parcel(gone, gone.to_json())])
    everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"Person 3" not in everything
    assert b"Person 4" in everything
    assert len(everything.splitlines()) == 8


def test_who_is_forgotten_is_taken_out_of_a_file_that_does_not_tell_of_it(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    destination = file_sink(path)
    destination.deliver(parcels(3))
    gone = replace(an_event(4, kind=EventType.PERSON_FORGOTTEN, camera="-"), identity={"id": "p3"}, seq=4)
    destination.deliver([Parcel(gone, gone.to_json(), wanted=False)])
    assert seqs(path) == [3]
    assert b"Person 3" not in path.read_bytes()


def test_a_file_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    with pytest.raises(SinkAway, match="Is a directory"):
        file_sink(tmp_path)


def script(code: str, **more: float) -> CommandDestination:
    return CommandDestination(CommandSink(kind="command", command=(sys.executable, "-c", code), **more))


def test_a_command_gets_the_event_on_its_standard_input_and_in_its_environment(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = f"import os,sys; open({str(out)!r},'w').write(sys.stdin.read() + os.environ['STREAMD_PERSON'])"
    assert script(code).deliver(parcels(4)) == 1
    body, person = out.read_text().splitlines()
    assert json.loads(body)["seq"] == 4
    assert person == "Person 4"


def test_a_command_that_fails_refuses_with_its_own_words() -> None:
    with pytest.raises(SinkRefused, match="exit code 3: no such bell"):
        script("import sys; print('no such bell', file=sys.stderr); sys.exit(3)").deliver(parcels(1))


def test_a_command_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = (
        "import subprocess,time; "
        f"p=subprocess.Popen(['sleep','600']); open({str(pid)!r},'w').write(str(p.pid)); time.sleep(600)"
    )
    with pytest.raises(SinkRefused, match="killed after"):
        script(code, timeout_s=1.5).deliver(parcels(1))
    stat = Path(f"/proc/{pid.read_text()}/stat")
    eventually(lambda: not stat.exists() or stat.read_text().split()[2] == "Z")


def test_a_program_that_is_not_there_is_waited_for() -> None:
    destination = CommandDestination(CommandSink(kind="command", command=("/nowhere/bell",)))
    with pytest.raises(SinkAway, match="/nowhere/bell: no such file"):
        destination.deliver(parcels(1))


class Receiver:
    """A web server that answers what it is told to."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status, self.headers, self.delay_s = 200, {}, 0.0  # type: dict[str, str]
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((dict(self.headers), body))
                threading.Event().wait(receiver.delay_s)
                self.send_response(receiver.status)
                for name, value in {"Content-Length": "4", **receiver.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"oops")

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def hook(receiver: Receiver) -> Iterator[WebhookDestination]:
    destination = WebhookDestination(WebhookSink(kind="webhook", url=receiver.url, secret="s3cret", timeout_s=1.0))
    destination.open()
    yield destination
    destination.close()


def test_a_webhook_gets_a_signed_post(receiver: Receiver, hook: WebhookDestination) -> None:
    assert hook.deliver(parcels(5, 6)) == 1
    headers, body = receiver.requests[0]
    assert json.loads(body)["seq"] == 5
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == "id-5"
    assert signature_is_valid("s3cret", headers[HEADER], body, time.time())


def test_an_answer_other_than_2xx_is_a_refusal_that_may_say_when_to_come_again(
    receiver: Receiver, hook: WebhookDestination
) -> None:
    receiver.status, receiver.headers = 503, {"Retry-After": "7"}
    with pytest.raises(SinkRefused, match="answered 503 Service Unavailable: oops") as caught:
        hook.deliver(parcels(1))
    assert caught.value.after_s == 7


def test_a_redirect_is_not_followed(receiver: Receiver, hook: WebhookDestination) -> None:
    receiver.status, receiver.headers = 302, {"Location": receiver.url}
    with pytest.raises(SinkRefused, match="302"):
        hook.deliver(parcels(1))
    assert len(receiver.requests) == 1


def test_a_server_that_does_not_answer_is_away(receiver: Receiver, hook: WebhookDestination) -> None:
    receiver.delay_s = 5.0
    with pytest.raises(SinkAway, match=r"no answer within 1 s"):
        hook.deliver(parcels(1))


def test_a_port_where_nobody_listens_is_away() -> None:
    destination = WebhookDestination(WebhookSink(kind="webhook", url="http://127.0.0.1:9/"))
    destination.open()
    with pytest.raises(SinkAway, match="cannot be reached"):
        destination.deliver(parcels(1))
    destination.close()


def test_a_signature_fits_its_body_its_secret_and_its_time_only() -> None:
    header = signature("s", b"body", 1000.0)
    assert signature_is_valid("s", header, b"body", 1100.0)
    assert not signature_is_valid("s", header, b"other", 1100.0)
    assert not signature_is_valid("t", header, b"body", 1100.0)
    assert not signature_is_valid("s", header, b"body", 1400.0)
    assert not signature_is_valid("s", "", b"body", 1000.0)
    assert not signature_is_valid("s", "t=²,v1=ü", b"body", 1000.0)
