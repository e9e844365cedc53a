"""Files as cameras: their pace, their end, and what may be wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mediafiles import patches, write_video
from sourceclock import FakeClock

from streamd.config import CaptureConfig
from streamd.errors import SourceEnded, SourceLost, SourceRejected
from streamd.sources.av import AvSource
from streamd.sources.avframe import AvFrame

GREYS = [30, 60, 90, 120, 150, 180]


def steps(
    path: Path,
    *,
    fps: int = 10,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    damaged: frozenset[int] = frozenset(),
) -> Path:
    """Six grey frames, each lighter than the one before."""
    pictures = [np.full((size[1], size[0], 3), level, np.uint8) for level in GREYS]
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    return write_video(path, pictures, fps=fps, codec=codec, pixels=pixels, damaged=damaged)


def opened(path: Path, clock: FakeClock | None = None, **options: object) -> AvSource:
    config = CaptureConfig.model_validate({"pace": "fast", "loop": False, **options})
    source = AvSource(str(path), config=config, clock=clock.as_clock() if clock else None)
    source.open()
    return source


def level(frame: AvFrame) -> int:
    return int(np.argmin(np.abs(np.array(GREYS) - frame.bgr(64, 48).mean())))


def played(source: AvSource, limit: int = 1000) -> list[AvFrame]:
    frames: list[AvFrame] = []
    try:
        while len(frames) < limit:
            frames.append(source.read(2.0))
    except SourceEnded:
        return frames
    finally:
        source.close()
    return frames


def test_a_file_played_once_gives_every_frame_in_order_and_ends(tmp_path: Path) -> None:
    assert [level(frame) for frame in played(opened(steps(tmp_path / "a.mp4")))] == [0, 1, 2, 3, 4, 5]


def test_opening_tells_size_rate_and_codec(tmp_path: Path) -> None:
    source = AvSource(str(steps(tmp_path / "a.mp4")), config=CaptureConfig())
    info = source.open()
    source.close()
    assert (info.width, info.height, info.fps, info.codec) == (64, 48, 10.0, "h264")


def test_a_looped_file_starts_again(tmp_path: Path) -> None:
    frames = played(opened(steps(tmp_path / "a.mp4"), loop=True), limit=14)
    assert [level(frame) for frame in frames] == [0, 1, 2, 3, 4, 5] * 2 + [0, 1]


@pytest.mark.parametrize("fps", [10, 25])
def test_a_paced_file_gives_each_frame_when_it_is_due(tmp_path: Path, fps: int) -> None:
    clock = FakeClock(100.0)
    frames = played(opened(steps(tmp_path / "a.mp4", fps=fps), clock, pace="real", loop=True), limit=13)
    due = [100.0 + i / fps for i in range(13)]  # over two loops
    assert [frame.captured_at_s for frame in frames] == pytest.approx(due, abs=0.002)
    assert clock.now_s == pytest.approx(due[-1], abs=0.002)


def test_a_late_reader_gets_every_frame_at_once_until_it_has_caught_up(tmp_path: Path) -> None:
    clock = FakeClock(0.0)
    source = opened(steps(tmp_path / "a.mp4"), clock, pace="real")
    first = source.read(2.0)
    clock.now_s += 0.35
    late = [source.read(2.0) for _ in range(3)]
    assert clock.now_s == pytest.approx(0.35)
    on_time = source.read(2.0)
    assert [level(frame) for frame in (first, *late, on_time)] == [0, 1, 2, 3, 4]
    assert clock.now_s == pytest.approx(0.4)
    source.close()


def test_the_wall_clock_belongs_to_the_moment_the_frame_was_due(tmp_path: Path) -> None:
    clock = FakeClock(0.0, wall_offset_s=1_700_000_000.0)
    frames = played(opened(steps(tmp_path / "a.mp4"), clock, pace="real"))
    assert [frame.captured_wall_s - frame.captured_at_s for frame in frames] == [1_700_000_000.0] * 6


def test_a_file_opened_again_after_a_pause_does_not_rush(tmp_path: Path) -> None:
    clock = FakeClock(0.0)
    source = opened(steps(tmp_path / "a.mp4"), clock, pace="real")
    source.read(2.0)
    clock.now_s = 60.0
    source.open()
    assert [source.read(2.0).captured_at_s for _ in range(2)] == pytest.approx([60.0, 60.1])
    source.close()


def test_a_missing_file_is_rejected_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.mp4"
    with pytest.raises(SourceRejected, match=r"nowhere\.mp4: no such file"):
        opened(path)


@pytest.mark.parametrize("name", ["notes.txt", "notes.mp4", "notes"])
def test_a_text_file_is_rejected(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("dear diary,\nthis is not a video.\n" * 500)
    with pytest.raises(SourceRejected, match="not a video"):
        opened(path)


@pytest.mark.parametrize("size", [0, 1, 100])
def test_an_empty_or_cut_off_file_is_rejected(tmp_path: Path, size: int) -> None:
    whole = steps(tmp_path / "whole.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[:size])
    with pytest.raises(SourceRejected, match=r"cut\.mp4"):
        played(opened(path))


def test_a_truncated_recording_plays_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", [patches(320, 240)] * 40)
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 4])
    assert 5 <= len(played(opened(path))) < 40


def test_a_file_without_a_picture_is_rejected_instead_of_played_for_ever(tmp_path: Path) -> None:
    path = steps(tmp_path / "a.avi", codec="mjpeg", damaged=frozenset(range(6)))
    with pytest.raises(SourceRejected, match=r"a\.avi: has no picture"):
        played(opened(path, loop=True))


def test_damaged_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    source = opened(steps(tmp_path / "a.avi", codec="mjpeg", damaged=frozenset({2, 3})))
    assert [level(frame) for frame in played(source)] == [0, 1, 4, 5]
    assert source.corrupt_packets == 2


def test_noise_in_the_middle_of_a_recording_does_not_end_it(tmp_path: Path) -> None:
    moving = [np.roll(patches(320, 240), 7 * i, axis=1) for i in range(60)]
    path = write_video(tmp_path / "a.ts", moving)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = np.random.default_rng(1).bytes(4000)
    path.write_bytes(data)
    frames = played(opened(path))
    assert len(frames) > 40
    assert frames[-1].media_s - frames[0].media_s > 5


def test_a_resolution_that_changes_in_mid_stream_is_followed(tmp_path: Path) -> None:
    both = tmp_path / "both.h264"
    both.write_bytes(steps(tmp_path / "a.h264").read_bytes() + steps(tmp_path / "b.h264", size=(128, 96)).read_bytes())
    frames = played(opened(both))
    assert {frame.size for frame in frames} == {(64, 48), (128, 96)}
    assert [frame.yuv420().size == frame.size for frame in frames] == [True] * len(frames)


def test_a_colon_in_a_files_name_is_not_a_protocol(tmp_path: Path) -> None:
    path = steps(tmp_path / "a.mp4").rename(tmp_path / "door:front.mp4")
    assert len(played(opened(path))) == 6


def test_several_decoder_threads_lose_no_frame(tmp_path: Path) -> None:
    assert len(played(opened(steps(tmp_path / "a.mp4"), decoder_threads=4))) == 6


def test_closing_twice_and_without_opening_is_harmless(tmp_path: Path) -> None:
    source = AvSource(str(tmp_path / "a.mp4"), config=CaptureConfig())
    source.close()
    source.close()
    with pytest.raises(SourceLost, match="not open"):
        source.read(1.0)
