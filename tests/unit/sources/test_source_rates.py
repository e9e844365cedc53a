"""Live streams that send at another rate than they say, as cameras do that expose longer at night."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mediafiles import write_video
from sourceclock import FakeClock, LiveFile

from streamd.config import CaptureConfig
from streamd.errors import SourceLost
from streamd.sources.av import AvSource

NOMINAL_FPS = 25
READ_TIMEOUT_S = CaptureConfig().read_timeout_s


def film(path: Path, *, noise: float, key_every: int, count: int, codec: str = "libx264") -> Path:
    random = np.random.default_rng(1)
    view = random.integers(60, 180, (120, 160, 3))
    pictures = [
        np.clip(view + random.normal(0, noise, (120, 160, 1)), 0, 255).astype(np.uint8)
        if noise
        else view.astype(np.uint8)
        for _ in range(count)
    ]
    pixels, options = ("yuvj420p", {}) if codec == "mjpeg" else ("yuv420p", {"g": str(key_every), "sc_threshold": "0"})
    return write_video(path, pictures, fps=NOMINAL_FPS, codec=codec, pixels=pixels, options=options)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1000.0)


def gaps(path: Path, clock: FakeClock, camera: LiveFile, *, after_s: float = 0.0) -> tuple[float, float]:
    """While nothing moves: the longest time without a picture, and how long packets waited at most, of those that come
    after so many seconds."""
    source = AvSource(str(path), config=CaptureConfig(), clock=clock.as_clock())
    source.open()
    source.resting = True
    taken, late = [clock.now_s], [0.0]
    with pytest.raises(SourceLost, match="ended"):
        while True:
            taken.append(source.read(READ_TIMEOUT_S).captured_at_s)
            late.append(camera.late_s)
    source.close()
    later = [at_s for at_s in taken if at_s >= 1000.0 + after_s]
    return float(np.diff(later).max()), max(late[-len(later) :])


def test_a_slower_camera_than_it_says_is_not_lost_while_nothing_moves(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = LiveFile(monkeypatch, clock, fps=5)
    longest_s, _ = gaps(film(tmp_path / "a.ts", noise=0, key_every=50, count=500), clock, camera)
    assert longest_s < READ_TIMEOUT_S


def test_somebody_goes_unseen_no_longer_before_a_slower_camera_than_it_says(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = LiveFile(monkeypatch, clock, fps=5)
    longest_s, _ = gaps(film(tmp_path / "a.ts", noise=12, key_every=25, count=400), clock, camera, after_s=30)
    assert longest_s <= CaptureConfig().glance_s + 0.11


def test_packets_of_a_faster_camera_than_it_says_do_not_pile_up(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = LiveFile(monkeypatch, clock, fps=30)
    _, late_s = gaps(film(tmp_path / "a.avi", noise=0, key_every=1, count=1500, codec="mjpeg"), clock, camera)
    assert late_s < 0.2


def test_packets_do_not_pile_up_after_a_stall(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = LiveFile(monkeypatch, clock, fps=NOMINAL_FPS)
    camera.stalls = {250: 4.0}
    film_path = film(tmp_path / "a.avi", noise=0, key_every=1, count=600, codec="mjpeg")
    longest_s, late_s = gaps(film_path, clock, camera, after_s=9.0)
    assert 3.9 < longest_s < 4.4
    assert late_s < 0.2
