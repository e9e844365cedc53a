"""The light decoder on a real stream: what comes after waking is exactly what the full decoder alone would give."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from sourceclock import FakeClock

from streamd.config import CaptureConfig
from streamd.sources.av import AvSource
from streamd.sources.pacing import Pacer

GOP, FRAMES, FPS = 20, 100, 10
Planes = NDArray[np.uint8]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise that moves, so that every frame of it differs, and the loop filter has something to do."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    random = np.random.default_rng(1)
    wall = random.integers(40, 200, (9, 16, 3)).repeat(20, 0).repeat(20, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "35", "g": str(GOP), "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for _ in range(FRAMES):
            picture = np.clip(wall + random.normal(0, 12, wall.shape), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def whole(film: Path) -> dict[float, Planes]:
    """Every frame by its time stamp, as a decoder with its loop filter gives it."""
    with av.open(str(film)) as container:
        return {round(f.pts * float(f.time_base), 3): f.to_ndarray() for f in container.decode(video=0)}


def test_frames_after_waking_are_those_of_the_full_decoder(film: Path, whole: dict[float, Planes]) -> None:
    source = AvSource(str(film), config=CaptureConfig(loop=False), clock=FakeClock(100.0).as_clock())
    source.open()
    exact, rough = [], []
    for _ in range(FRAMES):
        frame = source.read(1.0)
        seen = whole[round(frame.media_s, 3)]
        difference = np.abs(frame.yuv420().planes.astype(int) - seen)
        (rough if source.resting else exact).append(float(difference.mean()))
        source.resting = 1.5 <= frame.media_s < 7.3
        if frame.media_s > 9.5:
            break
    source.close()
    assert len(exact) > 20
    assert max(exact) == 0.0
    assert max(rough) > 0.0, "the light decoder was used"
    assert max(rough) < 2.0, "and shows the same view"
    assert source.work.packets > len(exact) + len(rough), "packets were taken several at a time"


def test_a_film_starts_again_while_nothing_moves(film: Path) -> None:
    source = AvSource(str(film), config=CaptureConfig(), clock=FakeClock(100.0).as_clock())
    source.open()
    starts, before_s = 0, -1.0
    while starts < 3:
        frame = source.read(1.0)
        source.resting = frame.media_s >= 1.5
        starts += frame.media_s < before_s
        before_s = frame.media_s
    source.close()


def test_what_was_held_back_at_a_films_end_makes_its_beginning_no_older() -> None:
    pacer = Pacer(fps=FPS)
    assert pacer.due_s(7.0, 100.0) == 100.0
    pacer.begin_again(103.0)  # three seconds of packets were held back, and never given
    assert pacer.late_s(0.0, 103.0) <= 0.0
    assert pacer.due_s(0.0, 103.0) == pytest.approx(103.0 + 1 / FPS)
