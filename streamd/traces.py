"""What is kept of people beside the gallery's tables: erased once they are gone from these."""

from __future__ import annotations

from streamd.config import Config
from streamd.erasure import erase_person
from streamd.gallery.erasures import Erasure


def erase_events(config: Config, erasure: Erasure) -> int:
    """Take somebody out of the journal, and delete the pictures of them. Returns how many events told of them.

    Raises JournalError.
    """
    return erase_person(
        config.journal_file,
        person_id=erasure.person_id,
        name=erasure.name,
        aliases=erasure.aliases,
        strangers=erasure.strangers,
        pictures=config.snapshots_dir,
    )
