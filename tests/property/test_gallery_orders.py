"""Whatever is done to people and strangers, in whatever order: the gallery stays whole, every reader says the same, and
of whoever is forgotten nothing is left."""

from __future__ import annotations

import hashlib
import inspect
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import hypothesis.strategies as st
from galleryparts import MODEL, unit
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streamd import forgetting
from streamd.config import Config, GalleryConfig
from streamd.errors import GalleryError, UsageError
from streamd.events import Event, EventType, timestamp
from streamd.forgetting import forget_person, forget_stranger
from streamd.gallery.erasures import erasures_under_way
from streamd.gallery.live import LiveGallery
from streamd.gallery.rows import NewFace
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangers import Sighting, StrangerRecords, StrangerView
from streamd.journal import Entry, Journal
from streamd.upkeep import Upkeep

NAMES = ["Ann", "Bert", "Cleo"]
STRANGERS = ["unknown-1", "unknown-2", "unknown-3"]
name = st.sampled_from(NAMES)
stranger = st.sampled_from(STRANGERS)


ACTIONS = (
    *("enrol", "enrol_a_photo_of_somebody_else", "remove_a_face", "rename", "merge", "split", "label"),
    *("undo", "undo_an_older_change", "see", "tell_news", "forget"),
    *("see_a_stranger", "merge_strangers", "assign", "ignore", "forget_a_stranger"),
    *("enrol", "undo", "see", "see_a_stranger"),  # more often
)


def chip(number: int) -> bytes:
    return f"<chip {number}>".encode()


