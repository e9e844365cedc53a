"""``streamd bench identify``: known people among strangers, decided as the product decides (docs/accuracy.md)."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streamd.bench import rates
from streamd.bench.photographs import FaceReader, people_in, photos_under
from streamd.config import GalleryConfig
from streamd.domain import Decision
from streamd.errors import UsageError
from streamd.gallery.live import LiveGallery
from streamd.gallery.names import person_name
from streamd.gallery.rows import NewFace
from streamd.gallery.store import GalleryStore
from streamd.standard import Standard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamd.domain import Face
    from streamd.interfaces import Embedder

FPIRS = {"fpir_1e-2": 1e-2, "fpir_1e-3": 1e-3}
_STATED = (1e-1, 1e-2, 1e-3, 1e-4)


@dataclass(frozen=True, slots=True)
class Folders:
    gallery: Path
    probes: Path
    strangers: Path | None = None


@dataclass(frozen=True, slots=True)
class _Probe:
    person: str | None
    """None for a stranger."""
    decision: Decision
    grey: bool


@dataclass(frozen=True, slots=True, eq=False)
class Identification:
    """Every probe's answer."""

    people: int
    gallery_photos: int
    refusable: int
    """Gallery photos that ``streamd enroll`` would refuse for their quality; used here all the same."""
    undetected_gallery: int
    probes: list[_Probe]
    undetected_known: int
    undetected_strangers: int
    standard: Standard
    ms_per_image: float

    @property
    def mated(self) -> NDArray[np.float64]:
        """Similarity of each known probe to its own person where they come first; -inf: a miss at any threshold."""
        own = [_similarity(p) if _first(p) == p.person else -math.inf for p in self.probes if p.person is not None]
        return np.array(own + [-math.inf] * self.undetected_known)

    @property
    def unmated(self) -> NDArray[np.float64]:
        """Highest similarity of each stranger to anybody."""
        nearest = [_similarity(p) for p in self.probes if p.person is None]
        return np.array(nearest + [-math.inf] * self.undetected_strangers)

    def to_json(self) -> dict[str, Any]:
        mated, unmated = self.mated, self.unmated
        body: dict[str, Any] = {}
        for key, fpir in FPIRS.items():
            rate, threshold = rates.identification_rate(mated, unmated, fpir)
            body[f"dir_at_{key}"] = _rounded(rate)
            body[f"threshold_at_{key}"] = _rounded(threshold)
        body |= {
            "rank1": _rounded(float((mated > -math.inf).mean())) if len(mated) else None,
            "people": self.people,
            "gallery_photos": self.gallery_photos,
            "probes": len(mated),
            "strangers": len(unmated),
            "undetected": self.undetected_known + self.undetected_strangers,
            "undetected_gallery": self.undetected_gallery,
            "refusable_gallery": self.refusable,
            "ms_per_image": round(self.ms_per_image, 1),
            "stated": [self._stated(far) for far in _STATED],
        }
        return body

    def _stated(self, far: float) -> dict[str, Any]:
        """What the product's own decision at a stated rate does: names for strangers, names for the known."""
        standard = Standard(
            self.standard.scores, far, self.standard.margin, self.standard.population, None, self.standard.nearest_other
        )
        named = [(probe, _named(probe, standard)) for probe in self.probes]
        wrongly = sum(name is not None for probe, name in named if probe.person is None)
        rightly = sum(name == probe.person for probe, name in named if probe.person is not None)
        confused = sum(name not in (None, probe.person) for probe, name in named if probe.person is not None)
        strangers, known = len(self.unmated), len(self.mated)
        low, high = rates.interval(wrongly, strangers)
        return {
            "target_far": far,
            "threshold": round(standard.threshold(), 4),
            "false_names": wrongly,
            "fpir": _rounded(wrongly / strangers) if strangers else None,
            "interval": [round(low, 6), round(high, 6)],
            "identified": _rounded(rightly / known) if known else None,
            "misnamed": confused,
        }


def _named(probe: _Probe, standard: Standard) -> str | None:
    matches = [match for match in (probe.decision.best, probe.decision.runner_up) if match is not None]
    identity = standard.judge(matches, grey=probe.grey).identity
    return identity.name if identity else None


