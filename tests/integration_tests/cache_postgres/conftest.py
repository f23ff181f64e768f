"""One Postgres server for the tests of a session."""

from __future__ import annotations

import importlib.util
import itertools
import platform
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from frugal_core.cache.store.postgres import PostgresStore

if TYPE_CHECKING:
    from tests.integration_tests.cache_postgres.server import Server

_names = (f"test_{number}" for number in itertools.count())
_HAS_WHEEL = sys.version_info < (3, 13) and (
    platform.system() in ("Linux", "Darwin", "Windows")
    and platform.machine().lower() in ("x86_64", "amd64", "arm64")
)
_MISSING = importlib.util.find_spec("pgserver") is None and not _HAS_WHEEL
if _MISSING:
    collect_ignore = ["test_postgres_faults.py"]  # which is about that very server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A real server; a test without it fails, unless its package has no wheel for this machine."""
    if _MISSING:
        pytest.skip("pgserver has no wheel for this machine")
    from tests.integration_tests.cache_postgres.server import Server

    with Server() as started:
        yield started


@pytest.fixture
def schema() -> str:
    """A schema that no other test uses."""
    return next(_names)


@pytest.fixture
def open_store(server: Server, schema: str) -> Iterator[Callable[..., PostgresStore]]:
    """Open a store on the server, in this test's schema; closed with the test."""
    opened: list[PostgresStore] = []

    def open(**options: Any) -> PostgresStore:
        opened.append(PostgresStore(server.url(), **({"schema": schema} | options)))
        return opened[-1]

    yield open
    for store in opened:
        store.close()
