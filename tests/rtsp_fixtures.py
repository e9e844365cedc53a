"""The RTSP server of ``tests/rtsp/server.py`` as a test holds it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

SERVER = Path(__file__).parent / "rtsp" / "server.py"
PYTHON = "/usr/bin/python3"
NEEDS = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,bad,ugly} gstreamer1.0-x"


def require_rtsp_server() -> None:
    """Skip where GStreamer is missing; in CI that is a failure."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if Path(PYTHON).exists() and subprocess.run([PYTHON, "-c", probe], capture_output=True).returncode == 0:
        return
    message = f"no RTSP server: apt-get install {NEEDS}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


class RtspServer:
    """A server process on a port of its own. Use as a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        size: tuple[int, int] = (1280, 720),
        fps: int = 15,
        auth: str = "BASIC",
        bind: str = "127.0.0.1",
        sub: tuple[int, int] | None = None,
        main_late: int = 0,
        files: Mapping[str, Path] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        """See ``server.py``; with ``sub`` there are the mounts ``main`` and ``sub``. ``prefix`` runs it elsewhere, as
        in another network namespace."""
        self.size = size
        self.sub = sub
        self._prefix = list(prefix)
        self._extra = {
            "BIND": bind,
            "SUB": f"{sub[0]}x{sub[1]}" if sub else "",
            "MAIN_LATE": str(main_late),
            "FILES": ",".join(f"{name}={path}" for name, path in (files or {}).items()),
        }
        self.port = _free_port()
        self._folder = folder
        self._fps = fps
        self._auth = auth
        self._bind = bind
        self._shown = 0
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> RtspServer:
        require_rtsp_server()
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    def url(self, mount: str, *, user: str = "") -> str:
        return f"rtsp://{user + '@' if user else ''}{self._bind}:{self.port}/{mount}"

    def start(self) -> None:
        """Start, or start again on the same port."""
        width, height = self.size
        command = [PYTHON, str(SERVER), str(self.port), str(width), str(height), str(self._fps), self._auth]
        self._process = subprocess.Popen(
            [*self._prefix, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **self._extra},
        )
        assert self._line().startswith("READY")

    def kill(self) -> None:
        """SIGKILL: the connections just end."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def show(self, mount: str, picture: NDArray[np.uint8]) -> float:
        """Show a BGR picture of the server's size; returns the monotonic second of its first frame."""
        height, width = picture.shape[:2]
        assert (width, height) == (self.sub if mount == "sub" else self.size)
        path = self._folder / f"picture{self._shown % 8}.i420"
        self._shown += 1
        path.write_bytes(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).tobytes())
        answer = self.tell(f"show {mount} {path}")
        assert answer.startswith(f"shown {mount}"), answer
        return float(answer.split()[2])

    def show_both(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture in the main stream and, smaller, in the sub-stream."""
        assert self.sub is not None
        self.show("main", picture)
        self.show("sub", np.asarray(cv2.resize(picture, self.sub, interpolation=cv2.INTER_AREA), np.uint8))

    def tell(self, command: str) -> str:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the RTSP server ended"
        return line.strip()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def number_of(luma: NDArray[np.uint8], bits: int = 16) -> int:
    """The number that the server wrote into a frame of ``main`` or ``sub``."""
    height, width = luma.shape
    block = width // bits
    row = luma[height // 36]
    return sum(int(row[bit * block + block // 2] > 128) << bit for bit in range(bits))


def placed(
    face: NDArray[np.uint8], size: tuple[int, int], *, height: int, at: tuple[float, float] = (0.5, 0.5)
) -> NDArray[np.uint8]:
    """A photograph on a plain background of ``size`` (w, h), scaled to ``height`` px, centred at shares of the view."""
    width = round(face.shape[1] * height / face.shape[0])
    small = cv2.resize(face, (width, height), interpolation=cv2.INTER_AREA)
    canvas = np.full((size[1], size[0], 3), (96, 104, 100), np.uint8)
    x = min(max(round(at[0] * size[0] - width / 2), 0), size[0] - width)
    y = min(max(round(at[1] * size[1] - height / 2), 0), size[1] - height)
    canvas[y : y + height, x : x + width] = small
    return canvas
