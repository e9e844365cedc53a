"""Boxes that share a gallery, each changed as it likes and away when it likes: in the end they say the same, and
whoever is forgotten on one is gone from the journals of all."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from galleryparts import MODEL, unit
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, rule

from streamd.config import Config, GalleryConfig
from streamd.errors import GalleryError, UsageError
from streamd.events import Event, EventType, timestamp
from streamd.gallery.erasures import erasures_under_way
from streamd.gallery.folderrecords import FolderRecords
from streamd.gallery.hub import Head, Record
from streamd.gallery.labels import label_texts
from streamd.gallery.rows import FORGOTTEN, MERGED, NewFace
from streamd.gallery.sharedwith import keep_shared
from streamd.gallery.store import GalleryStore
from streamd.journal import Entry, Journal
from streamd.sharing import sharing_of
from streamd.upkeep import ERASE_AFTER_S, Upkeep

NAMES = ["Ann", "Bert", "Cleo"]
name = st.sampled_from(NAMES)
SHARED = GalleryConfig(kind="pgvector", dsn="postgresql://nowhere/x")


class Server:
    """A shared gallery's server, in memory."""

    overlap_us = 0

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], tuple[Record, int]] = {}
        self.clock = 1

    def heads(self, since_us: int) -> Iterator[list[Head]]:
        found = [
            replace(record.head, arrived=arrived) for record, arrived in self.records.values() if arrived >= since_us
        ]
        if found:
            yield found

    def fetch(self, heads: Sequence[Head]) -> list[Record]:
        return [self.records[h.kind, h.uid][0] for h in heads if (h.kind, h.uid) in self.records]

    def push(self, records: Sequence[Record]) -> None:
        for record in records:
            self.clock += 1
            known = self.records.get((record.kind, record.uid))
            is_newer = known is None or known[0].stamp < record.stamp or record.state == "forgotten"
            if is_newer and (known is None or known[0].state != "forgotten"):
                self.records[record.kind, record.uid] = (record, self.clock)

    def close(self) -> None:
        """It stays."""


class Box:
    def __init__(self, server: Server, numbers: Iterator[int]) -> None:
        self.numbers = numbers
        self.folder = Path(tempfile.mkdtemp())
        self.config = Config(state_dir=self.folder, gallery=SHARED)
        self.store = GalleryStore(self.config.gallery_file)
        keep_shared(self.store, SHARED)
        self.sharing = sharing_of(self.store, self.config, final=False)
        self.sharing._hub = server  # type: ignore[assignment]

    def close(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    def state(self) -> dict[str, Any]:
        return {
            person.name: (label_texts(person.labels), sorted(f.source_sha256 for f in self.store.faces_of(person.id)))
            for person in self.store.people()
        }

    def faces(self, who: str) -> list[Any]:
        person = next((p for p in self.store.people() if p.name == who), None)
        return self.store.faces_of(person.id) if person else []

    def tell(self, event: Event) -> None:
        with Journal(self.config.journal_file) as journal:
            journal.append([Entry("w", "e", journal.last_n("w", "e") + 1, event)])

    def told(self) -> list[Event]:
        with Journal(self.config.journal_file) as journal:
            return [row.event() for row in journal.since(0, 1000)]

    def enrol(self, who: str, origin: Any) -> None:
        seed = next(self.numbers)
        source = f"{origin}:{who}/{seed}"
        sha256 = hashlib.sha256(source.encode()).hexdigest()
        face = NewFace(unit(seed), MODEL, f"<chip {seed}>".encode(), 0.8, source, sha256)
        self.store.add_faces(who, [face], origin=origin)

    def delete_photos_by_hand(self, who: str) -> None:
        paths = [f.source.removeprefix("folder:") for f in self.faces(who) if f.source.startswith("folder:")]
        FolderRecords(self.store.database).remove(paths)

    def see(self, who: str) -> None:
        if person := next((p for p in self.store.people() if p.name == who), None):
            seed, identity = next(self.numbers), {"id": person.id, "name": who}
            event = Event(EventType.FACE_IDENTIFIED, "door", timestamp(1), f"{seed:032x}", track=f"door-{seed}")
            self.tell(replace(event, identity=identity))  # type: ignore[arg-type]

    def look_after(self) -> None:
        Upkeep(self.store, self.config).clean_up(time.time() + ERASE_AFTER_S + 1)


ACTIONS: dict[str, Callable[[Box, str, str], object]] = {
    "enrol": lambda box, who, _: box.enrol(who, "command"),
    "enrol by folder": lambda box, who, _: box.enrol(who, "folder"),
    "see": lambda box, who, _: box.see(who),
    "see again": lambda box, who, _: box.see(who),
    "delete photos": lambda box, who, _: box.delete_photos_by_hand(who),
    "remove a face": lambda box, who, _: [box.store.remove_face(face.id) for face in box.faces(who)[:1]],
    "rename": lambda box, who, other: box.store.rename(who, other),
    "merge": lambda box, who, other: box.store.merge(who, other),
    "split": lambda box, who, other: box.store.split(who, other, [face.id for face in box.faces(who)[:1]]),
    "label": lambda box, who, other: box.store.label(who, [("site", other)]),
    "undo": lambda box, *_: box.store.undo(),
    "forget": lambda box, who, _: box.store.forget(who),
    "exchange": lambda box, *_: box.sharing.step(),
    "look after": lambda box, *_: box.look_after(),
}


class Boxes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        server, numbers = Server(), count(1)
        self.boxes = [Box(server, numbers), Box(server, numbers)]

    def teardown(self) -> None:
        try:
            self.ends_the_same()
        finally:
            for box in self.boxes:
                box.close()

    @rule(what=st.sampled_from(sorted(ACTIONS)), at=st.integers(0, 1), who=name, other=name)
    def act(self, what: str, at: int, who: str, other: str) -> None:
        began_ms = int(time.time() * 1000)
        while int(time.time() * 1000) == began_ms:  # of two changes in one millisecond neither is the later one
            continue
        with suppress(GalleryError, UsageError):
            ACTIONS[what](self.boxes[at], who, other)

    def ends_the_same(self) -> None:
        for _ in range(4):
            for box in self.boxes:
                box.sharing.step()
        for box in self.boxes:
            box.look_after()
        first, second = self.boxes
        assert first.state() == second.state()
        there = {person.id for box in self.boxes for person in box.store.people()}
        changes = [change for box in self.boxes for change in box.store.changes()]
        gone = {change.person_id for change in changes if change.what == FORGOTTEN}
        assert not gone & there, "back again"
        # Who was found to be somebody else on one box, and forgotten on another meanwhile, is the somebody else.
        gone -= {who for who in gone for change in changes if change.what == MERGED and who in change.detail}
        for box in self.boxes:
            assert box.store.database.find_damage() == []
            assert erasures_under_way(box.store.database) == []
            named = {str(event.identity["id"]) for event in box.told() if event.identity}
            assert not named & gone, "still told of"
            assert box.sharing.mirror.unsent_count() == 0


TestBoxes = Boxes.TestCase
TestBoxes.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)
