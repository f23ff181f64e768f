"""Streams: a cascade's are served and kept; those of other models are kept for the next call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import add_ai_message_chunks

from langchain_frugal import FrugalCache, FrugalCascadeLLM
from tests.conftest import StartScripted
from tests.integration_tests.langchain_cache_helpers import (
    ASKED,
    OTHER,
    REWORDED,
    callback,
    chat,
    echo,
    layer,
    no_global_cache,
    with_,
)
from tests.servers import Answer, Fault, ScriptedServer

__all__ = ["no_global_cache"]


def accepts_nothing(query: str, answer: str) -> float:
    return 0.0


def cascade(server: ScriptedServer, **arguments: Any) -> FrugalCascadeLLM:
    tiers = [chat(server, model="draft"), chat(server)]
    return FrugalCascadeLLM(tiers=tiers, scorer=accepts_nothing, **arguments)


async def stream(llm: Any, said: str, config: Any) -> list[AIMessageChunk]:
    return list(llm.stream(said, config))


async def astream(llm: Any, said: str, config: Any) -> list[AIMessageChunk]:
    return [chunk async for chunk in llm.astream(said, config)]


Stream = Callable[[Any, str, Any], Awaitable[list[AIMessageChunk]]]
both_ways = pytest.mark.parametrize("ask", [stream, astream])


@pytest.fixture
def server(scripted: StartScripted) -> ScriptedServer:
    return scripted({"draft": "a draft", "m": echo})


@both_ways
@pytest.mark.parametrize("door", ["callback", "global", "own"])
async def test_a_cascades_stream_is_served(server: ScriptedServer, ask: Stream, door: str) -> None:
    cache = FrugalCache(":memory:", error_bound=0.05)
    cached: Any = with_(callback()) if door == "callback" else {}
    if door == "global":
        set_llm_cache(cache)
    llm = cascade(server, cache=cache if door == "own" else None)
    first = add_ai_message_chunks(*await ask(llm, ASKED, cached))
    assert layer(first) is None and first.usage_metadata is not None
    for said, expected in ((ASKED, "exact"), (REWORDED, "semantic")):
        chunks = await ask(llm, said, cached)
        whole = add_ai_message_chunks(*chunks)
        assert (layer(whole), whole.content) == (expected, first.content)
        assert len(chunks) > 3 and layer(chunks[-1]) == expected
        assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1
        assert whole.usage_metadata is not None and whole.usage_metadata["total_tokens"] == 0
        assert whole.response_metadata["frugal"]["accepted"] == "m"
        assert whole.response_metadata["frugal"]["usd"] == 0
    assert (server.calls["draft"], server.calls["m"]) == (1, 1)
    assert layer(llm.invoke(ASKED, cached)) == "exact", "an invoke has the stream's answer"
    if door != "global":  # under a global cache, LangChain keeps the tiers' answers, too
        kept = cached["callbacks"][0].cache if cached else cache.cache
        assert kept.stats()["entries"] == 1
    llm.invoke(OTHER, cached)
    assert layer(add_ai_message_chunks(*await ask(llm, OTHER, cached))) == "exact"


@both_ways
async def test_an_unfinished_stream_is_not_kept(scripted: StartScripted, ask: Stream) -> None:
    broken = Fault.cut(Answer("these words do not all arrive"))
    server = scripted({"draft": Fault.server_error(), "m": [broken, "fine"]})
    cb = callback()
    with pytest.raises(Exception, match=r"."):
        await ask(cascade(server), ASKED, with_(cb))
    assert cb.cache.stats()["entries"] == 0
    assert add_ai_message_chunks(*await ask(cascade(server), ASKED, with_(cb))).content == "fine"
    assert cb.cache.stats()["entries"] == 1


def test_a_stream_that_is_left_lets_the_others_go_on(server: ScriptedServer) -> None:
    llm, cb = cascade(server), callback()
    for _ in llm.stream(ASKED, with_(cb)):
        break
    assert cb.cache.stats()["entries"] == 0
    assert layer(add_ai_message_chunks(*llm.stream(ASKED, with_(cb)))) is None
    assert layer(llm.invoke(ASKED, with_(cb))) == "exact"


async def test_twenty_streams_at_once(scripted: StartScripted) -> None:
    server = scripted({"draft": "a draft", "m": Answer("one two three", pause=0.02)})
    cb = callback()
    streams = await asyncio.gather(*(astream(cascade(server), ASKED, with_(cb)) for _ in range(20)))
    assert {add_ai_message_chunks(*chunks).content for chunks in streams} == {"one two three"}
    assert server.calls["m"] == 1


@both_ways
async def test_another_models_stream_is_kept_for_the_next_invoke(
    server: ScriptedServer, ask: Stream
) -> None:
    cb = callback()
    for bound in (chat(server), chat(server).bind(stop=["!"], temperature=0.1)):
        said = add_ai_message_chunks(*await ask(bound, ASKED, with_(cb)))
        for _ in range(100):
            if cb.cache.stats()["entries"]:
                break
            await asyncio.sleep(0.02)
        hit = bound.invoke(ASKED, with_(cb))
        assert (layer(hit), hit.content) == ("exact", said.content)
        cb.invalidate(everything=True)
    assert layer((await ask(chat(server), ASKED, with_(cb)))[-1]) is None, "it is not served"


async def test_what_is_asked_without_a_callback_while_a_stream_is_read_is_not_served(
    server: ScriptedServer,
) -> None:
    cb, llm = callback(), chat(server)
    llm.invoke(OTHER, with_(cb))
    for _ in llm.stream(ASKED, with_(cb)):
        assert layer(llm.invoke(OTHER)) is None
    async for _ in llm.astream(ASKED, with_(cb)):
        assert layer(await llm.ainvoke(OTHER)) is None
    next(iter(llm.stream_events(ASKED, with_(cb), version="v3")))
    assert layer(llm.invoke(OTHER)) is None
    assert cb.cache.stats()["lookups"] == 1


async def test_a_stream_of_another_model_that_breaks_is_not_kept(scripted: StartScripted) -> None:
    server, cb = scripted({"m": Fault.cut()}), callback()
    with pytest.raises(Exception, match=r"."):
        await astream(chat(server), ASKED, with_(cb))
    await asyncio.sleep(0.05)
    assert cb.cache.stats()["entries"] == 0


def test_langchains_own_caches_stay_out_of_streams(server: ScriptedServer) -> None:
    set_llm_cache(InMemoryCache())
    llm = cascade(server)
    for said in (ASKED, ASKED):
        list(llm.stream(said))
    chat(server).invoke(OTHER, with_(callback()))  # installs the router
    list(llm.stream(ASKED))
    assert server.calls["m"] == 4  # drafts are invoked: those LangChain's cache may serve


@both_ways
async def test_a_former_global_cache_of_ours_goes_on_serving_streams(
    server: ScriptedServer, ask: Stream
) -> None:
    set_llm_cache(FrugalCache(":memory:"))
    chat(server).invoke(OTHER, with_(callback()))  # installs the router
    for expected in (None, "exact"):
        assert layer(add_ai_message_chunks(*await ask(cascade(server), ASKED, {}))) == expected
    for _ in cascade(server).stream(OTHER):
        break
    assert layer(add_ai_message_chunks(*await ask(cascade(server), OTHER, {}))) is None


@both_ways
async def test_an_invoke_that_streams_is_looked_up_once(
    server: ScriptedServer, ask: Stream
) -> None:
    cb = callback()
    llm = cascade(server, streaming=True)
    assert layer(llm.invoke(ASKED, with_(cb))) is None
    assert layer(llm.invoke(ASKED, with_(cb))) == "exact"
    assert layer(add_ai_message_chunks(*await ask(llm, ASKED, with_(cb)))) == "exact"
    assert cb.cache.stats()["lookups"] == 3
    assert server.calls["m"] == 1
