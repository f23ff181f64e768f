"""Rows of the SQLite store: what is written, and what is read back."""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from frugal_core.cache.store.base import Entry, NewEntry, StoreError, Vector, unit
from frugal_core.cache.store.database import Database
from frugal_core.cache.store.index import Page
from frugal_core.cache.store.selecting import encoded
from frugal_core.cache.store.sqlite_schema import VIEWED

PAGE = 2000
"""Rows that are read at once: nobody waits for more."""
_STORED = np.dtype("<f2")
"""16 bits change a cosine by less than 1e-4."""


class Row:
    """An entry as the file holds it."""

    def __init__(self, entry: NewEntry, created: float) -> None:
        self.key, self.space, self.expires = encoded(entry.key), encoded(entry.space), entry.expires
        self.tags = [encoded(tag) for tag in dict.fromkeys(entry.tags)]
        self.vector = None if entry.vector is None else unit(entry.vector).astype(_STORED).tobytes()
        scope, tags = encoded(entry.scope), encoded(entry.tags)
        question, answer = encoded(entry.question), encoded(entry.answer)
        expires = None if entry.expires is None else float(entry.expires)
        checksum = _checksum(self.key, self.space, scope, question, answer, tags, created, expires)
        self.fields = (
            *(self.key, self.space, scope, created, created, expires),
            *(checksum, tags, question, answer),
        )


def entry_of(row: Sequence[Any]) -> Entry | None:
    """A row of `ENTRY` as an entry; None if it is not what was stored.

    A file may be torn where SQLite does not notice it.
    """
    id, key, space, scope, question, answer, tags, created, expires, wrong, checksum = row[:11]
    if checksum != _checksum(key, space, scope, question, answer, tags, created, expires):
        return None
    key, space, scope, question = map(_text, (key, space, scope, question))
    names = tuple(json.loads(tags)) if tags != "[]" else ()
    return Entry(
        id, key, space, scope, question, json.loads(answer), names, created, expires, wrong
    )


def text_of(stored: Any) -> str | None:
    """What `encoded` made of a text; None if it is none."""
    try:
        return _text(stored)
    except (TypeError, ValueError):
        return None


class SpaceRows:
    """The rows of a space, for its view."""

    def __init__(self, database: Database, space: str) -> None:
        self._database = database
        self._space = encoded(space)

    def pages(self, after: int) -> Iterator[Page]:
        statement = f"SELECT id, vector {VIEWED} AND id > ? ORDER BY id LIMIT ?"
        while True:
            rows = self._database.read(statement, (self._space, time.time(), after, PAGE))
            if rows:
                after = rows[-1][0]
                yield np.array([id for id, _ in rows]), vectors_of([blob for _, blob in rows])
            if len(rows) < PAGE:
                return

    def version(self) -> object:
        return self._database.version()

    def count(self) -> int:
        statement = f"SELECT count(*) {VIEWED}"
        return int(self._database.read(statement, (self._space, time.time()))[0][0])


def vectors_of(blobs: list[bytes]) -> Vector:
    """Stored vectors; shape (n, dimensions).

    Raises:
        StoreError: They are not all of one length, as only those of a torn file are.
    """
    try:
        rows = np.frombuffer(b"".join(blobs), _STORED).reshape(len(blobs), -1)
    except (TypeError, ValueError) as error:
        raise StoreError(f"the file is damaged, a vector is not as stored: {error}") from error
    return rows.astype(np.float32)


def _text(stored: str) -> str:
    """What `encoded` made of a text; few texts have anything escaped."""
    return stored[1:-1] if "\\" not in stored else str(json.loads(stored))


def _checksum(*fields: Any) -> int:
    return zlib.crc32(repr(fields).encode())


def check_dimensions(connection: sqlite3.Connection, row: Row, dimensions: dict[str, int]) -> None:
    """Refuse a vector that does not fit its space; `dimensions` are those known by now."""
    assert row.vector is not None
    stored = dimensions.get(row.space)
    if stored is None:
        found = connection.execute(
            "SELECT length(vector) FROM vectors WHERE space = ? LIMIT 1", (row.space,)
        ).fetchone()
        stored = dimensions[row.space] = found[0] if found else len(row.vector)
    if stored != len(row.vector):
        raise StoreError(
            f"the space {row.space} holds vectors of {stored // 2} dimensions, not of "
            f"{len(row.vector) // 2}; vectors of another embedder belong in a space of their own"
        )
