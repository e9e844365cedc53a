"""From a URL to a source that can be opened."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote, urlsplit

from streamd.config import WHIP_URL, CameraConfig, CaptureConfig, redacted_url
from streamd.errors import SourceRejected
from streamd.interfaces import DecoderWork, Source

if TYPE_CHECKING:
    from streamd.sources.mainwork import MainWork

NETWORK = frozenset({"rtsp", "rtsps", "http", "https"})
ACCEPTED = "rtsp://, rtsps://, http:// or https:// url, a video file, an image folder, or /dev/videoN"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def open_source(url: str, config: CaptureConfig) -> Source:
    """The source for ``url``, not yet opened. Nothing is connected to here, and nothing raised.

    What cannot be a source says so when it is opened (SourceRejected), because a file or folder may appear
    while the camera is being retried.
    """
    # Loaded late: the codecs and OpenCV cost tens of megabytes, and never both are needed.
    if url == WHIP_URL:
        return _Refused("this camera is sent to by a browser or phone: only the daemon takes its pictures")
    scheme = _scheme(url)
    if scheme not in (*NETWORK, "file", ""):
        return _Refused(f"{redacted_url(url)}: scheme '{scheme}' is not supported: give a {ACCEPTED}")
    if scheme in NETWORK:
        from streamd.sources.av import AvSource

        return AvSource(scheme + url[len(scheme) :], config=config)  # FFmpeg knows small letters only
    try:
        path = local_path(url)
    except (ValueError, RuntimeError) as error:  # no address, or no home folder of anybody
        return _Refused(f"{redacted_url(url)}: {error}")
    if path.is_dir():
        from streamd.sources.images import ImageFolder

        return ImageFolder(path, config=config)
    from streamd.sources.av import AvSource

    return AvSource(str(path), config=config)


def camera_opener(camera: CameraConfig, work: MainWork, *, offers: str) -> Callable[[], Source]:
    """What opens the source of a camera, again and again.

    Args:
        work: as for ``open_camera``.
        offers: where the offers of browsers and phones come in, if they are the camera; the source is one and the same
            then.
    """
    if not camera.is_whip:
        return lambda: open_camera(camera, work)
    from streamd.sources.webrtc import WhipSource  # aiortc is large

    source = WhipSource(offers, config=camera.capture)
    return lambda: source


def capture_config(camera: CameraConfig) -> CaptureConfig:
    """How the camera is read: one that waits for senders is not tried less and less often."""
    if not camera.is_whip:
        return camera.capture
    return camera.capture.model_copy(update={"retry_max_s": camera.capture.retry_min_s})


def open_camera(camera: CameraConfig, work: MainWork) -> Source:
    """The source for a camera with an url and perhaps a sub-stream, not yet opened; as ``open_source``.

    Args:
        work: counts what becomes of the main stream where there is a sub-stream.
    """
    url = camera.url or ""
    if camera.substream is None:
        return open_source(url, camera.capture)
    from streamd.sources.pairing import PairedSource

    return PairedSource(url, camera.substream, config=camera.capture, work=work)


def local_path(url: str) -> Path:
    """The path of a ``file://`` URL or a plain path."""
    if _scheme(url) == "file":
        return Path(unquote(urlsplit(url).path))
    return Path(url).expanduser()


def _scheme(url: str) -> str:
    found = _SCHEME.match(url)
    return found[1].lower() if found else ""


class _Refused:
    """A source that cannot be: says why when it is opened."""

    def __init__(self, message: str) -> None:
        self.corrupt_packets = 0
        self.work = DecoderWork()
        self.resting = self.settled = False
        self._message = message

    def open(self) -> NoReturn:
        raise SourceRejected(self._message)

    def read(self, timeout_s: float) -> NoReturn:
        raise SourceRejected(self._message)

    def close(self) -> None:
        """There is nothing to let go of."""
