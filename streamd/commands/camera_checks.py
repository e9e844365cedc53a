"""The doctor on cameras: each is opened, and its first picture awaited."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator

from streamd.commands.finding import Finding, Level
from streamd.config import CameraConfig, CaptureConfig, Config, redacted_url
from streamd.errors import SourceError, SourceRejected
from streamd.interfaces import Source

OPEN_S = 4.0
"""RTSP needs a second or two for its handshake and the first key frame."""
PICTURE_S = 2.0
GRACE_S = 2.0
"""A decoder that is still busy after its own time-outs hangs."""

Opener = Callable[[str, CaptureConfig], Source]


def cameras(config: Config) -> Iterator[Finding]:
    """All cameras at once, in the file's order."""
    from streamd.sources.opening import open_source

    yield from camera_findings(config, open_source)


def camera_findings(config: Config, opener: Opener) -> Iterator[Finding]:
    trials = [(name, _begin(name, camera, opener)) for name, camera in config.cameras.items()]
    streams = 2 if any(camera.substream for camera in config.cameras.values()) else 1
    patience_s = streams * (OPEN_S + PICTURE_S) + GRACE_S
    deadline_s = time.monotonic() + patience_s
    for name, answer in trials:
        try:
            yield answer.get(timeout=max(0.01, deadline_s - time.monotonic()))
        except queue.Empty:
            message = f"no answer in {patience_s:g} s: the decoder or the device hangs"
            yield Finding(Level.FAIL, f"camera {name}", message, "unplug or restart the camera")


def _begin(name: str, camera: CameraConfig, opener: Opener) -> queue.Queue[Finding]:
    answer: queue.Queue[Finding] = queue.Queue(maxsize=1)

    def work() -> None:
        answer.put(_examine(name, camera, opener))

    # A daemon thread, because a stalled V4L2 device never lets go of its reader.
    threading.Thread(target=work, name=f"doctor-{name}", daemon=True).start()
    return answer


def _examine(name: str, camera: CameraConfig, opener: Opener) -> Finding:
    topic = f"camera {name}"
    if camera.url is None:
        return Finding(Level.OK, topic, "captured on another host; not tried from here")
    if camera.is_whip:
        return Finding(Level.OK, topic, "waits for a browser or phone; not tried")
    limits = {
        "open_timeout_s": min(camera.capture.open_timeout_s, OPEN_S),
        "read_timeout_s": min(camera.capture.read_timeout_s, PICTURE_S),
    }
    capture = camera.capture.model_copy(update=limits)
    try:
        message = _first_picture(camera.url, capture, opener)
        if camera.substream is not None:
            message += f"; sub-stream {_first_picture(camera.substream, capture, opener)}"
        return Finding(Level.OK, topic, message)
    except SourceRejected as error:
        return Finding(Level.FAIL, topic, str(error), "check its url, and the password in it")
    except SourceError as error:
        return Finding(Level.FAIL, topic, str(error), "check its power, network and url")
    except (OSError, ValueError, RuntimeError) as error:
        return Finding(Level.FAIL, topic, f"{redacted_url(camera.url)}: {type(error).__name__}: {error}")


def _first_picture(url: str, capture: CaptureConfig, opener: Opener) -> str:
    started_s = time.monotonic()
    source = opener(url, capture)
    try:
        info = source.open()
        source.read(capture.read_timeout_s)
    finally:
        source.close()
    took_ms = (time.monotonic() - started_s) * 1000
    fps = f"{info.fps:g} fps" if info.fps else "unknown frame rate"
    return f"{info.codec} {info.width}x{info.height}, {fps}, first picture after {took_ms:.0f} ms"
