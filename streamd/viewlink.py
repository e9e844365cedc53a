"""How pictures that somebody watches travel from a capture to the gateway: one at a time, newest only.

The gateway says WANT; where it wants every frame, that is also a lease, and for ``LEASE_S`` none is left out. The
capture answers once it has a frame that the gateway does not have yet, with VIEW, or with NOTHING and why. WANT is
repeated until answered, so that either side may be killed and come back; nothing queues pixels. WHOLE asks for one
frame in full size.

A capture whose camera nobody watches does nothing here: the gateway's socket knows it by the name it connected with.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import zmq

from streamd.domain import FrameId, Yuv420
from streamd.errors import ProtocolError
from streamd.sockets import Socket, try_receive, try_receive_frames, try_send
from streamd.wire import Header, decode, encode

logger = logging.getLogger(__name__)

WANT, WHOLE, VIEW, NOTHING = "WANT", "WHOLE", "VIEW", "NOTHING"
REPEAT_S = 1.0
"""WANT is repeated after this long without an answer."""
LEASE_S = 2.5
"""For so long after a WANT of every frame none is left out."""


@dataclass(frozen=True, slots=True)
class Want:
    """What the gateway would like to have next."""

    width: int
    """At most this wide,"""
    pixels: int
    """and at most so many."""
    epoch: str = ""
    after: int = -1
    """The frame that the gateway has, by epoch and number; any other will do where there is none."""
    smooth: bool = False
    """Whether every frame is wanted, also where nothing moves."""

    def fitted(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height of a view made to fit: even, same aspect, never enlarged."""
        width, height = size
        scale = min(1.0, self.width / width, math.sqrt(self.pixels / (width * height)))
        return max(2, int(width * scale) & ~1), max(2, int(height * scale) & ~1)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A frame to be looked at."""

    id: FrameId
    captured_at_s: float
    """Monotonic."""
    captured_wall_s: float
    full_size: tuple[int, int]
    """Width and height of the full picture, in whose pixels boxes are given."""
    picture: Yuv420
    whole: bool = False
    """Whether WHOLE was asked for."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """A camera has no picture now."""

    camera: str
    message: str
    """Why, for people."""


class CaptureViews:
    """A camera's side. Time is an argument."""

    def __init__(self, socket: Socket, camera: str) -> None:
        self.socket = socket
        self.want: Want | None = None
        """Unanswered."""
        self.whole_wanted = False
        self.sent = 0
        self._camera = camera
        self._smooth_until_s = -math.inf

    def hear(self, now_s: float) -> None:
        while (parts := try_receive(self.socket)) is not None:
            try:
                self._heed(decode(parts[0]), now_s)
            except ProtocolError as error:
                logger.warning("view link: %s", error)

    def smooth(self, now_s: float) -> bool:
        """Whether somebody watches who would see frames missing."""
        return now_s < self._smooth_until_s

    def has(self, epoch: str, seq: int) -> bool:
        """Whether the gateway has this frame already."""
        return self.want is not None and self.want.epoch == epoch and seq <= self.want.after

    def send(self, view: View) -> None:
        """The picture's array must not be written to afterwards."""
        header = encode(
            VIEW,
            epoch=view.id.epoch,
            seq=view.id.seq,
            captured_at=view.captured_at_s,
            wall=view.captured_wall_s,
            full=list(view.full_size),
            size=list(view.picture.size),
            matrix=view.picture.matrix,
            full_range=view.picture.full_range,
            whole=view.whole,
        )
        self._answered(whole=view.whole)
        self.sent += try_send(self.socket, [header, view.picture.planes.data], copy=False)

    def nothing(self, message: str, *, whole: bool = False) -> None:
        self._answered(whole=whole)
        try_send(self.socket, [encode(NOTHING, message=message)])

    def _answered(self, *, whole: bool) -> None:
        if whole:
            self.whole_wanted = False
        else:
            self.want = None

    def _heed(self, header: Header, now_s: float) -> None:
        if header.kind == WHOLE:
            self.whole_wanted = True
        elif header.kind == WANT:
            self.want = Want(
                max(16, header.integer("width")),
                max(256, header.integer("pixels")),
                header.text("epoch"),
                header.integer("after"),
                header.flag("smooth"),
            )
            if self.want.smooth:
                self._smooth_until_s = now_s + LEASE_S
        else:
            raise ProtocolError(f"{header.kind} for camera {self._camera!r}")


class GatewayViews:
    """The gateway's side: one listening socket for all cameras of this host."""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket

    def want(self, camera: str, want: Want) -> bool:
        """Ask for the next frame; False where the camera's process is not there."""
        header = encode(
            WANT, width=want.width, pixels=want.pixels, epoch=want.epoch, after=want.after, smooth=want.smooth
        )
        return try_send(self.socket, [camera.encode(), header])

    def whole(self, camera: str) -> bool:
        """Ask for the newest frame in full size."""
        return try_send(self.socket, [camera.encode(), encode(WHOLE)])

    def receive(self) -> list[View | Nothing]:
        """All that has arrived. Pictures refer to the received buffers and are read-only."""
        found: list[View | Nothing] = []
        while (parts := try_receive_frames(self.socket)) is not None:
            try:
                found.append(_read(parts))
            except ProtocolError as error:
                logger.warning("view link: %s", error)
        return found


def _read(parts: list[zmq.Frame]) -> View | Nothing:
    if len(parts) < 2:
        raise ProtocolError(f"message of {len(parts)} parts")
    try:
        camera = parts[0].bytes.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("camera name is not UTF-8") from error
    header = decode(parts[1].bytes)
    if header.kind == NOTHING:
        return Nothing(camera, header.text("message"))
    if header.kind != VIEW or len(parts) != 3:
        raise ProtocolError(f"{header.kind} of {len(parts)} parts from camera {camera!r}")
    return View(
        id=FrameId(camera, header.text("epoch"), header.integer("seq")),
        captured_at_s=header.number("captured_at"),
        captured_wall_s=header.number("wall"),
        full_size=header.pair("full"),
        picture=_picture(camera, header, parts[2]),
        whole=header.flag("whole"),
    )


def _picture(camera: str, header: Header, part: zmq.Frame) -> Yuv420:
    import numpy as np  # not before somebody watches

    (width, height), matrix = header.pair("size"), header.text("matrix")
    flat = np.frombuffer(part.buffer, np.uint8)
    if matrix not in ("bt601", "bt709") or width % 2 or height % 2 or flat.size != width * height * 3 // 2:
        raise ProtocolError(f"view of camera {camera!r}: {width}x{height} {matrix!r} of {flat.size} bytes")
    planes = flat.reshape(height * 3 // 2, width)
    return Yuv420(planes, "bt709" if matrix == "bt709" else "bt601", header.flag("full_range"))
