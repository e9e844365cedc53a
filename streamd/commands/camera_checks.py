"""The doctor on cameras: each is opened, its first picture awaited, and its pictures counted for two seconds."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from streamd.commands.finding import Finding, Level
from streamd.config import CameraConfig, CaptureConfig, Config, redacted_url
from streamd.errors import SourceError, SourceLost, SourceRejected
from streamd.interfaces import Source, SourceInfo
from streamd.sources.pacing import KEY_PATIENCE

OPEN_S = 4.0
"""RTSP needs a second or two for its handshake and the first key frame."""
PICTURE_S = 2.0
"""The first key frame is awaited for ``KEY_PATIENCE`` times that."""
WATCH_S = 2.0
"""For how long pictures are counted after the first."""
FEW = 0.6
"""Of the rate that a camera states: with fewer pictures something on the way loses them."""
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
    patience_s = streams * (OPEN_S + KEY_PATIENCE * PICTURE_S + WATCH_S) + GRACE_S
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
        trials = [_trial(url, capture, opener) for url in (camera.url, camera.substream) if url is not None]
        message = "; sub-stream ".join(str(trial) for trial in trials)
        if any(trial.loses for trial in trials):
            advice = "the network, the camera's own load, or a rate that it does not keep: try capture.transport: tcp"
            return Finding(Level.WARN, topic, message + ": fewer pictures than it states", advice)
        return Finding(Level.OK, topic, message)
    except SourceRejected as error:
        return Finding(Level.FAIL, topic, str(error), _advice(camera.url, str(error)))
    except SourceError as error:
        return Finding(Level.FAIL, topic, str(error), "check its power, network and url")
    except (OSError, ValueError, RuntimeError) as error:
        return Finding(Level.FAIL, topic, f"{redacted_url(camera.url)}: {type(error).__name__}: {error}")


def _advice(url: str, said: str) -> str:
    """After a refusal: whether it is the password, or the address."""
    if "401" in said or "password" in said or "403" in said:
        given = "is wrong" if "@" in url else "is missing: rtsp://USER:PASSWORD@HOST/..."
        return f"the camera is there, and the password {given}; check its url, and the password in it"
    return "check its url, and the password in it"


@dataclass(frozen=True, slots=True)
class _Trial:
    """What a stream gave."""

    info: SourceInfo
    first_ms: float
    fps: float | None
    """Measured; None where it ended too soon."""
    authorised: bool

    def __str__(self) -> str:
        stated = f"{self.info.fps:g} fps" if self.info.fps else "unknown frame rate"
        measured = f" ({self.fps:.1f} measured)" if self.fps is not None else ""
        password = ", password accepted" if self.authorised else ""
        size = f"{self.info.codec} {self.info.width}x{self.info.height}"
        return f"{size}, {stated}{measured}, first picture after {self.first_ms:.0f} ms{password}"

    @property
    def loses(self) -> bool:
        return bool(self.info.fps) and self.fps is not None and self.fps < FEW * (self.info.fps or 0.0)


def _trial(url: str, capture: CaptureConfig, opener: Opener) -> _Trial:
    """Raises SourceError before the first picture."""
    started_s = time.monotonic()
    source = opener(url, capture)
    try:
        info = source.open()
        source.read(capture.read_timeout_s)
        first_s = time.monotonic()
        fps = _rate(source, first_s, capture.read_timeout_s)
    finally:
        source.close()
    return _Trial(info, (first_s - started_s) * 1000, fps, authorised="@" in url)


def _rate(source: Source, first_s: float, timeout_s: float) -> float | None:
    count, last_s = 0, first_s
    try:
        while time.monotonic() - first_s < WATCH_S:
            source.read(timeout_s)
            count, last_s = count + 1, time.monotonic()
    except SourceLost:
        return count / (time.monotonic() - first_s)
    except SourceError:  # a file that ended
        return None
    return count / max(last_s - first_s, 0.001)
