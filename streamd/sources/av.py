"""Everything that FFmpeg reads: RTSP, HTTP (MJPEG, HLS), files and V4L2 webcams."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import av
import av.error
from av.video.codeccontext import VideoCodecContext

from streamd.config import CaptureConfig
from streamd.errors import SourceEnded, SourceLost, SourceRejected
from streamd.interfaces import DecoderWork, SourceInfo
from streamd.sources.avframe import AvFrame, media_s, owned, squared
from streamd.sources.costs import Cost
from streamd.sources.demuxing import Demuxer, EndOfPackets
from streamd.sources.dozing import Doze
from streamd.sources.failures import FAILURES
from streamd.sources.gathering import GATHER_S, Gathering, together
from streamd.sources.lagging import AWAITED_S, Catching, LiveDelay
from streamd.sources.lightly import Lightly
from streamd.sources.pacing import FALLBACK_FPS, KEY_PATIENCE, Clock, Pacer
from streamd.sources.rate import PacketRate
from streamd.sources.turning import TurnedFrame, quarter_turns

if TYPE_CHECKING:
    from streamd.sources.demuxing import Packet

HELD_S = 4.0
"""Packets of a longer time are never held back: cameras are looked at now and then even where nothing moves."""
PUNCTUAL = 0.7
"""Of the time between two packets: by so much the nap ends before the last of those that are decoded together."""
CATCH_UP_S = 0.25
"""Packets that would take longer to decode are not held back."""


class AvSource:
    """Implements ``Source`` over PyAV.

    A live stream that ends is lost; a file starts again (``config.loop``) or ends. Damaged packets are
    skipped and counted in ``corrupt_packets``.
    """

    def __init__(
        self,
        url: str,
        *,
        config: CaptureConfig,
        clock: Clock | None = None,
        noticed: Callable[[Packet], None] | None = None,
    ) -> None:
        """``noticed`` is told of every packet when it comes, decoded or not."""
        self.work = DecoderWork()
        self.resting = self.settled = False
        self._url = url
        self._config = config
        self._clock = clock or Clock()
        self._noticed = noticed
        self._demuxer = Demuxer(url, config=config, clock=self._clock)
        self._decoded: deque[av.VideoFrame] = deque()  # bounded by the decoder's delay: what one packet gives
        self._pacer: Pacer | None = None
        self._doze: Doze[Packet] = Doze(config.idle)
        self._rate = PacketRate(FALLBACK_FPS)
        self._catching, self._delay = Catching(), LiveDelay()
        self._gathering: Gathering[Packet] = Gathering()
        self._nap_s = 0.0
        """How long the next packets are left to come."""
        self._awaited = False
        """Whether a packet had to be waited for since the last nap: then none lies unread."""
        self._keys_suffice = False
        """Whether the last key frame gave a picture by itself."""
        self._lightly: Lightly[Packet] = Lightly()
        self._light: VideoCodecContext | None = None
        self._turns = 0
        """Of the pictures, to be upright; as the full decoder said last, for the light one does not."""
        self._pixel_shape = 1.0
        """Likewise."""
        self._begun = False
        """Whether there was a picture since the stream was opened: there is none before its first key frame."""
        self._pictures = 0
        self._cost = Cost()

    @property
    def corrupt_packets(self) -> int:
        return self._demuxer.corrupt_packets

    def open(self) -> SourceInfo:
        self.close()
        self._doze, self._gathering = Doze(self._config.idle), Gathering()
        self._begin()
        if self._demuxer.is_file and not Path(self._url).is_file():
            raise SourceRejected(f"{self._demuxer.where}: no such file")
        self._demuxer.open()
        self._pacer = None  # of the time before
        info = self._described()
        self._rate = PacketRate(info.fps or FALLBACK_FPS)
        self._pacer = self._schedule(info.fps)
        return info

    def _begin(self) -> None:
        """Forget what was held back, and decoders that have come to an end."""
        self._doze.begin_again()
        self._catching, self._delay = Catching(), LiveDelay()
        self._gathering.begin_again()
        self._keys_suffice = self._begun = self._awaited = False
        self._nap_s, self._pictures = 0.0, 0
        self._lightly, self._light = Lightly(), None

    def read(self, timeout_s: float) -> AvFrame:
        frame = self._next_frame(timeout_s)
        self._pictures += 1
        now_s = self._clock.now_s()
        at_s = now_s
        if self._pacer is not None:
            at_s = self._pacer.due_s(media_s(frame), now_s)
            if at_s > now_s:
                self._clock.wait(at_s - now_s)
        wall_s = self._clock.wall_of(at_s)
        return self._made(frame, at_s, wall_s)

    def _made(self, frame: av.VideoFrame, at_s: float, wall_s: float) -> AvFrame:
        shape = self._pixel_shape
        if self._turns:
            return TurnedFrame(frame, self._turns, captured_at_s=at_s, captured_wall_s=wall_s, pixel_shape=shape)
        return AvFrame(frame, captured_at_s=at_s, captured_wall_s=wall_s, pixel_shape=shape)

    def close(self) -> None:
        self._decoded.clear()
        self._demuxer.close()

    def _described(self) -> SourceInfo:
        """Size and codec. The first picture tells the size where the container does not, and of a recording, which
        may be turned."""
        context = self._demuxer.stream.codec_context
        size = squared((context.width & ~1, context.height & ~1), self._demuxer.pixel_shape)
        if not all(size) or not self._demuxer.live:
            first = self._next_frame(self._config.open_timeout_s)
            self._decoded.appendleft(first)
            size = self._made(first, 0.0, 0.0).size
        return SourceInfo(*size, self._demuxer.fps, context.name)

    def _schedule(self, fps: float) -> Pacer | None:
        demuxer = self._demuxer
        hls = demuxer.container.format.name == "hls"
        if self._config.pace == "fast" or (demuxer.live and not hls):
            return None
        # HLS hands over whole segments: unpaced, one frame of each would be the newest and the rest skipped.
        return Pacer(fps=fps, live=hls and demuxer.live)

    def _next_frame(self, timeout_s: float) -> av.VideoFrame:
        began_s = self._clock.now_s()
        while not self._decoded:
            try:
                self._decode_one()
            except EndOfPackets:
                self._ended()
            if not self._decoded and self._clock.now_s() - began_s > self._patience_s(timeout_s):
                raise self._without_picture(self._patience_s(timeout_s))
        return self._decoded.popleft()

    def _patience_s(self, timeout_s: float) -> float:
        return timeout_s if self._begun else max(timeout_s, KEY_PATIENCE * self._config.read_timeout_s)

    def _without_picture(self, waited_s: float) -> SourceLost:
        bad = f", {self.corrupt_packets} damaged packets" if self.corrupt_packets else ""
        hint = "" if self._begun else ": packets come, but perhaps no key frame (I-frame): have one each 1 or 2 s"
        return SourceLost(f"{self._demuxer.where}: no picture for {waited_s:g} s{bad}{hint}")

    def _decode_one(self) -> None:
        """Demux one packet and decode what is due; what that gives is appended to ``_decoded``."""
        if self._nap_s:
            self._clock.wait(self._nap_s)
            self._nap_s = 0.0
        asked_s = self._clock.now_s()
        packet = self._demuxer.next()
        if packet is None:
            return
        now_s = self._clock.now_s()
        if packet.size and self._noticed is not None:
            self._noticed(packet)
        self._awaited = self._awaited or now_s - asked_s >= AWAITED_S
        self.work.packets += bool(packet.size)
        self.work.packet_at_s = now_s
        if packet.size and self._pacer is None and self._config.pace != "fast":
            self._rate.came(now_s)
        if packet.size and not self._in_time(packet, now_s, waited_s=now_s - asked_s):
            self.work.late += 1
            return
        self._doze.resting = self.resting
        due = self._due(packet) if packet.size else [packet]
        if due:
            self._decode(due)
        self.work.skipped, self.work.alarms = self._doze.skipped + self._gathering.skipped, self._doze.alarms
        if not due and self._pacer is not None and not self._gathering.keeping:
            self._wait_for_file()

    def _wait_for_file(self) -> None:
        """A file's packets come as a camera's would: several after each nap."""
        if self._doze.holding % together(self._rate.fps) == 0:
            self._clock.wait(together(self._rate.fps) / self._rate.fps)

    def _due(self, packet: Packet) -> Sequence[Packet]:
        """What is to be decoded now that this packet is here."""
        unseen = max(1, round(self._config.glance_s * self._rate.fps))
        due = self._doze.sift(packet, most_held=self._most_held(), most_unseen=unseen)
        if not due and not self._doze.glancing:
            self.work.unchanged_at_s = self._clock.now_s()
        if self._naps and self._doze.dozing and self._doze.holding % together(self._rate.fps) == 0:
            self._nap()
        if len(due) != 1 or self._config.idle == "all":
            return [*self._gathering.release(), *due] if due else due
        patient = (self.resting and not self._doze.dozing) or self.settled
        due = self._gathering.sift(packet, fps=self._rate.fps, patient=patient, keys_suffice=self._keys_suffice)
        if due and patient and self._naps:
            self._nap()
        return due

    def _nap(self) -> None:
        """Let the next few packets come, unless some are late already."""
        if self._awaited:
            self._nap_s = min(GATHER_S, (together(self._rate.fps) - PUNCTUAL) / self._rate.fps)
            self._awaited = False

    @property
    def _naps(self) -> bool:
        """Whether packets wait in the kernel until they are read."""
        return self._demuxer.live and self._pacer is None and not self._demuxer.is_webcam and self._by_tcp

    @property
    def _by_tcp(self) -> bool:
        return not self._url.startswith("rtsp") or self._config.transport == "tcp"

    def _in_time(self, packet: Packet, now_s: float, *, waited_s: float) -> bool:
        behind_s = self._behind_s(packet, now_s)
        return self._catching.takes(is_keyframe=packet.is_keyframe, behind_s=behind_s, now_s=now_s, waited_s=waited_s)

    def _behind_s(self, packet: Packet, now_s: float) -> float:
        """How late this packet is to be decoded."""
        media_s = self._demuxer.stamp_s(packet)
        if self._config.pace == "fast" or media_s is None:
            return 0.0
        return self._pacer.late_s(media_s, now_s) if self._pacer else self._delay.behind_s(media_s, now_s)

    def _most_held(self) -> int:
        """Packets that may be held back: those of a short time, which are decoded in a shorter one."""
        seconds = min(HELD_S, 0.8 * self._config.read_timeout_s)
        return int(min(seconds * self._rate.fps, self._cost.most_within(CATCH_UP_S)))

    def _decode(self, packets: Sequence[Packet]) -> None:
        context = self._demuxer.stream.codec_context
        # Nobody misses frames on which no other depends, while nothing moves.
        wanted: Literal["NONREF", "DEFAULT"] = "NONREF" if self.resting and self._doze.long else "DEFAULT"
        if context.skip_frame != wanted:
            context.skip_frame = wanted
        rests = self.resting and self._keys_suffice and self._demuxer.has_light
        packets, lightly = self._lightly.plan(packets, resting=rests, most_held=self._most_held())
        if lightly and self._light is None:
            self._light = self._demuxer.light()
        newest: list[av.VideoFrame] = []
        for packet in packets:
            began_s = time.thread_time()
            try:
                frames = packet.decode() if self._light is None or not lightly else self._light.decode(packet)
            except av.error.InvalidDataError:
                self._damaged()
                continue
            except FAILURES as error:
                raise self._demuxer.failure(error) from None
            finally:
                self._spent(packet, time.thread_time() - began_s)
            self._demuxer.damage = 0
            if packet.is_keyframe:
                self._keys_suffice = _own_picture(packet, frames)
                if self._doze.dozing and not self._keys_suffice:
                    self._doze.unfit()
            # What was decoded around lost packets is left out: a smeared face is worse than none.
            whole = [frame for frame in frames if not frame.is_corrupt]
            self._demuxer.corrupt_packets += len(frames) - len(whole)
            # Those before were held back, and are old; but not every packet gives a picture.
            newest = whole or newest
            self._begun = self._begun or bool(whole)
        if newest and not lightly:
            self._turns, self._pixel_shape = quarter_turns(newest[-1]), self._demuxer.pixel_shape
        self._decoded += [owned(frame) for frame in newest] if self._demuxer.is_webcam else newest

    def _damaged(self) -> None:
        """What comes before the first key frame is not damaged, though it cannot be decoded."""
        if self._begun or not self._demuxer.live:
            self._demuxer.damaged()

    def _spent(self, packet: Packet, seconds: float) -> None:
        self.work.cpu_s += seconds
        if packet.size and not packet.is_keyframe:
            self._cost.add(seconds)

    def _ended(self) -> None:
        demuxer = self._demuxer
        if demuxer.is_picture and self._pictures <= 1:
            raise SourceRejected(f"{demuxer.where}: is a single picture: give the address of a stream")
        if demuxer.live:
            raise demuxer.lost()
        if not self._pictures:
            raise SourceRejected(f"{demuxer.where}: has no picture that can be decoded")
        if not self._config.loop:
            raise SourceEnded(f"{demuxer.where}: played to its end")
        demuxer.damage = 0
        self._begin()
        if self._pacer is not None:
            self._pacer.begin_again(self._clock.now_s())
        demuxer.open()


def _own_picture(packet: Packet, frames: Sequence[av.VideoFrame]) -> bool:
    """Whether the decoder gave the picture of this packet: not where it waits for frames to be put in order, nor where
    key frames are intact only together with those after them (periodic intra refresh)."""
    return any(not frame.is_corrupt and (packet.pts is None or frame.pts == packet.pts) for frame in frames)
