"""Whether gallery, journal and models are what a start needs: looked at, and nothing changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from streamd.backups import format_of
from streamd.commands.finding import Finding, Level
from streamd.config import CameraConfig, Config
from streamd.errors import ModelError
from streamd.statedir import FORMATS


def state(config: Config) -> Iterator[Finding]:
    """Databases, then models."""
    for name in FORMATS:
        yield _database(config, name)
    yield from models(config)


def _database(config: Config, name: str) -> Finding:
    path = config.state_dir / name
    if not path.exists():
        return Finding(Level.OK, name, "not there yet")
    try:
        format = format_of(path)
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as db:
            answer = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        return Finding(Level.FAIL, name, f"{path} cannot be read: {error}", "restore a copy: docs/operations.md")
    if answer != "ok":
        return Finding(Level.FAIL, name, f"{path} is damaged: {answer}", "restore a copy: docs/operations.md")
    known = FORMATS[name]
    if format > known:
        message = f"{path} has format {format}, this streamd reads up to {known}: update it, or 'streamd state restore'"
        return Finding(Level.FAIL, name, message)
    if format < known:
        message = f"{path} has format {format}; the next start makes {known} of it, and a copy before that"
        return Finding(Level.WARN, name, message)
    return Finding(Level.OK, name, f"format {format}")


def models(config: Config) -> Iterator[Finding]:
    """Every model file that some camera uses: there, and what its manifest says. Classes of one's own are not tried."""
    from streamd.vision.modelstore import ModelStore

    store = ModelStore(config.models_path)
    settings: list[Config | CameraConfig] = [config, *config.cameras.values()]
    wanted = [("detector", each.detection.model) for each in settings]
    wanted += [("embedder", each.recognition.embedder) for each in settings]
    for kind, name in dict.fromkeys(wanted):
        if ":" in name:
            continue
        try:
            problem = store.problem(store.manifest(name, kind=kind))
        except ModelError as error:
            problem = str(error)
        level = Level.OK if problem is None else Level.FAIL
        yield Finding(level, f"model {name}", problem or "intact")
