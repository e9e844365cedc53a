from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from streamd.config import LogConfig
from streamd.log import FOLD_S, FoldingHandler, TextFormatter, setup_logging


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("streamd")
    before = (root.level, ours.level, sys.excepthook, threading.excepthook)
    yield
    for handler in [h for h in root.handlers if isinstance(h, FoldingHandler)]:
        root.removeHandler(handler)
    root.setLevel(before[0])
    ours.setLevel(before[1])
    sys.excepthook, threading.excepthook = before[2:]


def logger_to(stream: io.StringIO, **config: Any) -> logging.Logger:
    setup_logging(LogConfig(**config), role="capture@door", stream=stream)
    return logging.getLogger("streamd.test")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_pipe_gets_json_lines() -> None:
    stream = io.StringIO()
    logger_to(stream).warning("lost %s", "x", extra={"camera": "door", "track": "door-1"})
    (line,) = lines(stream)
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "warning",
        "role": "capture@door",
        "logger": "streamd.test",
        "message": "lost x",
        "camera": "door",
        "track": "door-1",
    }


def test_what_a_cameras_own_process_says_is_about_that_camera() -> None:
    stream = io.StringIO()
    logger_to(stream).info("online")
    assert lines(stream)[0]["camera"] == "door"


def test_the_level_and_the_form_change_while_running() -> None:
    stream = io.StringIO()
    logger = logger_to(stream)
    logger.debug("no")
    logger_to(stream, level="debug", format="text").debug("yes", extra={"camera": "door", "track": "door-1"})
    assert stream.getvalue().endswith(" DEBUG   capture@door  yes [camera=door] [track=door-1]\n")
    logger_to(stream, level="error").warning("no")
    assert len(stream.getvalue().splitlines()) == 1


def test_what_was_counted_is_told_when_the_level_changes() -> None:
    stream = io.StringIO()
    logger = logger_to(stream)
    for _ in range(3):
        logger.error("the disk is full")
    logger_to(stream, level="debug")
    assert [line["message"] for line in lines(stream)] == ["the disk is full", "repeated 2 times: the disk is full"]


def test_a_terminal_gets_text() -> None:
    stream = Terminal()
    logger_to(stream).warning("lost", extra={"camera": "door"})
    assert stream.getvalue().endswith(" WARNING capture@door  lost [camera=door]\n")


def test_json_may_be_asked_for_on_a_terminal() -> None:
    stream = Terminal()
    logger_to(stream, format="json").warning("lost")
    assert lines(stream)[0]["message"] == "lost"


def test_less_than_the_level_is_not_written() -> None:
    stream = io.StringIO()
    logger = logger_to(stream, level="warning")
    logger.info("no")
    logger.warning("yes")
    assert [line["message"] for line in lines(stream)] == ["yes"]


def test_libraries_are_heard_from_warnings_up() -> None:
    stream = io.StringIO()
    logger_to(stream, level="debug")
    logging.getLogger("libav").info("no")
    logging.getLogger("libav").warning("yes")
    assert [line["message"] for line in lines(stream)] == ["yes"]


@pytest.mark.parametrize("kind", ["text", "json"])
def test_credentials_never_show(kind: str) -> None:
    stream = io.StringIO()
    logger = logger_to(stream, format=kind)
    url = "rtsp://bob:geheim@192.0.2.1/s?token=geheim"
    logger.warning("lost %s", url, extra={"camera": url})
    try:
        raise OSError(f"cannot open {url}")
    except OSError:
        logger.exception("broken")
    assert "192.0.2.1" in stream.getvalue()
    assert "geheim" not in stream.getvalue()


def test_what_no_one_caught_is_logged_without_credentials() -> None:
    stream = io.StringIO()
    logger_to(stream)

    def work() -> None:
        raise OSError("rtsp://bob:geheim@h/")

    thread = threading.Thread(target=work, name="reader")
    thread.start()
    thread.join()
    try:
        work()
    except OSError as error:
        sys.excepthook(OSError, error, error.__traceback__)
    assert [line["level"] for line in lines(stream)] == ["critical", "critical"]
    assert "'reader'" in lines(stream)[0]["message"]
    assert "geheim" not in stream.getvalue()


def test_a_message_cannot_pass_for_a_line_of_its_own_nor_reach_the_terminal() -> None:
    stream = Terminal()
    logger_to(stream).warning("one\n21:00:00 ERROR forged \x1b[2J")
    first, second = stream.getvalue().splitlines()
    assert first.endswith("one")
    assert second == r"    21:00:00 ERROR forged \x1b[2J"


def test_a_second_setup_replaces_the_first() -> None:
    old, new = io.StringIO(), io.StringIO()
    logger_to(old)
    logger_to(new).warning("hello")
    assert old.getvalue() == ""
    assert len(lines(new)) == 1


class Folding:
    """A handler with a clock that the test turns."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.now_s = 0.0
        self.handler = FoldingHandler(self.stream, clock=lambda: self.now_s)
        self.handler.setFormatter(TextFormatter("r"))

    def say(self, message: str, *, name: str = "a", **fields: str) -> None:
        record = logging.LogRecord(name, logging.WARNING, "", 0, message, None, None)
        record.__dict__.update(fields)
        self.handler.handle(record)

    @property
    def messages(self) -> list[str]:
        return [line.split("  ", 1)[1] for line in self.stream.getvalue().splitlines()]


def test_repetitions_are_counted_until_something_else_is_said() -> None:
    folding = Folding()
    for message in ("lost", "lost", "lost", "found"):
        folding.say(message)
    assert folding.messages == ["lost", "repeated 2 times: lost", "found"]


def test_the_count_is_written_after_a_while() -> None:
    folding = Folding()
    for _ in range(3):
        folding.say("lost")
    folding.now_s = FOLD_S
    folding.say("lost")
    assert folding.messages == ["lost", "repeated 2 times: lost", "lost"]


def test_a_message_that_comes_back_is_not_a_repetition() -> None:
    folding = Folding()
    for message in ("online", "offline", "online"):
        folding.say(message)
    assert folding.messages == ["online", "offline", "online"]


def test_cameras_that_take_turns_are_folded_for_themselves() -> None:
    folding = Folding()
    for _ in range(3):
        folding.say("lost", camera="door")
        folding.say("lost", camera="yard")
    assert folding.messages == ["lost [camera=door]", "lost [camera=yard]"]


def test_closing_writes_what_is_still_counted() -> None:
    folding = Folding()
    folding.say("lost")
    folding.say("lost")
    folding.handler.close()
    assert folding.messages[-1] == "repeated once more: lost"


def test_the_memory_of_messages_is_bounded() -> None:
    folding = Folding()
    for n in range(1000):
        folding.say("lost", camera=str(n))
        folding.say("lost", camera=str(n))
    assert len(folding.messages) > 1000 + 700  # the oldest counts were written to make room


def test_a_reader_that_is_gone_does_no_harm() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    logger_to(Gone()).warning("hello")
