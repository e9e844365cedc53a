from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NoReturn, cast

import numpy as np
import pytest

from streamd.config import GalleryConfig
from streamd.errors import GalleryError
from streamd.gallery import serveranswers
from streamd.gallery.hub import Near
from streamd.gallery.serveranswers import ServerAnswers


class Server:
    """It has one face."""

    closed = False

    def nearest(self, model_id: str, probes: np.ndarray, count: int) -> list[list[Near]]:
        return [[Near("face-1", "ann", 0.9)] for _ in probes]

    def close(self) -> None:
        self.closed = True


def answers(monkeypatch: pytest.MonkeyPatch, here: Any) -> tuple[ServerAnswers, Server]:
    server = Server()
    monkeypatch.setattr(serveranswers, "open_hub", lambda *_, **__: server)
    found = ServerAnswers(cast(Any, SimpleNamespace(here=here)), GalleryConfig(), "model@1")
    found.connect()
    return found, server


PROBE = np.ones((1, 4), np.float32)
NAMES = {"ann": "Ann"}


def test_the_server_finds_people_whom_the_box_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = answers(monkeypatch, lambda uids: dict.fromkeys(uids, 7))
    (matches,) = found.search(PROBE, 2, NAMES) or []
    assert [(match.person_id, match.name, match.face_id) for match in matches] == [("ann", "Ann", 7)]


def test_where_the_boxs_own_file_cannot_be_read_its_copy_in_memory_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(uids: set[str]) -> NoReturn:
        raise GalleryError("another process has been writing for over 5 s")

    found, server = answers(monkeypatch, busy)
    assert found.search(PROBE, 2, NAMES) is None
    assert server.closed
    assert found.search(PROBE, 2, NAMES) is None, "until it has connected again"
