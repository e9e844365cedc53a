"""The tracking bench: figures as TrackEval's, files as MOTChallenge writes them, clear errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from streamd.bench.motfigures import Look, figures
from streamd.bench.tracking import compare, read_clips
from streamd.cli import main
from streamd.config import Config
from streamd.errors import UsageError

INFO = "[Sequence]\nname=clip\nframeRate=10\nseqLength=60\n"


def random_looks(seed: int) -> list[Look]:
    """Four objects, followed with misses, false tracks and exchanged ids."""
    chance = np.random.default_rng(seed)
    looks = []
    for n in range(50):
        true = np.flatnonzero(chance.random(4) < 0.8)
        ids = np.flatnonzero(chance.random(5) < 0.7)
        overlap = 0.3 * chance.random((len(true), len(ids)))
        for row, who in enumerate(true):
            as_whom = who if n < 25 or chance.random() < 0.5 else (who + 1) % 4
            overlap[row, ids == as_whom] = 0.4 + 0.6 * chance.random()
        looks.append(Look(true, ids, overlap))
    return looks


@pytest.mark.parametrize(
    ("seed", "hota", "idf1", "mota", "switches"),
    [
        (0, 0.260049746090, 0.391691394659, -0.127272727273, 19),
        (1, 0.254322694591, 0.394029850746, -0.147435897436, 20),
        (2, 0.282332265652, 0.423529411765, -0.090909090909, 18),
    ],
)
def test_figures_are_trackevals(seed: int, hota: float, idf1: float, mota: float, switches: int) -> None:
    """The numbers are those of TrackEval 1.3.0 on the same input."""
    told = figures(random_looks(seed))
    assert (told.hota, told.idf1, told.mota) == pytest.approx((hota, idf1, mota), abs=1e-9)
    assert told.switches == switches


def clip(folder: Path, *, crossing: bool = False) -> Path:
    """Two faces that walk past each other, one of them hidden for half a second."""
    truth, found = [], []
    for frame in range(1, 61):
        for who, (x, y) in enumerate(((20 + 10 * frame, 100), (640 - 10 * frame, 100 if crossing else 190)), start=1):
            truth.append(f"{frame},{who},{x},{y},80,80,1,1,1")
            if not (who == 1 and 30 <= frame < 35):
                found.append(f"{frame},-1,{x + frame % 3},{y},80,80,0.9,-1,-1,-1")
    found.append("7,-1,300,400,80,80,0.65,-1,-1,-1")  # too weak to start a track
    for name, lines in (("gt", truth), ("det", found)):
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}.txt").write_text("\n".join(lines) + "\n")
    (folder / "seqinfo.ini").write_text(INFO)
    return folder


def test_faces_that_pass_keep_their_ids_at_every_rate(tmp_path: Path) -> None:
    clips = read_clips(clip(tmp_path / "clip").parent)
    for row in compare(clips, (1, 2, 3, 5), Config()):
        if row.tracker == "streamd":
            assert (row.ids, row.switches) == (2, 0)
            assert row.idf1 > 0.85


def test_the_command_prints_a_row_per_tracker_and_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip(tmp_path / "clip")
    assert main(["bench", "tracking", "--mot", str(tmp_path), "--steps", "1,5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["clips"] == ["clip"]
    assert {(r["tracker"], r["step"]) for r in told["rows"]} >= {("streamd", 1), ("SORT", 1), ("streamd", 5)}
    assert main(["bench", "tracking", "--mot", str(tmp_path)]) == 0
    assert "HOTA" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: (f / "det" / "det.txt").unlink(), "no det/det.txt"),
        (lambda f: (f / "gt" / "gt.txt").write_text("1,2,x\n"), "gt.txt"),
        (lambda f: (f / "gt" / "gt.txt").write_text("1,2,3\n"), "3 columns"),
        (lambda f: (f / "seqinfo.ini").write_text("[Sequence]\n"), "no frameRate"),
        (lambda f: (f / "seqinfo.ini").unlink(), "no seqinfo.ini"),
    ],
)
def test_a_folder_that_is_none(tmp_path: Path, spoil, says: str) -> None:  # type: ignore[no-untyped-def]
    spoil(clip(tmp_path / "clip"))
    with pytest.raises(UsageError, match=says):
        read_clips(tmp_path)
