"""Calls: what is asked, what is answered, what it cost, and what happens when it fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField

from frugal_core.cascade import Ask
from frugal_core.errors import FrugalError
from frugal_core.loop import VERIFICATION
from langchain_frugal import FrugalCascadeLLM
from tests.unit_tests.langchain.fakes import Fake, right

Way = Callable[..., Awaitable[AIMessage]]


async def invoke(llm: Any, question: Any = "Q", **kwargs: Any) -> AIMessage:
    message: AIMessage = llm.invoke(question, **kwargs)
    return message


async def ainvoke(llm: Any, question: Any = "Q", **kwargs: Any) -> AIMessage:
    message: AIMessage = await llm.ainvoke(question, **kwargs)
    return message


async def stream(llm: Any, question: Any = "Q", **kwargs: Any) -> AIMessage:
    return joined(list(llm.stream(question, **kwargs)))


async def astream(llm: Any, question: Any = "Q", **kwargs: Any) -> AIMessage:
    return joined([chunk async for chunk in llm.astream(question, **kwargs)])


def joined(chunks: list[AIMessageChunk]) -> AIMessage:
    """One message, after the rules that every stream must keep."""
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1
    assert sum("frugal" in chunk.response_metadata for chunk in chunks) == 1
    assert sum("model_name" in chunk.response_metadata for chunk in chunks) == 1
    assert [chunk.chunk_position for chunk in chunks].count("last") == 1
    assert len({chunk.id for chunk in chunks}) == 1
    return add_ai_message_chunks(*chunks)


every_way = pytest.mark.parametrize("way", [invoke, ainvoke, stream, astream])


def two(first: Any = "wrong", second: Any = "it is right", **kwargs: Any) -> FrugalCascadeLLM:
    tiers = {"a": Fake(model="a-1", says=[first]), "b": Fake(model="b-1", says=[second])}
    return FrugalCascadeLLM(tiers=tiers, **{"scorer": right, **kwargs})


def fakes(llm: FrugalCascadeLLM) -> list[Any]:
    return [tier.model for tier in llm._assembly.tiers]


def trail(message: AIMessage) -> list[tuple[str, str]]:
    steps = message.response_metadata["frugal"]["trail"]
    return [(step["model"], step["decision"]) for step in steps]


@every_way
async def test_accepted_at_the_first_tier(way: Way) -> None:
    llm = two(first="this is right, I say")
    message = await way(llm)
    assert str(message.content).strip() == "this is right, I say"
    assert trail(message) == [("a", "accepted")]
    assert message.response_metadata["model_name"] == "a-1"
    assert message.usage_metadata == {
        "input_tokens": 10,
        "output_tokens": 5,
        "total_tokens": 15,
        "input_token_details": {"cache_read": 4},
        "output_token_details": {"reasoning": 2},
    }
    assert fakes(llm)[1].calls == []


@every_way
async def test_escalated_to_the_last_tier(way: Way) -> None:
    message = await way(two())
    assert str(message.content).strip() == "it is right"
    assert trail(message) == [("a", "rejected"), ("b", "accepted")]
    assert message.response_metadata["model_name"] == "b-1"
    assert message.usage_metadata == {
        "input_tokens": 20,
        "output_tokens": 10,
        "total_tokens": 30,
        "input_token_details": {"cache_read": 8},
        "output_token_details": {"reasoning": 4},
    }
    assert message.response_metadata["frugal"]["promise"].startswith("no promise")


@every_way
async def test_accepted_in_the_middle(way: Way) -> None:
    tiers = {name: Fake(says=[says]) for name, says in [("a", "no"), ("b", "right"), ("c", "no")]}
    message = await way(FrugalCascadeLLM(tiers=tiers, scorer=right))
    assert trail(message) == [("a", "rejected"), ("b", "accepted")]


@every_way
async def test_one_tier_only(way: Way) -> None:
    assert trail(await way(FrugalCascadeLLM(tiers=[Fake(model="a", says=["no"])]))) == [
        ("a", "accepted")
    ]


@every_way
async def test_verification_where_nothing_scores(way: Way) -> None:
    cheap = Fake(model="cheap", says=["Paris", "Yes."])
    message = await way(FrugalCascadeLLM(tiers=[cheap, Fake(model="strong")]), "Capital?")
    assert str(message.content).strip() == "Paris"
    assert trail(message) == [("cheap", "accepted"), ("cheap", "verified")]
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] == 30
    asked, _ = cheap.calls[1]
    assert [m.content for m in asked] == ["Capital?", "Paris", VERIFICATION]


@every_way
async def test_log_probabilities_that_a_tier_gives_of_its_own(way: Way) -> None:
    def said(logprob: float) -> AIMessage:
        tokens = [{"token": "x", "logprob": logprob}]
        return AIMessage("Paris", response_metadata={"logprobs": {"content": tokens}})

    sure = FrugalCascadeLLM(tiers=[Fake(model="a", says=[said(-0.1)]), Fake(model="b")])
    unsure = FrugalCascadeLLM(tiers=[Fake(model="a", says=[said(-1.0)]), Fake(model="b")])
    assert trail(await way(sure)) == [("a", "accepted")]
    assert trail(await way(unsure)) == [("a", "rejected"), ("b", "accepted")]


@every_way
async def test_provider_that_does_not_count(way: Way) -> None:
    llm = FrugalCascadeLLM(
        tiers={"gpt-4o": Fake(usage=None, says=["right"]), "b": Fake()}, scorer=right
    )
    message = llm.invoke("Q")
    assert message.usage_metadata is None
    assert message.response_metadata["frugal"]["usd"] is None, "unknown, not zero"


def test_the_scorer_reads_the_question_not_the_prompt() -> None:
    seen = []

    def scorer(query: str, answer: str) -> float:
        seen.append((query, answer))
        return 1.0

    llm = FrugalCascadeLLM(tiers=[Fake(says=["an answer"]), Fake()], scorer=scorer)
    llm.invoke([("system", "long rules"), ("user", "old"), ("ai", "said"), ("user", "new")])
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    llm.invoke([HumanMessage(content=[{"type": "text", "text": "what is this?"}, image])])
    call = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "1"}])
    llm.invoke([HumanMessage("weather?"), call, ToolMessage("sunny", tool_call_id="1")])
    llm.invoke([("system", "only rules")])
    assert [query for query, _ in seen] == [
        "new",
        "what is this?",
        "weather?\nsunny",
        "only rules",
    ]


# Arguments of a call


@every_way
@pytest.mark.parametrize("name", ["a", "b"])
async def test_naming_a_model_pins_the_call(way: Way, name: str) -> None:
    message = await way(two(), model=name)
    assert trail(message) == [(name, "accepted")]


def test_naming_a_model_by_its_tag() -> None:
    llm = FrugalCascadeLLM(tiers={"gemma:7b": Fake(), "mistral:7b": Fake()}, scorer=right)
    assert trail(llm.invoke("Q", model="mistral:7b")) == [("mistral:7b", "accepted")]


async def test_naming_an_unknown_model() -> None:
    with pytest.raises(FrugalError, match="model='c' is not a tier of this cascade: a, b"):
        two().invoke("Q", model="c")


@every_way
async def test_arguments_reach_every_tier(way: Way) -> None:
    llm = two()
    await way(llm, stop=["\n"], temperature=0.5)
    for fake in fakes(llm):
        (_, kwargs), *_ = fake.calls
        assert (kwargs["stop"], kwargs["temperature"]) == (["\n"], 0.5)


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ({}, {"logprobs": True}),
        ({"top_p": 0.5}, {"logprobs": True}),
        # OpenAI's Responses API knows no such argument, and any of these selects it.
        ({"previous_response_id": "resp_1"}, {}),
        ({"include": ["message.output_text.logprobs"]}, {}),
        ({"truncation": "auto"}, {}),
        ({"text": {"verbosity": "low"}}, {}),
        ({"reasoning": {"effort": "low"}}, {}),
    ],
)
def test_log_probabilities_are_asked_for_where_they_may_be(arguments: Any, asked: Any) -> None:
    llm = FrugalCascadeLLM(model="gpt-4o", api_key="k")
    call = llm._call([HumanMessage("Q")], None, dict(arguments))
    assert call.request(Ask(0, live=False))[2] == {**asked, **arguments}


def test_log_probabilities_are_not_asked_for_where_the_constructor_selects_another_api() -> None:
    low = {"text": {"verbosity": "low"}}
    llm = FrugalCascadeLLM(model="gpt-4o", api_key="k", model_kwargs=low)
    assert llm._assembly.tiers[0].draft_options == {}


# Failures


@every_way
@pytest.mark.parametrize("error", [TimeoutError("slow"), ConnectionError("gone"), KeyError("?")])
async def test_failing_tier_escalates(way: Way, error: Exception) -> None:
    message = await way(two(first=error))
    assert trail(message) == [("a", "failed"), ("b", "accepted")]


@every_way
async def test_best_draft_is_returned_and_flagged(way: Way) -> None:
    message = await way(two(first="a draft", second=TimeoutError("slow")))
    assert message.content == "a draft"
    assert message.response_metadata["frugal"]["degraded"] is True
    assert message.response_metadata["frugal"]["promise"].startswith("no promise")


@every_way
async def test_last_tier_raises_if_that_is_wanted(way: Way) -> None:
    with pytest.raises(TimeoutError, match="slow"):
        await way(two(second=TimeoutError("slow"), on_failure="raise"))


@every_way
async def test_all_tiers_fail(way: Way) -> None:
    with pytest.raises(TimeoutError, match="second") as raised:
        await way(two(first=ConnectionError("first"), second=TimeoutError("second")))
    assert isinstance(raised.value.__cause__, ExceptionGroup)


@every_way
async def test_a_bug_in_the_scorer_costs_no_answer(way: Way) -> None:
    """It is told in the trail and in the log; a call in production must not die of it."""

    def broken(query: str, answer: str) -> float:
        raise ZeroDivisionError("by zero")

    message = await way(two(scorer=broken))
    assert trail(message) == [("a", "rejected"), ("b", "accepted")]
    first = message.response_metadata["frugal"]["trail"][0]
    assert first["why"] == "no score: the scorer raised ZeroDivisionError: by zero"


LOOK = {"name": "look", "description": "", "parameters": {}}
BAD_CALL = AIMessage("", tool_calls=[{"name": "no_such", "args": {}, "id": "1"}])


@every_way
@pytest.mark.parametrize("ended", [{}, {"finish_reason": "length"}], ids=["empty", "all thought"])
async def test_an_empty_last_answer_gives_way_to_the_draft(way: Way, ended: Any) -> None:
    check_draft(await way(two(first="a draft", second=AIMessage("", response_metadata=ended))))


@pytest.mark.parametrize("way", [invoke, ainvoke])
async def test_a_broken_last_tool_call_gives_way_to_the_draft(way: Way) -> None:
    check_draft(await way(two(first="a draft", second=BAD_CALL).bind_tools([LOOK])))


def check_draft(message: AIMessage) -> None:
    assert str(message.content).strip() == "a draft"
    assert trail(message) == [("a", "rejected"), ("b", "rejected"), ("a", "returned")]
    assert message.response_metadata["frugal"]["degraded"] is True
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] == 30


FUNCTION = AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}})
SOUND = AIMessage("", additional_kwargs={"audio": {"id": "a", "transcript": "hello"}})


@pytest.mark.parametrize("way", [invoke, ainvoke])
@pytest.mark.parametrize("said", [FUNCTION, SOUND])
async def test_an_answer_beside_the_content_is_not_empty(way: Way, said: AIMessage) -> None:
    message = await way(two(first="a draft", second=said))
    assert message.additional_kwargs == said.additional_kwargs
    assert trail(message) == [("a", "rejected"), ("b", "accepted")]
    assert message.response_metadata["frugal"]["trail"][-1]["why"] == "last tier"


@pytest.mark.parametrize("way", [stream, astream])
async def test_what_has_been_streamed_stays(way: Way) -> None:
    message = await way(two(first="a draft", second=BAD_CALL).bind_tools([LOOK]))
    assert message.tool_calls[0]["name"] == "no_such"
    assert message.response_metadata["frugal"]["degraded"] is False
    steps = message.response_metadata["frugal"]["trail"]
    assert steps[-1]["why"] == "last tier, though called an unknown tool: no_such"


@every_way
async def test_a_last_answer_of_no_use_is_returned_if_that_is_wanted(way: Way) -> None:
    message = await way(two(second=AIMessage(""), on_failure="raise"))
    assert message.content == ""
    assert trail(message)[-1] == ("b", "accepted")


@pytest.mark.parametrize("token", [{"logprob": None}, {}, {"logprob": float("nan")}])
def test_log_probabilities_that_are_none_cost_no_answer(token: dict[str, Any]) -> None:
    said = AIMessage("Paris", response_metadata={"logprobs": {"content": [token]}})
    cheap = Fake(model="a", says=[said, "Yes."])
    message = FrugalCascadeLLM(tiers=[cheap, Fake(model="b")]).invoke("Q")
    assert trail(message) == [("a", "accepted"), ("a", "verified")]


@pytest.mark.parametrize("way", [stream, astream])
async def test_stream_that_breaks_after_something_was_shown(way: Way) -> None:
    strong = Fake(model="b", says=[ConnectionError("cut")], breaks_after=2)
    with pytest.raises(ConnectionError, match="cut"):
        await way(FrugalCascadeLLM(tiers=[Fake(says=["no"]), strong], scorer=right))


def responses(*cities: str) -> AIMessage:
    """What ChatOpenAI makes of a reply of OpenAI's Responses API that calls a tool."""
    calls = [ToolCall(name="look", args={"city": city}, id=f"call_{city}") for city in cities]
    blocks = [
        {"type": "function_call", "name": "look", "call_id": call["id"], "id": f"fc_{call['id']}"}
        | {"arguments": json.dumps(call["args"])}
        for call in calls
    ]
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    told = {"type": "text", "text": "let me look", "id": "msg_1", "annotations": []}
    return AIMessage(
        [thought, told, *blocks], tool_calls=calls, response_metadata={"model_provider": "openai"}
    )


