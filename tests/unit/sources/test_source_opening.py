"""Which source a URL gets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from streamd.config import CaptureConfig
from streamd.errors import SourceError, SourceLost, SourceRejected
from streamd.sources.av import AvSource
from streamd.sources.images import ImageFolder
from streamd.sources.opening import open_source

CONFIG = CaptureConfig()


@pytest.mark.parametrize(
    "url", ["rtsp://cam/1", "rtsps://cam/1", "HTTP://cam/1", "https://cam/1.m3u8", "/dev/video0", "clip.mp4"]
)
def test_streams_webcams_and_files_are_read_by_ffmpeg(url: str) -> None:
    assert isinstance(open_source(url, CONFIG), AvSource)


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_folder_is_played_picture_by_picture(tmp_path: Path, form: str) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((48, 64, 3), np.uint8))
    source = open_source(form.format(tmp_path), CONFIG)
    assert isinstance(source, ImageFolder)
    assert source.open().width == 64


@pytest.mark.parametrize("url", ["file://[::1", "~nobody-by-this-name/clip.mp4", "rtsp://bob:secret@[::1"])
def test_what_is_no_address_says_so_when_it_is_opened(url: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(url, CONFIG).open()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://user:secret@cam/1", "gopher://x", "data://cam"])
def test_an_unknown_scheme_is_rejected_with_what_is_accepted(url: str) -> None:
    source = open_source(url, CONFIG)
    with pytest.raises(SourceRejected, match=r"not supported: give a rtsp://.*/dev/videoN") as caught:
        source.open()
    assert "secret" not in str(caught.value)
    source.close()


@pytest.mark.parametrize("url", ["/nowhere/clip.mp4", "file:///nowhere/clip.mp4", "/dev/video99"])
def test_what_is_not_there_is_rejected_with_its_path_when_opened(url: str) -> None:
    with pytest.raises(SourceRejected, match=r"(/nowhere/clip\.mp4|/dev/video99): no such file"):
        open_source(url, CONFIG).open()


def test_an_escaped_blank_in_a_file_url_is_a_blank(tmp_path: Path) -> None:
    folder = tmp_path / "my pictures"
    folder.mkdir()
    assert isinstance(open_source(f"file://{tmp_path}/my%20pictures", CONFIG), ImageFolder)


def test_brackets_in_a_password_are_an_address_that_cannot_be_reached() -> None:
    with pytest.raises(SourceError) as caught:
        open_source("rtsp://user:se[cr]et@127.0.0.1:1/live", CONFIG).open()
    assert str(caught.value).startswith("rtsp://***@127.0.0.1:1/live: ")


def test_a_scheme_may_be_in_capitals() -> None:
    with pytest.raises(SourceLost, match="connection refused"):
        open_source("RTSP://127.0.0.1:1/live", CONFIG).open()


def test_a_webcam_is_known_by_its_other_names(tmp_path: Path) -> None:
    link = tmp_path / "usb-Some_Camera-video-index0"
    link.symlink_to("/dev/video99")
    with pytest.raises(SourceRejected, match="no such file or device"):
        open_source(str(link), CONFIG).open()
