"""How pictures travel: on demand, newest only, the same over ipc and tcp.

A capture says READY when it has something new; the worker answers SEND when it has room; the capture replies with
FRAME, whatever is newest *then*, or next where that comes soon and the newest is old. READY is repeated until answered,
a SEND unanswered is forgotten, so that either side may be killed and come back. Nothing queues pixels.

FRAME has three parts: the header, the detector-sized BGR image, and the full picture as planar 4:2:0. The picture is
left out where SEND says so; the worker asks for it by PICTURE, naming the frame, if the image shows somebody whose face
is wanted, and gets it in a FRAME without the image, or one with neither where the capture has no picture of that
moment.

Between hosts pictures go as JPEG of the quality that the worker asks for. ELSEWHERE is what a worker says to the
capture of a camera that another worker of its box looks at.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import zmq
from numpy.typing import NDArray

from streamd.domain import Frame, FrameId, Picture, Yuv420
from streamd.errors import ProtocolError
from streamd.jpeg import packed, unpacked
from streamd.sockets import Socket, redial, try_receive, try_receive_frames, try_send
from streamd.wire import Header, decode, encode
from streamd.workerfinder import WorkerFinder

logger = logging.getLogger(__name__)

READY, SEND, PICTURE, FRAME, BYE = "READY", "SEND", "PICTURE", "FRAME", "BYE"
ELSEWHERE = "ELSEWHERE"
INLINE, IMAGE_ONLY, PICTURE_ONLY, NO_PICTURE = "inline", "image", "picture", "none"
"""What a FRAME carries."""
PLAIN, JPEG = "plain", "jpeg"
"""How it is coded."""
REPEAT_S = 1.0
"""READY is repeated, and a SEND counts as lost, after this long."""


def host_id() -> str:
    """Changes with the host and with its boot: monotonic clocks compare only where it is equal."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class CaptureEnd:
    """A camera's side of the link.

    Time is an argument, so that the protocol can be tested without waiting.
    """

    def __init__(self, socket: Socket, finder: WorkerFinder | None = None) -> None:
        """``finder`` knows which of several workers on another host is the camera's."""
        self.socket = socket
        self._finder = finder
        self._quality: int | None = None
        """Of the JPEG that was asked for; None for pixels as they are."""
        self._host = host_id()
        self._announced_at_s: float | None = None
        self._announced_motion = 0.0

    def announce(self, *, motion: float, now_s: float) -> None:
        """Something newer than the last frame sent is there. Cheap to call for each decoded frame."""
        self._follow(now_s)
        waited = self._announced_at_s is not None and now_s - self._announced_at_s < REPEAT_S
        if waited and motion <= (self.announced or 0.0):
            return
        reached = try_send(self.socket, [encode(READY, motion=round(motion, 5))])
        if reached:
            self._announced_at_s, self._announced_motion = now_s, motion
        if self._finder is not None:
            self._finder.reached(reached, now_s)

    def _follow(self, now_s: float) -> None:
        """To where the camera's worker is."""
        if self._finder is None:
            return
        before = self._finder.endpoint
        if self._finder.moved(now_s):
            redial(self.socket, before, self._finder.endpoint)
            self._announced_at_s = None

    @property
    def announced(self) -> float | None:
        """More motion than this is told of at once; None where the worker does not know yet that there is a frame."""
        return None if self._announced_at_s is None else 2 * self._announced_motion + 0.001

    def asked(self) -> Asked:
        """What the worker asked for since the last call."""
        asked = Asked()
        while (parts := try_receive(self.socket)) is not None:
            try:
                header = decode(parts[0])
                self._heed(header)
                asked = _asked(asked, header)
            except ProtocolError as error:
                logger.warning("frame link: %s", error)
        return asked

    def _heed(self, header: Header) -> None:
        if header.kind in (SEND, PICTURE):
            self._quality = header.integer("jpeg") if "jpeg" in header.fields else None
        if self._finder is None:
            return
        if header.kind == SEND:
            self._finder.found()
        elif header.kind == ELSEWHERE:
            self._finder.elsewhere(worker=header.integer("worker"), workers=header.integer("workers"))

    def send(self, frame: Frame) -> bool:
        """Hand over a frame; its arrays must not be written to afterwards. False where the worker is gone."""
        self._announced_at_s = None
        if frame.picture is None:
            return self._send(frame, IMAGE_ONLY, [frame.image])
        return self._send(frame, INLINE, [frame.image, _planes(frame.picture).planes])

    def send_picture(self, frame: Frame) -> bool:
        """Hand over the picture of a frame whose image the worker has, or say that there is none."""
        if frame.picture is None:
            return self._send(frame, NO_PICTURE, [])
        return self._send(frame, PICTURE_ONLY, [_planes(frame.picture).planes])

    def _send(self, frame: Frame, payload: str, pixels: list[NDArray[np.uint8]]) -> bool:
        quality = self._quality
        parts = [p.data if quality is None else packed(p, min(100, max(1, quality))) for p in pixels]
        colour = frame.picture if isinstance(frame.picture, Yuv420) else None
        header = encode(
            FRAME,
            epoch=frame.id.epoch,
            seq=frame.id.seq,
            host=self._host,
            captured_at=frame.captured_at_s,
            age=max(0.0, time.monotonic() - frame.captured_at_s),
            wall=frame.captured_wall_s,
            size=list(frame.size),
            image=[frame.image.shape[1], frame.image.shape[0]],
            matrix=colour.matrix if colour else "bt709",
            full_range=colour.full_range if colour else False,
            motion=round(frame.motion, 5),
            cut=frame.cut,
            unchanged=round(frame.unchanged_s, 3),
            payload=payload,
            coding=PLAIN if quality is None else JPEG,
        )
        return try_send(self.socket, [header, *parts], copy=False)

    def bye(self, *, reason: str, message: str) -> None:
        """The camera is gone: nothing more will come until the next READY. ``message`` is for people."""
        self._announced_at_s = None
        try_send(self.socket, [encode(BYE, reason=reason, message=message)])


