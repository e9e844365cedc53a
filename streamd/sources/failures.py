"""What went wrong with a source, in words for people and without a password.

PyAV's own messages contain the URL as it was given, so none of them is passed on.
"""

from __future__ import annotations

import errno
import os
import socket
from urllib.parse import urlsplit

import av.error

from streamd.errors import SourceDenied, SourceError, SourceLost, SourceRejected

FAILURES = (av.error.FFmpegError, OSError, ValueError)
"""What opening, demuxing and decoding may raise. ValueError: a URL that PyAV cannot encode."""

_DENIED: tuple[tuple[type[Exception], str], ...] = (
    (av.error.HTTPUnauthorizedError, "wrong or missing user name and password (401)"),
    (av.error.HTTPForbiddenError, "access denied for this user (403)"),
)
_REJECTED: tuple[tuple[type[Exception], str], ...] = (
    (av.error.HTTPNotFoundError, "the server has no such stream (404): check the path in the url"),
    (av.error.HTTPBadRequestError, "the server does not understand the request (400): check the url"),
    (av.error.ProtocolNotFoundError, "this kind of url is not supported"),
    (av.error.DemuxerNotFoundError, "this kind of stream is not supported"),
    (av.error.DecoderNotFoundError, "no decoder for this codec: set the camera to h264, h265 or mjpeg"),
    (av.error.PatchWelcomeError, "this variant of the codec is not supported"),
    (FileNotFoundError, "no such file or device"),
    (PermissionError, "permission denied: give the service's user the right to read it"),
    (IsADirectoryError, "is a folder"),
)
_LOST: tuple[tuple[type[Exception], str], ...] = (
    (av.error.HTTPTooManyRequestsError, "the server asks for fewer requests (429)"),
    (av.error.HTTPOtherClientError, "the server refuses (4xx): too many viewers, or try the other transport"),
    (av.error.HTTPServerError, "the server reports an error of its own (5xx)"),
    (ConnectionRefusedError, "connection refused: is the camera on, and the port right?"),
    (ConnectionResetError, "the connection was reset"),
    (ConnectionAbortedError, "the connection was aborted"),
    (BrokenPipeError, "the connection broke"),
)
_SILENT = (av.error.ExitError, TimeoutError)


def in_words(error: Exception, *, where: str, live: bool, waited_s: float | None = None) -> SourceError:
    """The source error that ``error`` amounts to.

    Args:
        where: What the message starts with: a redacted URL or a path.
        live: Whether it may come back by itself: then what is unclear counts as lost.
        waited_s: How long the time-out was that may have struck.
    """
    if isinstance(error, _SILENT):
        waited = f" for {waited_s:g} s" if waited_s else ""
        return SourceLost(f"{where}: no answer{waited}")
    for family, table in ((SourceDenied, _DENIED), (SourceRejected, _REJECTED), (SourceLost, _LOST)):
        for kind, words in table:
            if isinstance(error, kind):
                return family(f"{where}: {words}")
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EPROTONOSUPPORT:
        return SourceLost(f"{where}: the server refuses this transport (461): set capture.transport to the other one")
    if number == errno.EIO and (host := _unknown_host(where)) is not None:
        return SourceLost(f"{where}: no address is known for the host '{host}': is its name right, and the DNS there?")
    if live:
        return SourceLost(f"{where}: broke off or cannot be reached ({_reason(error)})")
    return SourceRejected(f"{where}: not a video that can be read ({_reason(error)})")


def _reason(error: Exception) -> str:
    if isinstance(error, av.error.InvalidDataError):
        return "invalid data"
    if isinstance(error, EOFError):
        return "ended at once"
    number = error.errno if isinstance(error, OSError) else None
    if number and 0 < number < 200:  # larger numbers are FFmpeg's tags, of which strerror knows nothing
        return os.strerror(number).lower()
    return type(error).__name__


def _unknown_host(where: str) -> str | None:
    """The host of a redacted URL, if its name is none, or nobody can be asked: FFmpeg says just that there was an
    error. Takes as long as FFmpeg's own question did."""
    try:
        host = urlsplit(where).hostname
        if host is not None:
            socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return host
    except ValueError:
        return None
    return None
