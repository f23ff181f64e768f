"""The semantic cache on GPTCache's storage: `SemanticCache(GPTCacheStore(data_manager))`."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

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
from frugal_core.cache.store.gptcache_evaluation import FrugalEvaluation
from frugal_core.cache.store.gptcache_import import import_gptcache
from frugal_core.cache.store.gptcache_rows import (
    WRONG,
    AnyRows,
    Leases,
    Stored,
    chosen,
    fields,
    label,
    pages_of,
    pieces,
    readable,
    rows_of,
)
from frugal_core.errors import describe

__all__ = ["FrugalEvaluation", "GPTCacheStore", "import_gptcache"]

_FURTHEST = 10_000  # neighbours; some vector stores refuse more
_TOUCHES = 64  # that are written together
_ANCHOR = "frugal anchor"


class GPTCacheStore:
    """A store on a data manager of GPTCache: its scalar store keeps the rows, its vector store the
    vectors.

    What is kept in its columns: an entry as one JSON text in the answers; hashes of key, space and
    journal as session names, by which they are looked up without the vector store. So do not share
    the tables with GPTCache's own adapters: they would serve that JSON. Rows that they wrote are
    neither served nor deleted here.

    Cosines are computed from the stored embeddings, whatever the vector store's scores mean. Up to
    1,000 vectors of a space are all compared; of a larger space the vector store is asked for ever
    more neighbours until enough of them live and belong to the space. Vectors that a local index
    lost, or lacks since another process stored them, are put back when the store is opened.

    What GPTCache's storage cannot do is done here, in this process: leases (so of equal questions
    in two processes both may be answered by the model), the order of one store's calls (a lock),
    and selections (`where`, tags, counts, eviction: all rows are read). Replacing an entry takes
    more than one transaction; a process that dies in between leaves the older or both, of which the
    newest is served. A vector store holds vectors of one number of dimensions. Scalar stores other
    than SQL are read row by row, and what is read counts as used. The manager's own `max_size`
    goes on deleting entries, journals too: make it large, and give `SemanticCache` `max_entries`.

    Args:
        data_manager: With a scalar and a vector store; it is closed with this store.

    Raises:
        StoreError: GPTCache is missing, its storage fails, or the manager is of another kind.

    Example:
        >>> gptcache = import_gptcache()  # doctest: +SKIP
        >>> from gptcache.manager import manager_factory  # doctest: +SKIP
        >>> manager = manager_factory(
        ...     "sqlite,faiss",
        ...     data_dir="cache",
        ...     vector_params={"dimension": 384},
        ...     eviction_params={"max_size": 1_000_000},
        ... )  # doctest: +SKIP
        >>> cache = SemanticCache(GPTCacheStore(manager))  # doctest: +SKIP
    """

    def __init__(self, data_manager: Any) -> None:
        import_gptcache()
        if not (hasattr(data_manager, "s") and hasattr(data_manager, "v")):
            raise StoreError(
                f"a {type(data_manager).__name__} has no scalar and vector store: make the manager "
                f'with get_data_manager(CacheBase("sqlite"), VectorBase("faiss", dimension=384))'
            )
        self._manager = data_manager
        self._scalars, self._vectors = data_manager.s, data_manager.v
        self._rows = rows_of(self._scalars)
        self._lock = threading.RLock()
        self._closed = False
        self._leases = Leases()
        self._touched: set[int] = set()
        with self._using():
            self._restore_vectors()

    def exact(self, key: str) -> Entry | None:
        """The living entry with this key."""
        with self._using():
            found = self._rows.read(self._rows.labelled(label("key", key)))
        now = time.time()
        entries = [s.entry for s in found if s.is_entry and s.data["key"] == key and s.lives(now)]
        return entries[-1] if entries else None

    def nearest(self, space: str, vector: Vector, count: int) -> list[Candidate]:
        """Up to `count` living entries of a space, nearest first."""
        query = unit(vector)
        with self._using():
            members = self._rows.labelled(label("space", space), self._rows.few + 1)
            if not members:
                return []
            self._check_dimensions(query)
            if len(members) <= self._rows.few:
                return self._compared(space, query, members, count)
            fetch = 4 * (count + 4)
            while True:
                scored = self._vectors.search(query, fetch) or []
                ids = sorted({int(id) for _, id in scored if int(id) >= 0})
                found = self._compared(space, query, ids, count)
                if len(found) >= count or len(ids) < fetch or fetch == _FURTHEST:
                    return found
                fetch = min(4 * fetch, _FURTHEST)

    def _compared(self, space: str, query: Vector, ids: list[int], count: int) -> list[Candidate]:
        """Living entries of a space among rows."""
        near: list[tuple[float, int]] = []
        for page in pages_of(ids):
            for id, vector in zip(*self._rows.vectors(page), strict=True):
                if len(vector) == len(query):
                    near.append((float(vector @ query), id))
        near.sort(key=lambda pair: (-pair[0], pair[1]))
        found: list[Candidate] = []
        now = time.time()
        for start in range(0, len(near), count + 4):
            part = near[start : start + count + 4]
            stored = {s.id: s for s in self._rows.read([id for _, id in part])}
            for cosine, id in part:
                one = stored.get(id)
                if one and one.is_entry and one.data["space"] == space and one.lives(now):
                    found.append(Candidate.of(one.entry, cosine))
            if len(found) >= count:
                break
        return found[:count]

    def add(self, entries: Sequence[NewEntry]) -> list[int]:
        """Store all entries or none; each takes the place of the one with its key."""
        packed = [pieces(fields(entry)) for entry in entries]
        vectors = [None if entry.vector is None else unit(entry.vector) for entry in entries]
        with self._using():
            for vector in vectors:
                if vector is not None:
                    self._check_dimensions(vector)
            ids = self._insert(
                [
                    (readable(entry.question), texts, vector, label("key", entry.key))
                    for entry, texts, vector in zip(entries, packed, vectors, strict=True)
                ]
            )
            placed = list(zip(ids, entries, vectors, strict=True))
            try:
                self._rows.put_labels(
                    [(id, label("space", e.space)) for id, e, v in placed if v is not None]
                )
                self._index([(id, v) for id, _, v in placed if v is not None])
                self._manager.eviction_base.put(ids)
            except Exception:
                with contextlib.suppress(Exception):
                    self._discard(ids)
                raise
            for key, id in {entry.key: id for id, entry, _ in placed}.items():
                self._discard([old for old in self._rows.labelled(label("key", key)) if old < id])
        return ids

    def _insert(self, rows: Sequence[tuple[str, list[str], Vector | None, str]]) -> list[int]:
        """Rows of (question, answers, vector, label), in one transaction; their ids."""
        from gptcache.manager.scalar_data.base import Answer, CacheData

        nothing = np.zeros(1, np.float32)  # GPTCache cannot read a row without an embedding
        return [
            int(id)
            for id in self._scalars.batch_insert(
                [
                    CacheData(
                        question,
                        [Answer(text) for text in texts],
                        nothing if vector is None else vector,
                        name,
                    )
                    for question, texts, vector, name in rows
                ]
            )
        ]

    def _index(self, vectors: Sequence[tuple[int, Vector]]) -> None:
        from gptcache.manager.vector_data.base import VectorData

        if vectors:
            self._vectors.mul_add([VectorData(id, vector) for id, vector in vectors])

    def _discard(self, ids: Sequence[int]) -> None:
        """Delete rows and vectors, and what GPTCache's eviction has marked."""
        for page in pages_of(ids):
            self._scalars.mark_deleted(page)
            marked = self._scalars.get_ids(deleted=True)
            self._scalars.clear_deleted_data()
            self._vectors.delete(sorted({*page, *marked}))

    def remove(self, selection: Selection) -> int:
        """Delete entries for good; how many."""
        ids = [entry.id for entry in self.entries(selection)]
        with self._using():
            self._remove(ids)
        return len(ids)

    def _remove(self, ids: Sequence[int]) -> None:
        """Delete entries so that their ids never come back."""
        if ids and max(ids) >= max(self._scalars.get_ids(deleted=False), default=0):
            # SQLite gives the highest id to the next row if its own is deleted.
            old = self._rows.labelled(_ANCHOR)
            self._insert([("", pieces({"anchor": True}), None, _ANCHOR)])
            ids = [*ids, *old]
        self._discard(ids)

    def count(self, selection: Selection) -> int:
        """How many entries there are."""
        return sum(1 for _ in self._selected(selection))

    def entries(self, selection: Selection, limit: int | None = None) -> Iterator[Entry]:
        """Entries, the oldest first."""
        for number, stored in enumerate(self._selected(selection)):
            if number == limit:
                return
            yield stored.entry

    def _selected(self, selection: Selection) -> Iterator[Stored]:
        now = time.time()
        with self._using():
            ids = selection.ids
            ids = self._scalars.get_ids(deleted=False) if ids is None else [int(id) for id in ids]
            pages = pages_of(sorted(set(ids)))
        for page in pages:
            with self._using():
                rows = self._rows.read(page)
            yield from (stored for stored in rows if chosen(stored, selection, now))

    def touch(self, ids: Iterable[int]) -> None:
        """Note that entries served a hit now; written many at a time, and on `close`."""
        with self._using():
            for id in ids:
                self._touched.add(int(id))
                self._manager.eviction_base.get(int(id))
            if len(self._touched) >= _TOUCHES:
                self._write_touches()

    def _write_touches(self) -> None:
        touched, self._touched = sorted(self._touched), set()
        for page in pages_of(touched):
            self._rows.touch(page)

    def evict(self, max_entries: int, scope: str | None = None) -> int:
        """See `Store`."""
        now = time.time()
        with self._using():
            self._write_touches()
            rows = [(s.lives(now), s.used, s.id) for s in self._selected(Selection(scope=scope))]
            dead = [id for living, _, id in rows if not living]
            living = sorted(row[1:] for row in rows if row[0])
            gone = dead + [id for _, id in living[: max(0, len(living) - max_entries)]]
            self._remove(gone)
        return len(gone)

    def mark_wrong(self, id: int) -> None:
        """Note that an entry's answer was reported wrong."""
        with self._using():
            if self._rows.read([id]):
                self._rows.put_labels([(id, WRONG)])

    def lease(self, key: str, owner: str, seconds: float) -> bool:
        """Take the lease of a key; among the threads of this process alone."""
        return self._leases.take(key, owner, seconds)

    def release(self, key: str, owner: str) -> None:
        """Give a lease back; nothing happens if it is no longer the owner's."""
        self._leases.give(key, owner)

    def note(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append small JSON records to a named journal: rows without a vector."""
        packed = [pieces({"note": dict(row)}) for row in rows]
        with self._using():
            self._insert([("", texts, None, label("journal", name)) for texts in packed])

    def condense(self, name: str, merge: Merge) -> None:
        """See `Store`; the new records come first, and what another process writes meanwhile may
        be left out of them.
        """
        with self._using():
            gone = self.notes(name)
            self.note(name, merge([note for _, note in gone]))
            self._discard([id for id, _ in gone])

    def notes(self, name: str, after: int = 0) -> list[tuple[int, dict[str, Any]]]:
        """Records of a journal with their numbers, in the order they were appended."""
        with self._using():
            ids = [id for id in self._rows.labelled(label("journal", name)) if id > after]
            stored = [one for page in pages_of(ids) for one in self._rows.read(page)]
        return [(one.id, one.data["note"]) for one in stored if "note" in one.data]

    def size(self) -> int | None:
        """See `Store`; GPTCache does not tell."""
        return None

    def close(self) -> None:
        """Write what is pending, the index of vectors too, and close the manager."""
        if self._closed:
            return
        with self._using():
            self._closed = True
            with contextlib.suppress(Exception):
                # Where nothing may be written, only the order of eviction suffers.
                self._write_touches()
            self._manager.close()

    def _check_dimensions(self, vector: Vector) -> None:
        store = self._vectors
        dimensions = getattr(store, "dimension", None) or getattr(store, "_dimension", None)
        if dimensions and dimensions != len(vector):
            raise StoreError(
                f"GPTCache's vector store holds vectors of {dimensions} dimensions, not of "
                f"{len(vector)}: give VectorBase dimension={len(vector)}, and new tables"
            )

    def _restore_vectors(self) -> None:
        """Put back the vectors that a local index lacks."""
        if not hasattr(self._vectors, "count") or isinstance(self._rows, AnyRows):
            return
        ids: list[int] = []
        vectors: list[Vector] = []
        for page in pages_of(sorted(self._scalars.get_ids(deleted=False))):
            found = self._rows.vectors(page)
            ids += found[0]
            vectors += found[1]
        if ids and self._vectors.count() != len(ids):
            self._vectors.delete(ids)
            self._index(list(zip(ids, vectors, strict=True)))

    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        """One call at a time; whatever GPTCache raises becomes a `StoreError`."""
        with self._lock:
            if self._closed:
                raise StoreError("the store on GPTCache is closed")
            try:
                yield
            except StoreError:
                raise
            except Exception as error:
                raise StoreError(f"GPTCache's storage failed: {describe(error)}") from error
