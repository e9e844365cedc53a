"""Twice as many cameras each time, until it is too much."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from streamd.bench.pipeline import Report
from streamd.commands.bench_pipeline import _sweep
from streamd.errors import UnavailableError


def report(cameras: int, *, age_s: float) -> Report:
    values = {f.name: {} if "dict" in str(f.type) else 0.1 for f in fields(Report)}
    return Report(**values | {"cameras": cameras, "resolution": "1280x720", "frame_age_p95_s": age_s})  # type: ignore[arg-type]


def swept(measured: Callable[[int], Report], prefix: Path) -> list[int]:
    _sweep(measured, 4, prefix, as_json=False)
    assert prefix.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    with prefix.with_suffix(".csv").open(newline="") as file:
        return [int(row["cameras"]) for row in csv.DictReader(file)]


def test_it_ends_with_the_first_that_is_late(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert swept(lambda cameras: report(cameras, age_s=0.02 * cameras), tmp_path / "sweep") == [4, 8, 16]
    assert "  16 cameras: frame age p95 320 ms" in capsys.readouterr().out


def test_what_was_measured_is_kept_where_more_cannot_be_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(cameras: int) -> Report:
        if cameras > 8:
            raise UnavailableError("the daemon did not become ready")
        return report(cameras, age_s=0.05)

    assert swept(measured, tmp_path / "sweep") == [4, 8]
    assert "16 cameras: the daemon did not become ready" in capsys.readouterr().err


def test_it_fails_where_nothing_could_be_measured(tmp_path: Path) -> None:
    def measured(cameras: int) -> Report:
        raise UnavailableError(f"{cameras} are too many")

    with pytest.raises(UnavailableError, match="4 are too many"):
        _sweep(measured, 4, tmp_path / "sweep", as_json=False)
    assert not list(tmp_path.iterdir())
