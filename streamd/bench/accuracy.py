"""``streamd bench accuracy``: how well pairs of photographs are told apart (protocol: docs/accuracy.md)."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streamd.bench import rates
from streamd.bench.photographs import FaceReader
from streamd.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamd.scores import ScoreModel

FARS = {"tar_at_far_1e-2": 1e-2, "tar_at_far_1e-3": 1e-3, "tar_at_far_1e-4": 1e-4}
_YES, _NO = frozenset({"1", "true", "yes", "same"}), frozenset({"0", "false", "no", "different"})
NO_FACE = -1.0
"""Similarity of a pair with a photo in which no face was found: the lowest there is."""


@dataclass(frozen=True, slots=True)
class Pair:
    a: Path
    b: Path
    same: bool


@dataclass(frozen=True, slots=True, eq=False)
class Accuracy:
    """Scores of all pairs, and what follows from them."""

    pairs: list[Pair]
    scores: NDArray[np.float64]
    undetected: int
    """Photos without a face."""
    images: int
    ms_per_image: float

    @property
    def same(self) -> NDArray[np.bool_]:
        return np.array([pair.same for pair in self.pairs])

    @property
    def genuine(self) -> NDArray[np.float64]:
        return self.scores[self.same]

    @property
    def impostor(self) -> NDArray[np.float64]:
        return self.scores[~self.same]

    def to_json(self, model: ScoreModel) -> dict[str, Any]:
        """The figures; ``model`` says which threshold the product itself would use for a stated rate."""
        folded = rates.folded_accuracy(self.scores, self.same, rates.assign_folds(self.same))
        genuine, impostor = self.genuine, self.impostor
        body: dict[str, Any] = {"accuracy": round(folded.accuracy, 5), "std": round(folded.std, 5)}
        body |= {key: round(rates.tar_at_far(genuine, impostor, far), 5) for key, far in FARS.items()}
        body |= {
            "eer": round(rates.equal_error_rate(genuine, impostor), 5),
            "threshold": round(folded.threshold, 4),
            "undetected": self.undetected,
            "pairs": len(self.pairs),
            "ms_per_image": round(self.ms_per_image, 1),
            "images": self.images,
            "accuracy_found": round(self._accuracy_found(), 5),
            "auc": round(rates.area_under(genuine, impostor), 6),
        }
        for far in FARS.values():
            body[f"threshold_at_far_{_short(far)}"] = _finite(rates.threshold_at_far(impostor, far))
        body["stated"] = [self._stated(model, far) for far in FARS.values()]
        return body

    def _accuracy_found(self) -> float:
        """Ten-fold accuracy over the pairs with a face on both photos."""
        found = self.scores > NO_FACE
        same = self.same[found]
        return rates.folded_accuracy(self.scores[found], same, rates.assign_folds(same)).accuracy if len(same) else 0.0

    def _stated(self, model: ScoreModel, far: float) -> dict[str, Any]:
        """What the threshold that the product derives from a stated rate does on these pairs."""
        threshold = model.threshold(far)
        accepted = int((self.impostor >= threshold).sum())
        low, high = rates.interval(accepted, len(self.impostor))
        return {
            "target_far": far,
            "threshold": round(threshold, 4),
            "measured_far": round(accepted / len(self.impostor), 6),
            "interval": [round(low, 6), round(high, 6)],
            "tar": round(rates.rate_at(self.genuine, threshold), 5),
        }


def _short(far: float) -> str:
    return f"1e{round(math.log10(far))}"


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def read_pairs(file: Path, root: Path) -> list[Pair]:
    """The pairs of a CSV file with the columns ``a``, ``b`` and ``same``.

    Raises:
        UsageError: it cannot be read, a column or a photo is missing, or it lacks one of the two kinds; the message
            has the line.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            pairs = list(_pairs(csv.DictReader(text), file, root))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file}: not a CSV file: {error}") from error
    for kind, word in ((True, "same"), (False, "different")):
        if sum(pair.same is kind for pair in pairs) < rates.FOLDS:
            raise UsageError(f"{file}: fewer than {rates.FOLDS} pairs of {word} people; ten folds need one each")
    return pairs


def _pairs(rows: csv.DictReader[str], file: Path, root: Path) -> Iterable[Pair]:
    missing = {"a", "b", "same"} - set(rows.fieldnames or ())
    if missing:
        raise UsageError(f"{file}: no column {', '.join(sorted(missing))}; the first line must be a,b,same")
    for row in rows:
        where = f"{file}:{rows.line_num}"
        word = (row["same"] or "").strip().lower()
        if word not in _YES | _NO:
            raise UsageError(f"{where}: same: {row['same']!r} is neither 1 nor 0")
        yield Pair(_photo(row["a"], root, where), _photo(row["b"], root, where), word in _YES)


def _photo(name: str | None, root: Path, where: str) -> Path:
    path = root / (name or "").strip()
    if not name or not path.is_file():
        raise UsageError(f"{where}: no file {path}")
    return path


def measure(pairs: list[Pair], reader: FaceReader) -> Accuracy:
    """Score every pair; each photo is examined once however many pairs it is in."""
    reader.read_all((path for pair in pairs for path in (pair.a, pair.b)), "photos")
    scores = np.array([_score(reader, pair) for pair in pairs], np.float64)
    return Accuracy(pairs, scores, len(reader.undetected), len(reader.faces), reader.ms_per_image)


def _score(reader: FaceReader, pair: Pair) -> float:
    a, b = reader.faces[pair.a], reader.faces[pair.b]
    if a is None or b is None:
        return NO_FACE
    return float(a.vector @ b.vector)


def write_scores(path: Path, result: Accuracy) -> None:
    """Each pair with its score, to look at the errors."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["a", "b", "same", "similarity"])
            for pair, score in zip(result.pairs, result.scores, strict=True):
                writer.writerow([pair.a, pair.b, int(pair.same), f"{score:.5f}"])
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from error
