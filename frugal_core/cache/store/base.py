"""What a store of the semantic cache does; every store passes the same tests.

The rows are the truth: whatever finds neighbours is a view that can be rebuilt from them. A store
knows nothing of prompts, thresholds or models: it keeps questions, answers and vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from frugal_core.arrays import Floats
from frugal_core.errors import FrugalError

Vector = NDArray[np.floating[Any]]
Merge = Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]]


class StoreError(FrugalError):
    """A store that cannot be read or written, or an entry it cannot hold; a cache does without."""


class ClosedStoreError(StoreError):
    """A store that was let go of."""


def unit(vector: Floats | Vector) -> Vector:
    """A vector as stores compare it.

    Args:
        vector: Shape (dimensions,), any floats.

    Returns:
        Shape (dimensions,), float32, length 1.

    Raises:
        StoreError: It is not a row of finite numbers, or it has no direction.
    """
    row = np.asarray(vector, np.float32)
    length = float(np.sqrt(row @ row)) if row.ndim == 1 else float("nan")
    if not 0 < length < float("inf"):
        raise StoreError(
            f"a vector must be one row of finite numbers, not all zero; this one has the shape "
            f"{row.shape} and the length {length}"
        )
    return row if abs(length - 1) < 1e-6 else row / np.float32(length)


@dataclass(frozen=True, slots=True)
class NewEntry:
    """What is stored.

    Args:
        key: The exact key: a hash of everything that shapes the answer. One entry per key; a newer
            one takes the place of the older.
        space: Where neighbours are looked for: a hash of scope, partition and embedder. Entries of
            different spaces never meet.
        scope: Whose entry it is, for `stats` and `invalidate`; already part of key and space.
        question: The text that was embedded.
        answer: Anything JSON can hold; NaN and infinity it cannot.
        vector: Shape (dimensions,), float32, length 1; None keeps the entry to the exact layer.
        tags: For `invalidate`.
        expires: Unix time from which on it is dead; None for never.
    """

    key: str
    space: str
    scope: str
    question: str
    answer: Any
    vector: Vector | None = None
    tags: tuple[str, ...] = ()
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What comes back.

    Args:
        id: Never used twice in a store.
        created: Unix time.
        wrong: How often an answer from this entry was reported wrong.
    """

    id: int
    key: str
    space: str
    scope: str
    question: str
    answer: Any
    tags: tuple[str, ...]
    created: float
    expires: float | None
    wrong: int = 0


class Candidate(NamedTuple):
    """A neighbour: what a decision needs of it; of several, at most one is served.

    Args:
        question: The stored question.
        wrong: How often its answer was reported wrong.
        cosine: To the query, exact.
        read: The entry; None if it was deleted meanwhile. Raises `StoreError` if it is not what was
            stored.
    """

    question: str
    wrong: int
    cosine: float
    read: Callable[[], Entry | None]

    @classmethod
    def of(cls, entry: Entry, cosine: float) -> Candidate:
        """A neighbour whose entry is at hand."""
        return cls(entry.question, entry.wrong, cosine, lambda: entry)

    @property
    def entry(self) -> Entry:
        """The entry, of a neighbour that nobody deletes meanwhile."""
        entry = self.read()
        if entry is None:
            raise StoreError("the entry was deleted after it was found")
        return entry


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries `remove` and `count` mean; what is None does not restrict.

    Args:
        scope: Of this scope alone.
        tag: With this tag.
        created_before: Stored before this Unix time.
        space: Of this space alone.
        where: Equal values of top-level fields of the answer, `{"model": "gpt-4o"}`; only for
            answers that are JSON objects.
        ids: These alone.
        dead: Whether to take the expired ones alone; otherwise they count like the living until
            they are deleted.
    """

    scope: str | None = None
    tag: str | None = None
    created_before: float | None = None
    space: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    ids: Sequence[int] | None = None
    dead: bool = False


class Store(Protocol):
    """Rows and neighbours; safe for threads, and for other processes on the same location.

    Every method raises `StoreError` when the location cannot be read or written.
    """

    def exact(self, key: str) -> Entry | None:
        """The living entry with this key."""
        ...

    def nearest(self, space: str, vector: Vector, count: int) -> list[Candidate]:
        """Up to `count` living entries of a space, nearest first.

        What any process stored before the call is found. The cosines are exact to 1e-3.

        Raises:
            StoreError: The space holds vectors of another number of dimensions.
        """
        ...

    def add(self, entries: Sequence[NewEntry]) -> list[int]:
        """Store all entries or none; each takes the place of the one with its key.

        Returns:
            Their ids, ascending, each greater than any that another process saw before.

        Raises:
            StoreError: A vector is not finite or not of its space's number of dimensions, or an
                answer is not JSON.
        """
        ...

    def remove(self, selection: Selection) -> int:
        """Delete entries for good; how many."""
        ...

    def count(self, selection: Selection) -> int:
        """How many entries there are."""
        ...

    def entries(self, selection: Selection, limit: int | None = None) -> Iterator[Entry]:
        """Entries, the oldest first."""
        ...

    def touch(self, ids: Iterable[int]) -> None:
        """Note that entries served a hit now, for eviction; may be written later, in batches."""
        ...

    def evict(self, max_entries: int, scope: str | None = None) -> int:
        """Delete the dead, then what was used longest ago, until at most so many are left.

        Args:
            max_entries: That may stay.
            scope: Whose entries are counted and deleted; None for all.
        """
        ...

    def mark_wrong(self, id: int) -> None:
        """Note that an entry's answer was reported wrong."""
        ...

    def lease(self, key: str, owner: str, seconds: float) -> bool:
        """Take the lease of a key; False while another owner's has not expired."""
        ...

    def release(self, key: str, owner: str) -> None:
        """Give a lease back; nothing happens if it is no longer the owner's."""
        ...

    def note(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append small JSON records to a named journal (decisions, counters)."""
        ...

    def notes(self, name: str, after: int = 0) -> list[tuple[int, dict[str, Any]]]:
        """Records of a journal with their numbers, in the order they were appended."""
        ...

    def condense(self, name: str, merge: Merge) -> None:
        """Put what `merge` makes of all records of a journal in their place.

        At once, so that no record is lost and none counts twice, whatever others do or if the
        process is killed. The new records have numbers that none had before.
        """
        ...

    def size(self) -> int | None:
        """Bytes on disk; None if that cannot be told."""
        ...

    def close(self) -> None:
        """Write what is pending and let go of files and connections; may be called twice."""
        ...
