from __future__ import annotations

import argparse
import json
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date
from pathlib import Path

import pytest
from publisherprocess import PublisherProcess, an_event, eventually

from streamd.cli import main
from streamd.commands import events as command
from streamd.eventlines import EventLines
from streamd.events import Event, EventType, timestamp
from streamd.journal import Entry, Filter, Journal
from streamd.sockets import Sockets
from streamd.verdicts import VerdictSender

GOLDEN = Path(__file__).parents[2] / "golden" / "events"


@pytest.fixture
def publisher(tmp_path: Path) -> PublisherProcess:
    """Not started: its folder, journal and configuration."""
    return PublisherProcess(tmp_path)


@pytest.fixture
def recorded(publisher: PublisherProcess) -> Iterator[PublisherProcess]:
    with Journal(publisher.journal_file) as journal:
        journal.append([Entry("w", "e", n, an_event(n, camera="yard" if n % 2 else "door")) for n in range(1, 31)])
        yield publisher


def _golden(kind: str) -> Event:
    return Event.from_json((GOLDEN / f"{kind}.json").read_bytes())


def _lines(*events: Event, colour: bool = False, today: date = date(2026, 3, 1)) -> list[str]:
    lines = EventLines(colour=colour, today=today, zone=UTC)
    return [line for event in events for line in lines.lines(event)]


def _shown(capsys: pytest.CaptureFixture[str], publisher: PublisherProcess, *args: str) -> list[int]:
    """Numbers that ``streamd events --json`` prints."""
    assert main(["events", "--config", str(publisher.config), "--json", *args]) == 0
    return [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()]


def test_every_type_has_its_line_in_columns() -> None:
    assert (
        "\n".join(_lines(*(_golden(kind.value) for kind in EventType))) == (GOLDEN / "lines.txt").read_text().rstrip()
    )


def test_a_new_day_is_announced_once() -> None:
    event = _golden("face.left")
    assert [line[:10] for line in _lines(event, event, today=date(2026, 2, 28))] == ["2026-03-01"] + ["21:03:20  "] * 2


def test_colour_wraps_the_line_only_where_asked() -> None:
    (line,) = _lines(_golden("face.identified"), colour=True)
    assert line == f"\x1b[32m{_lines(_golden('face.identified'))[0]}\x1b[0m"


def test_names_and_messages_cannot_steer_the_terminal() -> None:
    event = Event(EventType.CAMERA_OFFLINE, "door", "2026-03-01T00:00:00.000Z", "x", message="a\x1b[2Jb\nc\x9b")
    assert _lines(event)[0].endswith("camera offline: a?[2Jb?c?  #0")


def test_odd_figures_and_times_are_left_out() -> None:
    odd = Event(EventType.FACE_IDENTIFIED, "door", "soon", "x", identity={"name": None, "similarity": "high"})
    assert _lines(odd)[0].split() == ["soon", "door", "identified", "#0"]


def test_long_camera_names_widen_their_column() -> None:
    first, second = _lines(an_event(1, camera="x" * 20, wall_s=1e9), an_event(2, wall_s=1e9), today=date(2001, 9, 9))
    assert first.index("identified") == second.index("identified")


def test_the_newest_twenty_are_shown(recorded: PublisherProcess, capsys: pytest.CaptureFixture[str]) -> None:
    assert _shown(capsys, recorded) == list(range(11, 31))


def test_last_and_since_bound_what_is_shown(recorded: PublisherProcess, capsys: pytest.CaptureFixture[str]) -> None:
    assert _shown(capsys, recorded, "--last", "2") == [29, 30]
    assert _shown(capsys, recorded, "--since", "27") == [28, 29, 30]


