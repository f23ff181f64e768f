"""The store on GPTCache's storage: rows and vectors in a real Postgres with pgvector."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from frugal_core.cache.semantic import SemanticCache
from frugal_core.cache.store.base import Selection, StoreError
from frugal_core.cache.store.gptcache import GPTCacheStore, import_gptcache
from tests.integration_tests.cache_postgres.conftest import server as server
from tests.unit_tests.core.cache.store_suite import new
from tests.unit_tests.core.cache.test_gptcache import GPTCacheSuite

if TYPE_CHECKING:
    from tests.integration_tests.cache_postgres.server import Server

pytest.importorskip("gptcache")
pytest.importorskip("psycopg2", reason="GPTCache reaches Postgres through psycopg2-binary")
Open = Callable[[], GPTCacheStore]
_names = (f"test_{number}" for number in itertools.count())


def manager(url: str, name: str, dimensions: int) -> Any:
    """A data manager with tables of its own."""
    import_gptcache()
    from gptcache.manager import CacheBase, VectorBase, get_data_manager

    address = url.replace("postgresql:", "postgresql+psycopg2:")
    scalars = CacheBase("postgresql", sql_url=address, table_name=name)
    vectors = VectorBase("pgvector", url=address, dimension=dimensions, collection_name=name)
    return get_data_manager(scalars, vectors, max_size=10**6)


@pytest.fixture
def reopen(server: Server, request: pytest.FixtureRequest) -> Iterator[Open]:
    name = next(_names)
    opened: list[GPTCacheStore] = []
    dimensions = 384 if "exact_cosines" in request.node.name else 16

    def open() -> GPTCacheStore:
        opened.append(GPTCacheStore(manager(server.url(), name, dimensions)))
        return opened[-1]

    yield open
    for store in opened:
        store.close()
        for engine in (store._scalars._engine, store._vectors._engine):
            engine.dispose()


class TestGPTCacheOnPostgres(GPTCacheSuite):
    @pytest.fixture
    def reopen(self, reopen: Open) -> Open:
        return reopen

    def test_answers_longer_than_gptcaches_column(self, reopen: Open) -> None:
        store = reopen()
        long = "ü" * 20_000
        store.add([new(1, answer=long, question=long)])
        found = store.exact("key-1")
        assert found is not None and found.answer == found.question == long

    def test_a_server_that_is_gone_is_one_line(self, reopen: Open, server: Server) -> None:
        store = reopen()
        server.stop()
        try:
            with pytest.raises(StoreError, match="GPTCache's storage failed") as raised:
                store.count(Selection())
        finally:
            server.start()
        assert "\n" not in str(raised.value) and "xyzzy" not in str(raised.value)


def test_the_cache_serves_by_meaning_from_it(server: Server) -> None:
    name = next(_names)
    with SemanticCache(GPTCacheStore(manager(server.url(), name, 384))) as cache:
        cache.store("What is the best way to learn Python?", {"text": "Write."})
        cache.store("Who won the world cup in 2015?", "the US")
        other = SemanticCache(GPTCacheStore(manager(server.url(), name, 384)))
        hit = other.lookup("what is the best way to learn python")
        assert hit is not None and hit.layer == "semantic" and hit.answer == {"text": "Write."}
        assert other.lookup("Who won the world cup in 2016?") is None
        other.close()
