from __future__ import annotations

from typing import Any, NoReturn

import pytest

pytest.importorskip("pymilvus", reason="an extra")

from pymilvus.exceptions import MilvusException

from streamd.errors import GalleryServerAway
from streamd.gallery import milvus
from streamd.gallery.milvus import MilvusHub


class NotReady:
    """A client whose server takes connections and does nothing yet."""

    made: list[NotReady]
    closed = False

    def __init__(self, **_: Any) -> None:
        self.made.append(self)

    def has_collection(self, *_: Any, **__: Any) -> NoReturn:
        raise MilvusException(code=27, message="the node is not ready")

    def close(self) -> None:
        self.closed = True


def test_of_a_server_that_is_not_ready_no_connection_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again every few seconds."""
    NotReady.made = []
    monkeypatch.setattr(milvus, "MilvusClient", NotReady)
    with pytest.raises(GalleryServerAway, match="not ready"):
        MilvusHub("http://milvus.example:19530", token="", timeout_s=1.0)
    assert [client.closed for client in NotReady.made] == [True]
