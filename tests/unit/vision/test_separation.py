"""Whether an embedder tells people apart, on made-up vectors."""

from __future__ import annotations

import numpy as np
import pytest

from streamd.errors import UsageError
from streamd.scores import ScoreModel
from streamd.vision.geometry import TEMPLATE
from streamd.vision.separation import KnownFace, Separation, separate


class Tones:
    """Knows people by the ratio of green to blue: one direction for each, near to a common one, with some noise."""

    model_id, provider, dim, threshold = "tones", "cpu", 64, 0.5
    scores = ScoreModel.assumed(0.5)

    def __init__(self, *, common: float, noise: float) -> None:
        random = np.random.default_rng(3)
        self._people = random.normal(size=(256, self.dim))
        self._common = common * random.normal(size=self.dim)
        self._noise = noise
        self._random = random

    def embed(self, chips: np.ndarray) -> np.ndarray:
        rows = [self._row(round(62.5 * chip[56, 56, 1] / chip[56, 56, 0])) for chip in chips]
        return np.array([row / np.linalg.norm(row) for row in rows], np.float32)

    def _row(self, person: int) -> np.ndarray:
        return self._common + self._people[person] + self._noise * self._random.normal(size=self.dim)


class Constant(Tones):
    def embed(self, chips: np.ndarray) -> np.ndarray:
        return np.tile(np.float32([1] + [0] * (self.dim - 1)), (len(chips), 1))


def faces(people: int, photos: int) -> list[KnownFace]:
    """Somebody's photo is a plain one in somebody's tone, which darkening leaves as it is."""
    made = []
    for person in range(people):
        photo = np.full((300, 300, 3), (250, 4 * person, 0), np.uint8)
        made += [KnownFace(str(person), photo, (TEMPLATE + 90).astype(np.float32))] * photos
    return made


def test_people_who_are_apart_are_told_apart() -> None:
    measured = separate(Tones(common=0, noise=0.3), faces(4, 2))
    assert measured.good
    assert len(measured.genuine) == 4
    assert len(measured.impostor) == 24


def test_a_network_to_which_everybody_is_similar_may_still_tell_them_apart() -> None:
    """Like DeepID: only the third digit differs."""
    measured = separate(Tones(common=12, noise=0.1), faces(4, 2))
    assert measured.impostor.min() > 0.98
    assert measured.lowest - measured.highest < 0.02
    assert measured.good


def test_noise_is_not_told_apart() -> None:
    measured = separate(Tones(common=0, noise=6), faces(4, 2))
    assert not measured.good
    assert measured.d_prime < 1


def test_a_network_that_always_says_the_same_is_not_good() -> None:
    measured = separate(Constant(common=0, noise=0), faces(3, 2))
    assert not measured.good
    assert measured.d_prime == 0


def test_few_wrong_labels_among_many_photos_are_borne_but_none_among_few() -> None:
    for people, good in ((40, True), (4, False)):
        known = faces(people, 2)
        known[1] = KnownFace("0", known[-1].photo, known[-1].landmarks)
        assert separate(Tones(common=0, noise=0.3), known).good == good


def test_spreads_are_stated_only_of_many_pairs() -> None:
    assert separate(Tones(common=0, noise=0.3), faces(4, 2)).scores() is None
    many = separate(Tones(common=0, noise=0.3), faces(40, 2))
    scores = many.scores()
    assert scores is not None
    assert scores.impostor.mean == pytest.approx(float(many.impostor.mean()), abs=1e-3)
    assert scores.genuine.std == pytest.approx(0.13 * many.apart, abs=1e-3)
    assert "40 pairs of the same and 3120 of different people" in scores.measured


@pytest.mark.parametrize(("people", "photos"), [(1, 3), (3, 1), (0, 0)])
def test_without_both_kinds_of_pairs_nothing_is_measured(people: int, photos: int) -> None:
    with pytest.raises(UsageError, match="two photos of one person, and one of another"):
        separate(Tones(common=0, noise=0), faces(people, photos))


def test_of_few_pairs_the_worst_variant_of_the_worst_counts() -> None:
    measured = separate(Tones(common=0, noise=0.3), faces(4, 2))
    assert measured.lowest < measured.genuine.min()
    assert measured.highest > measured.impostor.max()


def test_many_photos_are_taken_as_they_are() -> None:
    measured = separate(Tones(common=0, noise=0.3), faces(40, 2))
    assert measured.genuine.min() <= measured.lowest <= np.median(measured.genuine)
    assert measured.highest <= measured.impostor.max()


@pytest.mark.parametrize(("d_prime", "good"), [(2.4, False), (2.6, True)])
def test_a_gap_of_overlapping_kinds_does_not_do(d_prime: float, good: bool) -> None:
    some = np.zeros(3, np.float32)
    assert Separation(some, some, lowest=0.4, highest=0.3, d_prime=d_prime).good == good
    assert not Separation(some, some, lowest=0.34, highest=0.3, d_prime=9).good
