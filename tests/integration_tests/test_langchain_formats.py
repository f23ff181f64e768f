"""Tools and structured output through two real `ChatOpenAI` tiers: a broken form escalates."""

from __future__ import annotations

from typing import Any, TypedDict

import pydantic.v1
import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.exceptions import OutputParserException
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from langchain_frugal import FrugalCascadeLLM
from tests.conftest import StartScripted
from tests.servers import Answer, Request, ScriptedServer, Usage
from tests.servers.compliant import Compliant

pytestmark = pytest.mark.timeout(30)


class Person(BaseModel):
    """A person."""

    name: str
    age: int = Field(ge=0)


class OldPerson(pydantic.v1.BaseModel):
    """A person."""

    name: str
    age: int


class PersonDict(TypedDict):
    """A person."""

    name: str
    age: int


SCHEMAS: dict[str, Any] = {
    "pydantic": Person,
    "pydantic v1": OldPerson,
    "TypedDict": PersonDict,
    "JSON schema": {**Person.model_json_schema(), "title": "Person"},
}
METHODS = ["json_schema", "function_calling", "json_mode"]
GOOD, BAD = {"name": "Ada", "age": 36}, {"name": "Ada", "age": "unknown"}


@tool
def weather(city: str, days: int = 1) -> str:
    """Look up the weather."""
    return f"sunny in {city}"


def always(query: str, answer: str) -> float:
    return 1.0


def cascade(server: ScriptedServer, **kwargs: Any) -> FrugalCascadeLLM:
    return FrugalCascadeLLM(
        tiers=["openai:cheap", "openai:strong"],
        base_url=server.base_url,
        api_key="test",
        **{"scorer": always, **kwargs},
    )


def says(value: Any) -> Any:
    """A model that gives `value` in the form that is asked for."""

    def behaviour(request: Request) -> Answer:
        if tools := request.body.get("tools"):
            return Answer.calling(tools[0]["function"]["name"], value)
        return Answer.json(value) if not isinstance(value, str) else Answer(value)

    return behaviour


def plain(value: Any) -> Any:
    return value if isinstance(value, dict) else dict(value)


def billed(server: ScriptedServer) -> int:
    return sum(server.tokens.values(), Usage()).total


every_schema = pytest.mark.parametrize("schema", list(SCHEMAS.values()), ids=list(SCHEMAS))
every_method = pytest.mark.parametrize("method", METHODS)
# ChatOpenAI itself says so, and falls back to tools.
old_schemas = pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema")


@every_schema
@every_method
@old_schemas
@pytest.mark.parametrize("first", [GOOD, BAD], ids=["fits", "breaks"])
async def test_structured_output(
    scripted: StartScripted, schema: Any, method: Any, first: Any
) -> None:
    """Parsed, raw and streamed; an answer that breaks the schema is asked for again, and billed."""
    server = scripted({"cheap": says(first), "strong": says(GOOD)})
    llm = cascade(server)
    structured = llm.with_structured_output(schema, method=method)
    kind = schema if isinstance(schema, type) and not issubclass(schema, dict) else dict
    for value in (structured.invoke("Who? In JSON."), await structured.ainvoke("Who? In JSON.")):
        assert isinstance(value, kind)
        assert plain(value) == GOOD
    assert plain(list(structured.stream("Who?"))[-1]) == GOOD
    assert plain([part async for part in structured.astream("Who?")][-1]) == GOOD
    escalated = first is BAD
    assert server.calls["strong"] == (4 if escalated else 0)

    server.requests.clear()
    answer = llm.with_structured_output(schema, method=method, include_raw=True).invoke("Who?")
    assert plain(answer["parsed"]) == GOOD
    assert answer["parsing_error"] is None
    assert answer["raw"].usage_metadata["total_tokens"] == billed(server)
    trail = answer["raw"].response_metadata["frugal"]["trail"]
    assert [step["decision"] for step in trail] == (
        ["rejected", "accepted"] if escalated else ["accepted"]
    )
    if escalated:
        assert trail[0]["why"].startswith("schema")


