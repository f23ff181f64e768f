"""ConcatenatedQueries against a scripted provider: calls, order, usage, tools, failures."""

from __future__ import annotations

import json
import pickle
import re
from typing import Any

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from frugal_core import Recording
from frugal_core.errors import FrugalError
from langchain_frugal import ConcatenatedQueries, FrugalCascadeLLM
from tests.conftest import StartScripted
from tests.servers import Answer, Fault, Request, ScriptedServer, Usage

RULES = "You add numbers. " * 20
PROMPT = ChatPromptTemplate([("system", RULES), ("human", "{a} + {b}")])
INPUTS = [{"a": i, "b": 2 * i} for i in range(8)]
SUMS = [str(3 * i) for i in range(8)]


def added(text: str) -> str:
    return str(sum(map(int, re.findall(r"\d+", text))))


def adder(request: Request) -> Answer:
    """Adds; several sums at once, if it is asked to. The bill does not divide evenly."""
    last = request.body["messages"][-1]["content"]
    start = last.find("{")
    if start < 0:
        return Answer(added(last), usage=Usage(97, 3, cached=11, reasoning=1))
    queries = json.loads(last[start:])
    said = {number: added(text) for number, text in queries.items()}
    return Answer(json.dumps(said), usage=Usage(211, 47, cached=101, reasoning=5))


def model(server: ScriptedServer, **options: Any) -> ChatOpenAI:
    options = {"max_retries": 0, **options}
    key = SecretStr("test")
    return ChatOpenAI(model="m", base_url=server.base_url, api_key=key, **options)


def texts(messages: list[Any]) -> list[str]:
    return [message.text for message in messages]


def assert_bill(server: ScriptedServer, messages: list[Any]) -> None:
    """Every token that was billed is in exactly one message."""
    billed = server.tokens["m"]
    usage = [message.usage_metadata for message in messages]
    assert sum(one["input_tokens"] for one in usage) == billed.input
    assert sum(one["output_tokens"] for one in usage) == billed.output
    assert sum(one["total_tokens"] for one in usage) == billed.total
    details = [one.get("input_token_details", {}).get("cache_read", 0) for one in usage]
    assert sum(details) == billed.cached
    assert all(cached <= one["input_tokens"] for cached, one in zip(details, usage, strict=True))


async def test_asks_in_groups_and_answers_in_order(scripted: StartScripted) -> None:
    for asynchronous in (False, True):
        server = scripted({"m": adder})
        ask = ConcatenatedQueries(PROMPT | model(server))
        with get_usage_metadata_callback() as seen:
            said = await ask.ainvoke(INPUTS) if asynchronous else ask.invoke(INPUTS)
        assert texts(said) == SUMS
        assert server.calls["m"] == 2
        assert_bill(server, said)
        assert seen.usage_metadata["m"]["total_tokens"] == server.tokens["m"].total
        assert {m.response_metadata["concatenated"]["group"] for m in said} == {4}
        assert all(message.response_metadata["model_name"] == "m" for message in said)


def test_what_is_missing_is_asked_again_alone(scripted: StartScripted) -> None:
    def forgetful(request: Request) -> Answer:
        answer = adder(request)
        if not answer.text.startswith("{"):
            return answer
        said = json.loads(answer.text)
        said.pop("2")
        return Answer(json.dumps(said), usage=answer.usage)

    server = scripted({"m": forgetful})
    said = ConcatenatedQueries(PROMPT | model(server), group_size=8).invoke(INPUTS)
    assert texts(said) == SUMS and server.calls["m"] == 2
    assert [m.response_metadata["concatenated"]["again"] for m in said].count(True) == 1
    assert_bill(server, said)
    again = said[1]
    assert again.usage_metadata["input_tokens"] > 97, "its share of the first request, and its own"
    assert (
        again.response_metadata["token_usage"]["prompt_tokens"]
        == (again.usage_metadata["input_tokens"])
    )


@pytest.mark.parametrize(
    "reply",
    [Answer("I can only add one pair at a time."), Answer.refused(), Fault.server_error()],
    ids=["no JSON", "refused", "server error"],
)
def test_a_group_that_fails_costs_no_answer(scripted: StartScripted, reply: Any) -> None:
    def fails(request: Request) -> Any:
        answer = adder(request)
        return reply if answer.text.startswith("{") else answer

    server = scripted({"m": fails})
    said = ConcatenatedQueries(PROMPT | model(server)).invoke(INPUTS[:4])
    assert texts(said) == SUMS[:4] and server.calls["m"] == 5
    assert_bill(server, said)


