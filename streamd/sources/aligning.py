"""Which moment of one stream is which moment of another stream of the same camera. Pure: time is an argument.

The time stamps of two streams share no zero. Cameras say by RTCP what their own clock read (RFC 3550, section 6.4.1);
where they do not, the packets that came with the least delay tell where a stream's zero lies on this host's clock.
"""

from __future__ import annotations

import math

BUCKET_S = 10.0
"""The least delay is that of one to two such spans: clocks drift, and routes change."""
JUMP_S, JUMP_PACKETS = 2.0, 50
"""So many packets in a row that come so much later than they should mean other time stamps, not a slow network."""
TRUSTED_S = 1.0
"""Cameras' clocks are believed where what follows from them lies this near to what the arrival of packets says."""


class StreamTime:
    """What a stream's packets have told about its time stamps."""

    def __init__(self) -> None:
        self.camera_offset_s: float | None = None
        """From the stream's time stamps to the camera's clock; None where the camera does not say."""
        self._least_s = math.inf
        self._least_before_s = math.inf
        self._bucket_ends_s = -math.inf
        self._late = 0

    @property
    def arrival_offset_s(self) -> float | None:
        """From the stream's time stamps to this host's clock, with the least delay; None before the first packet."""
        least_s = min(self._least_s, self._least_before_s)
        return least_s if math.isfinite(least_s) else None

    def saw(self, media_s: float, *, arrived_s: float, camera_s: float | None = None) -> None:
        """A packet came.

        Args:
            media_s: its own time stamp.
            arrived_s: when it was here.
            camera_s: what the camera's clock read when its picture was taken.
        """
        offset_s = arrived_s - media_s
        if camera_s is not None:
            self.camera_offset_s = camera_s - media_s
        known_s = self.arrival_offset_s
        self._late = self._late + 1 if known_s is not None and offset_s - known_s > JUMP_S else 0
        if known_s is not None and (self._late > JUMP_PACKETS or known_s - offset_s > JUMP_S):
            self._least_s = self._least_before_s = math.inf
            self._late = 0
        if arrived_s >= self._bucket_ends_s:
            self._least_before_s, self._least_s = self._least_s, math.inf
            self._bucket_ends_s = arrived_s + BUCKET_S
        self._least_s = min(self._least_s, offset_s)


def shift_s(one: StreamTime, other: StreamTime) -> float | None:
    """What to add to a time stamp of ``one`` for that of the same moment in ``other``; None while that is unknown."""
    if one.arrival_offset_s is None or other.arrival_offset_s is None:
        return None
    arrived_s = one.arrival_offset_s - other.arrival_offset_s
    if one.camera_offset_s is None or other.camera_offset_s is None:
        return arrived_s
    told_s = one.camera_offset_s - other.camera_offset_s
    return told_s if abs(told_s - arrived_s) <= TRUSTED_S else arrived_s