@every_method
@pytest.mark.parametrize("strict", [None, True, False])
def test_strict_is_passed_on(scripted: StartScripted, method: Any, strict: bool | None) -> None:
    server = scripted({"cheap": says(GOOD), "strong": says(GOOD)})
    llm = cascade(server)
    if method == "json_mode" and strict is not None:
        with pytest.raises(ValueError, match="strict"):
            llm.with_structured_output(Person, method=method, strict=strict).invoke("Who?")
        return
    llm.with_structured_output(Person, method=method, strict=strict).invoke("Who?")
    body = server.requests[0].body
    if method == "function_calling":
        assert body["tools"][0]["function"].get("strict") is strict
    elif method == "json_schema":
        assert body["response_format"]["json_schema"]["strict"] is True
        assert body["response_format"]["json_schema"]["schema"]["additionalProperties"] is False


@every_method
async def test_nobody_fits_the_schema(scripted: StartScripted, method: Any) -> None:
    server = scripted({"cheap": says(BAD), "strong": says(BAD)})
    llm = cascade(server)
    structured = llm.with_structured_output(Person, method=method)
    with pytest.raises(OutputParserException, match="does not fit Person"):
        structured.invoke("Who?")
    with pytest.raises(OutputParserException, match="does not fit Person"):
        list(structured.stream("Who?"))
    with pytest.raises(OutputParserException, match="does not fit Person"):
        [part async for part in structured.astream("Who?")]
    raw = llm.with_structured_output(Person, method=method, include_raw=True).invoke("Who?")
    assert raw["parsed"] is None
    assert isinstance(raw["parsing_error"], OutputParserException)


@pytest.mark.parametrize(
    "first",
    [
        Answer.truncated('{"name": "A'),
        Answer.filtered('{"name": "A'),
        Answer.refused(),
        Answer("no"),
    ],
    ids=["truncated", "filtered", "refused", "not JSON"],
)
@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_unreadable_structured_answers(scripted: StartScripted, first: Answer, method: Any) -> None:
    """OpenAI's client raises on some of these; their tokens are on the bill nevertheless."""
    server = scripted({"cheap": first, "strong": says(GOOD)})
    llm = cascade(server).with_structured_output(Person, method=method, include_raw=True)
    answer = llm.invoke("Who?")
    assert answer["parsed"] == Person(**GOOD)  # type: ignore[arg-type]
    assert answer["raw"].usage_metadata["total_tokens"] == billed(server)
    first_step = answer["raw"].response_metadata["frugal"]["trail"][0]
    assert first_step["input_tokens"] + first_step["output_tokens"] == server.tokens["cheap"].total


def test_schema_must_be_given() -> None:
    with pytest.raises(ValueError, match="schema is missing"):
        FrugalCascadeLLM(model="gpt-4o", api_key="k").with_structured_output()


@every_method
async def test_a_draft_that_fits_is_better_than_a_last_answer_that_does_not(
    scripted: StartScripted, method: Any
) -> None:
    server = scripted({"cheap": says(GOOD), "strong": says(BAD)})
    llm = cascade(server, scorer=lambda query, answer: 0.0)
    structured = llm.with_structured_output(Person, method=method, include_raw=True)
    for answer in (structured.invoke("Who?"), await structured.ainvoke("Who?")):
        assert answer["parsed"] == Person(**GOOD)  # type: ignore[arg-type]
        trail = answer["raw"].response_metadata["frugal"]
        assert trail["degraded"] is True
        assert trail["trail"][-1]["why"].startswith("best draft: the last tier's answer is no use")
    strict = cascade(server, scorer=lambda query, answer: 0.0, on_failure="raise")
    with pytest.raises(OutputParserException, match="does not fit Person"):
        strict.with_structured_output(Person, method=method).invoke("Who?")


# Tools

BAD_CALLS = {
    "unknown tool": (Answer.calling("forecast", {"city": "Rome"}), "unknown tool: forecast"),
    "missing argument": (Answer.calling("weather", {}), "'city' is a required property"),
    "wrong type": (Answer.calling("weather", {"city": "Rome", "days": "x"}), "not of type"),
    "not JSON": (Answer.calling("weather", '{"city": "Ro'), "not valid JSON"),
    "no answer at all": (Answer(""), "empty"),
}