def test_a_limit_on_one_answer_is_raised_for_several(scripted: StartScripted) -> None:
    server = scripted({"m": adder})
    said = ConcatenatedQueries(PROMPT | model(server, max_tokens=3)).invoke(INPUTS[:4])
    assert texts(said) == SUMS[:4]
    (request,) = server.requests
    assert request.body["max_completion_tokens"] >= 12


def test_inputs_of_every_kind(scripted: StartScripted) -> None:
    server = scripted({"m": adder})
    system = SystemMessage(RULES)
    inputs = [
        [system, HumanMessage("1 + 1")],
        PROMPT.invoke({"a": 2, "b": 2}),
        [("system", RULES), ("human", "3 + 3")],
        f"{RULES}\n4 + 4",
        f"{RULES}\n5 + 5",
        f"{RULES}\n6 + 6",
        "7 + 7",
    ]
    said = ConcatenatedQueries(model(server)).invoke(inputs)
    assert texts(said) == ["2", "4", "6", "8", "10", "12", "14"]
    assert server.calls["m"] == 3, "those with a system message, those with its text, and one"


def test_short_queries_without_a_prompt_are_asked_alone_unless_told(
    scripted: StartScripted,
) -> None:
    for options, calls in (({}, 3), ({"group_size": 3}, 1)):
        server = scripted({"m": adder})
        ask = ConcatenatedQueries(model(server), **options)  # type: ignore[arg-type]
        assert texts(ask.invoke(["1 + 1", "2 + 2", "3 + 3"])) == ["2", "4", "6"]
        assert server.calls["m"] == calls


def test_parsers_read_each_answer(scripted: StartScripted) -> None:
    server = scripted({"m": adder})
    assert ConcatenatedQueries(PROMPT | model(server) | StrOutputParser()).invoke(INPUTS) == SUMS
    twice = PROMPT | model(server) | StrOutputParser() | RunnableLambda(lambda text: 2 * int(text))
    assert ConcatenatedQueries(twice).invoke(INPUTS[:2]) == [0, 6]


def test_an_answer_that_the_parser_cannot_read_is_asked_again(scripted: StartScripted) -> None:
    def half_json(request: Request) -> Answer:
        answer = adder(request)
        if not answer.text.startswith("{"):
            return Answer(json.dumps({"sum": int(answer.text)}))
        return Answer(json.dumps({"1": {"sum": 0}, "2": "three", "3": '{"sum": 6}'}))

    server = scripted({"m": half_json})
    chain = PROMPT | model(server) | JsonOutputParser()
    said = ConcatenatedQueries(chain).invoke(INPUTS[:3])
    assert said == [{"sum": 0}, {"sum": 3}, {"sum": 6}]
    assert server.calls["m"] == 2


class Sum(BaseModel):
    """A sum."""

    value: int


def test_structured_output_keeps_working(scripted: StartScripted) -> None:
    server = scripted({"m": lambda request: Answer.json({"value": int(adder(request).text)})})
    chain = PROMPT | model(server).with_structured_output(Sum)
    assert ConcatenatedQueries(chain).invoke(INPUTS[:3]) == [Sum(value=3 * i) for i in range(3)]
    raw = PROMPT | model(server).with_structured_output(Sum, include_raw=True)
    said = ConcatenatedQueries(raw).invoke(INPUTS[:2])
    assert [one["parsed"] for one in said] == [Sum(value=0), Sum(value=3)]


def test_tools_keep_working(scripted: StartScripted) -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    server = scripted({"m": Answer.calling("add", {"a": 1, "b": 2})})
    said = ConcatenatedQueries(PROMPT | model(server).bind_tools([add])).invoke(INPUTS[:3])
    assert [call["name"] for message in said for call in message.tool_calls] == ["add"] * 3
    assert server.calls["m"] == 3
    given = ConcatenatedQueries(PROMPT | model(server)).invoke(
        INPUTS[:2], tools=[{"type": "function", "function": {"name": "add", "parameters": {}}}]
    )
    assert all(message.tool_calls for message in given)


