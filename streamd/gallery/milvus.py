"""The shared gallery in Milvus (https://milvus.io): a cluster, or milvus-lite in a file for one process.

Milvus keeps no order of changes and has no transactions. So all records are in one collection, from which boxes read
what is new by the time of whoever sent it, and the faces once more in a collection per model, which is searched.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import grpc
import numpy as np
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from streamd.config import redact
from streamd.errors import GalleryError, GalleryServerAway
from streamd.gallery.hub import Head, Kind, Near, Record, now_us

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RECORDS = "streamd_records"
_FACES = "streamd_faces_"
_PAGE = 1000
_AT_ONCE = 200
"""Records in one message: with their crops about two megabytes."""
_AWAY = frozenset({1, 2, 14, 26, 27})
"""Milvus's and gRPC's codes for a server that is not there, not ready, or too slow."""


class MilvusHub:
    """Speaks to Milvus; boxes' clocks must agree to within ``overlap_us``."""

    overlap_us = 60_000_000

    def __init__(self, uri: str, *, token: str, timeout_s: float) -> None:
        logging.getLogger("pymilvus").setLevel(logging.ERROR)
        self._timeout_s = timeout_s
        self._searched: set[str] = set()
        with _in_words():
            self._client = MilvusClient(uri=uri, token=token, timeout=timeout_s)
            try:
                if not self._client.has_collection(_RECORDS, timeout=timeout_s):
                    self._make_records()
                self._client.load_collection(_RECORDS, timeout=timeout_s)
            except (grpc.RpcError, MilvusException):
                self._client.close()
                raise

    def _make_records(self) -> None:
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=100)
        schema.add_field("stamp", DataType.INT64)
        schema.add_field("arrived", DataType.INT64)
        schema.add_field("state", DataType.VARCHAR, max_length=16)
        schema.add_field("body", DataType.JSON)
        schema.add_field("nothing", DataType.FLOAT_VECTOR, dim=2)  # a collection must have a vector
        index = self._client.prepare_index_params()
        index.add_index("nothing", index_type="FLAT", metric_type="IP")
        self._client.create_collection(_RECORDS, schema=schema, index_params=index, consistency_level="Strong")

    def heads(self, since_us: int) -> Iterator[list[Head]]:
        with _in_words():
            pages = self._client.query_iterator(
                _RECORDS,
                batch_size=_PAGE,
                filter=f"arrived >= {since_us}",
                output_fields=["id", "stamp", "arrived", "state"],
                timeout=self._timeout_s,
            )
        try:
            while True:
                with _in_words():
                    found = pages.next()
                if not found:
                    return
                yield [_head(row) for row in found]
        finally:
            pages.close()

    def fetch(self, heads: Sequence[Head]) -> list[Record]:
        return [_record(row) for row in self._get([_key(head) for head in heads], ["id", "stamp", "state", "body"])]

    def _get(self, keys: Sequence[str], fields: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for at in range(0, len(keys), _AT_ONCE):
            with _in_words():
                found += self._client.get(
                    _RECORDS, ids=list(keys[at : at + _AT_ONCE]), output_fields=fields, timeout=self._timeout_s
                )
        return found

    def push(self, records: Sequence[Record]) -> None:
        for at in range(0, len(records), _AT_ONCE):
            self._push(records[at : at + _AT_ONCE])

    def _push(self, records: Sequence[Record]) -> None:
        # Two boxes that send the same record in the same moment may leave the older one; the newer box finds out when
        # it compares everything, and sends again.
        there = {row["id"]: row for row in self._get([_key(r.head) for r in records], ["id", "stamp", "state"])}
        newer = [record for record in records if _holds(record, there.get(_key(record.head)))]
        gone = {r.uid for r in newer if r.kind == "face" and r.state != "here"} if there else set()
        was = [r for r in self.fetch([Head("face", uid, 0) for uid in sorted(gone)]) if r.model]
        with _in_words():
            for model_id in sorted({r.model for r in newer if r.model}):
                faces = [r for r in newer if r.model == model_id]
                self._client.upsert(
                    self._searchable(model_id, len(faces[0].vector) // 4),
                    [{"id": r.uid, "person": r.person, "embedding": _floats(r.vector)} for r in faces],
                    timeout=self._timeout_s,
                )
            for model_id in sorted({r.model for r in was}):
                uids = [r.uid for r in was if r.model == model_id]
                collection = self._searchable(model_id, len(was[0].vector) // 4)
                self._client.delete(collection, ids=uids, timeout=self._timeout_s)
            # Last: until it is here, a box that died meanwhile sends all of it again.
            if newer:
                self._client.upsert(_RECORDS, [_row(record) for record in newer], timeout=self._timeout_s)

    def nearest(self, model_id: str, probes: NDArray[Any], count: int) -> list[list[Near]]:
        if not len(probes):
            return []
        with _in_words():
            found = self._client.search(
                self._searchable(model_id, int(probes.shape[1])),
                data=[probe.tolist() for probe in probes],
                limit=count,
                output_fields=["person"],
                timeout=self._timeout_s,
            )
        return [[Near(str(n["id"]), str(n["entity"]["person"]), float(n["distance"])) for n in hits] for hits in found]

    def close(self) -> None:
        self._client.close()

    def _searchable(self, model_id: str, dim: int) -> str:
        name = _FACES + re.sub(r"\W", "_", model_id)
        if name not in self._searched:
            if not self._client.has_collection(name, timeout=self._timeout_s):
                schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
                schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=100)
                schema.add_field("person", DataType.VARCHAR, max_length=100)
                schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=dim)
                index = self._client.prepare_index_params()
                index.add_index("embedding", index_type="AUTOINDEX", metric_type="IP")
                self._client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")
            self._client.load_collection(name, timeout=self._timeout_s)
            self._searched.add(name)
        return name


def _key(head: Head) -> str:
    return f"{head.kind}/{head.uid}"


def _head(row: dict[str, Any]) -> Head:
    kind, _, uid = str(row["id"]).partition("/")
    return Head(cast("Kind", kind), uid, int(row["stamp"]), int(row["arrived"]), row["state"] == "forgotten")


def _holds(record: Record, there: dict[str, Any] | None) -> bool:
    if there is None:
        return True
    return there["state"] != "forgotten" and (there["stamp"] < record.stamp or record.state == "forgotten")


def _row(record: Record) -> dict[str, Any]:
    body = {
        "into": record.into,
        "person": record.person,
        "model": record.model,
        "vector": base64.b64encode(record.vector).decode(),
        "chip": base64.b64encode(record.chip).decode(),
        "body": record.body,
    }
    known = {"id": _key(record.head), "stamp": record.stamp, "state": record.state}
    return known | {"arrived": now_us(), "body": body, "nothing": [1.0, 0.0]}


def _record(row: dict[str, Any]) -> Record:
    kind, _, uid = str(row["id"]).partition("/")
    body = row["body"]
    return Record(
        kind=cast("Kind", kind),
        uid=uid,
        stamp=int(row["stamp"]),
        state=row["state"],
        into=body["into"],
        person=body["person"],
        model=body["model"],
        vector=base64.b64decode(body["vector"]),
        chip=base64.b64decode(body["chip"]),
        body=dict(body["body"]),
    )


def _floats(vector: bytes) -> list[float]:
    return [float(x) for x in np.frombuffer(vector, "<f4")]


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise GalleryServerAway(f"Milvus does not answer: {_line(error)}") from error
    except MilvusException as error:
        if error.code in _AWAY:
            raise GalleryServerAway(f"Milvus does not answer: {_line(error)}") from error
        raise GalleryError(f"Milvus refuses: {_line(error)}") from error


def _line(error: Exception) -> str:
    return redact(" ".join(str(getattr(error, "message", None) or error).split()))
