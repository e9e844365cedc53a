from __future__ import annotations

import socket
from pathlib import Path

import pytest

from streamd.commands.finding import Level
from streamd.commands.sink_checks import sinks
from streamd.config import Config
from streamd.sinkconfig import CommandSink, FileSink, SinkConfig, WebhookSink


def found(sink: SinkConfig, *, network: bool = True) -> tuple[Level, str]:
    (finding,) = sinks(Config(sinks={"a": sink}), network=network)
    return finding.level, finding.message


def test_a_server_that_listens_is_fine_and_one_that_does_not_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        assert found(WebhookSink(kind="webhook", url=url))[0] is Level.OK
    level, message = found(WebhookSink(kind="webhook", url=url))
    assert level is Level.FAIL
    assert "refused" in message.lower()
    assert found(WebhookSink(kind="webhook", url=url), network=False)[0] is Level.OK


def test_a_program_that_is_not_there_is_told() -> None:
    assert found(CommandSink(kind="command", command=("/nowhere/bell",))) == (
        Level.FAIL,
        "/nowhere/bell: no such program",
    )


def test_a_file_in_a_folder_that_is_to_be_made_is_fine(tmp_path: Path) -> None:
    assert found(FileSink(kind="file", path=tmp_path / "a" / "b" / "events.jsonl"))[0] is Level.OK


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamd.sinkconfig import NatsSink

    monkeypatch.setitem(__import__("sys").modules, "nats", None)
    level, message = found(NatsSink(kind="nats", url="nats://127.0.0.1"), network=False)
    assert level is Level.FAIL
    assert "pip install 'streamd[nats]'" in message