@pytest.mark.parametrize("way", [stream, astream])
@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize("cities", [("Paris",), ("Paris", "Rome")])
async def test_a_replayed_draft_calls_its_tools_once(
    way: Way, version: str | None, cities: tuple[str, ...]
) -> None:
    said = responses(*cities)
    more = {} if version is None else {"output_version": version}
    message = await way(two(first=said, scorer=lambda q, a: 1.0, **more).bind_tools([LOOK]))
    assert message.tool_calls == said.tool_calls and not message.invalid_tool_calls
    assert message.text == "let me look"
    blocks = message.content_blocks
    assert [block["type"] for block in blocks[:2]] == ["reasoning", "text"]
    called = [(block["type"], block["id"], block["args"]) for block in blocks[2:]]  # type: ignore[typeddict-item]
    assert called == [("tool_call", call["id"], call["args"]) for call in said.tool_calls]
    assert [block["type"] for block in message.content if isinstance(block, dict)] == [
        *("reasoning", "text"),
        *["tool_call" if version else "function_call"] * len(cities),
    ]


def test_closing_a_stream_closes_the_tiers() -> None:
    llm = two(second="one two three four")
    chunks = llm.stream("Q")
    for chunk in chunks:
        if chunk.content:
            break
    chunks.close()  # type: ignore[attr-defined]  # LangChain's streams are generators
    assert fakes(llm)[1].closed == ["closed"]


