"""Profiles: manifests of well-known networks without their files, for weights that a user brings along."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from streamd.errors import ModelError, UsageError
from streamd.vision.catalog import Manifest

_FOLDER = Path(__file__).parent / "profiles"


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
