"""A browser, a phone or another program that sends by WebRTC (WHIP) as a camera.

Whoever sends comes and goes; the receiver stays. It lives in a thread of its own with an event loop, takes offers
through a socket from the gateway, and keeps the newest decoded frame: nothing queues pictures. A frame counts as taken
when it has been decoded. aiortc does not offer the header extension for orientation, so browsers turn the pixels
themselves before they send: a phone that is turned shows as a change of size.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import av
import zmq
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpReceiver
from aiortc.mediastreams import MediaStreamError

from streamd.config import CaptureConfig
from streamd.errors import LiveError, ProtocolError, SenderBusy, SourceAwaited, SourceLost, StreamdError
from streamd.interfaces import DecoderWork, SourceInfo
from streamd.loopsocket import LoopSocket
from streamd.peering import answer, checked_offer, chosen_codec, hang_up, new_peer, prefer
from streamd.sockets import Socket, Sockets, try_receive, try_send
from streamd.sources.avframe import AvFrame
from streamd.sources.decoderqueue import DecoderQueue
from streamd.whiplink import LARGEST_MESSAGE, Question, answered, closed, refused

logger = logging.getLogger(__name__)

SILENT_S = 3.0
"""A sender from whom no frame has come for this long makes room for another."""
FIRST_WAIT_S = 1.0
NOBODY = "no browser or phone is sending"


class Slot:
    """The newest frame, and who sends. Any thread may put, one takes."""

    def __init__(self) -> None:
        self.frames = 0
        self._condition = threading.Condition()
        self._frame: AvFrame | None = None
        self._codec: str | None = None

    def begin(self, codec: str) -> None:
        """Somebody has connected."""
        with self._condition:
            self._codec = codec

    def end(self) -> None:
        """Nobody sends any more."""
        with self._condition:
            self._codec = self._frame = None
            self._condition.notify_all()

    def put(self, frame: AvFrame) -> None:
        with self._condition:
            self._frame = frame
            self.frames += 1
            self._condition.notify_all()

    def wait(self, timeout_s: float, *, idle: bool = False) -> bool:
        """Whether there is a frame; at once false where nobody sends, unless ``idle``, which waits for somebody."""
        with self._condition:
            self._condition.wait_for(lambda: self._frame is not None or not (self._codec or idle), timeout_s)
            return self._frame is not None

    def take(self) -> AvFrame | None:
        with self._condition:
            frame, self._frame = self._frame, None
            return frame

    @property
    def codec(self) -> str | None:
        """Of whoever sends; None where nobody does."""
        with self._condition:
            return self._codec

    def peek(self) -> AvFrame | None:
        with self._condition:
            return self._frame


class WhipSource:
    """Implements ``Source``. Opened again and again as others are, it goes on with whoever is connected."""

    def __init__(self, endpoint: str, *, config: CaptureConfig) -> None:
        """``endpoint`` is where offers come in."""
        self.work = DecoderWork()
        self.corrupt_packets = 0
        self.resting = self.settled = False
        self._config = config
        self._slot = Slot()
        self._receiver = Receiver(endpoint, self._slot)
        self._tried = False

    def open(self) -> SourceInfo:
        self._receiver.start()
        wait_s = self._config.open_timeout_s if self._tried else min(FIRST_WAIT_S, self._config.open_timeout_s)
        self._tried = True
        self._slot.wait(wait_s, idle=True)
        frame, codec = self._slot.peek(), self._slot.codec
        if frame is None:
            raise SourceAwaited(NOBODY if codec is None else "a sender has connected, and sends no picture")
        self.work = DecoderWork()
        return SourceInfo(*frame.size, 0.0, (codec or "video").lower())

    def read(self, timeout_s: float) -> AvFrame:
        if not self._slot.wait(timeout_s):
            if self._slot.codec is None:
                raise SourceAwaited(NOBODY)
            raise SourceLost(f"the sender is silent: no picture for {timeout_s:g} s")
        frame = self._slot.take()
        if frame is None:
            raise SourceAwaited(NOBODY)
        self.work.packets += 1
        return frame

    def close(self) -> None:
        """The receiver stays, for whoever comes next."""


class Receiver:
    """The thread that takes offers and frames."""

    def __init__(self, endpoint: str, slot: Slot) -> None:
        self._endpoint = endpoint
        self._slot = slot
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done: asyncio.Event | None = None

    def start(self) -> None:
        """Once; where it has ended, again."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="whip", daemon=True)
            self._thread.start()
            atexit.register(self.stop)

    def stop(self) -> None:
        """Hang up."""
        atexit.unregister(self.stop)
        loop, done, thread = self._loop, self._done, self._thread
        if loop is not None and done is not None and thread is not None and thread.is_alive():
            loop.call_soon_threadsafe(done.set)
            thread.join(2.0)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except StreamdError as error:
            logger.error("%s", error)

    async def _serve(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        with Sockets() as sockets:
            socket = sockets.bind(
                zmq.ROUTER, self._endpoint, hwm=16, heartbeats=False, max_message_bytes=LARGEST_MESSAGE
            )
            desk = _Desk(socket, self._slot)
            listening = LoopSocket(socket, desk.receive)
            desk.touched = listening.touched
            try:
                await self._done.wait()
            finally:
                listening.close()
                await desk.close()


class _Desk:
    """Answers the gateway, one question after the other."""

    def __init__(self, socket: Socket, slot: Slot) -> None:
        self.touched: Callable[[], None] = lambda: None
        self._socket = socket
        self._slot = slot
        self._sender: _Sender | None = None
        self._one_by_one = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def receive(self) -> None:
        while (parts := try_receive(self._socket)) is not None:
            try:
                question = Question.from_parts(parts[1:])
            except (ProtocolError, IndexError) as error:
                logger.warning("offers: %s", error)
                continue
            task = asyncio.create_task(self._answer(parts[0], question))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        if self._sender is not None:
            await self._sender.close()

    async def _answer(self, who: bytes, question: Question) -> None:
        async with self._one_by_one:
            if question.offer is None:
                reply = closed(question.number, known=await self._hang_up(question.sender))
            else:
                try:
                    reply = answered(question.number, *await self._admit(question.offer))
                except LiveError as error:
                    logger.warning("a sender was refused: %s", error)
                    reply = refused(question.number, error)
        try_send(self._socket, [who, *reply])
        self.touched()

    async def _admit(self, offer: str) -> tuple[str, str]:
        """Id and answer for a new sender; raises LiveError where it cannot be."""
        checked = checked_offer(offer, direction="sendonly")
        before = self._sender
        if before is not None and not before.silent:
            raise SenderBusy("somebody else is sending as this camera")
        sender = _Sender(self._slot)
        try:
            answer_sdp = await answer(sender.peer, checked)
        except BaseException:
            await sender.close()
            raise
        if before is not None:
            logger.info("a new sender takes the place of one that is silent")
            await before.close()
        self._sender = sender
        sender.begin(chosen_codec(answer_sdp))
        return sender.id, answer_sdp

    async def _hang_up(self, sender_id: str | None) -> bool:
        sender = self._sender
        if sender is None or sender.id != sender_id:
            return False
        self._sender = None
        await sender.close()
        logger.info("the sender has left")
        return True


class _Sender:
    """One connection that brings pictures."""

    def __init__(self, slot: Slot) -> None:
        self.id = secrets.token_urlsafe(12)
        self.peer: RTCPeerConnection = new_peer()
        self._slot = slot
        self._heard_at_s = time.monotonic()
        self._over = self._begun = False
        self._taking: asyncio.Task[None] | None = None
        transceiver = self.peer.addTransceiver("video", direction="recvonly")
        prefer(self.peer, ["H264", "VP8"])
        _bound_decoder(transceiver.receiver)
        self.peer.on("track", self._track)
        self.peer.on("connectionstatechange", self._changed)

    def begin(self, codec: str) -> None:
        """It is the one whose pictures count from now on."""
        self._begun = True
        self._slot.begin(codec)

    @property
    def silent(self) -> bool:
        """Whether another may take its place."""
        return self._over or time.monotonic() - self._heard_at_s > SILENT_S

    async def close(self) -> None:
        self._end()
        if self._taking is not None:
            self._taking.cancel()
        await hang_up(self.peer)

    def _track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video":
            self._taking = asyncio.ensure_future(self._take(track))

    async def _take(self, track: MediaStreamTrack) -> None:
        """Take each frame at once, so that aiortc's queue, which has no bound, stays empty."""
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return self._end()
            if self._over or not isinstance(frame, av.VideoFrame):
                continue
            now_s = self._heard_at_s = time.monotonic()
            self._slot.put(AvFrame(frame, captured_at_s=now_s, captured_wall_s=time.time()))

    def _changed(self) -> None:
        if self.peer.connectionState in ("failed", "closed"):
            self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            if self._begun:
                self._slot.end()


def _bound_decoder(receiver: RTCRtpReceiver) -> None:
    """Give aiortc's decoder a queue with a bound. Its names are private; where another version has others, the queue
    stays as it is."""
    inside, name, error = cast(Any, receiver), "_RTCRtpReceiver__decoder_queue", "_RTCRtpReceiver__decoder_error"
    if hasattr(inside, name) and hasattr(inside, error):
        setattr(inside, name, DecoderQueue(getattr(inside, error).set))
    else:
        logger.warning("this version of aiortc has an unbounded queue before its decoder")
