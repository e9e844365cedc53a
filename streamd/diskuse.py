"""How full the disk is, and with what of streamd's: sampled once a minute, for the metrics.

The folder of snapshots may hold tens of thousands of pictures. It has a folder for each day, whose files only come and
go, so a day is counted again only where its own time stamp has changed.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from streamd.config import Config
from streamd.metrics import Metrics

EVERY_S = 60.0
PARTS = ("journal", "gallery", "snapshots", "models", "backups", "other")
_OWNERS = {
    "journal.sqlite": "journal",
    "gallery.sqlite": "gallery",
    "snapshots": "snapshots",
    "models": "models",
    "backups": "backups",
}
"""First words of the names in ``state_dir``, and what they belong to."""


class DiskUse:
    """Not thread-safe: one thread measures."""

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self._state_dir = config.state_dir
        self._metrics = metrics
        self._days: dict[str, tuple[int, int]] = {}
        """Of each day's folder its time stamp in ns, and the bytes of its files."""
        self._before = self._days

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Measure in a thread of its own, for a disk may be slow."""
        over = threading.Event()

        def work() -> None:
            self.measure()
            while not over.wait(EVERY_S):
                self.measure()

        threading.Thread(target=work, name="disk-use", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def measure(self) -> None:
        """Set the gauges; they stay as they are where nothing can be read."""
        try:
            disk = os.statvfs(self._state_dir)
            parts = self._parts()
        except OSError:
            return
        self._metrics.disk_free.set(disk.f_bavail * disk.f_frsize)
        self._metrics.disk_size.set(disk.f_blocks * disk.f_frsize)
        for part in PARTS:
            self._metrics.state_bytes.labels(part=part).set(parts.get(part, 0))

    def _parts(self) -> Mapping[str, int]:
        found: Counter[str] = Counter()
        self._before, self._days = self._days, {}
        with os.scandir(self._state_dir) as entries:
            for entry in entries:
                found[part_of(entry.name)] += self._size(entry)
        return found

    def _size(self, entry: os.DirEntry[str]) -> int:
        """Of a file, or of all below a folder; links are not followed."""
        try:
            status = entry.stat(follow_symlinks=False)
            if not entry.is_dir(follow_symlinks=False):
                return status.st_size
            if Path(entry.path).parent.name == "snapshots":
                return self._day_size(entry.path, status.st_mtime_ns)
            return self._folder_size(entry.path)
        except OSError:  # it has just been deleted
            return 0

    def _day_size(self, folder: str, changed_ns: int) -> int:
        known = self._before.get(folder)
        same = known is not None and known[0] == changed_ns
        self._days[folder] = known if known is not None and same else (changed_ns, self._folder_size(folder))
        return self._days[folder][1]

    def _folder_size(self, folder: str) -> int:
        with os.scandir(folder) as entries:
            return sum(self._size(entry) for entry in entries)


def part_of(name: str) -> str:
    """What a file or folder in ``state_dir`` belongs to."""
    return next((part for start, part in _OWNERS.items() if name.startswith(start)), "other")
