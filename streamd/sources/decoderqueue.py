"""A bound for the queue in which aiortc keeps what is to be decoded, which has none."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

MOST_WAITING = 30
"""Encoded frames: a second. A decoder that is further behind gives up to the next key frame."""

_IDR, _SPS = 5, 7


class DecoderQueue(queue.Queue[Any]):
    """Takes (codec, frame) pairs, and None for the end. One that is full is emptied, and goes on with a key frame."""

    def __init__(self, ask_key: Callable[[], None]) -> None:
        """``ask_key`` is called when only a key frame helps."""
        super().__init__()
        self.dropped = 0
        self._ask_key = ask_key
        self._broken = False

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if item is None:
            super().put(item)
            return
        if self.qsize() >= MOST_WAITING:
            self._empty()
        codec, frame = item
        if self._broken and not is_key(codec.name, bytes(frame.data)):
            self.dropped += 1
            self._ask_key()
            return
        self._broken = False
        super().put(item)

    def _empty(self) -> None:
        self._broken = True
        try:
            while True:
                self.get_nowait()
                self.dropped += 1
        except queue.Empty:
            return


def is_key(codec: str, data: bytes) -> bool:
    """Whether an encoded frame (H.264 in Annex B, or VP8) can be decoded by itself."""
    if codec == "VP8":
        return bool(data) and not data[0] & 1
    at = data.find(b"\x00\x00\x01")
    while 0 <= at < len(data) - 3:
        kind = data[at + 3] & 0x1F
        if kind in (_IDR, _SPS):
            return True
        at = data.find(b"\x00\x00\x01", at + 3)
    return False
