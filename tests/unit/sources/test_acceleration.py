from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from mediafiles import patches, write_video

from streamd.config import CaptureConfig
from streamd.errors import SourceRejected
from streamd.sources import acceleration
from streamd.sources.av import AvSource
from streamd.sources.avframe import AvFrame


def source(path: Path, hwaccel: str) -> AvSource:
    return AvSource(str(path), config=CaptureConfig.model_validate({"hwaccel": hwaccel, "pace": "fast"}))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", [patches(320, 240)] * 3)


@pytest.fixture(autouse=True)
def forgetful() -> None:
    acceleration._first_present.cache_clear()


def test_a_device_that_is_not_there_is_refused_and_the_cpu_not_taken(clip: Path) -> None:
    absent = next(kind for kind in ("vaapi", "qsv", "cuda", "vulkan") if acceleration.trouble(kind))
    with pytest.raises(SourceRejected, match=f"hwaccel {absent}: .*set hwaccel: none, or auto"):
        source(clip, absent).open()


def test_a_kind_that_pyav_was_built_without_says_which_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceleration, "hwdevices_available", lambda: ["cuda", "qsv"])
    assert acceleration.trouble("vaapi") == "this PyAV is built without it (it has cuda, qsv)"


def test_a_device_that_answers_and_decodes_nothing_is_none(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As NVIDIA's where the driver's video libraries are missing."""

    def decode(packet: object) -> list[av.VideoFrame]:
        raise OSError(95, "Operation not supported")

    context = SimpleNamespace(is_hwaccel=True, decode=decode)
    monkeypatch.setattr(acceleration, "_opened", lambda kind: context)
    assert "decodes nothing (operation not supported): its driver's video" in (acceleration.trouble("cuda") or "")
    opened = source(clip, "auto")
    opened.open()
    assert opened.read(1).size == (320, 240)
    opened.close()


def test_the_picture_that_devices_are_tried_with_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = av.CodecContext.create("h264", "r")
    context = SimpleNamespace(is_hwaccel=True, decode=plain.decode)  # type: ignore[attr-defined]
    monkeypatch.setattr(acceleration, "_opened", lambda kind: context)
    assert acceleration.trouble("cuda") is None


def test_auto_decodes_on_the_cpu_where_no_device_answers_and_says_so_once(
    clip: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceleration, "trouble", lambda kind: "not here")
    with caplog.at_level("INFO"):
        for _ in range(2):
            opened = source(clip, "auto")
            opened.open()
            assert opened.read(1).size == (320, 240)
            opened.close()
    assert caplog.text.count("hwaccel auto") == 1


def test_auto_takes_the_first_device_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceleration, "trouble", lambda kind: None if kind == "qsv" else "not here")
    assert acceleration.acceleration("auto", where="door") == acceleration.Acceleration("qsv", required=False)


class DeviceFrame:
    """What PyAV gives of a frame that lies on a device."""

    def __init__(self, planes: av.VideoFrame) -> None:
        self.width, self.height, self.format = planes.width, planes.height, SimpleNamespace(name="cuda")
        self.sw_format = SimpleNamespace(name="nv12")
        self.downloads = 0
        self._planes = planes

    def reformat(self, **given: Any) -> av.VideoFrame:
        assert given["format"] == "nv12"
        self.downloads += 1
        return self._planes


def test_a_frame_on_a_device_is_fetched_once_and_only_when_looked_at() -> None:
    picture = patches(320, 240)
    here = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="nv12")
    there = DeviceFrame(here)
    frame = AvFrame(there, captured_at_s=0.0, captured_wall_s=0.0)  # type: ignore[arg-type]
    assert frame.size == (320, 240)
    assert there.downloads == 0
    plain = AvFrame(here, captured_at_s=0.0, captured_wall_s=0.0)
    np.testing.assert_array_equal(frame.luma(2), plain.luma(2))
    np.testing.assert_array_equal(frame.yuv420().planes, plain.yuv420().planes)
    np.testing.assert_allclose(frame.bgr(320, 240)[120, 40::80], picture[120, 40::80], atol=6)
    assert there.downloads == 1
