"""The shared gallery in PostgreSQL with pgvector (https://github.com/pgvector/pgvector), version 0.5 or later."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from streamd.config import redact
from streamd.errors import GalleryError, GalleryServerAway
from streamd.gallery.hub import Head, Near, Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FORMAT = 1
_LOCK = 0x73747264
"""Number of the advisory lock under which tables and indexes are made."""
_PAGE = 5000
_EF = 200
"""Breadth of a search; pgvector's own 40 is also the most neighbours that it would find."""

_TABLE = """
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE IF NOT EXISTS streamd_format (version integer PRIMARY KEY);
CREATE TABLE IF NOT EXISTS streamd_gallery (
    kind text NOT NULL,
    uid text NOT NULL,
    stamp bigint NOT NULL,
    state text NOT NULL,
    into_uid text NOT NULL DEFAULT '',
    arrived bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
    person text NOT NULL DEFAULT '',
    model text NOT NULL DEFAULT '',
    embedding vector,
    chip bytea,
    body jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (kind, uid)
);
CREATE INDEX IF NOT EXISTS streamd_gallery_arrived ON streamd_gallery (arrived, kind, uid);
"""
_PUSH = """
INSERT INTO streamd_gallery AS kept (kind, uid, stamp, state, into_uid, person, model, embedding, chip, body)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s::text::vector, %s, %s)
ON CONFLICT (kind, uid) DO UPDATE SET stamp = excluded.stamp, state = excluded.state, into_uid = excluded.into_uid,
    person = excluded.person, model = excluded.model, embedding = excluded.embedding, chip = excluded.chip,
    body = excluded.body, arrived = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
WHERE kept.state <> 'forgotten' AND (kept.stamp < excluded.stamp OR excluded.state = 'forgotten')
"""
_HEADS = """
SELECT kind, uid, stamp, arrived, state = 'forgotten' FROM streamd_gallery WHERE (arrived, kind, uid) > (%s, %s, %s)
ORDER BY arrived, kind, uid LIMIT %s
"""
_FETCH = """
SELECT kind, uid, stamp, state, into_uid, person, model, embedding::real[], chip, body FROM streamd_gallery
WHERE kind = %s AND uid = ANY(%s)
"""


