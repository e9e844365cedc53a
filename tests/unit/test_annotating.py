from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from streamd.annotating import AnnotatedVideo
from streamd.cli import main
from streamd.errors import ExitCode, UnavailableError, UsageError


class Grey:
    """A decoded frame."""

    size = (64, 48)

    def bgr(self, width: int, height: int) -> np.ndarray:
        return np.full((height, width, 3), 128, np.uint8)


def test_a_video_that_cannot_be_written_is_refused_before_the_first_frame(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "out.mp4", tmp_path):
        with pytest.raises(UsageError, match="cannot be written"):
            AnnotatedVideo(path)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    class Full:
        def mux(self, packets: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self) -> None:
            self.mux([])

    video = AnnotatedVideo(tmp_path / "out.mp4")
    inner, video._container = video._container, Full()  # type: ignore[assignment]  # a double
    video._stream = inner.add_stream("libx264", rate=30)
    video._stream.width, video._stream.height, video._stream.pix_fmt = 64, 48, "yuv420p"
    with pytest.raises(UnavailableError, match=r"out\.mp4: cannot be written: no space left"), video:
        video.add(Grey(), 0.0, [])  # type: ignore[arg-type]  # has what is needed
    inner.close()
    assert not list(tmp_path.iterdir())


def test_a_video_is_never_drawn_over_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, link = tmp_path / "visit.mp4", tmp_path / "same.mp4"
    clip.write_bytes(b"the only recording")
    link.symlink_to(clip)
    for out in (clip, link):
        assert main(["replay", str(clip), "--annotate", str(out)]) == ExitCode.USAGE
        assert "is the video itself" in capsys.readouterr().err
    assert clip.read_bytes() == b"the only recording"