@pytest.mark.parametrize("case", list(BAD_CALLS.values()), ids=list(BAD_CALLS))
async def test_bad_tool_calls_escalate(scripted: StartScripted, case: tuple[Answer, str]) -> None:
    first, why = case
    server = scripted({"cheap": first, "strong": Answer.calling("weather", {"city": "Rome"})})
    llm = cascade(server).bind_tools([weather])
    for message in (llm.invoke("Weather?"), await llm.ainvoke("Weather?")):
        assert [call["args"] for call in message.tool_calls] == [{"city": "Rome"}]
        assert why in message.response_metadata["frugal"]["trail"][0]["why"]
    streamed: list[Any] = list(llm.stream("Weather?"))
    assert [c["name"] for chunk in streamed for c in chunk.tool_call_chunks if c["name"]] == [
        "weather"
    ]


def test_good_tool_calls_are_accepted_and_scored_as_text(scripted: StartScripted) -> None:
    scored = []

    def scorer(query: str, answer: str) -> float:
        scored.append(answer)
        return 1.0

    server = scripted({"cheap": Answer.calling("weather", {"city": "Rome", "days": 2})})
    server_answer = cascade(server, scorer=scorer).bind_tools([weather]).invoke("Weather?")
    assert server_answer.tool_calls[0]["args"] == {"city": "Rome", "days": 2}
    assert scored == ['weather({"city": "Rome", "days": 2})']
    assert server_answer.response_metadata["frugal"]["promise"].startswith("no promise")


@pytest.mark.parametrize("choice", ["any", "weather", True])
def test_a_required_tool_call_that_does_not_come(scripted: StartScripted, choice: Any) -> None:
    server = scripted({"cheap": "I would rather talk.", "strong": Compliant()})
    message = cascade(server).bind_tools([weather], tool_choice=choice).invoke("Weather?")
    assert message.tool_calls[0]["name"] == "weather"
    assert "no tool call" in message.response_metadata["frugal"]["trail"][0]["why"]
    assert all(request.body["tool_choice"] for request in server.requests)


def test_draft_with_a_tool_call_is_verified_as_text(scripted: StartScripted) -> None:
    """A tool call without its result would be refused by the provider."""
    call = Answer.calling("weather", {"city": "Rome"})
    server = scripted({"cheap": [call, "Yes"], "strong": "never asked"})
    message = cascade(server, scorer=None).bind_tools([weather]).invoke("Weather in Rome?")
    assert message.tool_calls[0]["name"] == "weather"
    verification = server.requests[1].body
    assert "tools" not in verification
    assert verification["messages"][1]["content"] == 'weather({"city": "Rome"})'


@pytest.mark.parametrize("value", ['{"name": "Ada"}', "no JSON"])
def test_response_format_bound_directly(scripted: StartScripted, value: str) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "P", "schema": SCHEMAS["JSON schema"]}}
    server = scripted({"cheap": value, "strong": says(GOOD)})
    message = cascade(server).bind(response_format=schema).invoke("Who?")
    assert message.response_metadata["model_name"] == "strong"


# Agents


@pytest.mark.parametrize("strategy", [None, ToolStrategy(Person), ProviderStrategy(Person), Person])
async def test_agents(scripted: StartScripted, strategy: Any) -> None:
    server = scripted({"cheap": says("bad answer"), "strong": Compliant()})
    llm = cascade(server, scorer=lambda q, a: 0.0)
    agent = create_agent(llm, [weather], response_format=strategy)
    ask: Any = {"messages": [("user", "Use the weather tool.")]}
    with get_usage_metadata_callback() as usage:
        result: Any = agent.invoke(ask)
        await agent.ainvoke(ask)
    assert any(message.type == "tool" for message in result["messages"])
    if strategy is not None:
        assert isinstance(result["structured_response"], Person)
    assert sum(of["total_tokens"] for of in usage.usage_metadata.values()) == billed(server)
