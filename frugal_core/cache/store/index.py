"""Neighbours in memory: a view of the rows of a space that is loaded when it is asked for.

A view only names rows that are worth a look; the store reads them, drops the dead and compares the
stored vectors, so that nothing here can make an answer wrong.

Up to `LARGE` rows a view is a matrix. From there on it is a FAISS index with inverted lists and
whole numbers of 8 bits (Jégou et al. 2011, "Product quantization for nearest neighbor search",
section 4; Johnson et al. 2019, "Billion-scale similarity search with GPUs"), built by a thread
while an index without lists answers.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from frugal_core.arrays import Ints
from frugal_core.cache.store.base import ClosedStoreError, StoreError, Vector

LARGE = 2000
_REBUILD = 3
"""Lists are made anew when a view has grown so many times."""
_PER_LIST = 20
"""Rows that FAISS learns a list from, where there are more than `_LEARNED`."""
_LEARNED = 10_000

_log = logging.getLogger(__name__)

Page = tuple[Ints, Vector]
"""Ids, ascending, shape (n,); vectors, shape (n, dimensions)."""


class Rows(Protocol):
    """Where a view finds the rows of its space, which the living are and which came last."""

    def pages(self, after: int) -> Iterator[Page]:
        """Living rows with larger ids, in the order of their ids."""
        ...

    def count(self) -> int:
        """How many living rows there are."""
        ...

    def version(self) -> object:
        """Equal to an earlier one only if nothing was stored or deleted since."""
        ...


class View:
    """The neighbours of one space; for one thread at a time, under its `lock`."""

    def __init__(self, rows: Rows) -> None:
        self.lock = threading.Lock()
        self._rows = rows
        self._builder: threading.Thread | None = None
        self._clear()

    def _clear(self) -> None:
        self._index: _Matrix | _Faiss | None = None
        self._last = 0
        self._seen: object = None
        self._built = 0
        self._dead: set[int] = set()
        self._dead_before_count = 64

    def __len__(self) -> int:
        return len(self._index) if self._index is not None else 0

    @property
    def nbytes(self) -> int:
        """Memory, roughly."""
        return 2000 + (self._index.nbytes if self._index is not None else 0)

    def search(self, query: Vector, count: int) -> list[int]:
        """Ids of the likely nearest rows, in no order; all of them if there are no more.

        Args:
            query: Shape (dimensions,).
            count: How many are wanted.

        Raises:
            StoreError: The space has another number of dimensions.
        """
        self._refresh()
        if self._index is None:
            return []
        if len(query) != self._index.dimensions:
            raise StoreError(
                f"the space holds vectors of {self._index.dimensions} dimensions, the query has "
                f"{len(query)}"
            )
        return self._index.search(query, count)

    def discard(self, ids: set[int]) -> None:
        """Note rows that turned out dead; where they are many the view is made anew."""
        self._dead |= ids
        if len(self._dead) < self._dead_before_count:
            return
        if len(self) - self._rows.count() <= max(32, len(self) // 4):
            self._dead_before_count = 2 * len(self._dead)
        elif isinstance(self._index, _Faiss):
            self._build()
        else:
            self._clear()

    def settle(self) -> None:
        """Wait until nothing is being built."""
        builder = self._builder
        if builder is not None:
            builder.join()

    def _refresh(self) -> None:
        """Take in what was stored since the last look; ids ascend in the order of the commits."""
        version = self._rows.version()  # first: what is stored meanwhile is looked for again
        if version == self._seen:
            return
        for ids, vectors in self._rows.pages(self._last):
            if self._index is not None and vectors.shape[1] != self._index.dimensions:
                self._clear()
            if self._index is None:
                self._index = _Matrix(vectors.shape[1])
            if isinstance(self._index, _Matrix) and len(self._index) + len(ids) > LARGE:
                self._index = _Faiss.plain(*self._index.content())
            self._index.add(ids, vectors)
            self._last = int(ids[-1])
        self._seen = version
        if isinstance(self._index, _Faiss) and len(self._index) > _REBUILD * self._built:
            self._build()

    def _build(self) -> None:
        if self._builder is None:
            self._builder = threading.Thread(target=self._replace, name="frugal-index", daemon=True)
            self._builder.start()

    def _replace(self) -> None:
        """Build lists from the rows and put them in place of the index."""
        size = len(self)
        try:
            index, last = _Faiss.learned(self._rows)
        except ClosedStoreError:
            return
        except StoreError as error:
            _log.warning("neighbours are looked for slowly, the index was not built: %s", error)
            self._built = size
            return
        finally:
            self._builder = None
        with self.lock:
            self._clear()
            if index is not None:
                self._index, self._last, self._built = index, last, len(index)


class _Matrix:
    """Few rows: all of them are compared."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._ids: Ints = np.zeros(4, np.int64)
        self._vectors: Vector = np.zeros((4, dimensions), np.float32)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def nbytes(self) -> int:
        return self._vectors.nbytes

    def content(self) -> Page:
        return self._ids[: self._size], self._vectors[: self._size]

    def add(self, ids: Ints, vectors: Vector) -> None:
        end = self._size + len(ids)
        if end > len(self._ids):
            room = max(end, 2 * len(self._ids)) - self._size
            self._ids = np.concatenate([self._ids[: self._size], np.zeros(room, np.int64)])
            empty = np.zeros((room, self.dimensions), np.float32)
            self._vectors = np.concatenate([self._vectors[: self._size], empty])
        self._ids[self._size : end] = ids
        self._vectors[self._size : end] = vectors
        self._size = end

    def search(self, query: Vector, count: int) -> list[int]:
        ids, vectors = self.content()
        if count >= self._size:
            return ids.tolist()
        return ids[np.argpartition(vectors @ query, -count)[-count:]].tolist()


