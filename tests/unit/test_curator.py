"""What became of people, on its way from the gallery to the work loop."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from galleryparts import MODEL, face, unit

from streamd.config import Config, GalleryConfig
from streamd.curator import Curator
from streamd.events import Event
from streamd.gallery.live import LiveGallery
from streamd.gallery.store import GalleryStore
from streamd.metrics import Metrics
from streamd.upkeep import Upkeep
from streamd.worker import Worker


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(tmp_path / "gallery.sqlite") as opened:
        yield opened


@pytest.fixture
def curator(store: GalleryStore) -> Iterator[Curator]:
    with LiveGallery(store.path, model_id=MODEL, config=GalleryConfig(index="exact")) as gallery:
        upkeep = Upkeep(store, Config(state_dir=store.path.parent))
        yield Curator(store, gallery, None, metrics=Metrics(), upkeep=upkeep)


def kinds(events: list[Event]) -> list[str]:
    return [event.type.value for event in events]


class Sender:
    """Takes events; ``settled`` is how many the journal has."""

    unacknowledged = 0

    def __init__(self, ours: socket.socket) -> None:
        self.socket = ours
        self.sent: list[Event] = []
        self.settled = 0

    @property
    def taken(self) -> int:
        return len(self.sent)


class Work:
    """The part of the work loop that tells what became of people."""

    def __init__(self, curator: Curator, sender: Sender) -> None:
        self.sender = sender
        self._presence: dict[str, object] = {}
        self._curator = curator
        self._sender = sender
        self._news_until: int | None = None
        self._pipeline = SimpleNamespace(gallery_changed=list)

    def _send_all(self, events: list[Event]) -> None:
        self.sender.sent += events

    def _tell_news(self) -> None:
        Worker._tell_news(cast(Worker, self))

    def end(self) -> None:
        Worker._drain(cast(Worker, self))


@pytest.fixture
def work(curator: Curator) -> Iterator[Work]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Work(curator, Sender(ours))


def next_worker(store: GalleryStore) -> Upkeep:
    return Upkeep(store, Config(state_dir=store.path.parent))


def test_a_worker_that_ends_sends_what_became_of_people_before(
    store: GalleryStore, curator: Curator, work: Work
) -> None:
    store.add_faces("Anna", [face(unit(1))])
    curator._step()
    work.end()
    assert kinds(work.sender.sent) == ["person.enrolled"]


def test_what_a_killed_worker_had_sent_and_the_journal_has_not_is_told_by_the_next(
    store: GalleryStore, curator: Curator, work: Work
) -> None:
    store.add_faces("Anna", [face(unit(1))])
    curator._step()
    work._tell_news()
    curator._step()
    work._tell_news()
    assert kinds(work.sender.sent) == ["person.enrolled"], "told once by this one"
    assert next_worker(store).news() == work.sender.sent, "and by the next under the same id"


def test_what_the_journal_has_is_not_told_again(store: GalleryStore, curator: Curator, work: Work) -> None:
    store.add_faces("Anna", [face(unit(1))])
    curator._step()
    work._tell_news()
    work.sender.settled = 1
    work._tell_news()
    curator._step()
    assert next_worker(store).news() == []


def test_of_thousands_of_changes_at_once_none_is_left_out(store: GalleryStore, curator: Curator, work: Work) -> None:
    """As where a folder with many people is given to a new daemon."""
    for number in range(1200):
        store.add_faces(f"P{number}", [face(unit(1), f"photo:{number}")])
    sent = work.sender.sent
    while len(sent) < 1200:
        before = len(sent)
        curator._step()
        curator._step()  # before the work loop takes them
        work._tell_news()
        assert len(sent) > before, "there are more"
        work.sender.settled = len(sent)
        work._tell_news()
    assert [(event.identity or {})["name"] for event in sent] == [f"P{number}" for number in range(1200)]


def test_what_happens_after_the_last_events_is_left_to_the_next_worker(
    store: GalleryStore, curator: Curator, work: Work
) -> None:
    store.add_faces("Anna", [face(unit(1))])
    work.end()
    curator._step()
    assert work.sender.sent == []
    assert kinds(next_worker(store).news()) == ["person.enrolled"]


def test_nobody_is_told_to_be_forgotten_while_searches_find_them(
    store: GalleryStore, curator: Curator, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_faces("Anna", [face(unit(1))])
    curator._step()
    work._tell_news()
    work.sender.settled = 1
    work._tell_news()
    refresh = curator._gallery.refresh
    with monkeypatch.context() as patched:
        # Forgotten just after the look at what changed.
        patched.setattr(curator._gallery, "refresh", lambda: (refresh(), store.forget("Anna")))
        curator._step()
    assert curator._gallery.people_count == 1
    work._tell_news()
    assert kinds(work.sender.sent) == ["person.enrolled"]
    curator._step()
    assert curator._gallery.people_count == 0
    work._tell_news()
    assert kinds(work.sender.sent) == ["person.enrolled", "person.forgotten"]


def test_what_became_of_people_is_told_after_the_faces_were_weighed_anew(work: Work) -> None:
    """And not what is heard of only while they are: that goes with the next weighing."""
    heard = ["forgotten before"]

    def weighed() -> list[str]:
        heard.append("forgotten meanwhile")
        return ["revised"]

    def taken() -> list[str]:
        found = heard.copy()
        heard.clear()
        return found

    work._curator = cast(Curator, SimpleNamespace(events=taken))
    work._pipeline = SimpleNamespace(gallery_changed=weighed)
    work._tell_news()
    assert work.sender.sent == ["revised", "forgotten before"]
