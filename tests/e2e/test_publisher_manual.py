"""The examples of docs/events.md, run against a real publisher."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from publisherprocess import PublisherProcess, an_event, eventually

from streamd.client import PUBLISH, REPLAY
from streamd.sockets import Sockets
from streamd.verdicts import VerdictSender

pytestmark = pytest.mark.e2e

MANUAL = (Path(__file__).parents[2] / "docs" / "events.md").read_text()


def _block(containing: str) -> str:
    blocks = re.findall(r"```python\n(.*?)```", MANUAL, re.DOTALL)
    return str(next(block for block in blocks if containing in block))


def _run_example(code: str, publisher: PublisherProcess, *, send_while_running: bool) -> str:
    """Standard output of an example from the manual, pointed at a test's publisher."""
    code = code.replace(PUBLISH, publisher.publish).replace(REPLAY, publisher.replay)
    code = code.replace("asubscribe(s", f"asubscribe(publish={publisher.publish!r}, replay={publisher.replay!r}, s")
    code = code.replace("in subscribe(", f"in subscribe(publish={publisher.publish!r}, replay={publisher.replay!r}, ")
    with Sockets() as sockets:
        sender = VerdictSender(sockets, publisher.verdicts, worker="w")
        sender.send(an_event(1))
        assert sender.flush(20.0)
        program = subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True)
        assert program.stdout is not None
        try:
            if send_while_running:
                eventually(lambda: _sent_and_exited(sender, program))
            return program.stdout.readline()
        finally:
            program.kill()
            program.stdout.close()
            program.wait()


def _sent_and_exited(sender: VerdictSender, program: subprocess.Popen[str]) -> bool:
    sender.send(an_event(2))
    sender.flush(0.2)
    return program.poll() is not None


@pytest.mark.parametrize("feature", ["from streamd.client import subscribe", "asubscribe", "zmq.DEALER"])
def test_examples_of_the_manual_that_ask_for_the_past_run(tmp_path: Path, feature: str) -> None:
    with PublisherProcess(tmp_path) as publisher:
        line = _run_example(_block(feature), publisher, send_while_running=False)
    assert "Person 1" in line


def test_the_manuals_subscriber_without_the_client_misses_nothing_when_the_publisher_is_killed(tmp_path: Path) -> None:
    with PublisherProcess(tmp_path) as publisher, Sockets() as sockets:
        code = _block("def replayed(since)").replace(PUBLISH, publisher.publish).replace(REPLAY, publisher.replay)
        sender = VerdictSender(sockets, publisher.verdicts, worker="w")

        def send(first: int, last: int) -> None:
            for number in range(first, last + 1):
                sender.send(an_event(number))
            assert sender.flush(20.0)

        send(1, 5)
        out = tmp_path / "out"
        with out.open("w") as file:
            program = subprocess.Popen([sys.executable, "-c", code], stdout=file)
        try:
            for first in (6, 11):
                eventually(lambda first=first: len(out.read_text().splitlines()) == first - 1)  # type: ignore[misc]  # a default binds
                publisher.kill()
                publisher.start()
                send(first, first + 4)
            eventually(lambda: len(out.read_text().splitlines()) == 15)
        finally:
            program.kill()
            program.wait()
        assert [int(line.split()[0]) for line in out.read_text().splitlines()] == list(range(1, 16))


def test_plain_zeromq_example_of_the_manual_runs(tmp_path: Path) -> None:
    code = _block("zmq.SUB").replace("while True:", "for _ in range(1):")
    with PublisherProcess(tmp_path) as publisher:
        line = _run_example(code, publisher, send_while_running=True)
    assert "event.door.face.identified" in line