def test_what_cannot_share_a_request_is_asked_alone(scripted: StartScripted) -> None:
    server = scripted({"m": lambda request: Answer("seen")})
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    system = SystemMessage(RULES)
    call = {"name": "add", "args": {}, "id": "1"}
    inputs = [
        [system, HumanMessage([{"type": "text", "text": "what?"}, image])],
        [
            system,
            HumanMessage("?"),
            AIMessage("", tool_calls=[call]),
            ToolMessage("3", tool_call_id="1"),
        ],
        [system, HumanMessage("Once upon"), AIMessage("a time")],
    ]
    said = ConcatenatedQueries(model(server), group_size=9).invoke(inputs)
    assert texts(said) == ["seen"] * 3 and server.calls["m"] == 3
    stopped = model(server).bind(stop=["\n"])
    ConcatenatedQueries(PROMPT | stopped).invoke(INPUTS[:2])
    assert server.calls["m"] == 5


def test_turns_may_be_folded_and_the_schema_sent(scripted: StartScripted) -> None:
    server = scripted({"m": adder})
    shots = [("human", "1 + 1"), ("ai", "2"), ("human", "2 + 2"), ("ai", "4")]
    prompt = ChatPromptTemplate([("system", RULES), *shots, ("human", "{a} + {b}")])
    ask = ConcatenatedQueries(
        prompt | model(server), fold_turns=True, response_format=True, answers=SUMS
    )
    assert texts(ask.invoke(INPUTS[:4])) == SUMS[:4]
    (request,) = server.requests
    roles = [message["role"] for message in request.body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert json.loads(request.body["messages"][2]["content"]) == {"1": "2", "2": "4"}
    schema = request.body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["1", "2", "3", "4"]
    assert schema["properties"]["1"]["enum"] == SUMS


def test_failures_are_raised_or_returned_in_their_place(scripted: StartScripted) -> None:
    def picky(request: Request) -> Any:
        answer = adder(request)
        if "999" in request.prompt and not answer.text.startswith("{"):
            return Fault.bad_request("too large a number")
        if answer.text.startswith("{"):
            said = json.loads(answer.text)
            return Answer(json.dumps({k: v for k, v in said.items() if v != "999"}))
        return answer

    inputs: list[Any] = [{"a": 1, "b": 1}, {"a": 999, "b": 0}, {"a": 2, "b": 2}, {"a": 3}]
    server = scripted({"m": picky})
    ask = ConcatenatedQueries(PROMPT | model(server), return_exceptions=True)
    said = ask.invoke(inputs)
    assert [said[0].text, said[2].text] == ["2", "4"]
    assert "too large a number" in str(said[1]) and isinstance(said[3], KeyError)
    with pytest.raises(Exception, match="too large a number"):
        ConcatenatedQueries(PROMPT | model(server)).invoke(inputs[:3])


def test_a_wrong_key_makes_one_call(scripted: StartScripted) -> None:
    server = scripted({"m": Fault.wrong_key()})
    with pytest.raises(Exception, match="401"):
        ConcatenatedQueries(PROMPT | model(server)).invoke(INPUTS[:4])
    assert server.calls["m"] == 1


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("1 + 1", "a list of inputs, not one str"),
        ({"a": 1, "b": 2}, "not one dict"),
        (HumanMessage("hi"), "not one HumanMessage"),
        ([HumanMessage("hi")], "a message alone is none"),
        (7, "not one int"),
    ],
)
def test_says_what_it_takes(given: Any, complaint: str) -> None:
    from tests.unit_tests.langchain.fakes import Fake

    with pytest.raises(FrugalError, match=complaint):
        ConcatenatedQueries(Fake()).invoke(given)
    with pytest.raises(FrugalError, match="expected a chat model"):
        ConcatenatedQueries("gpt-4o")  # type: ignore[arg-type]  # as users do