async def test_cancelling_a_stream_closes_the_tiers() -> None:
    strong = Fake(model="b", says=["one two three four"], sleeps=0.05)
    llm = FrugalCascadeLLM(tiers=[Fake(says=["no"]), strong], scorer=right)

    async def consume() -> None:
        async for _ in llm.astream("Q"):
            pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.12)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert strong.closed == ["closed"]


async def test_cancelling_does_not_escalate() -> None:
    slow, strong = Fake(model="a", sleeps=10.0), Fake(model="b")
    llm = FrugalCascadeLLM(tiers=[slow, strong], scorer=right)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(llm.ainvoke("Q"), timeout=0.05)
    assert strong.calls == []


async def test_async_is_native() -> None:
    """Ten slow calls at once take as long as one, and no thread is needed for them."""
    tiers = [Fake(model="a", says=["right"], sleeps=0.5), Fake(model="b")]
    llm = FrugalCascadeLLM(tiers=tiers, scorer=right)
    loop = asyncio.get_running_loop()
    loop.run_in_executor = None  # type: ignore[method-assign,assignment]  # whoever uses it fails
    try:
        async with asyncio.timeout(4.0):
            await asyncio.gather(*(llm.ainvoke("Q") for _ in range(10)))
            assert [c.content async for c in llm.astream("Q") if c.content] == ["right"]
    finally:
        del loop.run_in_executor


