"""A file over HTTP that goes on where it stopped."""

from __future__ import annotations

import http.client
import logging
import os
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from streamd.errors import ModelError
from streamd.vision.progress import Tell

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 256 * 1024
_TRIES = 3
"""A connection that breaks is resumed this often before the source counts as failed."""


def download(url: str, into: Path, *, tell: Tell, timeout_s: float = 30.0) -> None:
    """Append the rest of ``url`` to the partial file ``into``, from its present length on.

    A server that ignores ranges starts the file again. What has arrived stays in ``into`` when the
    download fails, so that the next call resumes.

    Raises:
        ModelError: the server could not be reached, refused, or broke off repeatedly.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ModelError(f"{url}: only http and https can be downloaded; name a local file with 'file:'")
    failure: Exception | None = None
    for attempt in range(1, _TRIES + 1):
        try:
            return _resume(url, into, tell=tell, timeout_s=timeout_s)
        except urllib.error.HTTPError as error:
            error.close()
            raise ModelError(f"{url}: HTTP {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            logger.debug("%s: try %d of %d failed: %s", url, attempt, _TRIES, error)
            failure = error
    raise ModelError(f"{url}: {failure}") from failure


def _resume(url: str, into: Path, *, tell: Tell, timeout_s: float) -> None:
    done = into.stat().st_size if into.exists() else 0
    try:
        with _request(url, done, timeout_s) as response:
            _store(response, into, done=done, tell=tell)
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not done:
            raise
        error.close()
        # The partial file is no shorter than the whole one, and wrong: else it would not be partial.
        os.truncate(into, 0)
        _resume(url, into, tell=tell, timeout_s=timeout_s)


def _request(url: str, done_bytes: int, timeout_s: float) -> http.client.HTTPResponse:
    headers = {"User-Agent": "streamd", "Accept-Encoding": "identity"}
    if done_bytes:
        headers["Range"] = f"bytes={done_bytes}-"
    response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    if not isinstance(response, http.client.HTTPResponse):
        raise ModelError(f"{url}: not an http answer")
    return response


def _store(response: http.client.HTTPResponse, into: Path, *, done: int, tell: Tell) -> None:
    if not _continues(response, done):
        done = 0
    length = response.getheader("Content-Length", "")
    total = done + int(length) if length.isdigit() else None
    with into.open("r+b" if done else "wb") as file:
        file.seek(done)
        while chunk := response.read(_CHUNK_BYTES):
            file.write(chunk)
            done += len(chunk)
            tell(done, total)
    if total is not None and done < total:
        # read(n) reports a connection that closed early as an ordinary end.
        raise ConnectionError(f"closed after {done} of {total} bytes")


def _continues(response: http.client.HTTPResponse, done_bytes: int) -> bool:
    ranged = response.status == HTTPStatus.PARTIAL_CONTENT
    return ranged and response.getheader("Content-Range", "").startswith(f"bytes {done_bytes}-")
