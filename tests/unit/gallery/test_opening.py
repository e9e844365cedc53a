from __future__ import annotations

from pathlib import Path

import pytest
from galleryparts import face, unit

from streamd.cli import main
from streamd.config import Config, GalleryConfig
from streamd.errors import GalleryError
from streamd.gallery.mirror import Mirror
from streamd.gallery.opening import open_store

LOCAL = GalleryConfig()
DSN = "postgresql://streamd:secret@db.example:5432/people?sslmode=verify-full"
SHARED = GalleryConfig(kind="pgvector", dsn=DSN)


def config(tmp_path: Path, gallery: GalleryConfig) -> Config:
    return Config(state_dir=tmp_path, runtime_dir=tmp_path / "run", gallery=gallery)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """The state of a daemon that shares the gallery and has sent everything."""
    with open_store(config(tmp_path, SHARED), adopt=True) as store:
        store.add_faces("Ann", [face(unit(1))])
        mirror = Mirror(store)
        mirror.sent(mirror.unsent(10))
        mirror.advance(1)
    return tmp_path


def unsent(state: Path) -> int:
    with open_store(config(state, SHARED)) as store:
        assert Mirror(store).cursor_us == 1
        return Mirror(store).unsent_count()


def test_a_configuration_that_does_not_share_reads_a_shared_gallery_and_cuts_nothing_off(shared: Path) -> None:
    with open_store(config(shared, LOCAL)) as store:
        assert [p.name for p in store.people()] == ["Ann"]
        with pytest.raises(GalleryError) as refused:
            store.forget("Ann")
    words = str(refused.value)
    assert "it is shared through PostgreSQL at db.example:5432/people" in words
    assert "this configuration says that it is not shared" in words
    assert "give the daemon's with -c FILE" in words
    assert "secret" not in words
    assert unsent(shared) == 0
    with open_store(config(shared, SHARED)) as store:
        store.add_faces("Bob", [face(unit(2), "photo:b.jpg")])
    assert unsent(shared) == 2


def test_another_server_is_taken_over_only_where_that_is_asked_for(shared: Path) -> None:
    other = config(shared, GalleryConfig(kind="milvus", uri="http://user:hidden@milvus.example:19530"))
    with (
        open_store(other) as store,
        pytest.raises(GalleryError, match=r"says Milvus at milvus\.example:19530") as refused,
    ):
        store.rename("Ann", "Anna")
    assert "'streamd gallery sync'" in str(refused.value)
    assert "hidden" not in str(refused.value)
    assert unsent(shared) == 0
    with open_store(other, adopt=True) as store:
        store.rename("Ann", "Anna")
        assert Mirror(store).unsent_count() == 2
        assert Mirror(store).cursor_us == 0


def test_the_same_server_under_another_user_is_no_other(shared: Path) -> None:
    other = GalleryConfig(kind="pgvector", dsn=DSN.replace("streamd:secret", "admin:s3cret"))
    with open_store(config(shared, other)) as store:
        store.rename("Ann", "Anna")
    assert unsent(shared) == 1


def test_the_daemon_stops_sharing_where_its_configuration_says_so(shared: Path) -> None:
    with open_store(config(shared, LOCAL), adopt=True) as store:
        store.rename("Ann", "Anna")
        assert Mirror(store).unsent_count() == 0


def test_what_was_enrolled_before_the_gallery_is_shared_is_sent_once_it_is(tmp_path: Path) -> None:
    with open_store(config(tmp_path, SHARED)) as store:
        store.add_faces("Ann", [face(unit(1))])
    with open_store(config(tmp_path, SHARED), adopt=True) as store:
        assert Mirror(store).unsent_count() == 2


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://streamd:a/secret@db/people",
        "postgresql://streamd:a?secret@db/people",
        "postgresql://streamd@db/people?password=a@secret",
        "host=db password=secret dbname=people",
    ],
)
def test_an_address_that_may_hold_a_password_anywhere_is_not_shown(tmp_path: Path, dsn: str) -> None:
    with open_store(config(tmp_path, GalleryConfig(kind="pgvector", dsn=dsn)), adopt=True):
        pass
    with open_store(config(tmp_path, LOCAL)) as store, pytest.raises(GalleryError) as refused:
        store.forget("Ann")
    assert "secret" not in str(refused.value)
    assert b"secret" not in (tmp_path / "gallery.sqlite").read_bytes()


def test_commands_without_the_daemons_configuration_read_and_change_nothing(
    shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = shared / "other.yaml"
    file.write_text(f"state_dir: {shared}\n")
    monkeypatch.setenv("STREAMD_CONFIG", str(file))
    assert main(["person", "list"]) == 0
    assert "Ann" in capsys.readouterr().out
    assert main(["person", "rename", "Ann", "Anna"]) == 69
    assert "nothing is changed: it is shared through" in capsys.readouterr().err
    assert main(["gallery", "sync"]) == 64
    assert unsent(shared) == 0
