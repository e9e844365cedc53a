"""Everything that streamd raises on purpose, as one tree.

    StreamdError                 exit 70
      UsageError                 exit 64   the command line asks for something that cannot be
      ConfigError                exit 78   the configuration; carries every problem at once
      UnavailableError           exit 69   something outside is missing, busy, full or refuses
        DiskFull                           there is no room for what is to be written: retry
        ModelError                         a model file is missing, damaged or not what its manifest says
          NoDirection                      it runs, and makes nothing of a face
        SourceError                        a camera
          SourceLost                       it was there and is gone, or did not answer in time: retry
          SourceRejected                   it answered no (codec, no such path): retry slowly
            SourceDenied                   to this user name and password: retry seldom, it may lock us out
          SourceAwaited                    nobody sends to it yet, or any more
          SourceEnded                      a file or folder played to its end
        PhotoRefused                       a photo cannot be enrolled; carries the reason label
        GalleryError                       the gallery's files cannot be used
          NotInGallery                     no such person, face or stranger
          GalleryConflict                  it does not go with what the gallery holds
          GalleryServerAway                the shared gallery's server does not answer: retry
        JournalError                       the journal cannot be written or read
        SinkError                          a destination of events
          SinkAway                         it does not answer, or not as it should: retry for ever
          SinkRefused                      it answers, and does not want this event
        LiveError                          watching a camera, or sending as one
          CameraUnknown                    there is no such camera here
          CameraAway                       it has no picture now, or cannot be watched
          ViewersFull                      too many watch already
          SenderBusy                       somebody else sends as this camera
          OfferRefused                     what came is no offer, or one that cannot be met
            CodecRefused                   none of its codecs can be used
      ProtocolError                        bytes that are not a message of ours

Messages say what, where and what to do, in lower case, with the offending value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

OTHERS = "permission denied; if it is the service's, call this as its user (runuser -u streamd --)"
"""Of files in the state directory, which is its owner's alone."""


class ExitCode:
    """Process exit codes, from sysexits.h."""

    OK = 0
    USAGE = 64
    UNAVAILABLE = 69
    INTERNAL = 70
    CONFIG = 78


def one_line(text: str) -> str:
    """``text`` without what steers a terminal or begins a line: file names may have any character."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class StreamdError(Exception):
    exit_code = ExitCode.INTERNAL


class UsageError(StreamdError):
    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing wrong with a configuration file. Line and column count from 1; 0 where unknown."""

    file: str
    line: int
    column: int
    path: str
    """The key, dotted: ``cameras.door.url``."""
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class ConfigError(StreamdError):
    """Every problem of a configuration at once, one a line."""

    exit_code = ExitCode.CONFIG

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = tuple(problems)


class UnavailableError(StreamdError):
    exit_code = ExitCode.UNAVAILABLE


class DiskFull(UnavailableError):
    pass


class ModelError(UnavailableError):
    pass


class NoDirection(ModelError):
    pass


class SourceError(UnavailableError):
    pass


class SourceLost(SourceError):
    pass


class SourceRejected(SourceError):
    pass


class SourceDenied(SourceRejected):
    pass


class SourceAwaited(SourceError):
    pass


class SourceEnded(SourceError):
    pass


class PhotoRefused(UnavailableError):
    """A photo cannot be enrolled. ``reason`` is a stable label, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class GalleryError(UnavailableError):
    pass


class NotInGallery(GalleryError):
    pass


class GalleryConflict(GalleryError):
    pass


class GalleryServerAway(GalleryError):
    """The server of a shared gallery cannot be reached, or does not answer in time."""


class JournalError(UnavailableError):
    pass


class SinkError(UnavailableError):
    pass


class SinkAway(SinkError):
    pass


class SinkRefused(SinkError):
    """``after_s``: when it may be tried again, as far as the destination said so."""

    def __init__(self, message: str, *, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class LiveError(UnavailableError):
    pass


class CameraUnknown(LiveError):
    pass


class CameraAway(LiveError):
    pass


class ViewersFull(LiveError):
    pass


class SenderBusy(LiveError):
    pass


class OfferRefused(LiveError):
    pass


class CodecRefused(OfferRefused):
    pass


class ProtocolError(StreamdError):
    pass
