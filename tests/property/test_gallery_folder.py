"""Whatever is done to the folder, in whatever order, the gallery ends up saying what the folder says."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from galleryparts import ColourEmbedder, SquareDetector, photo_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.gallery.enrolment import Enroller
from streamd.gallery.folder import FolderSync
from streamd.gallery.store import GalleryStore

_PEOPLE = ("Anna", "Bert", "Cleo")
_FILES = ("1.png", "2.png")

write = st.tuples(st.just("write"), st.sampled_from(_PEOPLE), st.sampled_from(_FILES), st.integers(0, 9))
delete = st.tuples(st.just("delete"), st.sampled_from(_PEOPLE), st.sampled_from(_FILES), st.just(0))
rename = st.tuples(st.just("rename"), st.sampled_from(_PEOPLE), st.sampled_from(_PEOPLE), st.just(0))
step = st.tuples(st.just("step"), st.just(""), st.just(""), st.just(0))
restart = st.tuples(st.just("restart"), st.just(""), st.just(""), st.just(0))


def act(folder: Path, what: str, person: str, other: str, seed: int) -> None:
    path = folder / person / other
    if what == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(photo_bytes((130, 130 + 10 * seed, 250), seed=seed))
    elif what == "delete":
        path.unlink(missing_ok=True)
    elif what == "rename" and (folder / person).exists() and not (folder / other).exists():
        (folder / person).rename(folder / other)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(write, delete, rename, step, restart), max_size=14))
def test_the_gallery_ends_up_saying_what_the_folder_says(actions: list[tuple[str, str, str, int]]) -> None:
    root = Path(tempfile.mkdtemp())
    (root / "gallery").mkdir()
    with GalleryStore(root / "gallery.sqlite") as store:

        def started() -> FolderSync:
            enroller = Enroller(store, SquareDetector(), ColourEmbedder(), checks=False)
            return FolderSync(root / "gallery", store, enroller, wall_clock=lambda: time.time() + 60)

        sync = started()
        for what, person, other, seed in actions:
            act(root / "gallery", what, person, other, seed)
            if what == "restart":
                sync = started()
            if what == "step":
                sync.step()
        while sync.step().busy:
            pass
        sync.step()
        contents = {p.name: {f.read_bytes() for f in p.iterdir()} for p in (root / "gallery").iterdir() if p.is_dir()}
        owners: dict[bytes, set[str]] = {}
        for name, photos in contents.items():
            for photo in photos:
                owners.setdefault(photo, set()).add(name)
        faces = {p.name: p.faces for p in store.people()}
        assert sum(faces.values()) == len(owners)  # each picture once, whoever it was given to
        unique = {n: sum(owners[photo] == {n} for photo in photos) for n, photos in contents.items()}
        assert all(unique.get(n, 0) <= count <= len(contents[n]) for n, count in faces.items())
        assert all(faces.get(n, 0) >= count for n, count in unique.items())
    shutil.rmtree(root)
