"""RTSP cameras that say little of themselves, or other things than others do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mediafiles import write_video
from oddcamera import OddCamera, units

from streamd.config import CaptureConfig
from streamd.errors import SourceLost
from streamd.sources.av import AvSource

SIZE = (320, 240)
CAPTURE = CaptureConfig(read_timeout_s=0.5, open_timeout_s=2.0)


def film(path: Path, count: int) -> Path:
    """One key frame only, at its beginning; gets lighter."""
    greys = np.linspace(40, 200, count).astype(np.uint8)
    noise = np.random.default_rng(1).integers(0, 30, (SIZE[1], SIZE[0], 3), np.uint8)
    return write_video(path, [noise + grey for grey in greys], fps=15, options={"g": "9999", "sc_threshold": "0"})


@pytest.mark.parametrize("tells", [True, False])
def test_a_first_key_frame_that_comes_late_is_waited_for(tmp_path: Path, tells: bool) -> None:
    frames = units(film(tmp_path / "a.mp4", 20))
    joined_late = [*frames[1:], *frames]  # over a second until the key frame
    with OddCamera(joined_late, told=frames[0] if tells else ()) as camera:
        source = AvSource(camera.url, config=CAPTURE)
        assert source.open().width == SIZE[0]
        assert source.read(CAPTURE.read_timeout_s).luma(8).mean() < 80, "the first picture is the key frame"
        assert source.corrupt_packets == 0
        source.close()


def test_one_that_sends_no_key_frame_is_lost_with_advice(tmp_path: Path) -> None:
    frames = units(film(tmp_path / "a.mp4", 40))
    with OddCamera(frames[1:], told=frames[0]) as camera:
        source = AvSource(camera.url, config=CAPTURE.model_copy(update={"read_timeout_s": 0.2}))
        source.open()
        with pytest.raises(SourceLost, match="perhaps no key frame"):
            source.read(0.2)
        source.close()


def test_fields_are_not_taken_for_frames(tmp_path: Path) -> None:
    frames = units(film(tmp_path / "a.mp4", 3))
    with OddCamera(frames, told=frames[0]) as camera:
        source = AvSource(camera.url, config=CAPTURE)
        assert source.open().fps == 15.0
        source.close()
