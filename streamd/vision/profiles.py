"""Profiles: manifests of well-known networks without their files, for weights that a user brings along."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from streamd.errors import ModelError, UsageError
from streamd.vision.catalog import Manifest, ModelInput

_FOLDER = Path(__file__).parent / "profiles"

ANY_DIMENSION = frozenset({"arcface", "mobilefacenet"})
"""Families trained with vectors of several lengths; of the others each length has thresholds of its own."""
NORMALISATIONS: Mapping[str, Mapping[str, Any]] = {
    "signed": {"mean": (127.5, 127.5, 127.5), "scale": 1 / 127.5, "standardise": False},
    "unit": {"mean": (0.0, 0.0, 0.0), "scale": 1 / 255, "standardise": False},
    "raw": {"mean": (0.0, 0.0, 0.0), "scale": 1.0, "standardise": False},
    "standardised": {"mean": (0.0, 0.0, 0.0), "scale": 1.0, "standardise": True},
}
"""What networks are commonly fed: -1..1, 0..1, 0..255, or each picture by its own mean and standard deviation."""


def profile_names() -> list[str]:
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def read_profile(name: str) -> dict[str, Any]:
    """The keys of a manifest, but for ``files``. Raises UsageError where there is no such profile."""
    if name not in profile_names():
        raise UsageError(f"no profile is called '{name}'; there are: {', '.join(profile_names())}")
    return dict(_read(name))


@cache
def _read(name: str) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return body


def manifest_from(profile: str, *, name: str, file: Path, sha256: str, changes: dict[str, Any]) -> Manifest:
    """A manifest for a user's file. Raises ModelError where the changes do not fit the profile."""
    body = read_profile(profile) | {"name": name}
    body["files"] = [{"name": f"{name}.original.onnx", "sha256": sha256, "sources": [{"file": str(file)}]}]
    body["licence"] = "its owner's"
    body |= changes
    try:
        return Manifest.model_validate(body)
    except ValueError as error:
        raise ModelError(f"profile '{profile}': {error}") from error


def swapped_option(fed: ModelInput) -> str:
    """The option of ``streamd models import`` that exchanges red and blue."""
    return f"--colour {_swapped(fed)}"


def alternatives(fed: ModelInput) -> dict[str, ModelInput]:
    """Other colours and normalisations, by the options of ``streamd models import`` that make them so."""
    ranges: dict[str, Mapping[str, Any]] = {"": {}}
    ranges.update({f"--normalisation {name}": values for name, values in NORMALISATIONS.items()})
    found = {}
    for option, colour in (("", fed.colour), (swapped_option(fed), _swapped(fed))):
        for range_option, values in ranges.items():
            found[f"{option} {range_option}".strip()] = fed.model_copy(update={"colour": colour, **values})
    del found[""]
    return found


def _swapped(fed: ModelInput) -> str:
    return "bgr" if fed.colour == "rgb" else "rgb"