def test_is_a_runnable_like_others(scripted: StartScripted) -> None:
    server = scripted({"m": adder})
    ask = ConcatenatedQueries(PROMPT | model(server) | StrOutputParser())
    assert ask.invoke([]) == []
    assert ask.batch([INPUTS[:2], INPUTS[2:4]]) == [SUMS[:2], SUMS[2:4]]
    assert list(ask.stream(INPUTS[:2])) == [SUMS[:2]]
    assert (ask | RunnableLambda(len)).invoke(INPUTS) == 8
    assert ask.with_config(max_concurrency=1).invoke(tuple(INPUTS)) == SUMS
    retried = ConcatenatedQueries(PROMPT | model(server).with_retry() | StrOutputParser())
    assert retried.invoke(INPUTS[:4]) == SUMS[:4]
    configured = (PROMPT | model(server) | StrOutputParser()).with_config(tags=["mine"])
    assert ConcatenatedQueries(configured).invoke(INPUTS[:4]) == SUMS[:4]
    named = PROMPT.partial(b="5") | model(server) | StrOutputParser()
    assert ConcatenatedQueries(named).invoke(["1", "2"]) == ["6", "7"]
    whole = ConcatenatedQueries(FakeListChatModel(responses=["4"]), group_size=1)
    again = pickle.loads(pickle.dumps(whole))  # noqa: S301  # our own
    assert texts(again.invoke(["2 + 2"])) == ["4"]


def test_over_a_cascade_the_cost_is_shared_and_nothing_is_promised(
    scripted: StartScripted,
) -> None:
    server = scripted({"m": adder})
    llm = FrugalCascadeLLM(tiers={"m": model(server)}, prices={"m": [1.0, 2.0]})
    said = ConcatenatedQueries(PROMPT | llm).invoke(INPUTS[:4])
    assert texts(said) == SUMS[:4] and server.calls["m"] == 1
    bills = [message.response_metadata["frugal"] for message in said]
    assert sum(bill["usd"] for bill in bills) == pytest.approx((211 + 2 * 47) / 1e6)
    assert {bill["promise"] for bill in bills} == {"no promise: it was tested for single queries"}
    assert_bill(server, said)


async def test_fits_the_group_size(scripted: StartScripted) -> None:
    def tires(request: Request) -> Answer:
        answer = adder(request)
        if not answer.text.startswith("{"):
            return Answer(answer.text, usage=Usage(200, 3))
        said = json.loads(answer.text)
        if len(said) > 4:
            said = dict.fromkeys(said, "0")
        return Answer(json.dumps(said), usage=Usage(200 + 10 * len(said), 9 * len(said)))

    for asynchronous in (False, True):
        server = scripted({"m": tires})
        chain = PROMPT | model(server) | StrOutputParser()
        options: dict[str, Any] = {"promise": 0.05, "prices": {"m": [1, 4]}}
        rows = [{"input": f"{i}", "a": i, "b": i, "output": str(2 * i)} for i in range(160)]
        if asynchronous:
            ask = await ConcatenatedQueries.afit(chain, rows, **options)
        else:
            ask = ConcatenatedQueries.fit(chain, rows, **options)
        assert ask.fitted is not None and ask.fitted.size == ask.grouping.group_size == 4
        assert server.calls["m"] == 160 + 80 + 40 + 20
        assert ask.invoke(INPUTS) == SUMS


def test_a_recording_saves_what_was_asked_alone_already(scripted: StartScripted) -> None:
    server = scripted({"m": adder})
    rows = [
        {
            "query": f"{i} + {i}",
            "reference": str(2 * i),
            "answers": {"m": {"text": str(2 * i), "input_tokens": 200, "output_tokens": 1}},
        }
        for i in range(120)
    ]
    ask = ConcatenatedQueries.fit(
        model(server), Recording.from_rows(rows), model="m", sizes=(4,), promise=0.05
    )
    assert ask.fitted is not None and ask.fitted.size == 4
    assert server.calls["m"] == 30
    prompt = ChatPromptTemplate([("system", RULES), ("human", "{question}")])
    named = ConcatenatedQueries.fit(prompt | model(server), Recording.from_rows(rows), sizes=(2,))
    assert named.fitted is not None and len(named.fitted.measured) == 2
    with pytest.raises(FrugalError, match="'other' is not in the recording"):
        ConcatenatedQueries.fit(model(server), Recording.from_rows(rows), model="other")
    with pytest.raises(FrugalError, match="cannot share a request"):
        ConcatenatedQueries.fit(model(server).bind_tools([]).bind(stop=["x"]), rows)
