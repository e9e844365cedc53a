"""The made-up cameras: real H.264, people who come and go, nothing stretched."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamd.demo import clips
from streamd.demo.clips import COLLINS, FPS, SIZE, Visit, fingerprint, render

START_S = 1.0


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """In place of the photograph, black with a white disc where the face is."""
    name, (x1, y1, x2, y2) = COLLINS
    photo = np.zeros((512, 512, 3), np.uint8)
    cv2.circle(photo, ((x1 + x2) // 2, (y1 + y2) // 2), (y2 - y1) // 2, (255, 255, 255), -1)
    path = tmp_path_factory.mktemp("photos") / name
    cv2.imwrite(str(path), photo)
    return {name: path}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, faces: dict[str, Path]) -> Path:
    path = tmp_path_factory.mktemp("clips") / "hall.mp4"
    visit = Visit(*COLLINS, START_S, 2.0, (100, 200), ((0.3, 0.5), (0.7, 0.5)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "CLIPS", {"hall": (visit,)})
        patch.setattr(clips, "SECONDS", 4)
        render("hall", faces, path)
    return path


def frames_of(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [np.asarray(f.to_ndarray(format="gray"), np.uint8) for f in container.decode(video=0)]


def disc(frame: NDArray[np.uint8]) -> tuple[int, int, float]:
    """Width, height and horizontal centre of what is white."""
    ys, xs = np.nonzero(frame > 200)
    return int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1, float(xs.mean()) if len(xs) else 0.0


def test_a_clip_is_real_h264_with_a_key_frame_each_two_seconds(clip: Path) -> None:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert (stream.width, stream.height, stream.average_rate) == (*SIZE, FPS)
        keys = [float(p.pts * p.time_base) for p in container.demux(stream) if p.is_keyframe and p.pts is not None]
    assert keys == pytest.approx([0.0, 2.0])


def test_nobody_is_there_before_and_after_the_visit(clip: Path) -> None:
    there = [bool((frame > 200).any()) for frame in frames_of(clip)]
    first = round(START_S * FPS)
    assert there == [first <= index <= first + 2 * FPS for index in range(4 * FPS)]


def test_a_person_crosses_the_view_and_grows_without_being_stretched(clip: Path) -> None:
    frames = frames_of(clip)
    for index, share in ((round(START_S * FPS), 0.0), (round(START_S * FPS) + FPS, 0.5), (3 * FPS, 1.0)):
        width, height, x = disc(frames[index])
        assert height == pytest.approx(100 + 100 * share, rel=0.06)
        assert width == pytest.approx(height, rel=0.04)
        assert x == pytest.approx((0.3 + 0.4 * share) * SIZE[0], abs=6)


def test_a_broken_rendering_leaves_no_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / COLLINS[0]
    broken.write_bytes(b"no picture")
    monkeypatch.setattr(clips, "CLIPS", {"hall": (Visit(*COLLINS, 0, 1, (100, 100), ((0.5, 0.5), (0.5, 0.5))),)})
    with pytest.raises(ValueError, match="not a picture"):
        render("hall", {COLLINS[0]: broken}, tmp_path / "hall.mp4")
    assert [path.name for path in tmp_path.iterdir()] == [COLLINS[0]]


def test_the_fingerprint_follows_what_the_clips_show(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint()
    assert fingerprint() == before
    monkeypatch.setattr(clips, "SECONDS", 25)
    assert fingerprint() != before


def test_somebody_is_seen_early_in_each_clip_and_for_a_third_to_two_thirds_of_it() -> None:
    for visits in clips.CLIPS.values():
        present = {i for v in visits for i in range(round(v.start_s * 10), round((v.start_s + v.seconds) * 10))}
        assert min(v.start_s for v in visits) <= 5
        assert 0.33 <= len(present) / (clips.SECONDS * 10) <= 0.67
        assert all(80 <= px <= 250 for v in visits for px in v.face_px)