@dataclass(frozen=True, slots=True)
class Asked:
    """What a worker wants of a capture."""

    frame: bool = False
    picture: bool = False
    """Whether with the full picture."""
    watched: bool | None = None
    """Whether somebody is followed; None where nothing was said."""
    settled: bool = False
    """Whether everybody who is followed has a verdict."""
    picture_of: int | None = None
    """The frame sent before whose picture is wanted."""


def _asked(before: Asked, header: Header) -> Asked:
    if header.kind == PICTURE:
        return replace(before, picture_of=header.integer("seq"))
    if header.kind != SEND:
        return before
    # Workers on other hosts may be older, and say none of these.
    picture = header.flag("picture") if "picture" in header.fields else True
    watched = header.flag("watched") if "watched" in header.fields else True
    settled = header.flag("settled") if "settled" in header.fields else False
    return replace(before, frame=True, picture=picture, watched=watched, settled=settled)


def _planes(picture: Picture | None) -> Yuv420:
    if not isinstance(picture, Yuv420):
        raise TypeError("frames travel as planar 4:2:0")
    return picture


@dataclass(frozen=True, slots=True, eq=False)
class Arrived:
    """The picture of a frame that came without it; None where the capture has none."""

    id: FrameId
    picture: Yuv420 | None


@dataclass(frozen=True, slots=True)
class Ready:
    camera: str
    motion: float


@dataclass(frozen=True, slots=True)
class Bye:
    camera: str
    reason: str
    message: str


Message = Ready | Bye | Frame | Arrived