class PgvectorHub:
    """One table; each model's faces have an HNSW index of pgvector's."""

    overlap_us = 10_000_000
    """A row gets its time before its transaction ends."""

    def __init__(self, dsn: str, *, timeout_s: float) -> None:
        self._indexed: set[str] = set()
        with _in_words():
            self._connection = psycopg.connect(
                dsn,
                autocommit=True,
                connect_timeout=max(2, int(timeout_s)),
                tcp_user_timeout=int(timeout_s * 1000),
                keepalives_idle=5,
                application_name="streamd",
            )
            try:
                self._prepare(timeout_s)
            except (psycopg.Error, GalleryError):
                self._connection.close()
                raise

    def _prepare(self, timeout_s: float) -> None:
        run = self._connection.execute
        for name, value in (
            ("statement_timeout", str(int(timeout_s * 1000))),
            ("client_min_messages", "warning"),
            ("plan_cache_mode", "force_custom_plan"),
        ):
            run("SELECT set_config(%s, %s, false)", (name, value))
        if run("SELECT to_regclass('streamd_gallery')").fetchone() == (None,):
            with self._making():
                run(_TABLE)
                run("INSERT INTO streamd_format VALUES (%s) ON CONFLICT DO NOTHING", (_FORMAT,))
        found = run("SELECT max(version) FROM streamd_format").fetchone()
        if found and found[0] and found[0] > _FORMAT:
            raise GalleryError(f"the shared gallery has format {found[0]}, of a newer streamd: update this box")
        if run("SELECT to_regtype('vector')").fetchone() != (None,):
            run("SELECT set_config('hnsw.ef_search', %s, false)", (str(_EF),))

    @contextmanager
    def _making(self) -> Iterator[None]:
        """Two boxes may want the same table at the same moment."""
        with self._connection.transaction():
            self._connection.execute("SET LOCAL statement_timeout = 0")
            self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            yield

    def heads(self, since_us: int) -> Iterator[list[Head]]:
        after: tuple[int, str, str] = (since_us - 1, "", "")
        while True:
            with _in_words():
                found = self._connection.execute(_HEADS, (*after, _PAGE)).fetchall()
            if not found:
                return
            yield [Head(*row) for row in found]
            after = (found[-1][3], found[-1][0], found[-1][1])

    def fetch(self, heads: Sequence[Head]) -> list[Record]:
        found: list[Record] = []
        for kind in ("person", "face"):
            uids = [head.uid for head in heads if head.kind == kind]
            if uids:
                with _in_words():
                    found += map(_record, self._connection.execute(_FETCH, (kind, uids), binary=True).fetchall())
        return found

    def push(self, records: Sequence[Record]) -> None:
        dims = {record.model: len(record.vector) // 4 for record in records if record.vector}
        with _in_words():
            for model_id, dim in dims.items():
                self._index(model_id, dim)
            with self._connection.transaction(), self._connection.cursor() as cursor:
                # In one order, so that two boxes cannot wait for each other.
                cursor.executemany(_PUSH, [_row(r) for r in sorted(records, key=lambda r: (r.kind, r.uid))])

    def nearest(self, model_id: str, probes: NDArray[Any], count: int) -> list[list[Near]]:
        if not len(probes):
            return []
        dim = sql.Literal(int(probes.shape[1]))
        query = sql.SQL(
            "SELECT uid, person, -((embedding::vector({dim})) <#> %s::text::vector({dim})) FROM streamd_gallery"
            " WHERE model = {model} AND state = 'here'"
            " ORDER BY (embedding::vector({dim})) <#> %s::text::vector({dim}) LIMIT %s"
        ).format(dim=dim, model=sql.Literal(model_id))
        found = []
        with _in_words():
            for probe in probes:
                text = _text(probe)
                rows = self._connection.execute(query, (text, text, min(count, _EF))).fetchall()
                found.append([Near(str(uid), str(person), float(near)) for uid, person, near in rows])
        return found

    def close(self) -> None:
        self._connection.close()

    def _index(self, model_id: str, dim: int) -> None:
        if model_id in self._indexed:
            return
        name = "streamd_nearest_" + hashlib.blake2b(model_id.encode(), digest_size=8).hexdigest()
        with self._making():
            self._connection.execute(
                sql.SQL(
                    "CREATE INDEX IF NOT EXISTS {name} ON streamd_gallery USING hnsw"
                    " ((embedding::vector({dim})) vector_ip_ops) WHERE model = {model} AND state = 'here'"
                ).format(name=sql.Identifier(name), dim=sql.Literal(dim), model=sql.Literal(model_id))
            )
        self._indexed.add(model_id)


def _row(record: Record) -> tuple[Any, ...]:
    vector = _text(np.frombuffer(record.vector, "<f4")) if record.vector else None
    known = (record.kind, record.uid, record.stamp, record.state, record.into, record.person, record.model)
    return (*known, vector, record.chip or None, Jsonb(record.body))


def _record(row: tuple[Any, ...]) -> Record:
    kind, uid, stamp, state, into, person, model, vector, chip, body = row
    data = np.asarray(vector, "<f4").tobytes() if vector is not None else b""
    return Record(kind, uid, stamp, state, into, person, model, data, bytes(chip or b""), body)


def _text(vector: NDArray[Any]) -> str:
    """Nine digits bring every float32 back exactly."""
    return "[" + ",".join(f"{x:.9g}" for x in vector.tolist()) + "]"


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:  # also a statement that took too long
        raise GalleryServerAway(f"PostgreSQL does not answer: {_line(error)}") from error
    except psycopg.Error as error:
        raise GalleryError(f"PostgreSQL refuses: {_line(error)}") from error


def _line(error: Exception) -> str:
    return redact(" ".join(str(error).split())) or type(error).__name__
