from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_lists_of_pinned_packages_are_complete() -> None:
    """Every dependency of pyproject.toml, each package with a hash."""
    names = re.findall(r'^  "([A-Za-z0-9_.-]+)[\[>=<]', _section("dependencies = ["), re.M)
    assert len(names) > 10
    for accelerator, runtime in (("cpu", "onnxruntime"), ("gpu", "onnxruntime-gpu")):
        text = (ROOT / "config" / "lock" / f"{accelerator}.txt").read_text()
        pinned = re.findall(r"^([a-z0-9_.-]+)(?:\[[a-z,]+\])?==[^ ]+ .*\\\n    --hash=sha256:", text, re.M)
        pinned += re.findall(r"^([a-z0-9_.-]+)(?:\[[a-z,]+\])?==\S+ \\\n    --hash=sha256:", text, re.M)
        assert {re.sub(r"[._-]+", "-", name.lower()) for name in (*names, runtime)} <= set(pinned)
        assert "://" not in text, "the name of no registry is written down"


def _section(start: str) -> str:
    return (ROOT / "pyproject.toml").read_text().partition(start)[2].partition("\n]")[0]
