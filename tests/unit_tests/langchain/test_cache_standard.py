"""LangChain's own tests of caches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.caches import BaseCache
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite

from langchain_frugal import FrugalCache


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[BaseCache]:
    with FrugalCache(tmp_path / "cache.sqlite") as cache:
        yield cache


class TestSync(SyncCacheTestSuite):
    """Through `lookup`, `update` and `clear`."""

    @pytest.fixture
    def cache(self, fresh: BaseCache) -> BaseCache:
        return fresh


class TestAsync(AsyncCacheTestSuite):
    """Through their asynchronous twins."""

    @pytest.fixture
    async def cache(self, fresh: BaseCache) -> BaseCache:
        return fresh
