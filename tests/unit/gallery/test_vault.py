from __future__ import annotations

import base64
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from galleryparts import MODEL, face, unit

from streamd.errors import GalleryError
from streamd.gallery.audit import audit
from streamd.gallery.store import GalleryStore, Mark
from streamd.gallery.vault import Vault, load_vault, write_new_key

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))


def state_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_an_encrypted_gallery_holds_no_vector_and_no_crop_in_the_clear(tmp_path: Path) -> None:
    with GalleryStore(tmp_path / "gallery.sqlite", vault=Vault(KEY)) as store:
        store.add_faces("Anna", [face(unit(1), "photo:a")])
        store.remove_source("photo:a")
        store.undo()
        delta = store.delta(MODEL, Mark())
        assert np.array_equal(delta.vectors, [unit(1)])
        assert store.chip_jpeg(int(delta.face_ids[0])) == b"jpeg"
        written = state_bytes(tmp_path)
    assert unit(1).tobytes() not in written
    assert b"jpeg" not in written
    assert b"Anna" in written


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (KEY, None, "is encrypted: set gallery.key_file"),
        (KEY, OTHER_KEY, "is not the one"),
        (None, KEY, "not encrypted, but a key is set"),
    ],
)
def test_the_wrong_key_is_refused_and_nothing_is_touched(
    tmp_path: Path, first: bytes | None, second: bytes | None, said: str
) -> None:
    path = tmp_path / "gallery.sqlite"
    with GalleryStore(path, vault=Vault(first) if first else None) as store:
        store.add_faces("Anna", [face(unit(1))])
    before = path.read_bytes()
    with pytest.raises(GalleryError, match=said):
        GalleryStore(path, vault=Vault(second) if second else None)
    assert path.read_bytes() == before


def test_rekeying_encrypts_changes_the_key_and_decrypts(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    with GalleryStore(path) as store:
        store.add_faces("Anna", [face(unit(1), "photo:a")])
        store.remove_source("photo:a")
        store.undo()
    keys = [None, KEY, OTHER_KEY, None]
    for before, after in pairwise(keys):
        with GalleryStore(path, vault=Vault(before) if before else None) as store:
            store.database.reseal(Vault(after) if after else None)
            assert store.database.erase_free_space()
            assert (unit(1).tobytes() in state_bytes(tmp_path)) == (after is None)
            assert np.array_equal(store.delta(MODEL, Mark()).vectors, [unit(1)])
        with GalleryStore(path, vault=Vault(after) if after else None) as again:
            assert np.array_equal(again.delta(MODEL, Mark()).vectors, [unit(1)])


def test_a_process_with_the_old_key_neither_writes_nor_reads_nonsense(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    with GalleryStore(path, vault=Vault(KEY)) as running, GalleryStore(path, vault=Vault(KEY)) as other:
        running.add_faces("Anna", [face(unit(1), "photo:a")])
        other.database.reseal(Vault(OTHER_KEY))
        with pytest.raises(GalleryError, match="key was changed meanwhile"):
            running.add_faces("Bert", [face(unit(2), "photo:b")])
        with pytest.raises(GalleryError, match="cannot be opened"):
            running.delta(MODEL, Mark())
        assert [p.name for p in other.people()] == ["Anna"]


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    with GalleryStore(path, vault=Vault(KEY)) as store:
        store.add_faces("Anna", [face(unit(1))])
        with store.database.write() as connection:
            sealed = bytearray(connection.execute("SELECT vector FROM faces").fetchone()[0])
            sealed[20] ^= 1
            connection.execute("UPDATE faces SET vector = ?", (bytes(sealed),))
        with pytest.raises(GalleryError, match="cannot be opened"):
            audit(store)


@pytest.mark.parametrize("written", [KEY, KEY.hex().encode() + b"\n", base64.b64encode(KEY)])
def test_a_key_may_be_bytes_hexadecimal_or_base64(tmp_path: Path, written: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(written)
    path.chmod(0o600)
    vault = load_vault(path)
    assert vault is not None
    assert Vault(KEY).fits(vault.token())


@pytest.mark.parametrize("written", [b"", b"short", KEY + b"x", b"\xff" * 64, os.urandom(5000)])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, written: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(written)
    path.chmod(0o600)
    with pytest.raises(GalleryError, match="is no key"):
        load_vault(path)


def test_a_key_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(KEY)
    path.chmod(0o644)
    with pytest.raises(GalleryError, match="chmod 600"):
        load_vault(path)
    with pytest.raises(GalleryError, match="cannot be read: no such file"):
        load_vault(tmp_path / "none")


def test_a_new_key_is_private_and_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_new_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_vault(path)
    with pytest.raises(GalleryError, match="exists already"):
        write_new_key(path)
