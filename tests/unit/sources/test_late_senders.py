"""Live streams whose packets come late, and decoders that are late with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mediafiles import write_video
from sourceclock import FakeClock, LiveFile

from streamd.config import CaptureConfig
from streamd.sources.av import AvSource

FPS, PACKETS = 10, 100
HICCUP_AT, HICCUP_S = 30, 3.0
"""From this packet on each comes so much later."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1000.0)


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> LiveFile:
    return LiveFile(monkeypatch, clock, fps=FPS)


def late(tmp_path: Path, clock: FakeClock, *, reader_s: float) -> int:
    """Packets left out of a stream by a reader who takes so long for each picture."""
    film = write_video(tmp_path / "a.mp4", [np.full((48, 64, 3), i % 200, np.uint8) for i in range(PACKETS)], fps=FPS)
    source = AvSource(str(film), config=CaptureConfig(idle="all"), clock=clock.as_clock())
    source.open()
    while source.work.packets < PACKETS - 10:
        source.read(10.0)
        clock.now_s += reader_s
    source.close()
    return source.work.late


def test_every_packet_of_a_link_that_became_slower_is_decoded(tmp_path: Path, clock: FakeClock, link: LiveFile) -> None:
    link.stalls[HICCUP_AT] = HICCUP_S
    assert late(tmp_path, clock, reader_s=0.01) == 0


def test_a_decoder_that_is_too_slow_leaves_packets_out(tmp_path: Path, clock: FakeClock, link: LiveFile) -> None:
    assert late(tmp_path, clock, reader_s=1.5 / FPS) > 10
