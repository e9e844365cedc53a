"""Failures in words: kind, cause, and never a password."""

from __future__ import annotations

import errno

import av.error
import pytest

from streamd.errors import SourceError, SourceLost, SourceRejected
from streamd.sources.failures import in_words

SECRET = "rtsp://admin:hunter2@cam/1"


def fault(kind: type[Exception], number: int) -> Exception:
    return kind(number, f"message that names {SECRET}", SECRET)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (fault(av.error.HTTPUnauthorizedError, 1), SourceRejected, "401"),
        (fault(av.error.HTTPForbiddenError, 1), SourceRejected, "403"),
        (fault(av.error.HTTPNotFoundError, 1), SourceRejected, "404"),
        (fault(av.error.DecoderNotFoundError, 1), SourceRejected, "no decoder"),
        (fault(av.error.ProtocolNotFoundError, 1), SourceRejected, "not supported"),
        (fault(av.error.PermissionError, errno.EACCES), SourceRejected, "permission denied"),
        (fault(av.error.HTTPServerError, 1), SourceLost, "error of its own"),
        (fault(av.error.ConnectionRefusedError, errno.ECONNREFUSED), SourceLost, "connection refused"),
        (fault(av.error.ExitError, 1), SourceLost, "no answer for 5 s"),
        (fault(av.error.TimeoutError, errno.ETIMEDOUT), SourceLost, "no answer for 5 s"),
        (fault(av.error.OSError, errno.EHOSTUNREACH), SourceLost, "no route to host"),
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
