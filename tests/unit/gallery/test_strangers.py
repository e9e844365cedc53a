from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from galleryparts import MODEL, OTHER_MODEL, face, near, unit

from streamd.errors import GalleryError
from streamd.gallery import strangerbook
from streamd.gallery.delta import Mark
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangerbook import Look, StrangerBook
from streamd.gallery.strangers import MOST_VIEWS, Sighting, StrangerRecords, StrangerView
from streamd.gallery.vault import Vault
from streamd.scores import ScoreModel, Spread

SCORES = ScoreModel(Spread(0.1, 0.09), Spread(0.7, 0.12))
PICTURE = np.zeros((112, 112, 3), np.uint8)
DIM = 64


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(tmp_path / "gallery.sqlite") as opened:
        yield opened


@pytest.fixture
def records(store: GalleryStore) -> StrangerRecords:
    return StrangerRecords(store.database)


def opened(records: StrangerRecords) -> StrangerBook:
    return StrangerBook(records, model_id=MODEL, scores=SCORES, target_far=1e-4)


def seen(book: StrangerBook, vector: np.ndarray, *, track: str = "t", camera: str = "door", at: float = 1.0) -> str:
    return book.identify(vector, [Look(vector, PICTURE, 0.8)], track=track, camera=camera, wall_s=at)


def test_somebody_who_comes_again_is_the_same_stranger_on_any_camera(records: StrangerRecords) -> None:
    book, who = opened(records), unit(1, DIM)
    first = seen(book, who, camera="door", at=1.0)
    assert seen(book, near(who, 2), camera="yard", at=5.0) == first
    assert seen(book, unit(3, DIM)) != first
    book.flush()
    stranger = records.get(first)
    assert (stranger.sightings, stranger.cameras) == (2, ("door", "yard"))
    assert (stranger.first_seen_wall_s, stranger.last_seen_wall_s) == (1.0, 5.0)


def test_a_stranger_is_known_after_a_restart_and_to_another_worker(records: StrangerRecords) -> None:
    book, other, who = opened(records), opened(records), unit(1, DIM)
    first = seen(book, who)
    book.flush()
    other.refresh()
    assert seen(other, near(who, 2)) == first
    assert seen(opened(records), near(who, 3)) == first


def test_two_ids_that_turn_out_to_be_one_person_become_one(records: StrangerRecords) -> None:
    book = opened(records)
    left, right = unit(1, DIM), unit(2, DIM)
    middle = np.asarray((left + right) / np.linalg.norm(left + right), np.float32)
    ids = {seen(book, left, track="a"), seen(book, right, track="b")}
    book.flush()
    book.refresh()
    kept = seen(book, middle, track="c")
    book.flush()
    assert kept in ids
    assert [stranger.id for stranger in records.all()] == [kept]
    assert records.get(kept).sightings == 3


def test_an_id_that_was_another_one_before_it_was_written_is_noted(
    store: GalleryStore, records: StrangerRecords
) -> None:
    book = opened(records)
    left, right = unit(1, DIM), unit(2, DIM)
    middle = np.asarray((left + right) / np.linalg.norm(left + right), np.float32)
    ids = {seen(book, left, track="a"), seen(book, right, track="b")}
    kept = seen(book, middle, track="c")
    (gone,) = ids - {kept}
    book.flush()
    assert [stranger.id for stranger in records.all()] == [kept]
    assert records.faces(MODEL).gone == {gone}
    records.assign(kept, "Anna")
    assert store.forget("Anna").strangers == tuple(sorted(ids))


def test_a_sighting_of_a_stranger_who_is_forgotten_meanwhile_gives_nobody_their_id(records: StrangerRecords) -> None:
    book = opened(records)
    first = seen(book, unit(1), track="a")
    book.flush()
    records.forget(first)
    assert seen(book, near(unit(1), 5), track="b") == first  # this worker has not heard of it
    book.refresh()
    assert seen(book, near(unit(1), 6), track="c") != first


