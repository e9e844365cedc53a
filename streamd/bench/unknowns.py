"""``streamd bench unknowns``: are strangers who come again recognised, and nobody known among them?

Every photo counts as one sighting, in an order drawn at random. Some people are enrolled beforehand with one photo
each; the rest of their photos come by like everybody else's.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streamd.bench.identify import enrolled_row
from streamd.bench.photographs import FaceReader, people_in
from streamd.config import GalleryConfig
from streamd.domain import Verdict
from streamd.errors import UsageError
from streamd.gallery.live import LiveGallery
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangerbook import Look, StrangerBook
from streamd.gallery.strangers import StrangerRecords
from streamd.standard import Standard

if TYPE_CHECKING:
    from streamd.domain import Face
    from streamd.interfaces import Embedder


_NO_PICTURE = np.zeros((8, 8, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Sightings:
    """Each photo's person, whether they are enrolled, and the stranger it was taken for (None: for nobody)."""

    people: list[str]
    known: list[bool]
    strangers: list[str | None]

    @property
    def pairwise(self) -> tuple[float, float, float]:
        """Precision, recall and F1 over pairs of sightings of people who are not enrolled."""
        rows = [(p, s) for p, k, s in zip(self.people, self.known, self.strangers, strict=True) if not k]
        same_person = _pairs(Counter(person for person, _ in rows))
        same_stranger = _pairs(Counter(stranger for _, stranger in rows if stranger is not None))
        both = _pairs(Counter((person, stranger) for person, stranger in rows if stranger is not None))
        precision = both / same_stranger if same_stranger else 1.0
        recall = both / same_person if same_person else 1.0
        return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    @property
    def absorbed(self) -> int:
        """Sightings of enrolled people that were taken for a stranger who is somebody else."""
        whose: dict[str, set[str]] = {}
        for person, stranger in zip(self.people, self.strangers, strict=True):
            if stranger is not None:
                whose.setdefault(stranger, set()).add(person)
        rows = zip(self.known, self.strangers, strict=True)
        return sum(known and stranger is not None and len(whose[stranger]) > 1 for known, stranger in rows)

    def to_json(self) -> dict[str, Any]:
        precision, recall, f1 = self.pairwise
        return {
            "sightings": len(self.people),
            "people": len(set(self.people)),
            "enrolled": len({p for p, k in zip(self.people, self.known, strict=True) if k}),
            "strangers": len({s for s in self.strangers if s is not None}),
            "without_id": sum(s is None for s, k in zip(self.strangers, self.known, strict=True) if not k),
            "pairwise_precision": round(precision, 4),
            "pairwise_recall": round(recall, 4),
            "pairwise_f1": round(f1, 4),
            "known_given_an_id": sum(s is not None for s, k in zip(self.strangers, self.known, strict=True) if k),
            "known_absorbed": self.absorbed,
        }


def measure(
    folder: Path, reader: FaceReader, embedder: Embedder, *, enrolled_share: float, target_far: float, seed: int
) -> Sightings:
    """Raises UsageError where there are not two people with two photos each."""
    people = {name: paths for name, paths in people_in(folder).items() if len(paths) > 1}
    if len(people) < 2:
        raise UsageError(f"{folder}: at least two people with two photos each are needed, as <person>/*.jpg")
    reader.read_all((path for paths in people.values() for path in paths), "photos")
    chance = random.Random(seed)
    names = sorted(people)
    known = set(chance.sample(names, round(enrolled_share * len(names))))
    portraits = {name: next((p for p in people[name] if reader.faces[p] is not None), None) for name in known}
    seen = [(n, p) for n in names for p in people[n] if p != portraits.get(n) and reader.faces[p] is not None]
    chance.shuffle(seen)
    with tempfile.TemporaryDirectory(prefix="streamd-") as scratch:
        file = Path(scratch) / "gallery.sqlite"
        with GalleryStore(file) as store:
            for name, path in portraits.items():
                if path is not None and (face := reader.faces[path]) is not None:
                    store.add_faces(name, [enrolled_row(path, face, embedder.model_id)])
            with LiveGallery(file, model_id=embedder.model_id, config=GalleryConfig(index="exact")) as live:
                book = StrangerBook(
                    StrangerRecords(store.database),
                    model_id=embedder.model_id,
                    scores=embedder.scores,
                    target_far=target_far,
                )
                standard = Standard(embedder.scores, target_far, 0.08, live.population(), None, live.nearest_other)
                sightings = [(name, reader.faces[path]) for name, path in seen]
                strangers = [
                    _identify(book, live, standard, face=face, track=str(i)) for i, (_, face) in enumerate(sightings)
                ]
                book.flush()
                # Two ids that turned out to be one person are one now.
                final = _merged(store, strangers)
    return Sightings([name for name, _ in seen], [name in known for name, _ in seen], final)


def _identify(
    book: StrangerBook, live: LiveGallery, standard: Standard, *, face: Face | None, track: str
) -> str | None:
    if face is None:
        return None
    matches = live.search(face.vector[None], people=2)[0]
    decision = standard.judge(matches, grey=bool(face.quality.grey))
    nearest = matches[0].similarity if matches else None
    threshold = standard.threshold_for(matches[0].person_id) if matches else standard.threshold()
    if decision.verdict is not Verdict.UNKNOWN or not book.is_stranger(nearest, threshold):
        return None
    looks = [Look(face.vector, _NO_PICTURE, face.quality.score)]
    return book.identify(face.vector, looks, track=track, camera="bench", wall_s=0.0)


def _merged(store: GalleryStore, strangers: Sequence[str | None]) -> list[str | None]:
    query = "SELECT track, stranger_id FROM stranger_faces"
    with store.database.read() as connection:
        owners = {int(track): str(stranger) for track, stranger in connection.execute(query)}
    return [owners.get(i, stranger) if stranger is not None else None for i, stranger in enumerate(strangers)]


def _pairs(counts: Counter[Any]) -> int:
    return sum(n * (n - 1) // 2 for n in counts.values())
