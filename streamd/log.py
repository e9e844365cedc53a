"""Logging of every process: text on a terminal, JSON lines elsewhere, without credentials and without floods.

A record may carry ``camera`` and ``track`` (``extra=``); they become fields of the line. Everything that a camera's own
process says is about that camera.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TextIO

from streamd.config import LogConfig, redact
from streamd.events import timestamp

FOLD_S = 30.0
"""A message that repeats is counted for this long before the count is written."""
MAX_FOLDED = 256
"""Messages that are counted at once; the oldest is written when there are more."""
FIELDS = ("camera", "track")

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def setup_logging(config: LogConfig, *, role: str, stream: TextIO | None = None) -> None:
    """Write this process's log to ``stream`` (standard error), marked with ``role``; replaces an earlier set-up.

    Libraries are heard from warnings up. What no one caught is logged too, because the interpreter's own
    traceback would show the credentials in an URL. May be called again while threads log.
    """
    stream = stream or sys.stderr
    text = config.format == "text" or (config.format == "auto" and stream.isatty())
    handler = FoldingHandler(stream)
    handler.setFormatter(TextFormatter(role) if text else JsonFormatter(role))
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, FoldingHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    level = logging.getLevelNamesMapping()[config.level.upper()]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("streamd").setLevel(level)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


class TextFormatter(logging.Formatter):
    """``21:03:14.120 WARNING capture@door  camera 'door': ... [camera=door]``"""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = "".join(f" [{name}={value}]" for name, value in _fields(record).items())
        body = "\n".join(filter(None, (_message(record) + fields, _trace(record))))
        # Indented, so that no message can pass for a line of its own.
        body = body.replace("\n", "\n    ")
        return f"{clock}.{int(record.msecs):03d} {record.levelname:<7} {self._role}  {body}"


class JsonFormatter(logging.Formatter):
    """One object a line: ``at level role logger message``, and where there are any, ``camera track exception``."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role
        kind, _, camera = role.partition("@")
        self._always = {"camera": camera} if kind == "capture" else {}

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": timestamp(record.created),
            "level": record.levelname.lower(),
            "role": self._role,
            "logger": record.name,
            "message": _message(record),
            **self._always,
            **_fields(record),
        }
        if trace := _trace(record):
            line["exception"] = trace
        return json.dumps(line)


@dataclass(slots=True)
class _Repeated:
    record: logging.LogRecord
    text: str
    since_s: float
    times: int = 0


class FoldingHandler(logging.StreamHandler[TextIO]):
    """Writes a message once, and counts its repetitions until its logger says something else, or for 30 s."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._last: OrderedDict[tuple[object, ...], _Repeated] = OrderedDict()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._fold(record, self._clock())
        except (TypeError, ValueError, KeyError):  # arguments that do not fit the message
            self.handleError(record)

    def _fold(self, record: logging.LogRecord, now_s: float) -> None:
        # Cameras take turns in one process; each one's messages are folded for themselves.
        place = (record.name, *_fields(record).items())
        text = f"{record.levelno} {_message(record)} {_trace(record)}"
        before = self._last.get(place)
        if before is not None and before.text == text and now_s - before.since_s < FOLD_S:
            before.times += 1
        else:
            self._tell(self._last.pop(place, None))
            super().emit(record)
            self._last[place] = _Repeated(record, text, now_s)
        self._tell_old(now_s)

    def close(self) -> None:
        self.acquire()
        try:
            while self._last:
                self._tell(self._last.popitem(last=False)[1])
        finally:
            self.release()
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        # A log that nobody reads any more (closed pipe, full disk) must not end the daemon.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def _tell_old(self, now_s: float) -> None:
        while self._last:
            oldest = next(iter(self._last.values()))
            if now_s - oldest.since_s < FOLD_S and len(self._last) <= MAX_FOLDED:
                return
            self._tell(self._last.popitem(last=False)[1])

    def _tell(self, repeated: _Repeated | None) -> None:
        if repeated is None or not repeated.times:
            return
        first = repeated.record
        times = "once more" if repeated.times == 1 else f"{repeated.times} times"
        message = f"repeated {times}: {_message(first)}"
        again = logging.LogRecord(first.name, first.levelno, first.pathname, first.lineno, message, None, None)
        again.__dict__.update({name: getattr(first, name) for name in FIELDS if hasattr(first, name)})
        super().emit(again)


def _message(record: logging.LogRecord) -> str:
    return _clean(record.getMessage())


def _fields(record: logging.LogRecord) -> dict[str, str]:
    return {name: _clean(str(getattr(record, name))) for name in FIELDS if getattr(record, name, None) is not None}


def _trace(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    return _clean("".join(traceback.format_exception(record.exc_info[1])).rstrip())


def _clean(text: str) -> str:
    """Without credentials, and without control characters that could rewrite a terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", redact(text))


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("streamd").critical("internal error: %s", kind.__name__, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or issubclass(args.exc_type, SystemExit):
        return
    name = args.thread.name if args.thread else "?"
    caught = (args.exc_type, args.exc_value, args.exc_traceback)
    logging.getLogger("streamd").critical("internal error in thread '%s'", name, exc_info=caught)
