"""What is to be done so that the gallery agrees with its folder. Pure: listings and records in, a plan out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from streamd.gallery.folderrecords import PhotoRecord, Stamp, path_hash

Moves = tuple[tuple[str, PhotoRecord], ...]
"""Old path, and the record under its new path."""


@dataclass(frozen=True, slots=True)
class Plan:
    """To be done in this order."""

    moves: tuple[tuple[str, str, Moves], ...] = ()
    """Directory before, directory after (the same where files were renamed inside), and their photos."""
    removed: tuple[str, ...] = ()
    """Photos that are gone."""
    wanted: tuple[str, ...] = ()
    """Photos that are new, changed, or known to another model only."""
    undismissed: tuple[str, ...] = ()
    """Hashes of paths that nobody needs to remember."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the gallery file says of the folder."""

    photos: Mapping[str, PhotoRecord]
    dismissed: Mapping[str, Stamp]
    model_id: str


def plan(photos: Mapping[str, Stamp], known: Known, *, unreadable: Collection[str] = ()) -> Plan:
    """Compare the folder's photos with what is known; nothing is concluded about ``unreadable`` directories."""
    missing = {p: r for p, r in known.photos.items() if p not in photos and _directory(p) not in unreadable}
    new = {p: stamp for p, stamp in photos.items() if p not in known.photos}
    moves = _moves(missing, new, known.photos)
    gone = {old for _, _, pairs in moves for old, _ in pairs}
    arrived = {record.path for _, _, pairs in moves for _, record in pairs}
    hashes = {path_hash(p): stamp for p, stamp in photos.items()} if known.dismissed else {}
    return Plan(
        moves=moves,
        removed=tuple(p for p in missing if p not in gone),
        wanted=tuple(p for p, stamp in photos.items() if p not in arrived and _is_wanted(p, stamp, known)),
        undismissed=() if unreadable else tuple(h for h in known.dismissed if h not in hashes),
    )


def _is_wanted(path: str, stamp: Stamp, known: Known) -> bool:
    record = known.photos.get(path)
    if record is not None:
        return record.stamp != stamp or record.model_id != known.model_id
    return not known.dismissed or known.dismissed.get(path_hash(path)) != stamp


def _moves(
    missing: Mapping[str, PhotoRecord], new: Mapping[str, Stamp], before: Collection[str]
) -> tuple[tuple[str, str, Moves], ...]:
    if not missing or not new:
        return ()
    populated = {_directory(p) for p in before}
    staying = {_directory(p) for p in before if p not in missing}
    arriving = {_directory(p) for p in new}
    found: list[tuple[str, str, Moves]] = []
    for old, records in _by_directory(missing).items():
        targets = [old] if old in arriving else []
        if old not in staying:
            targets += sorted(arriving - populated)
        for into in targets:
            if pairs := _pairs(records, into, new):
                found.append((old, into, pairs))
                arriving.discard(into)
                break
    return tuple(found)


def _pairs(records: list[PhotoRecord], into: str, new: Mapping[str, Stamp]) -> Moves:
    """Each record's photo under ``into``: by name where the directory was renamed, by its stamp within one."""
    if into != _directory(records[0].path):
        moved = [(r, f"{into}/{_file(r.path)}") for r in records]
        same = all(new.get(path) == r.stamp for r, path in moved)
        return tuple((r.path, replace(r, path=path)) for r, path in moved) if same else ()
    by_stamp = {stamp: path for path, stamp in new.items() if _directory(path) == into}
    renamed = ((r, by_stamp.pop(r.stamp, None)) for r in records)
    return tuple((r.path, replace(r, path=path)) for r, path in renamed if path)


def _by_directory(records: Mapping[str, PhotoRecord]) -> dict[str, list[PhotoRecord]]:
    grouped: dict[str, list[PhotoRecord]] = defaultdict(list)
    for path, record in records.items():
        grouped[_directory(path)].append(record)
    return grouped


def _directory(path: str) -> str:
    return path.partition("/")[0]


def _file(path: str) -> str:
    return path.partition("/")[2]
