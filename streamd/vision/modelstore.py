"""The folder of model files: what was fetched, what was prepared from it, and whether both are intact.

``sources/`` has the files as published. Beside it ``<name>.onnx`` (``.xml`` for a cascade, ``.zip`` for several
networks) is what runs and ``<name>.json`` says
what it was made from. ``manifests/`` may have a user's own manifests.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from streamd.errors import ModelError
from streamd.vision.catalog import Manifest, catalogue, find_manifest
from streamd.vision.fetch import fetch, sha256_of
from streamd.vision.progress import Progress
from streamd.wholefile import write_whole

PREPARATION = 1
"""Grows with every change of ``streamd.vision.prepare``: files prepared by an older one are made again."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a prepared file was made from."""

    recipe: str
    version: int
    sources: list[str]
    """SHA-256 of each original, in the manifest's order."""
    sha256: str
    """Of the prepared file itself."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """One model in one folder."""

    manifest: Manifest
    problem: str | None
    """Why it cannot be used; None where it can."""
    changed: bool = False
    """Whether it was fetched or prepared just now."""


class ModelStore:
    """Model files in one folder. Any number of processes may use and fill it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def manifests(self) -> Path:
        return self.folder / "manifests"

    def manifest(self, name: str, *, kind: str | None = None) -> Manifest:
        return find_manifest(name, kind=kind, own=self.manifests)

    def prepared(self, manifest: Manifest) -> Path:
        return self.folder / manifest.prepared_name

    def originals(self, manifest: Manifest) -> list[Path]:
        return [self.folder / "sources" / file.name for file in manifest.files]

    def pull(self, manifest: Manifest, progress: Progress | None = None) -> ModelState:
        """Fetch and prepare what is missing, damaged or out of date. Raises ModelError."""
        # Here, because it needs onnx and OpenCV's importers, which a running worker does not.
        from streamd.vision.prepare import prepare

        if (problem := self.problem(manifest)) is None:
            return ModelState(manifest, None)
        if manifest.library is not None or (manifest.accept_license is not None and not manifest.accepted):
            raise ModelError(f"model '{manifest.name}' {problem}")
        originals = self.originals(manifest)
        for file, target in zip(manifest.files, originals, strict=True):
            fetch(file.name, sources=file.sources, sha256=file.sha256, target=target, progress=progress)
        target = self.prepared(manifest)
        try:
            prepare(manifest.prepared, originals, target)
            made = Provenance(manifest.prepared, PREPARATION, _hashes(manifest), sha256_of(target))
            record = json.dumps(asdict(made), indent=2) + "\n"
            write_whole(target.with_suffix(".json"), record, mode=0o644)
        except OSError as error:
            raise ModelError(f"model '{manifest.name}': cannot write {target}: {error}") from error
        return ModelState(manifest, None, changed=True)

    def problem(self, manifest: Manifest) -> str | None:
        """Why the prepared file cannot be used, or None."""
        if manifest.accept_license is not None and not manifest.accepted:
            return (
                f"is for {manifest.accept_license} use only: say 'accepted: true' in its manifest if that holds for you"
            )
        if manifest.library is not None:
            return _missing(manifest.library)
        path = self.prepared(manifest)
        if not path.is_file():
            return f"is not in {self.folder}"
        made = _read_provenance(path.with_suffix(".json"))
        if made is None:
            return f"has no readable {path.with_suffix('.json').name} in {self.folder}"
        if (made.recipe, made.sources) != (manifest.prepared, _hashes(manifest)):
            return f"in {self.folder} was made from other files than its manifest names"
        if made.version != PREPARATION:
            return f"in {self.folder} was prepared by another version of streamd"
        if sha256_of(path) != made.sha256:
            return f"in {self.folder} is damaged"
        return None

    def prepared_sha256(self, manifest: Manifest) -> str:
        """Of the prepared file, which is there."""
        return sha256_of(self.prepared(manifest))

    def ready(self, manifest: Manifest) -> Path:
        """The prepared file, checked.

        Raises:
            ModelError: it is missing, damaged or out of date; the message has the command that mends it.
        """
        if problem := self.problem(manifest):
            raise ModelError(f"model '{manifest.name}' {problem}: run 'streamd models pull {manifest.name}'")
        return self.prepared(manifest)


def pull(names: Sequence[str], models_dir: Path, progress: Progress | None = None) -> list[ModelState]:
    """Fetch and prepare models by name. Raises ModelError at the first that cannot be had."""
    store = ModelStore(models_dir)
    return [store.pull(store.manifest(name), progress) for name in names]


def verify(names: Sequence[str], models_dir: Path) -> list[ModelState]:
    """Look at models by name, or at every known one that is there. Raises ModelError for unknown names."""
    store = ModelStore(models_dir)
    known = catalogue(store.manifests)
    manifests = [store.manifest(name) for name in names]
    if not names:
        manifests = [manifest for manifest in known.values() if store.prepared(manifest).exists()]
    return [ModelState(manifest, store.problem(manifest)) for manifest in manifests]


def _missing(library: str) -> str | None:
    if importlib.util.find_spec(library) is not None:
        return None
    return f"needs the Python package '{library}': pip install 'streamd[{library}]'"


def _hashes(manifest: Manifest) -> list[str]:
    return [file.sha256 for file in manifest.files]


def _read_provenance(path: Path) -> Provenance | None:
    try:
        return Provenance(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, TypeError):
        return None
