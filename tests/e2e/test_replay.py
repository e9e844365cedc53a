"""``streamd replay``: the daemon's own decisions about a file, twice the same, and measured against the truth."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from e2e.conftest import OBAMA
from mediafiles import write_video
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def replay(*args: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streamd", "replay", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def config(tmp_path: Path, models_dir: Path) -> Path:
    path = tmp_path / "streamd.yaml"
    path.write_text(f"state_dir: {tmp_path / 'state'}\nmodels_dir: {models_dir}\n")
    return path


@pytest.fixture
def clip(tmp_path: Path, obama: Picture, biden: Picture, nobody: Picture) -> Path:
    """Two seconds of a known face, then, at once and in the same place, two of a stranger, then nobody."""
    busy = nobody.copy()
    busy[:, ::40] = 30
    pictures = [obama] * 20 + [biden] * 20 + [busy] * 20
    return write_video(tmp_path / "door.mp4", pictures, fps=10)


def truth(tmp_path: Path) -> Path:
    path = tmp_path / "truth.csv"
    path.write_text(f"label,enrolled,start_s,end_s\n{OBAMA},1,0,2\nstranger,0,2,4\n")
    return path


def test_a_cut_ends_the_story_and_the_score_is_right(config: Path, clip: Path, gallery: Path, tmp_path: Path) -> None:
    done = replay(clip, "-c", config, "--gallery", gallery, "--truth", truth(tmp_path), "--json")
    *events, last = (json.loads(line) for line in done.stdout.splitlines())
    told: list[tuple[str, str | None]] = [(e["type"], e.get("identity", {}).get("name")) for e in events]
    assert told == [
        ("face.appeared", None),
        ("face.identified", OBAMA),
        ("face.left", OBAMA),
        ("face.appeared", None),
        ("face.unknown", None),
        ("face.left", None),
    ]
    assert len({e["track"] for e in events}) == 2
    assert [e["seq"] for e in events] == [1, 2, 3, 4, 5, 6]
    summary: dict[str, Any] = last["summary"]
    assert summary["false_names"] == summary["id_switches"] == 0
    assert summary["precision"] == 1.0
    assert summary["recall"] > 0.8
    assert summary["time_to_identity_p50_s"] < 0.5
    assert (summary["presences"], summary["identified"], summary["frames"]) == (1, 1, 60)


def test_twice_the_same_but_for_ids(config: Path, clip: Path, gallery: Path) -> None:
    first, second = (
        re.sub(r'"(id|revises)":"[0-9a-f]+"', "", replay(clip, "-c", config, "--gallery", gallery, "--json").stdout)
        for _ in range(2)
    )
    assert first.splitlines()[:-1] == second.splitlines()[:-1]


def test_for_people_with_the_picture_annotated(config: Path, clip: Path, gallery: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    done = replay(clip, "-c", config, "--gallery", gallery, "--truth", truth(tmp_path), "--annotate", out)
    assert "identified" in done.stdout
    assert "false names       0" in done.stdout
    with av.open(str(out)) as container:
        frames = [f.to_ndarray(format="bgr24") for f in container.decode(video=0)]
    assert len(frames) == 60
    green = (frames[15][..., 1].astype(int) - frames[15][..., 2] > 60).sum()
    assert green > 150  # the box of a known face


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["none.mp4"], "none.mp4: no such file"),
        (["a.mp4", "b.mp4", "--truth", "t.csv"], "2 videos and 1 --truth"),
        (["a.mp4", "b.mp4", "--annotate", "o.mp4"], "one video at a time"),
    ],
)
def test_what_cannot_be(config: Path, args: list[str], says: str) -> None:
    assert says in replay(*args, "-c", config, code=64).stderr


def test_a_file_that_is_no_video(config: Path, gallery: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video" * 100)
    assert "bad.mp4" in replay(bad, "-c", config, "--gallery", gallery, code=69).stderr