class _Faiss:
    """Many rows, of which some are compared.

    Args:
        index: Of FAISS.
        scale: Vectors times this are whole numbers of 8 bits.
        lists: How many the index has; 0 if it compares all rows.
    """

    def __init__(self, index: Any, scale: float, lists: int) -> None:
        self.dimensions: int = index.d
        self._index = index
        self._scale = scale
        self._lists = lists
        # Measured: the nearest is found in 99 % of the lookups of real questions among 10,000 rows
        # and more, up to a million.
        self._probes = min(max(12, lists // 50), 44)
        if lists:
            index.nprobe = self._probes

    @classmethod
    def plain(cls, ids: Ints, vectors: Vector) -> _Faiss:
        """All rows are compared."""
        import faiss

        flat = _whole_numbers(vectors.shape[1])
        made = cls(faiss.IndexIDMap2(flat), _scale(vectors), 0)
        made.add(ids, vectors)
        return made

    @classmethod
    def learned(cls, rows: Rows) -> tuple[_Faiss | None, int]:
        """Lists around means of a sample of the rows, None for few rows; and the last id."""
        import faiss

        size = rows.count()
        if size <= LARGE:
            return None, 0
        lists = 2 ** round(math.log2(3.2 * math.sqrt(size)))
        learned = _sample(rows, size, min(size, max(_LEARNED, _PER_LIST * lists)))
        dimensions, lists = learned.shape[1], min(lists, len(learned))
        means = faiss.Kmeans(dimensions, lists, niter=4, spherical=True, min_points_per_centroid=1)
        with _OneThread():
            means.train(learned)
        centroids = np.asarray(means.centroids)
        centres = _whole_numbers(dimensions)
        centres.add(_whole(centroids, _scale(centroids)))
        kind, metric = centres.sq.qtype, centres.metric_type
        index = faiss.IndexIVFScalarQuantizer(centres, dimensions, lists, kind, metric, False)
        index.train(np.zeros((0, dimensions), np.float32))
        made, last = cls(index, _scale(learned), lists), 0
        for ids, vectors in rows.pages(0):
            made.add(ids, vectors)
            last = int(ids[-1])
        return made, last

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def nbytes(self) -> int:
        return len(self) * (self.dimensions + 8)

    def add(self, ids: Ints, vectors: Vector) -> None:
        with _OneThread():
            self._index.add_with_ids(_whole(vectors, self._scale), ids)

    def search(self, query: Vector, count: int) -> list[int]:
        count = min(count, len(self))
        asked = _whole(query[None], self._scale)
        with _OneThread():
            found = self._index.search(asked, count)[1][0].tolist()
            if self._lists and found[-1] < 0:
                # The lists that were looked at hold fewer than are wanted.
                self._index.nprobe = self._lists
                found = self._index.search(asked, count)[1][0].tolist()
                self._index.nprobe = self._probes
        return [id for id in found if id >= 0]


def _whole_numbers(dimensions: int) -> Any:
    """A FAISS index that compares all rows, by whole numbers: much faster than by fractions."""
    import faiss

    kind, metric = faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT
    return faiss.IndexScalarQuantizer(dimensions, kind, metric)


def _scale(vectors: Vector) -> float:
    """What turns the largest of some numbers into the largest whole number of 8 bits."""
    return 127 / max(float(np.abs(vectors).max()), 1e-6)


def _whole(vectors: Vector, scale: float) -> Vector:
    # `np.clip` is slow where there is little to do.
    return np.minimum(np.maximum(np.rint(vectors * scale), -127), 127)


def _sample(rows: Rows, size: int, count: int) -> Vector:
    """Some of `size` rows; shape (at most count, dimensions).

    They are drawn by chance: what is stored may repeat itself, and every n-th be of one kind.
    """
    places = np.sort(np.random.default_rng(0).choice(size, count, replace=False))
    sample: Vector = np.zeros((0, 0), np.float32)
    start = first = 0
    for _, page in rows.pages(0):
        if not len(sample):  # in one piece, since small ones would leave holes in memory
            sample = np.zeros((count, page.shape[1]), np.float32)
        last = int(np.searchsorted(places, start + len(page)))
        sample[first:last] = page[places[first:last] - start]
        start, first = start + len(page), last
    return sample[:first]


class _OneThread:
    """Keeps FAISS from sharing out its work: OpenMP's threads do not survive a fork.

    The setting is the calling thread's own, and others may rely on it: it is put back.
    """

    def __enter__(self) -> None:
        import faiss

        self._before = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        import faiss

        faiss.omp_set_num_threads(self._before)


class Views:
    """Views of the spaces that were asked for lately.

    Args:
        rows: Where the view of a space finds its rows.
        memory: Bytes that views may take together; one view may always stay.
        most: How many views there may be.
    """

    def __init__(self, rows: Callable[[str], Rows], memory: int, most: int = 512) -> None:
        self._make = rows
        self._memory = memory
        self._most = most
        self.clear()

    def clear(self) -> None:
        """Forget all, locks included: also for a child of a fork, where a thread may hold one."""
        self._lock = threading.Lock()
        self._views: OrderedDict[str, View] = OrderedDict()
        self._until_trim = 0

    def __len__(self) -> int:
        return len(self._views)

    def of(self, space: str) -> View:
        """The view of a space."""
        with self._lock:
            view = self._views.get(space)
            self._until_trim -= 1
            if view is None or self._until_trim <= 0:
                self._trim()
                view = self._views.setdefault(space, view or View(self._make(space)))
            self._views.move_to_end(space)
            return view

    def settle(self) -> None:
        """Wait until no view is being built."""
        with self._lock:
            views = list(self._views.values())
        for view in views:
            view.settle()

    def _trim(self) -> None:
        self._until_trim = 1000
        total = sum(view.nbytes for view in self._views.values())
        while len(self._views) > 1 and (len(self._views) >= self._most or total > self._memory):
            total -= self._views.popitem(last=False)[1].nbytes
