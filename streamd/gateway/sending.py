"""Browsers, phones and other programs as cameras: their offers, handed to the process of the camera that they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import zmq

from streamd.config import CameraConfig
from streamd.endpoints import offers_endpoint
from streamd.errors import CameraAway, CameraUnknown, ProtocolError
from streamd.loopsocket import LoopSocket
from streamd.sockets import Socket, Sockets, try_receive, try_send
from streamd.whiplink import Question, Reply

logger = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""A camera's process that does not answer by then is away."""
_AGAIN_S = 0.05


@dataclass(eq=False, slots=True)
class _Line:
    """The way to one camera's process."""

    socket: Socket
    listening: LoopSocket


class Senders:
    """To be made in a running event loop. Errors are ``LiveError``s with words for people."""

    def __init__(self, sockets: Sockets, sockets_dir: Path, *, cameras: Mapping[str, CameraConfig]) -> None:
        self._sockets = sockets
        self._sockets_dir = sockets_dir
        self._cameras = dict(cameras)
        self._lines: dict[str, _Line] = {}
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Reply]] = {}
        self._by_token: dict[str, tuple[str, str | None]] = {}
        """Who sends with a camera's token, by camera: their id, and the hash of that token."""
        self._hanging_up: set[asyncio.Task[None]] = set()

    def set_cameras(self, cameras: Mapping[str, CameraConfig]) -> None:
        """The configuration has changed: who sends with a token that is not valid any more is hung up on."""
        self._cameras = dict(cameras)
        for camera, (sender, token) in list(self._by_token.items()):
            known = cameras.get(camera)
            if known is not None and known.is_whip and known.whip_token == token:
                continue
            del self._by_token[camera]
            task = asyncio.create_task(self._hang_up(camera, sender))
            self._hanging_up.add(task)
            task.add_done_callback(self._hanging_up.discard)

    def close(self) -> None:
        for task in self._hanging_up:
            task.cancel()
        for line in self._lines.values():
            line.listening.close()

    async def send(self, camera: str, offer: str, *, by_token: bool = False) -> tuple[str, str]:
        """Begin to send as a camera; the sender's id, and the SDP of the answer.

        Args:
            by_token: whether the camera's own token lets them, and they have to go once there is another.

        Raises:
            CameraUnknown: there is none that takes senders by this name.
            CameraAway, SenderBusy, OfferRefused, CodecRefused
        """
        known = self._cameras.get(camera)
        token = known.whip_token if known is not None else None
        reply = await self._ask(camera, Question(next(self._numbers), offer=offer))
        if by_token:
            self._by_token[camera] = reply.sender, token
        else:
            self._by_token.pop(camera, None)
        return reply.sender, reply.sdp

    async def stop_sending(self, camera: str, sender: str) -> bool:
        """Whether there was such a sender.

        Raises:
            CameraUnknown, CameraAway
        """
        return (await self._ask(camera, Question(next(self._numbers), sender=sender))).known

    async def _hang_up(self, camera: str, sender: str) -> None:
        try:
            if await self.stop_sending(camera, sender):
                logger.info("the token of who was sending is not valid any more", extra={"camera": camera})
        except (CameraAway, CameraUnknown) as error:  # it has gone with its process
            logger.debug("%s", error)

    async def _ask(self, camera: str, question: Question) -> Reply:
        known = self._cameras.get(camera)
        if known is None or not known.is_whip:
            raise CameraUnknown(f"there is no camera {camera!r} that takes senders (url: whip://)")
        line = self._lines.get(camera) or self._dial(camera)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._asked[question.number] = future
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not try_send(line.socket, question.to_parts()):
                    await asyncio.sleep(_AGAIN_S)
                line.listening.touched()
                reply = await future
        except TimeoutError:
            raise CameraAway(f"camera {camera!r}: its process does not answer within {PATIENCE_S:g} s") from None
        finally:
            del self._asked[question.number]
        if reply.error is not None:
            raise reply.error
        return reply

    def _dial(self, camera: str) -> _Line:
        socket = self._sockets.connect(
            zmq.DEALER,
            offers_endpoint(self._sockets_dir, camera),
            hwm=16,
            queue_unconnected=False,
            heartbeats=False,
        )
        self._lines[camera] = _Line(socket, LoopSocket(socket, lambda: self._take(socket)))
        return self._lines[camera]

    def _take(self, socket: Socket) -> None:
        while (parts := try_receive(socket)) is not None:
            try:
                reply = Reply.from_parts(parts)
            except ProtocolError:
                continue
            future = self._asked.get(reply.number)
            if future is not None and not future.done():
                future.set_result(reply)
