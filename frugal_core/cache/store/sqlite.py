"""The embedded store: one SQLite file, safe for threads, forks and processes."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from frugal_core.arrays import Floats
from frugal_core.cache.store.base import (
    Candidate,
    Entry,
    Merge,
    NewEntry,
    Selection,
    StoreError,
    Vector,
    unit,
)
from frugal_core.cache.store.database import MEMORY, Database
from frugal_core.cache.store.index import Views
from frugal_core.cache.store.selecting import condition, encoded
from frugal_core.cache.store.sqlite_rows import (
    PAGE,
    Row,
    SpaceRows,
    check_dimensions,
    entry_of,
    text_of,
    vectors_of,
)
from frugal_core.cache.store.sqlite_schema import (
    BY_ID,
    BY_KEY,
    DELETE_UNUSED,
    ENTRY,
    INSERT,
    NOTE,
    NOTES,
    SCHEMA,
    VERSION,
    neighbours,
)

_open: weakref.WeakSet[SQLiteStore] = weakref.WeakSet()


class SQLiteStore:
    """A store in one SQLite file.

    What `add` returned from survives the death of the process; a power cut may take the last
    commits, never the file. Files are made for their owner's eyes alone (mode 0600).

    Args:
        path: The file, made if absent; None or ":memory:" for one that ends with the process.
        patience: Seconds to wait for another process that writes.
        memory: Bytes that views of spaces may take; a larger view may stay alone.
        touch_every: Seconds that notes of use (`touch`) are gathered before they are written.

    Raises:
        StoreError: The file is damaged, of a newer version, not a cache, or cannot be opened.

    Example:
        >>> store = SQLiteStore(":memory:")
        >>> store.add([NewEntry("key", "space", "scope", "Capital of France?", "Paris")])
        [1]
        >>> store.exact("key").answer
        'Paris'
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        *,
        patience: float = 5.0,
        memory: int = 2**30,
        touch_every: float = 3.0,
    ) -> None:
        self.path = MEMORY if path is None else os.fspath(path)
        self._options = {"patience": patience, "memory": memory, "touch_every": touch_every}
        self._database = Database(self.path, SCHEMA, VERSION, patience)
        self._views = Views(lambda space: SpaceRows(self._database, space), memory)
        self._touch_every = touch_every
        self._touch_lock = threading.Lock()
        self._touched: dict[int, float] = {}
        self._timer: threading.Timer | None = None
        _open.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.path == MEMORY:
            raise StoreError("a store in memory cannot be pickled: give it a path")
        return _reopened, (self._database.path, self._options)

    def exact(self, key: str) -> Entry | None:
        entry = self._living(BY_KEY, encoded(key))
        if entry is not None and entry.key != key:
            raise self._database.damaged("an index does not fit its table")
        return entry

    def _living(self, statement: str, parameter: str | int) -> Entry | None:
        """The one entry of a query, unless it has expired."""
        rows = self._database.read(statement, (parameter,))
        if not rows:
            return None
        entry = self._entry(rows[0])
        return entry if entry.expires is None or entry.expires > time.time() else None

    def nearest(self, space: str, vector: Floats | Vector, count: int) -> list[Candidate]:
        query = unit(vector)
        view = self._views.of(space)
        fetch = count + 1  # the view compares in 8 bits, which may change places
        while True:
            with view.lock:
                ids = view.search(query, fetch)
            found = self._compared(space, query, ids)
            dead = set(ids) - {row[0] for _, row in found}
            if dead:
                with view.lock:
                    view.discard(dead)
            if len(found) >= count or len(ids) < fetch:
                return [self._candidate(space, row, cosine) for cosine, row in found[:count]]
            fetch *= 4

    def _compared(self, space: str, query: Vector, ids: list[int]) -> list[tuple[float, Any]]:
        """Living rows among the ids with their exact cosines, nearest first."""
        rows = self._database.read(*neighbours(encoded(space), ids, time.time()))
        if not rows:
            return []
        vectors = vectors_of([row[-1] for row in rows])
        lengths = np.einsum("nd,nd->n", vectors, vectors).tolist()
        if vectors.shape[1] != len(query) or not all(0.99 < length < 1.01 for length in lengths):
            raise self._database.damaged("a vector is not of length 1")
        cosines = (vectors @ query).tolist()
        order = sorted(range(len(rows)), key=cosines.__getitem__, reverse=True)
        return [(cosines[i], rows[i]) for i in order]

    def _candidate(self, space: str, row: Sequence[Any], cosine: float) -> Candidate:
        id, stored, wrong, _ = row
        question = text_of(stored)
        if question is None:
            raise self._damaged_entry(id)

        def read() -> Entry | None:
            entry = self._living(BY_ID, id)
            if entry is not None and (entry.space, entry.question) != (space, question):
                raise self._damaged_entry(id)
            return entry

        return Candidate(question, wrong, cosine, read)

    def add(self, entries: Sequence[NewEntry]) -> list[int]:
        created = time.time()
        rows = [Row(entry, created) for entry in entries]
        ids = []
        with self._database.write() as connection:
            dimensions: dict[str, int] = {}
            for row in rows:
                connection.execute("DELETE FROM entries WHERE key = ?", (row.key,))
                id = connection.execute(INSERT, row.fields).lastrowid
                assert id is not None
                ids.append(id)
                if row.vector is not None:
                    check_dimensions(connection, row, dimensions)
                    connection.execute(
                        "INSERT INTO vectors VALUES (?, ?, ?, ?)",
                        (row.space, id, row.expires, row.vector),
                    )
                for tag in row.tags:
                    connection.execute("INSERT INTO tags VALUES (?, ?)", (tag, id))
        return ids

    def remove(self, selection: Selection) -> int:
        removed = 0
        for page in self._pages("SELECT id", selection):
            with self._database.write() as connection:
                removed += connection.execute(
                    "DELETE FROM entries WHERE id IN (SELECT value FROM json_each(?))",
                    (json.dumps([id for (id,) in page]),),
                ).rowcount
        return removed

    def count(self, selection: Selection) -> int:
        if selection == Selection():
            return int(self._database.read("SELECT entries FROM total")[0][0])
        where, parameters = condition(selection, time.time())
        rows = self._database.read(f"SELECT count(*) FROM entries WHERE {where}", parameters)
        return int(rows[0][0])

    def entries(self, selection: Selection, limit: int | None = None) -> Iterator[Entry]:
        for page in self._pages(ENTRY, selection, limit):
            yield from map(self._entry, page)

    def _pages(
        self, columns: str, selection: Selection, limit: int | None = None
    ) -> Iterator[list[Any]]:
        """Rows of a selection, in pieces, so that nobody waits long; the first column is the id."""
        where, parameters = condition(selection, time.time())
        statement = f"{columns} FROM entries WHERE id > ? AND {where} ORDER BY id LIMIT ?"
        last, left = 0, limit
        while left is None or left > 0:
            size = PAGE if left is None else min(left, PAGE)
            rows = self._database.read(statement, (last, *parameters, size))
            if rows:
                yield rows
            if len(rows) < size:
                return
            last, left = rows[-1][0], None if left is None else left - size

    def touch(self, ids: Iterable[int]) -> None:
        now = time.time()
        with self._touch_lock:
            self._touched.update((int(id), now) for id in ids)
            if self._touched and self._timer is None:
                self._timer = threading.Timer(self._touch_every, _flush, (weakref.ref(self),))
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write which entries were used; happens by itself every few seconds."""
        with self._touch_lock:
            touched, self._touched = self._touched, {}
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if touched:
            with self._database.write() as connection:
                connection.executemany(
                    "UPDATE entries SET used = ? WHERE id = ? AND used < ?",
                    [(used, id, used) for id, used in touched.items()],
                )

    def evict(self, max_entries: int, scope: str | None = None) -> int:
        now = time.time()
        first = self._database.read("SELECT min(expires) FROM entries")[0][0]
        if self.count(Selection(scope=scope)) <= max_entries and (first is None or first > now):
            return 0
        self.flush()
        whose = {"scope": None if scope is None else encoded(scope), "most": max_entries}
        with self._database.write() as connection:
            gone = connection.execute("DELETE FROM entries WHERE expires <= ?", (now,)).rowcount
            gone += connection.execute(DELETE_UNUSED, whose).rowcount
        return gone

    def mark_wrong(self, id: int) -> None:
        with self._database.write() as connection:
            connection.execute("UPDATE entries SET wrong = wrong + 1 WHERE id = ?", (id,))

    def lease(self, key: str, owner: str, seconds: float) -> bool:
        now = time.time()
        with self._database.write() as connection:
            taken = connection.execute(
                "INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
                "owner = excluded.owner, expires = excluded.expires "
                "WHERE leases.owner = excluded.owner OR leases.expires <= ?",
                (encoded(key), encoded(owner), now + seconds, now),
            )
            return taken.rowcount == 1

    def release(self, key: str, owner: str) -> None:
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM leases WHERE (key = ? AND owner = ?) OR expires <= ?",
                (encoded(key), encoded(owner), time.time()),
            )

    def note(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        values = [(encoded(name), encoded(dict(row))) for row in rows]
        with self._database.write() as connection:
            connection.executemany(NOTE, values)

    def notes(self, name: str, after: int = 0) -> list[tuple[int, dict[str, Any]]]:
        return self._notes_of(self._database.read(NOTES, (encoded(name), after)))

    def condense(self, name: str, merge: Merge) -> None:
        journal = encoded(name)
        with self._database.write() as connection:
            notes = self._notes_of(connection.execute(NOTES, (journal, 0)).fetchall())
            rows = merge([body for _, body in notes])
            connection.execute("DELETE FROM notes WHERE name = ?", (journal,))
            connection.executemany(NOTE, [(journal, encoded(dict(row))) for row in rows])

    def _notes_of(self, rows: Sequence[Any]) -> list[tuple[int, dict[str, Any]]]:
        try:
            return [(id, json.loads(body)) for id, body in rows]
        except ValueError as error:
            raise self._database.damaged("a note is not what was stored") from error

    def size(self) -> int | None:
        if self.path == MEMORY:
            return None
        files = [f"{self._database.path}{end}" for end in ("", "-wal", "-shm")]
        return sum(os.stat(file).st_size for file in files if os.path.exists(file))

    def settle(self) -> None:
        """Wait until no index is being built; for measurements."""
        self._views.settle()

    def close(self) -> None:
        if self in _open:
            _open.discard(self)
            with contextlib.suppress(StoreError):
                # Where nothing may be written, only the order of eviction suffers.
                self.flush()
            self._database.close()
            self._views.clear()

    def _entry(self, row: Sequence[Any]) -> Entry:
        entry = entry_of(row)
        if entry is None:
            raise self._damaged_entry(row[0])
        return entry

    def _damaged_entry(self, id: int) -> StoreError:
        return self._database.damaged(f"entry {id} is not what was stored")

    def _before_fork(self) -> None:
        self._touch_lock.acquire()
        self._database.before_fork()

    def _after_fork(self, in_child: bool) -> None:
        self._database.after_fork(in_child)
        if in_child:
            # The parent writes its own notes; its threads and their locks are not here.
            self._touch_lock, self._touched, self._timer = threading.Lock(), {}, None
            self._views.clear()
        else:
            self._touch_lock.release()


def _reopened(path: str, options: dict[str, Any]) -> SQLiteStore:
    return SQLiteStore(path, **options)


def _flush(reference: weakref.ref[SQLiteStore]) -> None:
    store = reference()
    if store is not None:
        with contextlib.suppress(StoreError):
            store.flush()


@atexit.register
def _flush_all() -> None:
    for store in list(_open):
        _flush(weakref.ref(store))


def _before_fork() -> None:
    _fork_lock.acquire()
    _forking.extend(_open)
    for store in _forking:
        store._before_fork()


def _after_fork(in_child: bool) -> None:
    while _forking:
        _forking.pop()._after_fork(in_child)
    _fork_lock.release()


_forking: list[SQLiteStore] = []
_fork_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _after_fork(in_child=False),
        after_in_child=lambda: _after_fork(in_child=True),
    )
