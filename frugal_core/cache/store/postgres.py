"""The store for many machines: Postgres with pgvector."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from frugal_core.cache.store import postgres_statements as sql
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
from frugal_core.cache.store.postgres_link import Connection, Link
from frugal_core.cache.store.postgres_schema import MAX_DIMENSIONS, Schema
from frugal_core.cache.store.postgres_statements import Row, condition, entry, new_row
from frugal_core.cache.store.selecting import encoded

_EFFORT = 64
"""Neighbours that an index looks at; see `hnsw.ef_search` of pgvector."""
_PAGE = 500
"""Entries read at once by `entries`."""
_TOUCHES = 64
"""Touched entries that are written together."""
_TEND_EVERY = 100
"""Entries after which spaces are looked at for an index."""


class PostgresStore:
    """Entries in a schema of a Postgres database, for any number of processes and machines.

    Every lookup is one statement. A space of up to 2,000 vectors is searched row by row; a larger
    one gets an HNSW index of its own, so that other spaces never crowd out its neighbours, and the
    rows are read where the index finds fewer neighbours than there are. An index finds nearly
    all neighbours, not all; what is missed is a cache miss. Above 2,000 dimensions pgvector has no
    index.

    Times are those of the server's clock. What is committed is as safe as the server makes it;
    `?options=-c%20synchronous_commit%3Doff` in the URL makes storing faster where the entries of
    the last second may be lost with the server. Threads share the connections; a forked process
    makes its own. A pickle of the store holds the URL, with the password.

    Args:
        url: `postgresql://user:password@host:5432/database`. The database must have pgvector 0.5
            or newer, or the user the right to create the extension.
        schema: Where the tables are; made if absent.
        connections: At most so many at once, for each process.
        timeout: Seconds after which a server that does not answer is given up.

    Raises:
        StoreError: The server cannot be reached, refuses, has no pgvector, or holds a schema of a
            newer version. One line, without the password.
        ImportError: psycopg is not installed.

    Example:
        >>> store = PostgresStore("postgresql://app@db.example:5432/app")  # doctest: +SKIP
    """

    def __init__(
        self, url: str, *, schema: str = "frugal", connections: int = 8, timeout: float = 5.0
    ) -> None:
        self._arguments = {"schema": schema, "connections": connections, "timeout": timeout}
        self._url = url
        self._link = Link(url, connections, timeout, _EFFORT)
        self._schema = Schema(schema)
        self._touched: dict[int, float] = {}
        self._link.run(self._schema.make)

    def __repr__(self) -> str:
        return f"PostgresStore('{self._link.name}', schema='{self._schema.name}')"

    def __reduce__(self) -> tuple[Callable[..., PostgresStore], tuple[str]]:
        return partial(PostgresStore, **self._arguments), (self._url,)  # type: ignore[arg-type]

    def exact(self, key: str) -> Entry | None:
        """The living entry with this key."""
        rows = self._rows(
            f"SELECT {sql.COLUMNS} FROM frugal.entries WHERE key = %(key)s AND {sql.ALIVE}",
            key=encoded(key),
        )
        return entry(rows[0]) if rows else None

    def nearest(self, space: str, vector: Vector, count: int) -> list[Candidate]:
        """Up to `count` living entries of a space, nearest first.

        Raises:
            StoreError: The space holds vectors of another number of dimensions.
        """
        query = unit(vector)
        given = {"space": encoded(space), "vector": query, "count": count}
        indexed = len(query) <= MAX_DIMENSIONS
        found = self._rows(
            sql.BY_INDEX.format(dimensions=len(query)) if indexed else sql.BY_ROWS, **given
        )
        if indexed and sum(row[1] is not None for row in found) < found[0][0]:
            found = self._rows(sql.BY_ROWS, **given)
        candidates = [Candidate.of(entry(row[2:]), row[1]) for row in found if row[1] is not None]
        return sorted(candidates, key=lambda c: (-c.cosine, c.entry.id))

    def add(self, entries: Sequence[NewEntry]) -> list[int]:
        """Store all entries or none; each takes the place of the one with its key.

        One statement for one entry. Other adders wait meanwhile, so many are better stored a
        hundred at a time. Now and then it also makes the index of a space that has grown.

        Returns:
            Their ids, ascending, each greater than any that another process saw before.

        Raises:
            StoreError: A vector is not finite or not of its space's number of dimensions, or an
                answer is not JSON.
        """
        if not entries:
            return []
        rows = [new_row(new, self._schema.turn("add")) for new in entries]
        ids = self._link.run(partial(self._insert, rows))
        if ids[-1] // _TEND_EVERY > (ids[0] - 1) // _TEND_EVERY:
            sizes = {row["space"]: row["dimensions"] for row in rows if row["dimensions"]}
            self._link.run(partial(self._schema.index, sizes))
        return ids

    def remove(self, selection: Selection) -> int:
        """Delete entries for good; how many."""
        where, given = condition(selection)
        statement = f"DELETE FROM frugal.entries WHERE {where}"
        return self._change(statement, **given)

    def count(self, selection: Selection) -> int:
        """How many entries there are."""
        where, given = condition(selection)
        return self._rows(f"SELECT count(*) FROM frugal.entries WHERE {where}", **given)[0][0]

    def entries(self, selection: Selection, limit: int | None = None) -> Iterator[Entry]:
        """Entries, the oldest first; no connection is held between them."""
        where, given = condition(selection)
        last, left = 0, math.inf if limit is None else limit
        while left > 0:
            rows = self._rows(
                f"SELECT {sql.COLUMNS} FROM frugal.entries WHERE {where} AND id > %(last)s "
                f"ORDER BY id LIMIT %(page)s",
                **given,
                last=last,
                page=int(min(_PAGE, left)),
            )
            yield from map(entry, rows)
            if not rows:
                return
            last, left = rows[-1][0], left - len(rows)

    def touch(self, ids: Iterable[int]) -> None:
        """Note that entries served a hit now; written in batches, and by `evict` and `close`."""
        self._touched |= dict.fromkeys(ids, time.monotonic())
        if len(self._touched) >= _TOUCHES:
            self._write_touches()

    def evict(self, max_entries: int, scope: str | None = None) -> int:
        """See `Store`."""
        self._write_touches()
        deleted = self._change(f"DELETE FROM frugal.entries WHERE expires <= {sql.NOW}")
        deleted += self._change(
            sql.EVICT, most=max_entries, scope=None if scope is None else encoded(scope)
        )
        self._change(f"DELETE FROM frugal.leases WHERE until <= {sql.NOW}")
        if deleted:
            self._link.run(self._schema.prune)
        return deleted

    def mark_wrong(self, id: int) -> None:
        """Note that an entry's answer was reported wrong."""
        self._change("UPDATE frugal.entries SET wrong = wrong + 1 WHERE id = %(id)s", id=id)

    def lease(self, key: str, owner: str, seconds: float) -> bool:
        """Take the lease of a key; False while another owner's has not expired."""
        given = {"key": encoded(key), "owner": encoded(owner), "seconds": float(seconds)}
        return bool(self._rows(sql.LEASE, **given))

    def release(self, key: str, owner: str) -> None:
        """Give a lease back; nothing happens if it is no longer the owner's."""
        statement = "DELETE FROM frugal.leases WHERE key = %(key)s AND owner = %(owner)s"
        self._change(statement, key=encoded(key), owner=encoded(owner))

    def note(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append small JSON records to a named journal.

        Raises:
            StoreError: A record is not JSON.
        """
        self._change(sql.NOTE, **self._note(name, rows))

    def condense(self, name: str, merge: Merge) -> None:
        """See `Store`; whoever writes into a journal waits meanwhile."""

        def run(connection: Connection) -> None:
            def do(statement: str, **given: Any) -> list[Row]:
                cursor = connection.execute(self._schema.sql(statement), given)
                return cursor.fetchall() if cursor.description else []

            with connection.transaction():
                # The turn first: what this transaction reads is then all that was written.
                do("SELECT pg_advisory_xact_lock(%(turn)s)", turn=self._schema.turn("note"))
                gone = do(sql.UNNOTE, name=encoded(name))
                rows = merge([json.loads(record) for _, record in sorted(gone)])
                do(sql.NOTE, **self._note(name, rows))

        self._link.run(run)

    def _note(self, name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Parameters of `NOTE`."""
        records = [encoded(dict(row)) for row in rows]
        return {"turn": self._schema.turn("note"), "name": encoded(name), "records": records}

    def notes(self, name: str, after: int = 0) -> list[tuple[int, dict[str, Any]]]:
        """Records of a journal with their numbers, in the order they were appended."""
        rows = self._rows(
            "SELECT number, record FROM frugal.notes "
            "WHERE name = %(name)s AND number > %(after)s ORDER BY number",
            name=encoded(name),
            after=after,
        )
        return [(number, json.loads(record)) for number, record in rows]

    def size(self) -> int | None:
        """See `Store`."""
        statement = (
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND relkind = 'r'"
        )
        found = self._link.run(
            lambda connection: connection.execute(statement, (self._schema.name,)).fetchall()
        )
        return int(found[0][0])

    def close(self) -> None:
        """Write what is pending and let go of the connections; may be called twice."""
        with contextlib.suppress(StoreError):
            # When the server is gone, only the order of eviction suffers.
            self._write_touches()
        self._link.close()

    def _rows(self, statement: str, **given: Any) -> list[Row]:
        text = self._schema.sql(statement)
        return self._link.run(lambda connection: connection.execute(text, given).fetchall())

    def _change(self, statement: str, **given: Any) -> int:
        """How many rows a statement changed."""
        text = self._schema.sql(statement)
        return self._link.run(lambda connection: connection.execute(text, given).rowcount)

    def _insert(self, rows: Sequence[Mapping[str, Any]], connection: Connection) -> list[int]:
        """Add rows, in a transaction if there are several; their ids."""
        text = self._schema.sql(sql.ADD)
        if len(rows) == 1:
            found = connection.execute(text, rows[0]).fetchall()
            return [found[0][0] if found else self._refuse(rows[0], connection)]
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(text, rows, returning=True)
            ids = []
            for row in rows:
                found = cursor.fetchall()
                ids.append(found[0][0] if found else self._refuse(row, connection))
                cursor.nextset()
            return ids

    def _refuse(self, row: Mapping[str, Any], connection: Connection) -> NoReturn:
        held = connection.execute(
            self._schema.sql(
                "SELECT vector_dims(vector) FROM frugal.entries "
                "WHERE space = %s AND vector IS NOT NULL LIMIT 1"
            ),
            [row["space"]],
        ).fetchall()
        raise StoreError(
            f"a vector of {row['dimensions']} dimensions does not belong in a space of "
            f"{held[0][0] if held else 'other'} dimensions: another embedder needs another space"
        )

    def _write_touches(self) -> None:
        touched, self._touched = self._touched, {}
        if touched:
            now = time.monotonic()
            moments = dict(touched)
            ages = [now - moment for moment in moments.values()]
            self._change(sql.TOUCH, ids=list(moments), ages=ages)
