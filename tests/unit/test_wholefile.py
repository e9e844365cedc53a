from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamd.wholefile import write_whole


def test_a_file_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_whole(path, "old\n", mode=0o644)
    write_whole(path, "Zoë\n", mode=0o600)
    assert path.read_text(encoding="utf-8") == "Zoë\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_on_a_full_disk_what_was_there_stays_and_nothing_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "record.json"
    write_whole(path, "old\n", mode=0o644)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new\n", mode=0o644)
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]