def test_from_without_a_number_shows_all_since_then(
    recorded: PublisherProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _shown(capsys, recorded, "--from", "2001-01-01") == list(range(1, 31))
    assert _shown(capsys, recorded, "--from", "2001-01-01", "--last", "2") == [29, 30]


def test_a_name_is_found_however_its_accents_are_written(
    publisher: PublisherProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    event = replace(an_event(1), identity={"id": "p", "name": "Jos\u00e9"})
    with Journal(publisher.journal_file) as journal:
        journal.append([Entry("w", "e", 1, event)])
    assert _shown(capsys, publisher, "--person", "Jose\u0301") == [1]


def test_everything_since_is_paged(
    recorded: PublisherProcess, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "PAGE", 7)
    assert _shown(capsys, recorded, "--since", "0") == list(range(1, 31))


def test_filters_select(recorded: PublisherProcess, capsys: pytest.CaptureFixture[str]) -> None:
    assert _shown(capsys, recorded, "--camera", "yard", "--last", "2") == [27, 29]
    assert _shown(capsys, recorded, "--person", "person 3", "--last", "2") == [17, 24]
    assert _shown(capsys, recorded, "--type", "face.left") == []


def test_human_lines_go_to_standard_output(recorded: PublisherProcess, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "--config", str(recorded.config), "--last", "1"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("0.61 (needs 0.45)   412 ms  #30")


def test_a_missing_journal_is_said(publisher: PublisherProcess, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "--config", str(publisher.config)]) == 69
    assert "no journal at" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args", [["--type", "face.seen"], ["--last", "-1"], ["--since", "1", "--last", "1"], ["--from", "999999999d"]]
)
def test_impossible_requests_are_refused(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["events", *args])
    assert refused.value.code == 64
    assert "streamd events:" in capsys.readouterr().err


def test_following_begins_where_last_says(recorded: PublisherProcess) -> None:
    from streamd.configfile import load_config

    config = load_config(recorded.config)
    args = argparse.Namespace(last=3, since=None)
    assert command._first(config, args, Filter()) == 27
    assert command._first(config, args, Filter(cameras=("yard",))) == 24
    assert command._first(config, args, Filter(cameras=("none",))) == 30


def test_following_from_a_time_begins_there(publisher: PublisherProcess) -> None:
    from streamd.configfile import load_config

    with Journal(publisher.journal_file) as journal:
        journal.append([Entry("w", "e", n, an_event(n, wall_s=n * 60.0)) for n in range(1, 31)])
    config, since_10 = load_config(publisher.config), Filter(from_at=timestamp(600.0))
    assert command._first(config, argparse.Namespace(last=None, since=None), since_10) == 9
    assert command._first(config, argparse.Namespace(last=None, since=20), since_10) == 20


def test_what_is_followed_has_no_end_that_could_be_given(
    recorded: PublisherProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["events", "--config", str(recorded.config), "--follow", "--until", "1h"]) == 64
    assert "give one of them" in capsys.readouterr().err


def test_follow_waits_for_a_publisher_prints_what_comes_and_ends_well_on_ctrl_c(publisher: PublisherProcess) -> None:
    command_line = [sys.executable, "-m", "streamd", "events", "--config", str(publisher.config), "--follow", "--json"]
    with (
        subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower,
        _started_when_missed(publisher, follower),
        Sockets() as sockets,
    ):
        stdout = follower.stdout
        assert stdout is not None
        sender = VerdictSender(sockets, publisher.verdicts, worker="w")

        def heard() -> bool:
            sender.send(an_event(1))
            sender.flush(0.5)
            return bool(select.select([stdout], [], [], 0)[0])

        eventually(heard)
        assert json.loads(stdout.readline())["type"] == "face.identified"
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 0


@contextmanager
def _started_when_missed(publisher: PublisherProcess, follower: subprocess.Popen[str]) -> Iterator[None]:
    """Start the publisher when the follower has said that it waits for one."""
    assert follower.stderr is not None
    try:
        assert "no publisher answers yet" in follower.stderr.readline()
        publisher.start()
        yield
        publisher.kill()
    finally:
        follower.kill()
