"""Sessions of browsers."""

from pathlib import Path

import pytest

from streamd.gateway.sessions import IDLE_S, LONGEST_S, Sessions, of_password


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.json"


def test_a_session_is_found_by_its_secret_until_it_ends(path: Path, clock: Clock) -> None:
    sessions = Sessions(path, now=clock)
    secret, session = sessions.begin("ana", kept="hash")
    assert sessions.find(secret) == session
    assert sessions.find(secret + "x") is None
    sessions.end(secret)
    assert sessions.find(secret) is None


def test_it_ends_when_not_used_and_in_any_case_some_day(path: Path, clock: Clock) -> None:
    sessions = Sessions(path, now=clock)
    secret, _ = sessions.begin("ana", kept="hash")
    clock.now_s += IDLE_S + 1
    assert sessions.find(secret) is None
    secret, _ = sessions.begin("ana", kept="hash")
    for _ in range(int(LONGEST_S / (IDLE_S / 2)) + 1):
        clock.now_s += IDLE_S / 2
        found = sessions.find(secret)
    assert found is None


def test_it_ends_as_others_do_though_the_clock_was_ahead_when_it_began(path: Path, clock: Clock) -> None:
    clock.now_s += 10 * 365 * 86_400
    sessions = Sessions(path, now=clock)
    used, _ = sessions.begin("ana", kept="hash")
    kept, _ = sessions.begin("ben", kept="hash")
    clock.now_s -= 10 * 365 * 86_400
    assert sessions.find(used) is not None
    assert sessions.find(kept) is not None
    for _ in range(int(LONGEST_S / (IDLE_S / 2)) + 1):
        clock.now_s += IDLE_S / 2
        found = sessions.find(kept)
    assert found is None
    assert sessions.find(used) is None


def test_a_restart_keeps_it_and_no_secret_is_on_the_disk(path: Path, clock: Clock) -> None:
    secret, session = Sessions(path, now=clock).begin("ana", kept="hash")
    assert Sessions(path, now=clock).find(secret) == session
    assert secret not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"user": "x"}}', "\x00"])
def test_a_damaged_file_logs_everybody_out(
    path: Path, clock: Clock, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(text)
    sessions = Sessions(path, now=clock)
    assert "has to log in again" in caplog.text
    secret, session = sessions.begin("ana", kept="hash")
    assert sessions.find(secret) == session


def test_a_disk_that_cannot_be_written_stops_nobody(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = Sessions(tmp_path / "none" / "sessions.json", now=clock)
    secret, session = sessions.begin("ana", kept="hash")
    assert sessions.find(secret) == session
    assert "cannot be written" in caplog.text


def test_of_too_many_the_oldest_end(path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamd.gateway.sessions.MOST", 3)
    sessions = Sessions(path, now=clock)
    first, _ = sessions.begin("ana", kept="hash")
    for _ in range(3):
        clock.now_s += 1
        last, _ = sessions.begin("ana", kept="hash")
    assert sessions.find(first) is None
    assert sessions.find(last) is not None


def test_another_password_is_noticed(path: Path, clock: Clock) -> None:
    _, session = Sessions(path, now=clock).begin("ana", kept="hash")
    assert of_password(session, "hash")
    assert not of_password(session, "another hash")
