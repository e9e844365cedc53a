"""Failures in words: kind, cause, and never a password."""

from __future__ import annotations

import errno
import socket

import av.error
import pytest

from streamd.errors import SourceDenied, SourceError, SourceLost, SourceRejected
from streamd.sources.failures import in_words

SECRET = "rtsp://admin:hunter2@cam/1"


def fault(kind: type[Exception], number: int) -> Exception:
    return kind(number, f"message that names {SECRET}", SECRET)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (fault(av.error.HTTPUnauthorizedError, 1), SourceDenied, "401"),
        (fault(av.error.HTTPForbiddenError, 1), SourceDenied, "403"),
        (fault(av.error.HTTPNotFoundError, 1), SourceRejected, "404"),
        (fault(av.error.DecoderNotFoundError, 1), SourceRejected, "no decoder"),
        (fault(av.error.ProtocolNotFoundError, 1), SourceRejected, "not supported"),
        (fault(av.error.PermissionError, errno.EACCES), SourceRejected, "permission denied"),
        (fault(av.error.HTTPServerError, 1), SourceLost, "error of its own"),
        (fault(av.error.ConnectionRefusedError, errno.ECONNREFUSED), SourceLost, "connection refused"),
        (fault(av.error.ExitError, 1), SourceLost, "no answer for 5 s"),
        (fault(av.error.TimeoutError, errno.ETIMEDOUT), SourceLost, "no answer for 5 s"),
        (fault(av.error.OSError, errno.EHOSTUNREACH), SourceLost, "no route to host"),
        (fault(av.error.OSError, errno.EPROTONOSUPPORT), SourceLost, "the other one"),
        (fault(av.error.InvalidDataError, 1094995529), SourceLost, "invalid data"),
        (UnicodeEncodeError("utf-8", SECRET, 0, 1, "surrogates"), SourceLost, "UnicodeEncodeError"),
    ],
)
def test_each_failure_is_lost_or_rejected_with_its_reason(
    error: Exception, kind: type[SourceError], words: str
) -> None:
    said = in_words(error, where="rtsp://***@cam/1", live=True, waited_s=5.0)
    assert type(said) is kind
    assert words in str(said)
    assert str(said).startswith("rtsp://***@cam/1: ")
    assert "hunter2" not in str(said)


def test_what_is_unclear_about_a_file_is_final() -> None:
    said = in_words(fault(av.error.InvalidDataError, 1094995529), where="clip.mp4", live=False)
    assert isinstance(said, SourceRejected)
    assert str(said) == "clip.mp4: not a video that can be read (invalid data)"


def test_a_host_without_an_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(host: str, port: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    broken = fault(av.error.OSError, errno.EIO)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "no address is known for the host 'cam'" in str(in_words(broken, where="rtsp://***@cam/1", live=True))
    assert "input/output error" in str(in_words(broken, where="/dev/video0", live=True))
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port: [])
    assert "input/output error" in str(in_words(broken, where="rtsp://***@cam/1", live=True))
