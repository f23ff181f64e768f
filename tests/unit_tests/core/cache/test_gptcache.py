"""The store on GPTCache's storage: SQLite for the rows, FAISS for the vectors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frugal_core.cache.semantic import SemanticCache
from frugal_core.cache.store.base import Selection, Store, StoreError
from frugal_core.cache.store.gptcache import GPTCacheStore, import_gptcache
from frugal_core.cache.store.gptcache_rows import AnyRows, SQLRows, joined, pieces
from tests.unit_tests.core.cache.store_suite import StoreSuite, direction, near, new, numbers

pytest.importorskip("gptcache")
STORED = "What is the best way to learn Python?"
ASKED = "what is the best way to learn python"
Open = Callable[[], GPTCacheStore]


def manager(folder: Path, dimensions: int) -> Any:
    """A data manager with its files in a folder; nothing waits for the disk."""
    import_gptcache()
    import sqlalchemy
    from gptcache.manager import CacheBase, VectorBase, get_data_manager

    scalars = CacheBase("sqlite", sql_url=f"sqlite:///{folder / 'sqlite.db'}")
    sqlalchemy.event.listen(
        scalars._engine,
        "connect",
        lambda connection, record: connection.execute("PRAGMA synchronous = OFF"),
    )
    vectors = VectorBase("faiss", dimension=dimensions, index_path=str(folder / "faiss.index"))
    return get_data_manager(scalars, vectors, max_size=10**6)


@pytest.fixture
def reopen(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Open]:
    opened: list[GPTCacheStore] = []
    dimensions = 384 if "exact_cosines" in request.node.name else 16

    def open() -> GPTCacheStore:
        opened.append(GPTCacheStore(manager(tmp_path, dimensions)))
        return opened[-1]

    yield open
    for store in opened:
        store.close()


class GPTCacheSuite(StoreSuite):
    """The suite of all stores, but for what GPTCache's storage cannot do."""

    def test_spaces_may_differ_in_dimensions_but_not_within(self, store: Store) -> None:
        pytest.skip("a vector store of GPTCache holds vectors of one number of dimensions")

    def test_leases(self, store: Store, reopen: Callable[[], Store]) -> None:
        pytest.skip("GPTCache's storage has no lease that another process or store would see")

    def test_other_dimensions_are_refused(self, store: Store) -> None:
        with pytest.raises(StoreError, match="16 dimensions, not of 8"):
            store.add([new(1), new(2, direction(2, 8))])
        store.add([new(3)])
        with pytest.raises(StoreError, match="16 dimensions, not of 8"):
            store.nearest("s", direction(1, 8), 1)
        assert numbers(store) == [3]

    def test_leases_among_threads(self, store: Store) -> None:
        assert store.lease("k", "a", 60) and store.lease("k", "a", 60)
        assert not store.lease("k", "b", 60)
        store.release("k", "b")
        assert not store.lease("k", "b", 60)
        store.release("k", "a")
        assert store.lease("k", "b", 0.05)
        time.sleep(0.1)
        assert store.lease("k", "a", 60)

    def test_a_space_of_many_is_searched_by_the_vector_store(
        self, store: Store, reopen: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(SQLRows, "few", 20)
        query = direction(0)
        # The nearest 100 are of another space, and of the nearest here some are dead.
        store.add([new(n, near(query, 0.99, n), space="other") for n in range(100)])
        store.add([new(n, near(query, 0.95, n), expires=1.0) for n in range(100, 130)])
        ids = store.add([new(n, near(query, 0.9 - n / 10**4, n)) for n in range(200, 260)])
        store.remove(Selection(ids=ids[:3]))
        found = store.nearest("s", query, 2)
        assert [c.entry.question for c in found] == ["question 203", "question 204"]
        assert found[0].cosine == pytest.approx(0.9 - 203 / 10**4, abs=1e-3)


class TestGPTCacheStore(GPTCacheSuite):
    @pytest.fixture
    def reopen(self, reopen: Open) -> Open:
        return reopen

    def test_what_gptcache_marked_deleted_is_not_served(self, reopen: Open) -> None:
        store = reopen()
        query = direction(0)
        ids = store.add([new(n, near(query, 0.99 - n / 100, n)) for n in range(5)])
        store._manager.s.mark_deleted(ids[:2])
        found = store.nearest("s", query, 1)
        assert [c.entry.question for c in found] == ["question 2"]
        assert store.exact("key-0") is None and numbers(store) == [2, 3, 4]

    def test_an_old_vector_of_a_new_row_serves_nothing(self, reopen: Open) -> None:
        """GPTCache serves the new row's answer to the old row's question here."""
        store = reopen()
        (id,) = store.add([new(1)])
        store._manager.s.mark_deleted([id])
        store._manager.s.clear_deleted_data()  # the vector stays, and SQLite reuses the id
        assert store.add([new(2)]) == [id]
        found = store.nearest("s", direction(1), 1)
        assert found[0].cosine == pytest.approx(float(direction(1) @ direction(2)), abs=1e-3)

    def test_vectors_that_died_with_the_process_are_put_back(self, reopen: Open) -> None:
        first = reopen()
        first.add([new(n) for n in range(30)])  # FAISS has written nothing yet
        again = reopen()
        assert again._vectors.count() == 30
        scored = again._vectors.search(direction(7).astype(np.float32), 1)
        assert again._rows.read([scored[0][1]])[0].entry.question == "question 7"

    def test_rows_of_gptcaches_own_are_left_alone(self, reopen: Open) -> None:
        store = reopen()
        store._manager.save("theirs", "an answer", direction(1).astype(np.float32))
        store.add([new(1)])
        assert [c.entry.question for c in store.nearest("s", direction(1), 9)] == ["question 1"]
        assert store.remove(Selection()) == 1
        assert store._manager.s.count() == 2, "theirs, and a row that keeps the highest id"

    def test_a_failed_vector_store_leaves_no_row(
        self, reopen: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = reopen()
        store.add([new(1)])

        def fail(*_: Any) -> None:
            raise RuntimeError("the index is gone")

        monkeypatch.setattr(store._vectors, "mul_add", fail)
        with pytest.raises(StoreError, match="RuntimeError: the index is gone"):
            store.add([new(1, answer="newer"), new(2)])
        assert numbers(store) == [1]

    def test_a_closed_store_says_so(self, reopen: Open) -> None:
        store = reopen()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.exact("key")

    def test_what_may_not_be_written_can_be_closed(
        self, reopen: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any) -> None:
            raise RuntimeError("the disk is full")

        store = reopen()
        store.touch(store.add([new(1)]))
        monkeypatch.setattr(store._rows, "touch", fail)
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.exact("key")

    def test_a_manager_without_vectors_is_refused(self) -> None:
        with pytest.raises(StoreError, match="a dict has no scalar and vector store"):
            GPTCacheStore({})

    def test_the_cache_serves_by_meaning_from_it(self, tmp_path: Path) -> None:
        with SemanticCache(GPTCacheStore(manager(tmp_path, 384))) as cache:
            cache.store(STORED, {"text": "Write."}, tags=["code"])
            cache.store("Who won the world cup in 2015?", "the US")
            hit = cache.lookup(ASKED)
            assert hit is not None and hit.layer == "semantic" and hit.answer == {"text": "Write."}
            assert cache.lookup("Who won the world cup in 2016?") is None
            assert cache.lookup(STORED, "another partition") is None
            cache.report_wrong(hit)
            assert cache.lookup(ASKED) is None
        with SemanticCache(GPTCacheStore(manager(tmp_path, 384))) as cache:
            assert cache.stats()["lookups"] == 4
            assert cache.invalidate(tag="code") == 1
            again = cache.lookup("Who won the world cup in 2015?")
            assert again is not None and again.layer == "exact"


class _Bare:
    """GPTCache's storage without anything that is SQL's own."""

    def __init__(self, storage: Any) -> None:
        for name in ("batch_insert", "get_data_by_id", "mark_deleted", "clear_deleted_data"):
            setattr(self, name, getattr(storage, name))
        for name in ("get_ids", "count", "add_session", "list_sessions", "close"):
            setattr(self, name, getattr(storage, name))


class TestAnyScalarStore:
    @pytest.fixture
    def store(self, tmp_path: Path) -> GPTCacheStore:
        made = manager(tmp_path, 16)
        made.s = _Bare(made.s)
        store = GPTCacheStore(made)
        assert isinstance(store._rows, AnyRows)
        return store

    def test_what_a_cache_needs(self, store: GPTCacheStore) -> None:
        query = direction(0)
        ids = store.add([new(n, near(query, 0.99 - n / 100, n), tags=("t",)) for n in range(5)])
        store.add([new(9, space="other"), new(10, expires=1.0)])
        store.add([new(1, near(query, 0.9), answer="newer")])
        assert [c.entry.question for c in store.nearest("s", query, 2)] == [
            "question 0",
            "question 2",
        ]
        found = store.exact("key-1")
        assert found is not None and found.answer == "newer"
        store.mark_wrong(ids[0])
        assert store.nearest("s", query, 1)[0].entry.wrong == 1
        store.touch([ids[2]])
        assert store.remove(Selection(tag="t", scope="tenant")) == 4
        store.note("journal", [{"n": 1}, {"n": 2}])
        assert [note for _, note in store.notes("journal")] == [{"n": 1}, {"n": 2}]
        assert store.evict(1) == 2 and store.count(Selection()) == 1

    def test_a_space_of_many(self, store: GPTCacheStore) -> None:
        store.add([new(n) for n in range(100)])
        assert store.nearest("s", direction(77), 1)[0].entry.question == "question 77"


def test_pieces_come_together_in_any_order() -> None:
    data = {"text": "wörd " * 5000}
    cut = pieces(data)
    assert len(cut) > 5 and all(len(piece) <= 3000 for piece in cut)
    assert joined(cut[::-1]) == data
    assert joined(cut[1:]) is None and joined(["an answer"]) is None and joined([]) is None
