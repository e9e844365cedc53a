"""What is kept of people beside the gallery's tables: erased once they are gone from these.

Whoever forgets somebody does it at once. Where that fails, or is cut short, the daemon's upkeep goes on with it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from streamd.config import Config
from streamd.deliveries import Deliveries
from streamd.erasure import erase_person
from streamd.errors import GalleryError, JournalError, UnavailableError
from streamd.gallery.erasures import Erasure, erasure_is_done, erasure_is_noticed
from streamd.gallery.folderrecords import FolderRecords
from streamd.gallery.rows import find_person_id
from streamd.gallery.savedindex import drop_saved
from streamd.gallery.store import GalleryStore


@dataclass(frozen=True, slots=True)
class Erased:
    """What one try came to."""

    events: int
    """In the journal, that told of them."""
    caches: int
    """Files of saved indexes."""
    is_gone: bool
    """Whether nothing is left in the gallery file and its log; False also while another process keeps reading."""
    photos_deleted: tuple[str, ...]
    """Photos in the watched folder, as ``Erasure.photos`` has them, that are not there any more."""
    undone: tuple[str, ...]
    """What could not be done, and why; the erasure stays noted."""


def erase_traces(
    config: Config, store: GalleryStore, erasure: Erasure, *, final: bool, noticed: bool = False
) -> Erased:
    """Erase what is left of somebody: photos, saved indexes, the journal, pictures, what sinks' destinations said, free
    space and log of the gallery.

    Args:
        final: whether every process has noticed that the person is no more, and what it sent before is written. Else
            some may still tell of them, and the erasure stays noted.
        noticed: whether nothing that names them comes any more; then the note has no name.

    Raises:
        GalleryError: the gallery cannot be read at all.
    """
    undone = []
    caches = events = 0
    is_gone = False
    photos = _delete_photos(config, store, erasure) if erasure.with_photos or config.gallery.write_folder else ()
    try:
        caches = 0 if erasure.is_strangers else drop_saved(config.gallery_file)
    except OSError as error:
        undone.append(f"saved index {error.filename}: {error.strerror}")
    try:
        events = _erase_events(config, store, erasure)
    except JournalError as error:
        undone.append(str(error))
    try:
        if config.deliveries_file.exists():
            with Deliveries(config.deliveries_file) as deliveries:
                deliveries.forget_reasons()
    except UnavailableError as error:
        undone.append(str(error))
    try:
        is_gone = store.database.erase_free_space()
        if (final or noticed) and not undone:
            (erasure_is_done if final else erasure_is_noticed)(store.database, erasure)
            is_gone = is_gone and store.database.empty_log()
    except GalleryError as error:
        undone.append(str(error))
    return Erased(events, caches, is_gone and not undone, photos, tuple(undone))


def _delete_photos(config: Config, store: GalleryStore, erasure: Erasure) -> tuple[str, ...]:
    """Those that cannot be deleted stay; so does what lies at the same place by now and was enrolled again."""
    deleted = []
    for name in FolderRecords(store.database).unknown(erasure.photos):
        path = config.gallery_folder / name
        try:
            path.unlink(missing_ok=True)
        except OSError:
            continue
        deleted.append(name)
        with suppress(OSError):  # there is something else in it, or it went with its photos
            path.parent.rmdir()
    return tuple(deleted)


def _erase_events(config: Config, store: GalleryStore, erasure: Erasure) -> int:
    with store.database.read() as connection:
        is_borne_again = not erasure.name or find_person_id(connection, erasure.name) is not None
    return erase_person(
        config.journal_file,
        person_id=erasure.person_id,
        name=None if is_borne_again else erasure.name,
        aliases=erasure.aliases,
        strangers=erasure.strangers,
        pictures=config.snapshots_dir,
        begun_wall_s=erasure.begun_wall_s,
    )