def _first(probe: _Probe) -> str | None:
    return probe.decision.best.name if probe.decision.best else None


def _similarity(probe: _Probe) -> float:
    return probe.decision.best.similarity if probe.decision.best else -math.inf


def _rounded(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None


def measure(folders: Folders, reader: FaceReader, embedder: Embedder, *, margin: float) -> Identification:
    """Enrol the gallery, look every probe up. Raises UsageError where a folder has no photos."""
    gallery = people_in(folders.gallery)
    probes = people_in(folders.probes)
    known = [(name, path) for name, paths in probes.items() for path in paths if name in gallery]
    strange = [path for name, paths in probes.items() for path in paths if name not in gallery]
    strange += photos_under(folders.strangers) if folders.strangers else []
    if not known and not strange:
        raise UsageError(f"{folders.probes}: no probes")
    reader.read_all((path for paths in gallery.values() for path in paths), "gallery")
    reader.read_all((path for _, path in known), "known probes")
    reader.read_all(strange, "strangers")
    with tempfile.TemporaryDirectory(prefix="streamd-") as folder:
        file = Path(folder) / "gallery.sqlite"
        _enrol(file, gallery, reader, embedder)
        with LiveGallery(file, model_id=embedder.model_id, config=GalleryConfig(index="exact")) as live:
            standard = _standard(live, embedder, margin)
            faces = [(name, reader.faces[path]) for name, path in known] + [(None, reader.faces[p]) for p in strange]
            asked = [(person_name(n) if n else None, face) for n, face in faces if face is not None]
            answers = _look_up(asked, live, standard)
            nearest = {p.decision.best.person_id for p in answers if p.decision.best}
            standard = _settled(standard, nearest)
    photos = [path for paths in gallery.values() for path in paths]
    return Identification(
        people=len(gallery),
        gallery_photos=len(photos),
        refusable=sum(_refusable(reader.faces[path]) for path in photos),
        undetected_gallery=sum(reader.faces[path] is None for path in photos),
        probes=answers,
        undetected_known=sum(reader.faces[path] is None for _, path in known),
        undetected_strangers=sum(reader.faces[path] is None for path in strange),
        standard=standard,
        ms_per_image=reader.ms_per_image,
    )


def _refusable(face: Face | None) -> bool:
    return face is not None and face.quality.reason is not None


def _enrol(file: Path, gallery: dict[str, list[Path]], reader: FaceReader, embedder: Embedder) -> None:
    with GalleryStore(file) as store:
        for name, paths in gallery.items():
            found = [(path, face) for path in paths if (face := reader.faces[path]) is not None]
            rows = [enrolled_row(path, face, embedder.model_id) for path, face in found]
            if rows:
                store.add_faces(name, rows)


def enrolled_row(path: Path, face: Face, model_id: str) -> NewFace:
    """What ``streamd enroll`` would store, whatever the photo's quality."""
    return NewFace(
        vector=face.vector,
        model_id=model_id,
        chip_jpeg=b"",
        quality=face.quality.score,
        source=f"photo:{path}",
        source_sha256="",
    )


def _standard(live: LiveGallery, embedder: Embedder, margin: float) -> Standard:
    return Standard(embedder.scores, 1e-4, margin, live.population(), None, live.nearest_other)


def _settled(standard: Standard, people: set[str]) -> Standard:
    """The standard without the gallery, which is about to close: look-alikes are looked up now."""
    nearest = {person: standard.nearest_other(person) for person in people}
    return Standard(standard.scores, standard.target_far, standard.margin, standard.population, None, nearest.get)


def _look_up(asked: Sequence[tuple[str | None, Face]], live: LiveGallery, standard: Standard) -> list[_Probe]:
    if not asked:
        return []
    vectors = np.stack([face.vector for _, face in asked])
    return [
        _Probe(name, standard.judge(matches, grey=_grey(face)), _grey(face))
        for (name, face), matches in zip(asked, live.search(vectors, people=2), strict=True)
    ]


def _grey(face: Face) -> bool:
    return bool(getattr(face.quality, "grey", False))
