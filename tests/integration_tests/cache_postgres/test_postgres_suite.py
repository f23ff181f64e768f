"""What every store must do, on a real server."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from frugal_core.cache.store.postgres import PostgresStore
from tests.unit_tests.core.cache.store_suite import StoreSuite


class TestPostgresStore(StoreSuite):
    @pytest.fixture
    def reopen(self, open_store: Callable[..., PostgresStore]) -> Callable[[], PostgresStore]:
        return open_store
