"""What became of people, on its way from the gallery to the work loop."""

from __future__ import annotations

import socket
import threading
import time
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


def test_a_worker_that_ends_sends_what_became_of_people_before(store: GalleryStore, curator: Curator) -> None:
    store.add_faces("Anna", [face(unit(1))])
    curator._step()
    sent: list[Event] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = SimpleNamespace(socket=ours, unacknowledged=0)
        worker = SimpleNamespace(_presence={}, _curator=curator, _sender=sender, _send_all=sent.extend)
        Worker._drain(cast(Worker, worker))
    assert kinds(sent) == ["person.enrolled"]


def test_of_thousands_of_changes_at_once_none_is_left_out(store: GalleryStore, curator: Curator) -> None:
    """As where a folder with many people is given to a new daemon."""
    for number in range(1200):
        store.add_faces(f"P{number}", [face(unit(1), f"photo:{number}")])
    told: list[Event] = []
    while len(told) < 1200:
        curator._step()
        curator._step()  # before the work loop takes them
        found = curator.events()
        assert found, "there are more"
        told += found
    assert [(event.identity or {})["name"] for event in told] == [f"P{number}" for number in range(1200)]


def test_what_happens_after_the_last_events_is_left_to_the_next_worker(store: GalleryStore, curator: Curator) -> None:
    store.add_faces("Bert", [face(unit(2), "photo:b")])
    curator._step()
    assert kinds(curator.last_events()) == ["person.enrolled"]
    store.add_faces("Anna", [face(unit(1))])
    curator._step()
    assert curator.events() == []
    assert kinds(Upkeep(store, Config(state_dir=store.path.parent)).news()) == ["person.enrolled"]


def test_the_last_events_wait_for_those_that_are_just_being_noted(store: GalleryStore, curator: Curator) -> None:
    store.add_faces("Anna", [face(unit(1))])
    upkeep, noting = curator._upkeep, threading.Event()
    assert upkeep is not None
    news = upkeep.news

    def slow(upto: int) -> list[Event]:
        events = news(upto)
        noting.set()
        time.sleep(0.2)
        return events

    upkeep.news = slow  # type: ignore[method-assign]
    step = threading.Thread(target=curator._step)
    step.start()
    assert noting.wait(10)
    assert kinds(curator.last_events()) == ["person.enrolled"]
    step.join()


def test_nobody_is_told_to_be_forgotten_while_searches_find_them(
    store: GalleryStore, curator: Curator, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_faces("Anna", [face(unit(1))])
    curator._step()
    curator.events()
    refresh = curator._gallery.refresh
    with monkeypatch.context() as patched:
        # Forgotten just after the look at what changed.
        patched.setattr(curator._gallery, "refresh", lambda: (refresh(), store.forget("Anna")))
        curator._step()
    assert curator._gallery.people_count == 1
    assert curator.events() == []
    curator._step()
    assert curator._gallery.people_count == 0
    assert kinds(curator.events()) == ["person.forgotten"]


def test_what_became_of_people_is_told_after_the_faces_were_weighed_anew() -> None:
    """And not what is heard of only while they are: that goes with the next weighing."""
    heard, sent = ["forgotten before"], list[str]()

    def weighed() -> list[str]:
        heard.append("forgotten meanwhile")
        return ["revised"]

    def taken() -> list[str]:
        found = heard.copy()
        heard.clear()
        return found

    worker = SimpleNamespace(_presence={}, _gallery_link=None, _send_all=sent.extend)
    worker._curator, worker._pipeline = SimpleNamespace(events=taken), SimpleNamespace(gallery_changed=weighed)
    Worker._grow_old(cast(Worker, worker), 0.0)
    assert sent == ["revised", "forgotten before"]