# Composition


async def test_chains_and_batches() -> None:
    chain = ChatPromptTemplate.from_template("{q}?") | two() | StrOutputParser()
    assert chain.invoke({"q": "x"}).strip() == "it is right"
    assert "".join(chain.stream({"q": "x"})).strip() == "it is right"
    assert len(chain.batch([{"q": str(i)} for i in range(7)])) == 7
    assert len(await chain.abatch([{"q": str(i)} for i in range(7)])) == 7


def test_fallbacks_and_retries() -> None:
    down = two(first=ConnectionError("x"), second=ConnectionError("y"))
    assert down.with_fallbacks([Fake(says=["saved"])]).invoke("Q").content == "saved"
    flaky = Fake(model="b", says=[ConnectionError("once"), "better"])
    llm = FrugalCascadeLLM(tiers=[flaky])
    assert llm.with_retry(wait_exponential_jitter=False).invoke("Q").content == "better"


def test_configurable_fields() -> None:
    tiers = {"a": Fake(says=["so so"]), "b": Fake(says=["b"])}
    llm = FrugalCascadeLLM(tiers=tiers, scorer=lambda q, a: 0.5).configurable_fields(
        threshold=ConfigurableField(id="threshold")
    )
    assert llm.invoke("Q").content == "b"
    assert llm.invoke("Q", config={"configurable": {"threshold": 0.4}}).content == "so so"


def test_configured_fields_reach_the_tiers() -> None:
    llm = FrugalCascadeLLM(model="gpt-4o", temperature=0, api_key="k", verbosity="low")
    configurable = llm.configurable_fields(temperature=ConfigurableField(id="t"))
    made: Any = configurable.prepare({"configurable": {"t": 0.7}})[0]  # type: ignore[attr-defined]
    tiers = [tier.model for tier in made._assembly.tiers]
    assert [(t.temperature, t.verbosity) for t in tiers] == [(0.7, "low"), (0.7, "low")]


def test_a_cascade_in_a_cascade() -> None:
    inner = two(first="right inside")
    outer = FrugalCascadeLLM(tiers={"inner": inner, "top": Fake()}, scorer=right)
    message = outer.invoke("Q")
    assert message.content == "right inside"
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] == 15


@pytest.mark.parametrize("content", ["all at once", [{"type": "text", "text": "all at once"}]])
def test_a_tier_that_does_not_stream(content: Any) -> None:
    silent = Fake(model="b", says=[AIMessage(content)], disable_streaming=True)
    llm = FrugalCascadeLLM(tiers=[Fake(says=["no"]), silent], scorer=right)
    assert joined(list(llm.stream("Q"))).content == content