def test_an_id_that_went_is_given_to_nobody_else(records: StrangerRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    book = opened(records)
    for stranger in ("unknown-aaaa", "unknown-bbbb"):
        records.record(Sighting(stranger, "t", "door", 1.0, MODEL, []))
    records.merge("unknown-aaaa", "unknown-bbbb", noted=False)
    book.refresh()
    drawn = iter(["aaaa", "aaaa", "cccc"])
    monkeypatch.setattr(strangerbook.secrets, "token_hex", lambda n: next(drawn))
    assert seen(book, unit(3, DIM)) == "unknown-cccc"


def meanwhile(monkeypatch: pytest.MonkeyPatch, records: StrangerRecords, do: Callable[[], object]) -> None:
    """``do`` happens once, while the next sighting is being written."""
    record = records.record

    def slow(sighting: Sighting) -> None:
        monkeypatch.setattr(records, "record", record)
        do()
        record(sighting)

    monkeypatch.setattr(records, "record", slow)


def full_disk() -> None:
    raise GalleryError("the disk is full")


def test_what_comes_while_one_is_written_is_written_next(
    records: StrangerRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangerbook, "WAITING_BOUND", 2)
    book = opened(records)
    first = seen(book, unit(1, DIM), track="a")
    later: list[str] = []
    meanwhile(
        monkeypatch, records, lambda: later.extend(seen(book, unit(n, DIM), track=f"b{n}") for n in (2, 3))
    )  # as many as may wait
    book.flush()
    assert {stranger.id for stranger in records.all()} == {first, *later}


def test_two_ids_become_one_while_one_is_written(records: StrangerRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    book = opened(records)
    left, right = unit(1, DIM), unit(2, DIM)
    middle = np.asarray((left + right) / np.linalg.norm(left + right), np.float32)
    seen(book, left, track="a")
    seen(book, right, track="b")
    meanwhile(monkeypatch, records, lambda: seen(book, middle, track="c"))
    book.flush()
    (kept,) = records.all()
    assert kept.sightings == 3


def test_what_could_not_be_written_stays_noted(records: StrangerRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    book = opened(records)
    first = seen(book, unit(1, DIM), track="a")
    seen(book, unit(2, DIM), track="b")
    book.retract("b")
    meanwhile(monkeypatch, records, full_disk)
    with pytest.raises(GalleryError):
        book.flush()
    book.flush()
    assert [stranger.id for stranger in records.all()] == [first]


def test_of_more_than_may_wait_the_one_that_could_not_be_written_goes(
    records: StrangerRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangerbook, "WAITING_BOUND", 2)
    book = opened(records)
    _oldest, second = (seen(book, unit(n, DIM), track=f"t{n}") for n in (1, 2))
    later: list[str] = []

    def one_more() -> None:
        later.append(seen(book, unit(3, DIM), track="t3"))
        full_disk()

    meanwhile(monkeypatch, records, one_more)
    with pytest.raises(GalleryError):
        book.flush()
    book.flush()
    assert {stranger.id for stranger in records.all()} == {second, *later}


def test_while_nothing_can_be_written_no_more_is_remembered_than_may_wait(
    records: StrangerRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangerbook, "WAITING_BOUND", 2)
    book = opened(records)
    most = 2 * strangerbook.VIEWS_PER_SIGHTING
    first, *_, last = [seen(book, unit(n, DIM), track=f"t{n}") for n in range(most + 1)]
    assert seen(book, unit(most, DIM), track="again") == last
    assert seen(book, unit(0, DIM), track="again") != first, "what was noted of it is gone, and its id with it"


def test_what_waits_is_changed_by_one_thread_at_a_time(records: StrangerRecords) -> None:
    book = opened(records)
    seen(book, unit(1, DIM), track="a")
    for change in (lambda: book.retract("a"), book.flush):
        other = threading.Thread(target=change)
        with book._lock:
            other.start()
            other.join(0.1)
            assert other.is_alive()
        other.join(10)
    assert records.all() == []


def test_a_track_that_gets_a_name_was_no_stranger(records: StrangerRecords) -> None:
    book = opened(records)
    first = seen(book, unit(1, DIM), track="a")
    seen(book, near(unit(1, DIM), 2), track="b")
    book.retract("b")
    book.flush()
    assert records.get(first).sightings == 1
    book.retract("a")
    book.flush()
    assert records.all() == []


def test_a_poor_view_of_a_known_person_is_no_stranger(records: StrangerRecords) -> None:
    book = opened(records)
    assert book.is_stranger(None, 0.5)
    assert book.is_stranger(0.3, 0.5)
    assert not book.is_stranger(0.45, 0.5)


def test_an_ignored_face_is_nobody_unless_somebody_known_is_nearer(records: StrangerRecords) -> None:
    book, who = opened(records), unit(1, DIM)
    first = seen(book, who)
    book.flush()
    records.set_state(first, "ignored")
    book.refresh()
    assert book.any_ignored
    assert book.is_ignored(near(who, 2), 0.4)
    assert not book.is_ignored(who, 1.1)
    assert not book.is_ignored(unit(9, DIM), None)
    records.set_state(first, "open")
    book.refresh()
    assert not book.is_ignored(who, None)


def test_a_name_makes_the_views_a_persons_faces(store: GalleryStore, records: StrangerRecords) -> None:
    book = opened(records)
    first = seen(book, unit(1, DIM))
    book.flush()
    assert records.assign(first, "Anna") == 1
    assert records.all() == []
    delta = store.delta(MODEL, Mark())
    assert np.array_equal(delta.vectors, [unit(1, DIM)])
    assert store.faces_of(store.person("Anna").id)[0].source == f"unknown:{first}"
    assert [c.what for c in store.changes()] == ["person.enrolled", "faces.added", "stranger.assigned"]
    store.undo()
    assert store.people() == []


def test_a_name_is_taken_back_from_a_stranger_whom_a_worker_noted_again(
    store: GalleryStore, records: StrangerRecords
) -> None:
    book = opened(records)
    first = seen(book, unit(1, DIM), at=1.0)
    book.flush()
    records.assign(first, "Anna")
    seen(book, unit(1, DIM), track="later", at=9.0)  # the book has not heard of it yet
    book.flush()
    store.undo()
    (stranger,) = records.all()
    assert (stranger.id, stranger.sightings, stranger.first_seen_wall_s, stranger.last_seen_wall_s) == (
        first,
        2,
        1.0,
        9.0,
    )
    assert stranger.views == 2
    assert store.people() == []


def views(records: StrangerRecords, stranger: str, seed: int, *, count: int, quality: float) -> None:
    looks = [StrangerView(unit(seed + n, DIM), f"{stranger} {n}".encode(), quality) for n in range(count)]
    records.record(Sighting(stranger, stranger, "door", 1.0, MODEL, looks))


def chips(records: StrangerRecords, stranger: str) -> set[bytes]:
    return {chip for *_, chip in records.chips(stranger)}


def test_a_merge_that_is_taken_back_gives_both_their_views_again(store: GalleryStore, records: StrangerRecords) -> None:
    views(records, "unknown-1", 0, count=MOST_VIEWS, quality=0.9)
    views(records, "unknown-2", 100, count=MOST_VIEWS, quality=0.5)
    before = [chips(records, stranger) for stranger in ("unknown-1", "unknown-2")]
    records.merge("unknown-1", "unknown-2")  # whose views are poorer, and go
    store.undo()
    assert [chips(records, stranger) for stranger in ("unknown-1", "unknown-2")] == before


def test_a_merge_and_a_name_are_taken_back_in_any_order(store: GalleryStore, records: StrangerRecords) -> None:
    views(records, "unknown-1", 0, count=2, quality=0.9)
    views(records, "unknown-2", 100, count=2, quality=0.5)
    before = [chips(records, stranger) for stranger in ("unknown-1", "unknown-2")]
    records.merge("unknown-1", "unknown-2")
    merged = store.version()
    records.assign("unknown-2", "Anna")
    named = store.version()
    store.undo(merged)
    assert chips(records, "unknown-1") == before[0]
    store.undo(named)
    assert store.people() == []
    assert [chips(records, stranger) for stranger in ("unknown-1", "unknown-2")] == before


def test_only_the_best_views_are_kept(records: StrangerRecords) -> None:
    book, who = opened(records), unit(1, DIM)
    for n in range(MOST_VIEWS + 5):
        look = Look(near(who, n), PICTURE, n / 100)
        first = book.identify(who, [look], track=str(n), camera="door", wall_s=float(n))
    book.flush()
    assert records.get(first).views == MOST_VIEWS
    assert min(quality for *_, quality, _ in records.chips(first)) == 0.05


def test_who_was_not_seen_for_long_is_deleted_and_the_ignored_stay(records: StrangerRecords) -> None:
    book = opened(records)
    ids = [seen(book, unit(n, DIM), track=str(n), at=float(n)) for n in range(1, 4)]
    book.flush()
    records.set_state(ids[0], "ignored")
    assert records.drop_old(2.5) == 1
    assert {stranger.id for stranger in records.all()} == {ids[0], ids[2]}


def test_views_of_another_model_are_not_compared(records: StrangerRecords) -> None:
    book, who = opened(records), unit(1, DIM)
    first = seen(book, who)
    book.flush()
    other = StrangerBook(records, model_id=OTHER_MODEL, scores=SCORES, target_far=1e-4)
    assert seen(other, who) != first


def test_views_are_sealed_in_an_encrypted_gallery(tmp_path: Path) -> None:
    with GalleryStore(tmp_path / "gallery.sqlite", vault=Vault(bytes(32))) as store:
        book = opened(StrangerRecords(store.database))
        first = seen(book, unit(1, DIM))
        book.flush()
        assert (
            opened(StrangerRecords(store.database)).identify(unit(1, DIM), [], track="", camera="", wall_s=0) == first
        )
        written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert unit(1, DIM).tobytes() not in written


@pytest.mark.parametrize(
    "do",
    [
        lambda r: r.get("unknown-0000"),
        lambda r: r.merge("unknown-0000", "unknown-1111"),
        lambda r: r.assign("unknown-0000", "Anna"),
        lambda r: r.set_state("unknown-0000", "ignored"),
        lambda r: r.forget("unknown-0000"),
    ],
)
def test_an_id_that_is_not_there_is_said(store: GalleryStore, records: StrangerRecords, do: object) -> None:
    assert callable(do)
    with pytest.raises(GalleryError, match="there is no unknown 'unknown-0000'"):
        do(records)
    assert store.people() == []


def test_strangers_are_no_part_of_the_gallery(store: GalleryStore, records: StrangerRecords) -> None:
    store.add_faces("Anna", [face(unit(1))])
    version = store.version()
    book = opened(records)
    seen(book, unit(2, DIM))
    book.flush()
    assert store.version() == version
    assert store.faces_by_model() == {MODEL: 1}
