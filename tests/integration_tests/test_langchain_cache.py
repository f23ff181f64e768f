"""The cache callback and the global cache, with the real `ChatOpenAI` on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

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
from tests.servers import Answer, ScriptedServer

__all__ = ["no_global_cache"]

Ask = Callable[[ChatOpenAI, Any, Any], Awaitable[AIMessage]]


async def invoke(llm: ChatOpenAI, said: Any, config: Any) -> AIMessage:
    return llm.invoke(said, config)


async def ainvoke(llm: ChatOpenAI, said: Any, config: Any) -> AIMessage:
    return await llm.ainvoke(said, config)


async def batch(llm: ChatOpenAI, said: Any, config: Any) -> AIMessage:
    return llm.batch([said], config)[0]


async def abatch(llm: ChatOpenAI, said: Any, config: Any) -> AIMessage:
    return (await llm.abatch([said], config))[0]


async def generate(llm: ChatOpenAI, said: Any, config: Any) -> AIMessage:
    result = llm.generate([[HumanMessage(said)]], callbacks=config.get("callbacks"))
    return result.generations[0][0].message  # type: ignore[union-attr,return-value]


async def chain(llm: ChatOpenAI, said: Any, config: Any) -> AIMessage:
    return (ChatPromptTemplate.from_messages([("human", "{said}")]) | llm).invoke(
        {"said": said}, config
    )


async def stream_as_invoke(llm: ChatOpenAI, said: Any, config: Any) -> AIMessage:
    llm = llm.model_copy(update={"disable_streaming": True})
    (message,) = llm.stream(said, config)
    return message


every_way = pytest.mark.parametrize(
    "ask", [invoke, ainvoke, batch, abatch, generate, chain, stream_as_invoke]
)


@pytest.fixture
def server(scripted: StartScripted) -> ScriptedServer:
    return scripted({"m": echo})


@every_way
async def test_a_callback_serves_every_way_to_call(server: ScriptedServer, ask: Ask) -> None:
    llm, cached = chat(server), with_(callback())
    first = await ask(llm, ASKED, cached)
    assert layer(first) is None
    again = await ask(llm, ASKED, cached)
    assert (layer(again), again.content) == ("exact", first.content)
    reworded = await ask(llm, REWORDED, cached)
    assert (layer(reworded), reworded.content) == ("semantic", first.content)
    assert layer(await ask(llm, OTHER, cached)) is None
    assert server.calls["m"] == 2
    assert layer(await ask(llm, ASKED, {})) is None, "a run without the callback is untouched"


@every_way
async def test_the_global_cache_serves_every_way_to_call(server: ScriptedServer, ask: Ask) -> None:
    set_llm_cache(FrugalCache(":memory:", error_bound=0.05))
    llm = chat(server)
    first = await ask(llm, ASKED, {})
    assert [layer(await ask(llm, said, {})) for said in (ASKED, REWORDED)] == ["exact", "semantic"]
    assert (await ask(llm, ASKED, {})).content == first.content
    assert server.calls["m"] == 1


def test_a_cache_of_one_model(server: ScriptedServer) -> None:
    llm = chat(server, cache=FrugalCache(":memory:", error_bound=0.05))
    llm.invoke(ASKED)
    assert layer(llm.invoke(REWORDED)) == "semantic"
    assert layer(chat(server).invoke(ASKED)) is None


def test_a_hit_is_a_fresh_copy_that_costs_nothing(server: ScriptedServer) -> None:
    llm, cb = chat(server), callback()
    llm.invoke(ASKED, with_(cb))
    usage = UsageMetadataCallbackHandler()
    hit = llm.invoke(ASKED, with_(cb, usage))
    assert hit.usage_metadata is not None and hit.usage_metadata["total_tokens"] == 0
    assert usage.usage_metadata["m"]["total_tokens"] == 0
    assert hit.response_metadata["model_name"] == "m"
    assert "token_usage" not in hit.response_metadata
    marker = hit.response_metadata["frugal_cache"]
    assert set(marker) == {"layer", "score", "age_s", "id"} and marker["score"] == 1
    said = hit.content
    hit.content = "poison"
    hit.response_metadata["model_name"] = "poison"
    again = llm.invoke(ASKED, with_(cb))
    assert (again.content, again.response_metadata["model_name"]) == (said, "m")
    assert again.id is None or again.id != hit.id


def test_what_else_shapes_the_answer_must_be_the_same(server: ScriptedServer) -> None:
    cached = with_(callback())
    said = [SystemMessage("Be brief."), HumanMessage(ASKED)]
    chat(server).invoke(said, cached)
    assert layer(chat(server).invoke(said, cached)) == "exact"
    for changed in (
        chat(server).invoke([SystemMessage("Be long."), HumanMessage(ASKED)], cached),
        chat(server).invoke(ASKED, cached),
        chat(server, temperature=0.1).invoke(said, cached),
        chat(server).invoke(said, cached, stop=["."]),
        chat(server).invoke([SystemMessage("Be brief."), AIMessage("Hi"), said[1]], cached),
    ):
        assert layer(changed) is None


def test_what_is_served_word_for_word_alone(server: ScriptedServer) -> None:
    cached = with_(callback())
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    history = [HumanMessage("Tell me about Python."), AIMessage("A language.")]
    calls: list[tuple[ChatOpenAI, Callable[[str], Any]]] = [
        (chat(server, temperature=0.9), lambda said: said),
        (chat(server), lambda said: [HumanMessage([{"type": "text", "text": said}, picture])]),
        (chat(server), lambda said: [*history, HumanMessage(said.replace("Python", "it"))]),
        (chat(server), lambda said: [SystemMessage(said)]),
        (chat(server, n=2), lambda said: said),
    ]
    for llm, prompt in calls:
        llm.invoke(prompt(ASKED), cached)
        assert layer(llm.invoke(prompt(ASKED), cached)) == "exact"
        assert layer(llm.invoke(prompt(REWORDED), cached)) is None
    follow_up = [*history, HumanMessage(ASKED)]
    chat(server).invoke(follow_up, cached)
    assert layer(chat(server).invoke([*history, HumanMessage(REWORDED)], cached)) == "semantic"


@pytest.mark.parametrize(
    "bad",
    [
        Answer.truncated("a long"),
        Answer.filtered("so"),
        Answer.refused(),
        Answer(""),
        Answer.calling("f", "{broken"),
        Answer.calling("f", {}),
    ],
    ids=["truncated", "filtered", "refused", "empty", "broken tool call", "tool call"],
)
def test_what_is_not_kept(scripted: StartScripted, bad: Answer) -> None:
    server, cached = scripted({"m": [bad, "fine"]}), with_(callback())
    chat(server).invoke(ASKED, cached)
    assert chat(server).invoke(ASKED, cached).content == "fine"
    assert server.calls["m"] == 2


def test_kept_tool_calls_have_new_ids(scripted: StartScripted) -> None:
    server, cached = (
        scripted({"m": Answer.calling("f", {"x": 1})}),
        with_(callback(tool_calls=True)),
    )
    llm = chat(server).bind_tools([{"name": "f", "parameters": {"type": "object"}}])
    first, second, third = (llm.invoke(ASKED, cached) for _ in range(3))
    assert server.calls["m"] == 1
    assert second.tool_calls[0]["args"] == {"x": 1}
    assert len({m.tool_calls[0]["id"] for m in (first, second, third)}) == 3
    assert layer(llm.invoke(REWORDED, cached)) is None


class Person(BaseModel):
    name: str
    age: int


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_structured_output(scripted: StartScripted, method: Any, asynchronous: bool) -> None:
    ada = {"name": "Ada", "age": 36}
    calls = method == "function_calling"
    server = scripted({"m": Answer.calling("Person", ada) if calls else Answer.json(ada)})
    cached = with_(callback(tool_calls=calls))
    llm = chat(server).with_structured_output(Person, method=method)
    for said in (ASKED, ASKED, REWORDED):
        got = await llm.ainvoke(said, cached) if asynchronous else llm.invoke(said, cached)
        assert got == Person(name="Ada", age=36)
    assert server.calls["m"] == 2, "another wording of a structured question is asked anew"


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
async def test_structured_output_of_a_cascade(scripted: StartScripted, method: str) -> None:
    ada = {"name": "Ada", "age": 36}
    calls = method == "function_calling"
    server = scripted({"m": Answer.calling("Person", ada) if calls else Answer.json(ada)})
    cached = with_(callback(tool_calls=calls))
    llm = FrugalCascadeLLM(tiers=[chat(server)]).with_structured_output(Person, method=method)
    for _ in range(2):
        assert llm.invoke(ASKED, cached) == Person(name="Ada", age=36)
        assert await llm.ainvoke(ASKED, cached) == Person(name="Ada", age=36)
        assert list(llm.stream(ASKED, cached))[-1] == Person(name="Ada", age=36)
    assert server.calls["m"] == 1


def test_a_callback_of_the_model(server: ScriptedServer) -> None:
    llm = chat(server, callbacks=[callback()])
    assert [layer(llm.invoke(said)) for said in (ASKED, REWORDED)] == [None, "semantic"]


def test_tenants_are_apart_and_callbacks_do_not_mix(server: ScriptedServer, tmp_path: Path) -> None:
    place = tmp_path / "cache.sqlite"
    with callback(location=place, scope="a") as one, callback(location=place, scope="b") as two:
        llm = chat(server)
        for cb in (one, two):
            assert layer(llm.invoke(ASKED, with_(cb))) is None
        for cb in (one, two):
            assert layer(llm.invoke(ASKED, with_(cb))) == "exact"
        assert one.invalidate(everything=True) == 1
        assert layer(llm.invoke(ASKED, with_(two))) == "exact"
        assert layer(llm.invoke(ASKED, with_(one))) is None


def test_of_two_callbacks_on_one_run_the_last_wins(server: ScriptedServer) -> None:
    one, two = callback(), callback()
    llm = chat(server)
    llm.invoke(ASKED, with_(one, two))
    assert (one.cache.stats()["entries"], two.cache.stats()["entries"]) == (0, 1)
    assert layer(llm.invoke(ASKED, with_(one, two))) == "exact"
    llm.generate([[HumanMessage(OTHER)], [HumanMessage(ASKED)]], callbacks=[one, two])
    assert (one.cache.stats()["entries"], two.cache.stats()["entries"]) == (0, 2)


def test_the_former_global_cache_serves_all_other_runs(server: ScriptedServer) -> None:
    llm, cb, former = chat(server), callback(), InMemoryCache()
    set_llm_cache(former)
    llm.invoke(OTHER)
    assert layer(llm.invoke(ASKED, with_(cb))) is None
    assert len(former._cache) == 1 and cb.cache.stats()["entries"] == 1
    llm.invoke(OTHER)
    llm.invoke(OTHER, with_(cb))
    assert server.calls["m"] == 3
    later = InMemoryCache()
    set_llm_cache(later)  # after the router was installed
    assert layer(llm.invoke(ASKED, with_(cb))) == "exact"
    llm.invoke(OTHER)
    assert len(later._cache) == 1
    set_llm_cache(None)
    assert layer(llm.invoke(ASKED, with_(cb))) == "exact"
    assert layer(llm.invoke(ASKED)) is None


def test_cache_false_is_respected(server: ScriptedServer) -> None:
    cb = callback()
    for _ in range(2):
        assert layer(chat(server, cache=False).invoke(ASKED, with_(cb))) is None
    assert cb.cache.stats()["entries"] == 0


def test_a_generate_of_several_prompts(server: ScriptedServer) -> None:
    llm, cb = chat(server), callback()
    prompts: list[Any] = [[HumanMessage(said)] for said in (ASKED, OTHER, ASKED, REWORDED)]
    result = llm.generate(prompts, callbacks=[cb])
    layers = [layer(g[0].message) for g in result.generations]  # type: ignore[union-attr]
    assert layers == [None, None, "exact", "semantic"]
    result = asyncio.run(llm.agenerate(prompts, callbacks=[cb]))
    layers = [layer(g[0].message) for g in result.generations]  # type: ignore[union-attr]
    assert layers == ["exact", "exact", "exact", "semantic"]
    assert server.calls["m"] == 2


@pytest.mark.parametrize("asking", ["json_mode", "parser"])
def test_what_is_not_the_json_that_was_asked_for_is_not_kept(
    scripted: StartScripted, asking: str
) -> None:
    server = scripted({"m": ["Sure! Here you are.", '```json\n{"name": "Ann"}\n```', "unused"]})
    llm: Any = chat(server)
    instructions = ""
    if asking == "json_mode":
        llm = llm.bind(response_format={"type": "json_object"})
    else:
        instructions = PydanticOutputParser(pydantic_object=Person).get_format_instructions()
    parsed = (llm | JsonOutputParser()).with_retry(wait_exponential_jitter=False)
    cached = with_(callback())
    for _ in range(2):
        assert parsed.invoke(f"{ASKED}\n{instructions}", cached) == {"name": "Ann"}
    assert server.calls["m"] == 2
