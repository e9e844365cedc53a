"""``streamd replay``: the daemon's own decisions about a file, twice the same, and measured against the truth."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from e2e.conftest import OBAMA
from mediafiles import write_video
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
BIDEN = "Joe Biden"


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


def test_a_film_without_time_stamps_is_looked_at_all_the_same(
    config: Path, clip: Path, gallery: Path, tmp_path: Path
) -> None:
    raw = tmp_path / "door.h264"
    with av.open(str(clip)) as film:
        stream = film.streams.video[0]
        plain = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        raw.write_bytes(b"".join(bytes(out) for packet in film.demux(stream) for out in plain.filter(packet)))
    done = replay(raw, "-c", config, "--gallery", gallery, "--json")
    assert [json.loads(line).get("type") for line in done.stdout.splitlines()].count("face.appeared") == 2


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


@pytest.fixture
def both(tmp_path: Path, faces_dir: Path) -> Path:
    """A gallery of two people."""
    folder = tmp_path / "both"
    for name, photo in ((OBAMA, "obama.jpg"), (BIDEN, "biden.jpg")):
        (folder / name).mkdir(parents=True)
        shutil.copy(faces_dir / photo, folder / name)
    return folder


class Street:
    """A view of a textured wall, before which photographs of people are moved about."""

    def __init__(self, faces_dir: Path) -> None:
        noise = np.random.default_rng(1).integers(60, 150, (36, 64, 3), np.uint8)
        self._wall = cv2.resize(noise, (1280, 720), interpolation=cv2.INTER_CUBIC)
        self._people = {
            OBAMA: self._cut(faces_dir / "obama2.jpg", slice(100, 900), slice(None)),
            BIDEN: self._cut(faces_dir / "biden.jpg", slice(50, 950), slice(200, 900)),
        }

    def picture(self, **at: float) -> Picture:
        """People whose middle is at these pixels from the left; the last one is in front."""
        picture = self._wall.copy()
        for name, x in at.items():
            face = self._people[{"obama": OBAMA, "biden": BIDEN}[name]]
            height, width = face.shape[:2]
            left = round(x - width / 2)
            from_x, to_x = max(0, left), min(1280, left + width)
            if to_x > from_x:
                picture[200 : 200 + height, from_x:to_x] = face[:, from_x - left : to_x - left]
        return picture

    @staticmethod
    def _cut(path: Path, rows: slice, columns: slice) -> Picture:
        photo = cv2.imread(str(path))
        assert photo is not None
        cut = photo[rows, columns]
        height = 320
        return np.asarray(cv2.resize(cut, (round(cut.shape[1] * height / cut.shape[0]), height)), np.uint8)


def events_of(clip: Path, config: Path, gallery: Path) -> list[dict[str, Any]]:
    done = replay(clip, "-c", config, "--gallery", gallery, "--json")
    return [json.loads(line) for line in done.stdout.splitlines()[:-1]]


def stories(events: list[dict[str, Any]]) -> dict[str, list[tuple[str, str | None]]]:
    """What was told of each appearance."""
    told: dict[str, list[tuple[str, str | None]]] = {}
    for event in events:
        told.setdefault(event["track"], []).append((event["type"], event.get("identity", {}).get("name")))
    return told


def visit(name: str) -> list[tuple[str, str | None]]:
    return [("face.appeared", None), ("face.identified", name), ("face.left", name)]


@pytest.mark.parametrize("seconds", [1.7, 2.0, 3.0, 4.0])
def test_two_people_who_cross_keep_their_names(
    config: Path, both: Path, faces_dir: Path, tmp_path: Path, seconds: float
) -> None:
    street, frames = Street(faces_dir), round(15 * seconds)
    stand = [street.picture(obama=250, biden=1030)] * 15
    walk = [street.picture(obama=250 + 780 * t, biden=1030 - 780 * t) for t in np.linspace(0, 1, frames)]
    end = [street.picture(obama=1030, biden=250)] * 15
    clip = write_video(tmp_path / "street.mp4", [*stand, *walk, *end], fps=15)
    events = events_of(clip, config, both)
    assert sorted(stories(events).values()) == sorted([visit(OBAMA), visit(BIDEN)])
    last = {e["identity"]["name"]: e["box"] for e in events if e["type"] == "face.left"}
    assert last[OBAMA][0] > 640 > last[BIDEN][0], "each is where they went"


def test_somebody_who_comes_back_elsewhere_is_one_visit(
    config: Path, both: Path, faces_dir: Path, tmp_path: Path
) -> None:
    street = Street(faces_dir)
    nobody = [street.picture()] * 45
    clip = [*[street.picture(obama=300)] * 30, *nobody, *[street.picture(obama=950)] * 30]
    events = events_of(write_video(tmp_path / "back.mp4", clip, fps=15), config, both)
    assert list(stories(events).values()) == [visit(OBAMA)]
    assert events[-1]["evidence"]["seconds"] == pytest.approx(7.0, abs=0.5)


def test_another_person_in_the_same_place_is_another_visit(
    config: Path, both: Path, faces_dir: Path, tmp_path: Path
) -> None:
    street = Street(faces_dir)
    gap = [street.picture()] * 12  # shorter than max_gap_s: the box alone would go on
    clip = [*[street.picture(obama=600)] * 30, *gap, *[street.picture(biden=600)] * 30]
    told = stories(events_of(write_video(tmp_path / "other.mp4", clip, fps=15), config, both))
    assert list(told.values()) == [visit(OBAMA), visit(BIDEN)]
