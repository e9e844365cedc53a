from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamd import diskuse
from streamd.config import Config
from streamd.diskuse import DiskUse, part_of
from streamd.metrics import Metrics

DAY = "snapshots/2026-03-01"


def measured(metrics: Metrics) -> dict[str, float]:
    return {sample.labels["part"]: sample.value for sample in next(iter(metrics.state_bytes.collect())).samples}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / DAY).mkdir(parents=True)
    (tmp_path / "models").mkdir()
    sizes = {"journal.sqlite": 5, "journal.sqlite-wal": 7, "gallery.sqlite": 11, "models/a.onnx": 13, "lock": 1}
    for name, size in (sizes | {f"{DAY}/a.jpg": 17}).items():
        (tmp_path / name).write_bytes(b"x" * size)
    return tmp_path


def test_every_part_of_the_state_is_counted(state: Path) -> None:
    metrics = Metrics()
    DiskUse(Config(state_dir=state), metrics).measure()
    assert measured(metrics) == {"journal": 12, "gallery": 11, "models": 13, "snapshots": 17, "backups": 0, "other": 1}
    disk = os.statvfs(state)
    assert metrics.disk_size._value.get() == disk.f_blocks * disk.f_frsize
    assert 0 < metrics.disk_free._value.get() <= metrics.disk_size._value.get()


def test_a_day_is_counted_again_only_when_pictures_came_or_went(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    use = DiskUse(Config(state_dir=state), metrics)
    use.measure()
    looked: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(diskuse.os, "scandir", lambda path: (looked.append(str(path)), scandir(path))[1])
    use.measure()
    assert str(state / DAY) not in looked
    (state / DAY / "b.jpg").write_bytes(b"y" * 100)
    use.measure()
    assert measured(metrics)["snapshots"] == 117
    (state / DAY / "a.jpg").unlink()
    (state / DAY / "b.jpg").unlink()
    use.measure()
    assert measured(metrics)["snapshots"] == 0


def test_a_state_directory_that_cannot_be_read_does_no_harm(tmp_path: Path) -> None:
    DiskUse(Config(state_dir=tmp_path / "gone"), Metrics()).measure()


def test_saved_indexes_belong_to_the_gallery() -> None:
    assert part_of("gallery.sqlite.index-3") == "gallery"
    assert part_of("deliveries.sqlite") == "other"
