"""A Postgres cache of two processes, one with LangChain and one with LlamaIndex."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import StartScripted
from tests.integration_tests.cache_doors import ASKED, DOORS, MODEL, OTHER, REWORDED, Door
from tests.integration_tests.langchain_cache_helpers import no_global_cache
from tests.integration_tests.test_llama_index_cache_shared import ask_elsewhere
from tests.servers import Answer

if TYPE_CHECKING:
    from tests.integration_tests.cache_postgres.server import Server

__all__ = ["no_global_cache"]


@pytest.mark.parametrize("writer", DOORS, ids=lambda door: door.__name__)
def test_one_writes_and_the_other_hits(
    server: Server, scripted: StartScripted, writer: type[Door]
) -> None:
    (reader,) = (door for door in DOORS if door is not writer)
    model = scripted(lambda request: Answer(f"answer {request.number}"))
    opened = writer(model.base_url, location=server.url())
    try:
        assert opened.layers(ASKED) == [None]
        assert ask_elsewhere(reader, model.base_url, server.url(), ASKED) == "exact"
        assert ask_elsewhere(reader, model.base_url, server.url(), REWORDED) == "semantic"
        assert ask_elsewhere(reader, model.base_url, server.url(), OTHER) == "None"
        assert opened.layers(OTHER) == ["exact"]
        assert model.calls[MODEL] == 2
    finally:
        opened.cache.invalidate(everything=True)
        opened.cache.close()