class WorkerEnd:
    """The worker's side: one or two listening sockets (ipc, and tcp for cameras on other hosts)."""

    def __init__(
        self,
        local: Socket,
        remote: Socket | None = None,
        *,
        trusted: Mapping[str, str] | None = None,
        jpeg_quality: int | None = None,
    ) -> None:
        """
        Args:
            trusted: maps the public keys that may connect to ``remote`` to the one camera each may speak for.
            jpeg_quality: of pictures that come through ``remote``; None for pixels as they are.
        """
        self.sockets = [local] if remote is None else [local, remote]
        self.garbage = 0
        """Messages that were not of this protocol."""
        self._remote = remote
        self._trusted = trusted or {}
        self._coded = {} if jpeg_quality is None else {"jpeg": jpeg_quality}
        self._host = host_id()
        self._route: dict[str, Socket] = {}

    def grant(self, camera: str, *, picture: bool = True, watched: bool = True, settled: bool = False) -> bool:
        """Ask a camera for its newest frame; False where it is not there.

        Args:
            picture: with the full picture.
            watched: whether somebody is followed on this camera.
            settled: whether everybody who is followed has a verdict.
        """
        return self._ask(camera, SEND, picture=picture, watched=watched, settled=settled)

    def ask_picture(self, frame: FrameId) -> bool:
        """Ask for the full picture of the frame that came last; False where its camera is not there."""
        return self._ask(frame.camera, PICTURE, seq=frame.seq)

    def elsewhere(self, camera: str, *, worker: int, workers: int) -> None:
        """Tell a capture on another host that this worker, one of several, does not look at its camera."""
        socket = self._route.get(camera)
        if socket is not None and socket is self._remote:
            try_send(socket, [camera.encode(), encode(ELSEWHERE, worker=worker, workers=workers)])

    def _ask(self, camera: str, kind: str, **fields: int) -> bool:
        socket = self._route.get(camera)
        if socket is None:
            return False
        coded = self._coded if socket is self._remote else {}
        return try_send(socket, [camera.encode(), encode(kind, **fields, **coded)])

    def receive(self, woken: Collection[object] | None = None) -> list[Message]:
        """All that has arrived. Frames refer to the received buffers and are read-only.

        Args:
            woken: What a poller found readable, if it was asked.
        """
        found: list[Message] = []
        for socket in self.sockets if woken is None else [s for s in self.sockets if s in woken]:
            while (parts := try_receive_frames(socket)) is not None:
                try:
                    found.append(self._read(socket, parts))
                except ProtocolError as error:
                    self.garbage += 1
                    logger.warning("frame link: %s", error)
        return found

    def _read(self, socket: Socket, parts: list[zmq.Frame]) -> Message:
        if len(parts) < 2:
            raise ProtocolError(f"message of {len(parts)} parts")
        try:
            camera = parts[0].bytes.decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("camera name is not UTF-8") from error
        if socket is self._remote:
            self._check_owner(camera, parts[1])
        header = decode(parts[1].bytes)
        self._route[camera] = socket
        if header.kind == READY:
            return Ready(camera, min(1.0, max(0.0, header.number("motion"))))
        if header.kind == BYE:
            return Bye(camera, header.text("reason"), header.text("message"))
        if header.kind == FRAME:
            return self._frame(camera, header, parts[2:])
        raise ProtocolError(f"{header.kind} from camera {camera!r}")

    def _check_owner(self, camera: str, part: zmq.Frame) -> None:
        try:
            key = part.get("User-Id")
        except zmq.ZMQError as error:
            raise ProtocolError("a message without its sender's key") from error
        owner = self._trusted.get(str(key))
        if owner != camera:
            raise ProtocolError(f"the key of {owner!r} speaks for camera {camera!r}: refused")

    def _frame(self, camera: str, header: Header, parts: list[zmq.Frame]) -> Frame | Arrived:
        payload = header.text("payload")
        wanted = {INLINE: 2, IMAGE_ONLY: 1, PICTURE_ONLY: 1, NO_PICTURE: 0}.get(payload)
        if len(parts) != wanted:
            raise ProtocolError(f"frame of camera {camera!r} with {len(parts)} parts")
        size, frame_id = header.pair("size"), FrameId(camera, header.text("epoch"), header.integer("seq"))
        image_width, image_height = header.pair("image")
        picture = None if payload in (IMAGE_ONLY, NO_PICTURE) else _picture(camera, header, size, parts[-1])
        if payload in (PICTURE_ONLY, NO_PICTURE):
            return Arrived(frame_id, picture)
        return Frame(
            id=frame_id,
            captured_at_s=self._captured_at_s(header),
            captured_wall_s=header.number("wall"),
            image=_array(parts[0], (image_height, image_width, 3), _coding(header)),
            picture=picture,
            motion=min(1.0, max(0.0, header.number("motion"))),
            cut="cut" in header.fields and header.flag("cut"),  # captures on other hosts may be older
            full_size=size,
            unchanged_s=max(0.0, header.number("unchanged")) if "unchanged" in header.fields else 0.0,
        )

    def _captured_at_s(self, header: Header) -> float:
        """This host's clock reads the same in every process; another host's age is all that can be known."""
        if header.text("host") == self._host:
            return header.number("captured_at")
        return time.monotonic() - max(0.0, header.number("age"))


def _picture(camera: str, header: Header, size: tuple[int, int], part: zmq.Frame) -> Yuv420:
    (width, height), matrix = size, header.text("matrix")
    if matrix not in ("bt601", "bt709") or width % 2 or height % 2:
        raise ProtocolError(f"frame of camera {camera!r}: {width}x{height} {matrix!r}")
    planes = _array(part, (height * 3 // 2, width), _coding(header))
    return Yuv420(planes, "bt709" if matrix == "bt709" else "bt601", header.flag("full_range"))


def _coding(header: Header) -> str:
    """Captures on other hosts may be older, and know one only."""
    return header.text("coding") if "coding" in header.fields else PLAIN


def _array(part: zmq.Frame, shape: tuple[int, ...], coding: str) -> NDArray[np.uint8]:
    flat = np.frombuffer(part.buffer, np.uint8)
    if coding == JPEG:
        return unpacked(flat, shape)
    if coding != PLAIN:
        raise ProtocolError(f"picture coded as {coding!r}")
    expected = math.prod(shape)
    if flat.size != expected:
        raise ProtocolError(f"picture of {flat.size} bytes where {shape} needs {expected}")
    return flat.reshape(shape)
