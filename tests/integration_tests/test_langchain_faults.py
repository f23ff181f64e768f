"""Everything a provider can do wrong, at every tier, in every way to call.

Real `ChatOpenAI` tiers on a real server. Nothing hangs, nothing is swallowed, no draft leaks, and
for every answer that is delivered the reported usage is the server's bill.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.rate_limiters import BaseRateLimiter

from frugal_core.ladders import AS_OF
from langchain_frugal import FrugalCascadeLLM
from tests.conftest import StartScripted
from tests.servers import Answer, Fault, ScriptedServer, Usage

pytestmark = pytest.mark.timeout(30)

DRAFT = "a draft that is wrong"
RIGHT = "the right answer"


def right(query: str, answer: str) -> float:
    return float(answer == RIGHT)


async def invoke(llm: FrugalCascadeLLM) -> AIMessage:
    return llm.invoke("Q?")


async def ainvoke(llm: FrugalCascadeLLM) -> AIMessage:
    return await llm.ainvoke("Q?")


async def stream(llm: FrugalCascadeLLM) -> AIMessage:
    return _joined(list(llm.stream("Q?")))


async def astream(llm: FrugalCascadeLLM) -> AIMessage:
    return _joined([chunk async for chunk in llm.astream("Q?")])


def _joined(chunks: list[AIMessageChunk]) -> AIMessage:
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1
    assert sum("frugal" in chunk.response_metadata for chunk in chunks) == 1
    return add_ai_message_chunks(*chunks)


Way = Callable[[FrugalCascadeLLM], Awaitable[AIMessage]]
every_way = pytest.mark.parametrize("way", [invoke, ainvoke, stream, astream])
streaming = {stream, astream}


def cascade(server: ScriptedServer, **kwargs: Any) -> FrugalCascadeLLM:
    return FrugalCascadeLLM(
        tiers=["openai:cheap", "openai:strong"],
        base_url=server.base_url,
        api_key="test",
        timeout=1.0,  # of a busy machine, an answer that comes takes no longer
        max_retries=0,
        **{"scorer": right, **kwargs},
    )


def check_bill(server: ScriptedServer, message: AIMessage) -> None:
    """The usage reported is what the server billed, in the sum and for each tier."""
    billed = sum(server.tokens.values(), Usage())
    usage = message.usage_metadata
    assert usage is not None
    assert (usage["input_tokens"], usage["output_tokens"]) == (billed.input, billed.output)
    for model, bill in server.tokens.items():
        steps = [s for s in message.response_metadata["frugal"]["trail"] if s["model"] == model]
        assert sum(step["input_tokens"] for step in steps) == bill.input
        assert sum(step["output_tokens"] for step in steps) == bill.output


PROVIDERS_FAULT = {
    "429": (Fault.rate_limit(), openai.RateLimitError),
    "500": (Fault.server_error(), openai.InternalServerError),
    "503": (Fault.unavailable(), openai.InternalServerError),
    "hang": (Fault.hang(), openai.APITimeoutError),
    "disconnect": (Fault.disconnect(), openai.APIConnectionError),
    "prompt too long": (Fault.context_length(), openai.BadRequestError),
}
BROKEN_MIDWAY = {"cut": Fault.cut(), "malformed": Fault.malformed()}
CALLERS_FAULT = {
    "401": (Fault.wrong_key(), openai.AuthenticationError),
    "400": (Fault.bad_request(), openai.BadRequestError),
}
BAD_ANSWERS = {
    "empty": (Answer(""), "empty"),
    "truncated": (Answer.truncated(DRAFT), "cut short"),
    "filtered": (Answer.filtered(DRAFT), "refused"),
    "refused": (Answer.refused(), "refused"),
    "bad tool call": (Answer.calling("no_such_tool", {"x": 1}), "score"),
}


def named(table: dict[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", list(table.values()), ids=list(table))


@every_way
@named({k: v[0] for k, v in PROVIDERS_FAULT.items()} | BROKEN_MIDWAY)
async def test_first_tier_fails(scripted: StartScripted, way: Way, case: Fault) -> None:
    server = scripted({"cheap": case, "strong": RIGHT})
    message = await way(cascade(server))
    assert message.content == RIGHT
    assert server.calls == {"cheap": 1, "strong": 1}
    assert not message.response_metadata["frugal"]["degraded"]
    first, second = message.response_metadata["frugal"]["trail"]
    assert (first["model"], first["decision"]) == ("cheap", "failed")
    assert first["seconds"] < 5.0, "a tier that hangs is left when its time-out has passed"
    assert (second["model"], second["decision"]) == ("strong", "accepted")
    if case not in BROKEN_MIDWAY.values():  # where the answer itself is lost, so is its bill
        check_bill(server, message)


@every_way
@named(CALLERS_FAULT)
async def test_first_tier_blames_the_caller(
    scripted: StartScripted, way: Way, case: tuple[Fault, type[Exception]]
) -> None:
    fault, error = case
    server = scripted({"cheap": fault, "strong": RIGHT})
    with pytest.raises(error):
        await way(cascade(server))
    assert server.calls == {"cheap": 1}


@every_way
@named(BAD_ANSWERS)
async def test_first_tier_answers_badly(
    scripted: StartScripted, way: Way, case: tuple[Answer, str]
) -> None:
    answer, why = case
    server = scripted({"cheap": answer, "strong": RIGHT})
    message = await way(cascade(server))
    assert message.content == RIGHT
    assert message.response_metadata["frugal"]["trail"][0]["decision"] == "rejected"
    assert message.response_metadata["frugal"]["trail"][0]["why"].startswith(why)
    check_bill(server, message)


@every_way
@named({k: v[0] for k, v in PROVIDERS_FAULT.items()})
async def test_last_tier_fails_and_the_best_draft_is_returned(
    scripted: StartScripted, way: Way, case: Fault
) -> None:
    server = scripted({"cheap": DRAFT, "strong": case})
    message = await way(cascade(server))
    assert message.content == DRAFT
    assert server.calls == {"cheap": 1, "strong": 1}
    assert message.response_metadata["frugal"]["degraded"] is True
    assert message.response_metadata["model_name"] == "cheap"
    decisions = [step["decision"] for step in message.response_metadata["frugal"]["trail"]]
    assert decisions == ["rejected", "failed", "returned"]
    check_bill(server, message)


@every_way
@named(PROVIDERS_FAULT)
async def test_last_tier_fails_and_raises(
    scripted: StartScripted, way: Way, case: tuple[Fault, type[Exception]]
) -> None:
    fault, error = case
    server = scripted({"cheap": DRAFT, "strong": fault})
    with pytest.raises(error):
        await way(cascade(server, on_failure="raise"))
    assert server.calls == {"cheap": 1, "strong": 1}


@every_way
@named(BROKEN_MIDWAY)
async def test_last_tier_breaks_in_the_middle(
    scripted: StartScripted, way: Way, case: Fault
) -> None:
    """Once a part of the answer is out nothing can replace it; before that the draft does."""
    server = scripted({"cheap": DRAFT, "strong": case})
    llm = cascade(server)
    if way in streaming:
        # A line that goes dead is httpx's error, words that are no JSON are the parser's.
        with pytest.raises((httpx.RemoteProtocolError, openai.APIError, json.JSONDecodeError)):
            await way(llm)
    else:
        message = await way(llm)
        assert message.content == DRAFT
        assert message.response_metadata["frugal"]["degraded"] is True


@every_way
@named(CALLERS_FAULT)
async def test_last_tier_blames_the_caller(
    scripted: StartScripted, way: Way, case: tuple[Fault, type[Exception]]
) -> None:
    fault, error = case
    server = scripted({"cheap": DRAFT, "strong": fault})
    with pytest.raises(error):
        await way(cascade(server))
    assert server.calls == {"cheap": 1, "strong": 1}


@every_way
@named(BAD_ANSWERS)
async def test_last_tier_answers_badly(
    scripted: StartScripted, way: Way, case: tuple[Answer, str]
) -> None:
    """The last tier's answer is the reference's own: it is returned, unless it is none at all."""
    answer, why = case
    server = scripted({"cheap": DRAFT, "strong": answer})
    message = await way(cascade(server))
    # ChatOpenAI does not hand on a refusal that is streamed: it looks like an empty answer.
    if why == "empty" or (answer.refusal and way in streaming):
        assert message.content == DRAFT
        assert message.response_metadata["frugal"]["degraded"] is True
        check_bill(server, message)
        return
    assert message.content == answer.text
    assert [call["name"] for call in message.tool_calls] == [c.name for c in answer.tool_calls]
    assert message.response_metadata["model_name"] == "strong"
    check_bill(server, message)


@every_way
@pytest.mark.parametrize("fault", [Fault.rate_limit(), Fault.server_error(), Fault.hang()])
async def test_every_tier_fails(scripted: StartScripted, way: Way, fault: Fault) -> None:
    server = scripted({"cheap": Fault.server_error(), "strong": fault})
    with pytest.raises(openai.APIError) as raised:
        await way(cascade(server))
    assert isinstance(raised.value.__cause__, ExceptionGroup)
    assert len(raised.value.__cause__.exceptions) == 1


@every_way
async def test_retries_of_the_client_are_its_own(scripted: StartScripted, way: Way) -> None:
    server = scripted({"cheap": [Fault.rate_limit(), RIGHT], "strong": "never asked"})
    message = await way(cascade(server).model_copy(update={"max_retries": 1}))
    assert message.content == RIGHT
    assert server.calls == {"cheap": 2}
    check_bill(server, message)


@pytest.mark.parametrize("way", [ainvoke, astream])
@pytest.mark.parametrize("first", [RIGHT, DRAFT], ids=["accepted", "escalated"])
def test_event_loops_that_have_ended(scripted: StartScripted, way: Way, first: str) -> None:
    """ChatOpenAI keeps connections of loops that are gone; that is no failure of the provider."""
    server = scripted({"cheap": first, "strong": RIGHT})
    llm = cascade(server)

    async def three() -> list[AIMessage]:
        return await asyncio.gather(*(way(llm) for _ in range(3)))

    for _ in range(3):
        for message in asyncio.run(three()):
            assert message.content == RIGHT
            steps = message.response_metadata["frugal"]["trail"]
            assert all(step["decision"] != "failed" for step in steps)
    # How often the client wrote to a dead loop's socket is its own affair, as in ChatOpenAI alone.
    assert set(server.calls) == ({"cheap"} if first == RIGHT else {"cheap", "strong"})


@every_way
async def test_verification_is_on_the_bill(scripted: StartScripted, way: Way) -> None:
    """Without log-probabilities a tier judges its own draft; that is bought as well."""
    server = scripted({"cheap": [DRAFT, "No."], "strong": RIGHT})
    message = await way(cascade(server, scorer=None))
    assert message.content == RIGHT
    decisions = [step["decision"] for step in message.response_metadata["frugal"]["trail"]]
    assert decisions == ["rejected", "verified", "accepted"]
    check_bill(server, message)


class Counting(BaseRateLimiter):
    """A rate limiter that lets everything pass, and counts."""

    count = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.count += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return self.acquire()


@every_way
@pytest.mark.parametrize("cheap", [[RIGHT], [DRAFT], [DRAFT, "Yes."], [DRAFT, "No."]])
async def test_every_request_passes_the_rate_limiter(
    scripted: StartScripted, way: Way, cheap: list[str]
) -> None:
    server = scripted({"cheap": cheap, "strong": RIGHT})
    limiter = Counting()
    judged = {} if len(cheap) == 1 else {"scorer": None}
    llm = cascade(server, rate_limiter=limiter, **judged)
    await way(llm)
    assert limiter.count == len(server.requests)
    await way(llm.model_copy(update={"temperature": 0.5}))
    assert limiter.count == len(server.requests)


@every_way
@pytest.mark.parametrize(("logprob", "asked"), [(-0.01, {"gpt-4o-mini": 1}), (-2.0, None)])
async def test_log_probabilities_decide(
    scripted: StartScripted, way: Way, logprob: float, asked: Any
) -> None:
    server = scripted({"gpt-4o-mini": Answer(RIGHT, logprob=logprob), "gpt-4o": RIGHT})
    llm = FrugalCascadeLLM(model="gpt-4o", base_url=server.base_url, api_key="test")
    message = await way(llm)
    assert message.content == RIGHT
    assert server.calls == (asked or {"gpt-4o-mini": 1, "gpt-4o": 1})
    assert server.requests[0].body["logprobs"] is True
    assert not message.response_metadata.get("logprobs"), "only the scorer asked for them"
    assert message.response_metadata["frugal"]["promise"].startswith("no promise")
    ladder = message.response_metadata["frugal"]["ladder"]
    assert ladder == {"as_of": AS_OF, "tiers": ["gpt-4o-mini", "gpt-4o"]}
    check_bill(server, message)