class Orders(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.alone = patch.object(forgetting, "daemon_runs", lambda _: False)  # asking takes a second
        self.alone.start()
        self.folder = Path(tempfile.mkdtemp())
        self.config = Config(state_dir=self.folder, runtime_dir=self.folder / "run")
        self.store = GalleryStore(self.config.gallery_file)
        self.strangers = StrangerRecords(self.store.database)
        self.live = LiveGallery(self.store.path, model_id=MODEL, config=GalleryConfig())
        self.upkeep = Upkeep(self.store, self.config)
        self.count = 0
        self.tell("-", EventType.CAMERA_ONLINE)

    def teardown(self) -> None:
        self.live.close()
        self.store.close()
        self.alone.stop()
        shutil.rmtree(self.folder)

    @rule(what=st.sampled_from(ACTIONS), who=name, other=name, one=stranger, two=stranger, back=st.integers(0, 12))
    def act(self, what: str, **given: Any) -> None:
        do = getattr(self, what)
        do(*(given[key] for key in inspect.signature(do).parameters))

    # -- what is done --------------------------------------------------------------------------------------------

    def enrol(self, who: str) -> None:
        self.store.add_faces(who, [self.face(f"photo:{self.number()}")])

    def enrol_a_photo_of_somebody_else(self, who: str, other: str) -> None:
        if (faces := self.faces(other)) and who != other:
            face = faces[0]
            again = NewFace(unit(1), MODEL, self.store.chip_jpeg(face.id), 0.8, face.source, face.source_sha256)
            self.store.add_faces(who, [again])

    def remove_a_face(self, who: str) -> None:
        for face in self.faces(who)[:1]:
            self.store.remove_face(face.id)

    def rename(self, who: str, other: str) -> None:
        self.perhaps(lambda: self.store.rename(who, other))

    def merge(self, who: str, other: str) -> None:
        self.perhaps(lambda: self.store.merge(who, other))

    def split(self, who: str, other: str) -> None:
        self.perhaps(lambda: self.store.split(who, other, [face.id for face in self.faces(who)[:1]]))

    def label(self, who: str) -> None:
        self.perhaps(lambda: self.store.label(who, [("site", "hq")]))

    def undo(self) -> None:
        self.perhaps(self.store.undo)

    def undo_an_older_change(self, back: int) -> None:
        self.perhaps(lambda: self.store.undo(max(1, self.store.version() - back)))

    def see_a_stranger(self, one: str) -> None:
        number = self.number()
        view = StrangerView(unit(number), chip(number), 0.8)
        self.strangers.record(Sighting(one, f"door-{number}", "door", time.time(), MODEL, [view]))
        self.tell(f"door-{number}", EventType.FACE_UNKNOWN, stranger=one)

    def merge_strangers(self, one: str, two: str, back: int) -> None:
        self.perhaps(lambda: self.strangers.merge(one, two, noted=back % 2 == 0))

    def assign(self, one: str, who: str) -> None:
        self.perhaps(lambda: self.strangers.assign(one, who))

    def ignore(self, one: str) -> None:
        self.perhaps(lambda: self.strangers.set_state(one, "ignored"))

    def see(self, who: str) -> None:
        if person := next((p for p in self.store.people() if p.name == who), None):
            identity = {"id": person.id, "name": who}
            self.tell(f"door-{self.number()}", EventType.FACE_IDENTIFIED, identity=identity)

    def tell_news(self) -> None:
        for event in self.upkeep.news():
            self.write(event)
        self.upkeep.note_told()

    # -- who is forgotten ----------------------------------------------------------------------------------------

    def forget(self, who: str) -> None:
        theirs = {self.store.chip_jpeg(face.id) for face in self.faces(who)}
        try:
            receipt = forget_person(self.config, self.store, who, photos=False)
        except GalleryError:
            assert who not in {person.name for person in self.store.people()}
            return
        assert receipt.erased
        self.leaves_nothing(theirs)
        events = self.told()
        assert not [e for e in events if (e.identity or {}).get("name") == who]
        assert not [e for e in events if e.identity and "name" in e.identity and e.identity["id"] == receipt.person_id]

    def forget_a_stranger(self, one: str) -> None:
        try:
            theirs = {found for *_, found in self.strangers.chips(one)}
            assert forget_stranger(self.config, self.store, one).is_gone
        except GalleryError:
            return
        self.leaves_nothing(theirs)
        assert one not in {stranger.id for stranger in self.strangers.all()}
        assert not [event for event in self.told() if event.stranger == one]

    def leaves_nothing(self, chips: set[bytes]) -> None:
        """But what other people's faces and other strangers' views hold by their own right."""
        with self.store.database.read() as connection:
            kept = connection.execute("SELECT chip FROM faces UNION SELECT chip FROM stranger_faces")
            held = {bytes(row[0]) for row in kept}
        everything = b"".join(path.read_bytes() for path in self.folder.rglob("*") if path.is_file())
        assert not [found for found in chips - held if found in everything]

    # -- what always holds ---------------------------------------------------------------------------------------

    @invariant()
    def is_whole(self) -> None:
        assert self.store.database.find_damage() == []
        assert erasures_under_way(self.store.database) == []

    @invariant()
    def readers_agree(self) -> None:
        self.live.refresh()
        people = self.store.people()
        assert self.live.people_count == len(people)
        for person in people:
            assert len(self.live.vectors_of(person.name)) == person.faces

    # -- help ----------------------------------------------------------------------------------------------------

    def number(self) -> int:
        self.count += 1
        return self.count

    def face(self, source: str) -> NewFace:
        sha256 = hashlib.sha256(source.encode()).hexdigest()
        return NewFace(unit(self.count), MODEL, chip(self.count), 0.8, source, sha256)

    def faces(self, who: str) -> list[Any]:
        person = next((p for p in self.store.people() if p.name == who), None)
        return self.store.faces_of(person.id) if person else []

    def perhaps(self, do: Callable[[], object]) -> None:
        with suppress(GalleryError, UsageError):
            do()

    def tell(self, track: str, kind: EventType, **fields: Any) -> None:
        self.write(Event(kind, "door", timestamp(time.time()), f"{self.number():032x}", track=track, **fields))

    def write(self, event: Event) -> None:
        with Journal(self.config.journal_file) as journal:
            journal.append([Entry("w", "e", journal.last_n("w", "e") + 1, event)])

    def told(self) -> list[Event]:
        with Journal(self.config.journal_file, read_only=True) as journal:
            return [row.event() for row in journal.since(0, 1000)]


TestOrders = Orders.TestCase
TestOrders.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)
