"""One gallery on many boxes: every kind answers alike, boxes agree in the end, and nothing acknowledged is lost."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from e2e.conftest import MakeDaemon
from e2e.daemon import eventually
from e2e.test_daemon_unknowns import command
from galleryparts import MODEL, near, unit
from numpy.typing import NDArray
from pgserver import Postgres
from rtsp_fixtures import RtspServer

from streamd.config import Config, GalleryConfig
from streamd.errors import GalleryError, GalleryServerAway
from streamd.gallery.erasures import Erasure
from streamd.gallery.hub import Record, open_hub
from streamd.gallery.labels import label_texts
from streamd.gallery.live import LiveGallery
from streamd.gallery.rows import KeptFace, NewFace
from streamd.gallery.sharedwith import keep_shared
from streamd.gallery.sharing import Sharing
from streamd.gallery.store import GalleryStore
from streamd.traces import erase_traces

PEOPLE = ("Ann", "Bob", "Çelik", "李雷", "dora")


def kept(seed: int, *, photo: str = "") -> NewFace:
    """Ten photos of each of fifty people; each photo is another picture."""
    source = photo or f"photo:{seed}.jpg"
    return NewFace(
        near(unit(f"person {seed // 10}", 128), seed), MODEL, f"chip {seed}".encode(), 0.8, source, f"{seed:064x}"
    )


class Box:
    """One edge box: a gallery file, and its side of the shared gallery."""

    def __init__(self, folder: Path, config: GalleryConfig) -> None:
        folder.mkdir(parents=True)
        self.config = config
        self.store = GalleryStore(folder / "gallery.sqlite", actor="test")
        keep_shared(self.store, config)
        self.forgotten: list[tuple[str, str]] = []
        self.sharing = Sharing(self.store, config, on_forgotten=self._erase)

    def close(self) -> None:
        self.sharing.close()
        self.store.close()

    def sync(self) -> None:
        if self.config.kind != "local":
            self.sharing.step()

    def forget(self, name: str) -> None:
        erase_traces(Config(state_dir=self.store.path.parent), self.store, self.store.forget(name), final=True)

    def _erase(self, erasure: Erasure) -> None:
        self.forgotten.append((erasure.person_id, erasure.name))
        erase_traces(Config(state_dir=self.store.path.parent), self.store, erasure, final=True)

    def state(self) -> dict[str, Any]:
        """What two boxes must agree on."""
        return {
            person.name: (label_texts(person.labels), person.notes, self._faces(person.id))
            for person in self.store.people()
        }

    def _faces(self, person_id: str) -> list[tuple[bytes, bytes, str]]:
        query = "SELECT unseal(vector), unseal(chip), source_sha256 FROM faces WHERE person_id = ?"
        with self.store.database.read() as connection:
            return sorted((bytes(v), bytes(c), str(s)) for v, c, s in connection.execute(query, (person_id,)))


MakeBox = Callable[..., Box]


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("postgres"))
    yield server
    server.stop()


@pytest.fixture
def make_box(tmp_path: Path) -> Iterator[MakeBox]:
    made: list[Box] = []

    def make(config: GalleryConfig) -> Box:
        made.append(Box(tmp_path / f"box{len(made)}", config))
        return made[-1]

    yield make
    for box in made:
        box.close()


@pytest.fixture(params=["local", "pgvector", "milvus"])
def shared(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> GalleryConfig:
    """A new gallery of each kind."""
    return GalleryConfig(
        kind=request.param,
        dsn=postgres.new_database() if request.param == "pgvector" else None,
        uri=str(tmp_path / "milvus.db") if request.param == "milvus" else None,
    )


@pytest.fixture
def pgvector(postgres: Postgres) -> GalleryConfig:
    return GalleryConfig(kind="pgvector", dsn=postgres.new_database())


def faces_of(store: GalleryStore, name: str) -> list[KeptFace]:
    """In an order that is the same on every box."""
    return sorted(store.faces_of(store.person(name).id), key=lambda face: face.source_sha256)


def change(box: Box, chance: random.Random, *, undo: bool) -> None:
    """One change as a user might make it; what cannot be done is not done."""
    store, names = box.store, [p.name for p in box.store.people()]
    name, other = chance.choice(PEOPLE), chance.choice(PEOPLE)
    changes = ["enrol", "enrol", "enrol", "rename", "label", "note", "merge", "split", "remove"]
    what = chance.choice([*changes, "undo"] if undo else changes)
    try:
        if what == "enrol" or not names:
            # Photos that nobody has seen before.
            first = 10 * PEOPLE.index(name)
            store.add_faces(name, [kept(first + 100 * chance.getrandbits(30)) for _ in range(2)])
        elif what == "rename":
            store.rename(name, f"{other} {chance.randrange(3)}")
        elif what == "label":
            store.label(name, [("site", chance.choice("ab"))])
        elif what == "note":
            store.describe(name, notes=f"note {chance.randrange(9)}")
        elif what == "merge":
            store.merge(name, other)
        elif what == "split":
            store.split(name, f"{name} split", [faces_of(store, name)[0].id])
        elif what == "remove":
            store.remove_face(chance.choice(faces_of(store, name)).id)
        else:
            store.undo()
    except (GalleryError, IndexError, ValueError):
        pass
    except Exception as error:
        if type(error).__name__ != "UsageError":
            raise


@pytest.mark.parametrize("seed", range(3))
def test_every_kind_ends_in_the_same_state_and_gives_the_same_answers(
    shared: GalleryConfig, make_box: MakeBox, tmp_path: Path, seed: int
) -> None:
    reference = make_box(GalleryConfig())
    boxes = [make_box(shared)] if shared.kind == "local" else [make_box(shared), make_box(shared)]
    ours, theirs = random.Random(seed), random.Random(seed)
    for turn in range(25):
        change(reference, ours, undo=False)
        change(boxes[turn % len(boxes)], theirs, undo=False)
        for box in (*boxes, *boxes):
            box.sync()
    expected = reference.state()
    assert expected
    probes = np.stack([near(unit(f"person {i % 5}", 128), 1000 + i, 0.5) for i in range(20)])
    answers = {}
    for box in (reference, *boxes):
        assert box.state() == expected
        for by in ("box", "server"):
            config = box.config.model_copy(update={"answers": by})
            with LiveGallery(box.store.path, model_id=MODEL, config=config) as live:
                live.refresh()
                found = [[(m.name, round(m.similarity, 5)) for m in hits] for hits in live.search(probes)]
            answers[by, box] = found
    assert all(found == answers["box", reference] for found in answers.values())


def test_the_server_itself_answers(shared: GalleryConfig, make_box: MakeBox) -> None:
    if shared.kind == "local":
        pytest.skip("has no server")
    box = make_box(shared)
    box.store.add_faces("Ann", [kept(seed) for seed in range(10)])
    box.store.add_faces("Bob", [kept(seed) for seed in range(10, 20)])
    box.sync()
    probe = near(unit("person 1", 128), 999)[None]
    hub = open_hub(shared)
    found = hub.nearest(MODEL, probe, 3)[0]
    assert [near_.person for near_ in found] == [box.store.person("Bob").id] * 3
    best = max(float(kept(seed).vector @ probe[0]) for seed in range(10, 20))
    assert found[0].similarity == pytest.approx(best, abs=1e-5)
    box.store.remove_source("photo:10.jpg")
    box.sync()
    uids = {near_.uid for near_ in hub.nearest(MODEL, kept(10).vector[None], 20)[0]}
    assert len(uids) == 19
    hub.close()


@pytest.mark.parametrize("seed", range(6))
def test_boxes_that_were_apart_agree_in_the_end(pgvector: GalleryConfig, make_box: MakeBox, seed: int) -> None:
    chance = random.Random(100 + seed)
    boxes = [make_box(pgvector) for _ in range(3)]
    for _ in range(60):
        box = chance.choice(boxes)
        change(box, chance, undo=True)
        if chance.random() < 0.2:
            box.sync()
    for _ in range(4):
        for box in boxes:
            box.sync()
    states = [box.state() for box in boxes]
    assert states[0] == states[1] == states[2]
    assert all(box.sharing.mirror.unsent_count() == 0 for box in boxes)


def test_the_same_name_enrolled_apart_is_one_person(shared: GalleryConfig, make_box: MakeBox) -> None:
    if shared.kind == "local":
        pytest.skip("one box")
    one, two = make_box(shared), make_box(shared)
    one.store.add_faces("Ann", [kept(1)])
    two.store.add_faces("Ann", [kept(2), kept(1)])
    two.store.label("Ann", [("site", "b")])
    for box in (one, two, one, two):
        box.sync()
    assert one.state() == two.state()
    ((labels, _, faces),) = one.state().values()
    assert labels == ["site=b"]
    assert len(faces) == 2
    assert one.store.person("Ann").id == two.store.person("Ann").id


def test_who_is_forgotten_on_one_box_is_forgotten_on_all(shared: GalleryConfig, make_box: MakeBox) -> None:
    if shared.kind == "local":
        pytest.skip("one box")
    one, two, late = make_box(shared), make_box(shared), make_box(shared)
    one.store.add_faces("Ann", [kept(1)])
    for box in (one, two, late):
        box.sync()
    person = late.store.person("Ann")
    late.store.describe("Ann", notes="changed while away")  # later than the forgetting, and does not bring her back
    one.forget("Ann")
    late.store.add_faces("Ann", [kept(2)])
    for box in (one, two, late, one, two):
        box.sync()
    for box in (one, two, late):
        assert box.state() == {}
    assert two.forgotten == late.forgotten == [(person.id, "Ann")]
    for box in (one, two, late):
        data = b"".join(file.read_bytes() for file in box.store.path.parent.glob("gallery.sqlite*"))
        assert b"chip 1" not in data
        assert kept(1).vector.tobytes() not in data
        assert b"Ann" not in data


def test_who_is_changed_on_a_box_that_has_not_heard_is_forgotten_there_all_the_same(
    shared: GalleryConfig, make_box: MakeBox
) -> None:
    if shared.kind == "local":
        pytest.skip("one box")
    here, there = make_box(shared), make_box(shared)
    here.store.add_faces("Anna", [kept(1)])
    here.sync()
    there.sync()
    here.forget("Anna")
    there.store.label("Anna", [("site", "hq")])
    for box in (here, there, here, there):
        box.sync()
    assert (here.state(), there.state()) == ({}, {})


def test_an_enrolment_is_not_lost_when_its_person_was_removed_elsewhere(
    pgvector: GalleryConfig, make_box: MakeBox
) -> None:
    one, two = make_box(pgvector), make_box(pgvector)
    one.store.add_faces("Ann", [kept(1)])
    for box in (one, two):
        box.sync()
    one.store.undo()
    two.store.add_faces("Ann", [kept(2)])
    for box in (one, two, one, two):
        box.sync()
    assert one.state() == two.state()
    ((_, _, faces),) = one.state().values()
    assert [chip for _, chip, _ in faces] == [b"chip 2"]


def test_while_the_server_is_dead_the_copy_answers_and_enrolments_wait(postgres: Postgres, make_box: MakeBox) -> None:
    config = GalleryConfig(kind="pgvector", dsn=postgres.new_database(), answers="server")
    one, two = make_box(config), make_box(config)
    one.store.add_faces("Ann", [kept(1)])
    for box in (one, two):
        box.sync()
    with LiveGallery(two.store.path, model_id=MODEL, config=config) as live:
        live.refresh()
        assert live.search(kept(1).vector[None])[0][0].name == "Ann"
        postgres.kill()
        try:
            assert live.search(kept(1).vector[None])[0][0].name == "Ann"
            with pytest.raises(GalleryServerAway, match="PostgreSQL does not answer"):
                two.sync()
            two.store.add_faces("Bob", [kept(11)])
            live.refresh()
            assert live.search(kept(11).vector[None])[0][0].name == "Bob"
            with pytest.raises(GalleryServerAway):
                two.sync()
            assert two.sharing.mirror.unsent_count() == 2
        finally:
            postgres.start()
        eventually(lambda: _synced(two))
        one_again = eventually(lambda: _synced(one) and "Bob" in one.state())
        assert one_again


def _synced(box: Box) -> bool:
    try:
        box.sync()
    except GalleryServerAway:
        return False
    return True


def test_what_the_server_lost_is_sent_again(pgvector: GalleryConfig, make_box: MakeBox) -> None:
    import psycopg

    box = make_box(pgvector)
    box.store.add_faces("Ann", [kept(1), kept(2)])
    box.sync()
    with psycopg.connect(pgvector.dsn or "", autocommit=True) as connection:
        connection.execute("DELETE FROM streamd_gallery WHERE kind = 'face'")
    box.sharing.mirror.compared(0)
    box.sync()
    other = make_box(pgvector)
    other.sync()
    assert other.state() == box.state()


def test_killed_at_any_moment_while_it_sends(postgres: Postgres, make_box: MakeBox) -> None:
    """The server dies again and again under two boxes that enrol; in the end both have everything."""
    config = GalleryConfig(kind="pgvector", dsn=postgres.new_database())
    boxes = [make_box(config), make_box(config)]
    chance = random.Random(5)
    for turn in range(4):
        for n, box in enumerate(boxes):
            box.store.add_faces(f"person {turn}", [kept(100 * turn + 10 * n + i) for i in range(10)])
        killer = threading.Timer(chance.uniform(0.0, 0.1), postgres.kill)
        killer.start()
        for box in boxes:
            _synced(box)
        killer.join()
        postgres.start()
    for _ in range(3):
        for box in boxes:
            eventually(lambda box=box: _synced(box))
    assert boxes[0].state() == boxes[1].state()
    assert sum(len(faces) for _, _, faces in boxes[0].state().values()) == 80


def test_a_newer_format_and_a_refusal_are_said_in_words(pgvector: GalleryConfig, make_box: MakeBox) -> None:
    import psycopg

    make_box(pgvector).sync()
    with psycopg.connect(pgvector.dsn or "", autocommit=True) as connection:
        connection.execute("INSERT INTO streamd_format VALUES (99)")
    with pytest.raises(GalleryError, match="format 99, of a newer streamd"):
        make_box(pgvector).sync()


@pytest.mark.parametrize(
    "config",
    [
        GalleryConfig(kind="milvus", uri="http://127.0.0.1:9"),
        GalleryConfig(kind="pgvector", dsn="postgresql://streamd:secret@127.0.0.1:9/gallery"),
    ],
    ids=["milvus", "pgvector"],
)
def test_nobody_listens(config: GalleryConfig, make_box: MakeBox) -> None:
    box = make_box(config)
    box.store.add_faces("Ann", [kept(1)])
    with pytest.raises(GalleryServerAway) as refused:
        box.sync()
    assert "secret" not in str(refused.value)
    assert box.sharing.mirror.unsent_count() == 2


@pytest.mark.parametrize(("kind", "module"), [("milvus", "pymilvus"), ("pgvector", "psycopg")])
def test_an_extra_that_is_missing(kind: Any, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, f"streamd.gallery.{kind}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(GalleryError, match=f"pip install 'streamd\\[{kind}\\]'"):
        open_hub(GalleryConfig(kind=kind, uri="http://127.0.0.1:9", dsn="x"))


def test_a_damaged_record_is_not_taken_over(pgvector: GalleryConfig, make_box: MakeBox) -> None:
    box = make_box(pgvector)
    hub = open_hub(pgvector)
    body = {"quality": 1, "source": "x", "source_sha256": "0", "created": 0.0}
    hub.push(
        [
            Record("person", "p", 1, "here", body={"name": "Ann", "created": 0.0}),
            Record("person", "q", 1, "here", body={"name": "\x00", "created": 0.0}.copy() | {"name": "/"}),
            Record("face", "f", 1, "here", person="p", model=MODEL, vector=b"\0" * 512, chip=b"c", body=body),
        ]
    )
    hub.close()
    box.sync()
    assert [p.name for p in box.store.people()] == ["Ann"]
    assert box.store.faces_by_model() == {}


def test_the_daemon_goes_on_while_the_server_is_dead(
    rtsp: RtspServer,
    make_daemon: MakeDaemon,
    postgres: Postgres,
    make_box: MakeBox,
    biden: NDArray[Any],
    tmp_path: Path,
) -> None:
    config = GalleryConfig(kind="pgvector", dsn=postgres.new_database())
    photo = tmp_path / "biden.png"
    cv2.imwrite(str(photo), biden)
    extra = {"gallery": {"kind": "pgvector", "dsn": config.dsn, "folder": str(tmp_path / "photos")}}
    with make_daemon({"door": {"url": rtsp.url("cam1")}}, extra=extra) as daemon:
        daemon.await_event("camera.online", camera="door")
        eventually(lambda: daemon.metrics().total("streamd_gallery_server_up") == 1)
        postgres.kill()
        try:
            away = daemon.await_event("gallery.offline")
            assert "PostgreSQL does not answer" in (away.message or "")
            eventually(lambda: daemon.metrics().total("streamd_gallery_server_up") == 0)
            command(daemon, "enroll", "Joe Biden", str(photo))
            assert command(daemon, "gallery", "status")["unsent"] >= 2
            rtsp.show("cam1", biden)
            daemon.await_event("face.identified", name="Joe Biden")
        finally:
            postgres.start()
        daemon.await_event("gallery.online", timeout_s=60)  # tried again after up to ten seconds
        eventually(lambda: daemon.metrics().total("streamd_gallery_unsent") == 0)
        other = make_box(config)
        eventually(lambda: _synced(other) and "Joe Biden" in other.state())
        # And the other way: what another box changes is known here at once.
        other.store.rename("Joe Biden", "Joseph Biden")
        other.sync()
        eventually(lambda: [p["name"] for p in command(daemon, "person", "list")] == ["Joseph Biden"])
