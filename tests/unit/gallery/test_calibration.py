import numpy as np
import pytest

from streamd.domain import Population
from streamd.gallery.calibration import Calibration, Enrolled, calibrate
from streamd.scores import ScoreModel, Spread

SCORES = ScoreModel(Spread(0.0, 0.1), Spread(0.7, 0.12))
DIM = 64


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def gallery(people: int, faces: int, *, noise: float = 0.5, seed: int = 0) -> Enrolled:
    random = np.random.default_rng(seed)
    centres = unit(random.normal(size=(people, DIM)))
    vectors = unit(np.repeat(centres, faces, axis=0) + random.normal(size=(people * faces, DIM)) * noise / DIM**0.5)
    ids = [f"p{n}" for n in range(people) for _ in range(faces)]
    names = {person: person.upper() for person in ids}
    face_ids = list(range(1, len(ids) + 1))
    return Enrolled(vectors, face_ids, ids, names, {face: f"photo:{face}.jpg" for face in face_ids})


def changed(enrolled: Enrolled, row: int, vector: np.ndarray) -> Enrolled:
    vectors = enrolled.vectors.copy()
    vectors[row] = vector
    return Enrolled(vectors, enrolled.face_ids, enrolled.person_ids, enrolled.names, enrolled.sources)


def test_a_gallery_like_the_labelled_data_changes_little() -> None:
    found = calibrate(gallery(100, 1), ScoreModel(Spread(0.0, 1 / DIM**0.5), SCORES.genuine), target_far=1e-4)
    assert found.scores.impostor.std == pytest.approx(1 / DIM**0.5, rel=0.03)


def test_people_who_are_more_alike_raise_the_threshold() -> None:
    alike = gallery(100, 1)
    alike = Enrolled(
        unit(alike.vectors + 0.8 * alike.vectors.mean(axis=0) / np.linalg.norm(alike.vectors.mean(axis=0))),
        alike.face_ids,
        alike.person_ids,
        alike.names,
        alike.sources,
    )
    found = calibrate(alike, SCORES, target_far=1e-4)
    assert found.threshold > SCORES.threshold(1e-4, 100) + 0.1


def test_few_people_say_nothing_of_a_spread() -> None:
    found = calibrate(gallery(3, 2), SCORES, target_far=1e-4)
    assert found.measured is None
    assert found.scores == SCORES


def test_a_single_person_can_be_calibrated() -> None:
    found = calibrate(gallery(1, 3), SCORES, target_far=1e-4)
    assert found.people[0].nearest_name is None
    assert len(found.genuine) == 3
    assert len(found.impostor) == 0


def test_genuine_similarities_leave_the_face_itself_out() -> None:
    enrolled = gallery(20, 3)
    found = calibrate(enrolled, SCORES, target_far=1e-4)
    first = enrolled.vectors[:3] @ enrolled.vectors[:3].T
    assert found.genuine[0] == pytest.approx(max(first[0, 1], first[0, 2]), abs=1e-6)
    assert len(found.genuine) == 60


def test_a_photo_of_somebody_else_is_pointed_out_with_its_owner() -> None:
    enrolled = gallery(20, 3, noise=0.2)
    wrong = changed(enrolled, 4, enrolled.vectors[30])  # a photo of p1 shows p10
    suspects = {suspect.face_id: suspect for suspect in calibrate(wrong, SCORES, target_far=1e-4).suspects}
    assert suspects[5].reason == "looks_like_other"
    assert suspects[5].other_name == "P10"
    assert suspects[5].source == "photo:5.jpg"


def test_a_photo_like_nobody_is_an_outlier() -> None:
    enrolled = gallery(20, 3, noise=0.2)
    odd = np.zeros(DIM, np.float32)
    odd[np.argmin(np.abs(enrolled.vectors).sum(axis=0))] = 1
    suspects = calibrate(changed(enrolled, 4, odd), SCORES, target_far=1e-4).suspects
    assert 5 in [suspect.face_id for suspect in suspects]


def test_the_nearest_other_person_is_named_and_makes_the_threshold_stricter() -> None:
    enrolled = gallery(30, 2, noise=0.2)
    random = np.random.default_rng(1)
    twin = unit(enrolled.vectors[:1] + random.normal(size=(1, DIM)) * 0.9 / DIM**0.5)[0]
    found = calibrate(changed(changed(enrolled, 2, twin), 3, twin), SCORES, target_far=1e-4)
    people = {person.person_id: person for person in found.people}
    assert people["p0"].nearest_name == "P1"
    assert people["p0"].threshold > found.threshold


def test_strangers_stand_in_for_the_people_of_the_gallery() -> None:
    enrolled = gallery(10, 2)
    strangers = gallery(200, 1, seed=9).vectors
    found = calibrate(enrolled, SCORES, target_far=1e-4, strangers=strangers)
    assert len(found.impostor) == 200 * 20
    assert found.weight == pytest.approx(200 / 250)


def test_the_rate_at_the_threshold_holds_on_strangers_that_were_not_seen() -> None:
    enrolled, outside = gallery(60, 1), gallery(6000, 1, seed=5).vectors
    found: Calibration = calibrate(enrolled, SCORES, target_far=0.02, strangers=gallery(500, 1, seed=7).vectors)
    threshold, _ = found.found_at(0.02, Population(60, 60))
    rate = float(((outside @ enrolled.vectors.T).max(axis=1) >= threshold).mean())
    assert 0.01 <= rate <= 0.04
