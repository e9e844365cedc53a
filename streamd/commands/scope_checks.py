"""The search scopes of cameras against the labels in the gallery: one that fits nobody names nobody."""

from __future__ import annotations

from collections.abc import Iterator

from streamd.commands.finding import Finding, Level
from streamd.config import Config
from streamd.domain import Scope
from streamd.gallery.labels import admitted, label_texts
from streamd.gallery.opening import open_store

_SHOWN = 8


def scopes(config: Config) -> Iterator[Finding]:
    """One finding per camera with a scope. Raises GalleryError: the gallery file cannot be used."""
    wanted = {name: Scope.of(camera.search) for name, camera in config.cameras.items() if camera.search}
    if not any(wanted.values()) or not config.gallery_file.exists():  # which opening would make
        return
    with open_store(config) as store:
        labels = {person.id: person.labels for person in store.people()}
    in_use = label_texts(frozenset().union(*labels.values()))
    for name, scope in wanted.items():
        if scope:
            yield _finding(f"cameras.{name}.search", scope, len(admitted(scope, labels)), in_use)


def _finding(topic: str, scope: Scope, people: int, in_use: list[str]) -> Finding:
    if people:
        return Finding(Level.OK, topic, f"{scope} fits {people} {'person' if people == 1 else 'people'}")
    shown = ", ".join(in_use[:_SHOWN]) + (f" and {len(in_use) - _SHOWN} more" if len(in_use) > _SHOWN else "")
    message = f"nobody in the gallery fits {scope}; labels in use: {shown or 'none'}"
    return Finding(Level.WARN, topic, message, "give people their labels: streamd person label NAME KEY=VALUE")
