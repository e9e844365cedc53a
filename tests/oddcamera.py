"""An RTSP camera of which a test chooses every bit: what it says of itself, and which packets it sends when."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import av
from av.bitstream import BitStreamFilterContext
from av.video.stream import VideoStream

MTU = 1300
CHALLENGE = 'WWW-Authenticate: Basic realm="odd"\r\n'
Unit = tuple[bytes, ...]
"""What one frame is made of (NAL units of H.264)."""


def units(path: Path) -> list[Unit]:
    """The frames of an H.264 film, in the order of decoding."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert isinstance(stream, VideoStream)
        plain = BitStreamFilterContext("h264_mp4toannexb", stream)
        packets = [out for packet in container.demux(stream) if packet.size for out in plain.filter(packet)]
        return [tuple(nal for nal in re.split(rb"\x00\x00\x00?\x01", bytes(packet)) if nal) for packet in packets]


class OddCamera:
    """Sends ``frames``, ``fps`` a second, over TCP to whoever plays; then it is silent. Use as a context manager."""

    def __init__(
        self,
        frames: Sequence[Unit],
        *,
        fps: float = 15.0,
        told: Unit = (),
        refuses: Callable[[str, str], int | None] = lambda method, request: None,
    ) -> None:
        """
        Args:
            told: a key frame, whose parameter sets the description has; else it has none.
            refuses: gives the status with which a request is refused, by its method and text.
        """
        self._frames = frames
        self._fps = fps
        self._sets = [nal for nal in told if nal[0] & 31 in (7, 8)]
        self._refuses = refuses
        self._server = socket.create_server(("127.0.0.1", 0))
        self._gone = threading.Event()
        self._viewers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.getsockname()[1]}"

    @property
    def url(self) -> str:
        return f"rtsp://{self.address}/cam"

    def __enter__(self) -> OddCamera:
        self._begin(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gone.set()
        for one in (self._server, *self._viewers):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._server.close()

    def _begin(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._gone.is_set():
                viewer, _ = self._server.accept()
                self._viewers.append(viewer)
                self._begin(self._serve, viewer)

    def _serve(self, viewer: socket.socket) -> None:
        heard = b""
        with viewer, suppress(OSError):
            while more := viewer.recv(4096):
                heard += more
                while b"\r\n\r\n" in heard:
                    request, _, heard = heard.partition(b"\r\n\r\n")
                    self._answer(viewer, request.decode("latin1"))  # reports of reception may stand before it

    def _answer(self, viewer: socket.socket, request: str) -> None:
        found = re.search(r"([A-Z_]+) rtsp://", request)
        number = re.search(r"CSeq: (\d+)", request)
        if found is None or number is None:
            return
        method = found[1]
        if (status := self._refuses(method, request)) is not None:
            viewer.sendall(f"RTSP/1.0 {status} No\r\nCSeq: {number[1]}\r\n{CHALLENGE}\r\n".encode())
            return
        body = self._description() if method == "DESCRIBE" else ""
        lines = [f"CSeq: {number[1]}", "Session: 1", f"Content-Length: {len(body)}"]
        if body:
            lines.append("Content-Type: application/sdp")
        if transport := re.search(r"Transport: .*", request):
            lines.append(transport[0].strip())
        viewer.sendall("\r\n".join(["RTSP/1.0 200 OK", *lines, "", body]).encode())
        if method == "PLAY":
            self._begin(self._play, viewer)

    def _description(self) -> str:
        sets = ",".join(b64encode(nal).decode() for nal in self._sets)
        told = f";sprop-parameter-sets={sets}" if sets else ""
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=odd\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
            f"a=fmtp:96 packetization-mode=1{told}\r\na=control:track1\r\n"
        )

    def _play(self, viewer: socket.socket) -> None:
        sequence, began_s = 0, time.monotonic()
        for index, unit in enumerate(self._frames):
            if self._gone.wait(max(0.0, began_s + index / self._fps - time.monotonic())):
                return
            for payload, last in _payloads(unit):
                stamp = round(index * 90_000 / self._fps)
                packet = struct.pack(">BBHII", 0x80, 96 | last << 7, sequence & 0xFFFF, stamp, 1) + payload
                sequence += 1
                try:
                    viewer.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                except OSError:  # the viewer has left
                    return


def _payloads(unit: Unit) -> Iterable[tuple[bytes, bool]]:
    """RTP payloads (RFC 6184), and whether each is the frame's last."""
    for nal in unit:
        last = nal is unit[-1]
        if len(nal) <= MTU:
            yield nal, last
            continue
        parts = [nal[at : at + MTU] for at in range(1, len(nal), MTU)]
        for index, part in enumerate(parts):
            begins, ends = index == 0, index == len(parts) - 1
            yield bytes([nal[0] & 0xE0 | 28, begins << 7 | ends << 6 | nal[0] & 31]) + part, last and ends
