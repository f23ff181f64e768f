"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest

from frugal_core.local_model import LocalModel, LocalModelError, find_weights
from tests.servers import ScriptedServer
from tests.servers.replies import Behaviour

StartScripted = Callable[[Mapping[str, Behaviour] | Behaviour], ScriptedServer]


@pytest.fixture(scope="session")
def local_model() -> Iterator[LocalModel]:
    """A real small model on this machine's CPU; skips the test if it is not installed."""
    try:
        find_weights()
    except LocalModelError as error:
        pytest.skip(str(error))
    with LocalModel(parallel=2) as model:
        yield model


@pytest.fixture
def scripted() -> Iterator[StartScripted]:
    """Start scripted servers: ``server = scripted({"cheap": "yes"})``; they end with the test."""
    with ExitStack() as servers:
        yield lambda script: servers.enter_context(ScriptedServer(script))
