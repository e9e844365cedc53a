"""The peers' loop, its children, and what is made of their answers."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from mediafiles import patches, write_video

from streamd.bench import contenders, peerloop
from streamd.bench.contenders import Material
from streamd.bench.daemon import cpu_of_tree
from streamd.bench.naming import Naming
from streamd.bench.peers import Row, length_s, ratio, shortened, tape
from streamd.cli import main
from streamd.commands.bench_peers import line
from streamd.errors import ModelError, UsageError


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", [patches(64, 48)] * 20, fps=10)


class FakeLoop:
    """Sees Ada in every other frame, and takes a whole frame for Bob."""

    threshold = 0.5

    def __init__(self) -> None:
        self.calls = 0

    def faces(self, frame: Any) -> list[tuple[list[float], Any]]:
        self.calls += 1
        return [([1.0, 2.0, 5.0, 8.0], np.array([1.0, 0.0], np.float32))] if self.calls % 2 else []

    def portrait(self, path: str) -> Any:
        return {"ada.jpg": np.array([1.0, 0.0]), "bob.jpg": np.array([0.0, 1.0]), "nobody.jpg": None}[path]

    def whole(self, frame: Any) -> Any:
        return np.array([0.0, 1.0], np.float32)

    def versions(self) -> dict[str, str]:
        return {}


def test_every_frame_is_looked_at_and_its_names_are_noted(clip: Path) -> None:
    loop = FakeLoop()
    names, vectors = peerloop.enrolled(loop, {"Ada": ["ada.jpg"], "Bob": ["bob.jpg", "nobody.jpg"]})
    assert names == ["Ada", "Bob"]
    played = peerloop.play(loop, str(clip), names, vectors)
    assert (played["frames"], played["faces"], played["without_face"]) == (20, 10, 10)
    assert played["whole_named"] == 10
    assert played["seen"][1] == [0.2, "Ada", 1.0, [1.0, 2.0, 5.0, 8.0]]
    assert 0 <= played["cpu_s"] <= played["elapsed_s"] * 4


def test_a_similarity_below_the_threshold_is_no_name() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    assert peerloop.named(np.array([0.6, 0.4], np.float32), ["Ada", "Bob"], vectors, 0.5) == ("Ada", pytest.approx(0.6))
    assert peerloop.named(np.array([0.4, 0.3], np.float32), ["Ada", "Bob"], vectors, 0.5) is None
    assert peerloop.named(np.array([1.0, 0.0], np.float32), [], vectors, 0.5) is None


def test_the_beginning_of_a_clip_is_cut_out_without_encoding(clip: Path, tmp_path: Path) -> None:
    assert length_s(clip) == pytest.approx(2.0)
    assert shortened(clip, 5.0, tmp_path / "short.mp4") == clip
    short = shortened(clip, 1.0, tmp_path / "short.mp4")
    assert length_s(short) == pytest.approx(1.0, abs=0.11)


def test_a_tape_is_a_clip_without_a_seam(clip: Path, tmp_path: Path) -> None:
    long = tape(clip, tmp_path / "tape.mp4", seconds=1.0, copies=3)
    with av.open(str(long)) as container:
        stream = container.streams.video[0]
        moments_s = [frame.time for frame in container.decode(stream)]
    assert moments_s == pytest.approx([number / 10 for number in range(30)], abs=0.01)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.mp4").write_text("no video")
    with pytest.raises(UsageError, match=r"note\.mp4: is not a video"):
        shortened(tmp_path / "note.mp4", 5.0, tmp_path / "short.mp4")


def test_an_interpreter_without_deepface_is_noticed(tmp_path: Path) -> None:
    assert not contenders.has_deepface(str(tmp_path / "python"))
    assert contenders.has_deepface(sys.executable) == (
        subprocess.run([sys.executable, "-c", "import deepface"], capture_output=True).returncode == 0
    )


def test_a_peer_that_fails_says_why(clip: Path, tmp_path: Path) -> None:
    material = Material([clip], {}, {})
    with pytest.raises(ModelError, match="opencv-yunet: KeyError: 'yunet'"):
        contenders.play("opencv-yunet", material, tmp_path)


@pytest.mark.parametrize("contender", ["opencv-yunet", "opencv-ssd"])
def test_the_opencv_loop_finds_and_names_a_face(
    contender: str, models_dir: Path, faces_dir: Path, tmp_path: Path
) -> None:
    weights = contenders.originals(models_dir)
    portrait = peerloop.cv2.resize(peerloop.cv2.imread(str(faces_dir / "obama2.jpg")), (480, 640))
    clip = write_video(tmp_path / "portrait.mp4", [np.asarray(portrait, np.uint8)] * 3, fps=10)
    people = {"Barack Obama": [faces_dir / "obama.jpg"], "Eileen Collins": [faces_dir / "astronaut.png"]}
    played = contenders.play(contender, Material([clip], people, weights), tmp_path)
    assert (played.frames, played.without_face) == (3, 0)
    assert [each.name for each in played.borne[0]] == ["Barack Obama"] * 3
    assert played.video_s == pytest.approx(0.3)


def test_the_kernel_counts_children_too() -> None:
    burn = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(5_000_000))']); input()"
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE) as process:
        end_s = time.monotonic() + 30
        while cpu_of_tree(process.pid) < 0.05 and time.monotonic() < end_s:
            time.sleep(0.02)
        assert cpu_of_tree(process.pid) >= 0.05
        process.communicate(b"\n")
    assert cpu_of_tree(process.pid) == 0.0


def test_a_row_shows_the_ratio_or_why_there_is_none() -> None:
    streamd = Row("streamd", 0.05, Naming(stays=2, named=2, seconds=4, named_s=3), 100.0)
    loop = Row("opencv-ssd", 1.0, Naming(stays=2, named=1, seconds=4, named_s=1, false_names=3, false_s=2.5), 100.0)
    assert ratio(loop, streamd) == pytest.approx(20.0)
    assert line(loop, streamd).endswith("| 1.0000 | 20.0 | 1 of 2 | 25.0 % | 3 | 2.5 |")
    gone = Row("deepface-ssd", None, None, None, problem="deepface is not installed for python")
    assert ratio(gone, streamd) is None
    assert "deepface is not installed" in line(gone, streamd)
    assert gone.to_json(streamd)["ratio"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--peers", "opencv"], "there are opencv-ssd"),
        (["--clip", "a.mp4"], "one for each"),
        (["--truth", "a.csv"], "--truth and --gallery"),
        (["--streams", "7"], "--streams must be 1 to 6"),
        (["--peer-seconds", "0"], "at least 1"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "peers", *arguments]) == 64
    assert said in capsys.readouterr().err
