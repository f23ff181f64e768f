"""What an answer must satisfy: the cases that no provider's client would let through."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from pydantic import BaseModel

from frugal_core.answers import Bill
from langchain_frugal._contract import Contract, StructuredOutput, as_openai_tool
from langchain_frugal._replies import bill_of, read_message


def call(name: str = "look", **args: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": "1"}])


def tool(**parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "look", "parameters": parameters}}


class Point(BaseModel):
    x: int


def breach(message: AIMessage, **kwargs: Any) -> str | None:
    contract = Contract.of(kwargs)
    assert contract is not None
    return read_message(message, contract).defect


@pytest.mark.parametrize("kwargs", [{}, {"temperature": 0}, {"tools": []}, {"strict": None}])
def test_plain_calls_have_no_contract(kwargs: dict[str, Any]) -> None:
    assert Contract.of(kwargs) is None


@pytest.mark.parametrize(
    "broken",
    [
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "#/nowhere"},
        {"properties": {"a": {"pattern": "(?<"}}},
        {"type": 7},
    ],
)
def test_an_unreadable_schema_is_not_the_answers_fault(broken: dict[str, Any]) -> None:
    assert breach(call(a="x"), tools=[tool(**broken)]) is None


@pytest.mark.parametrize(
    ("details", "bought"),
    [
        ({}, Bill(100, 5)),
        ({"cache_read": 60, "cache_creation": 30}, Bill(100, 5, 60, 30)),
        ({"priority_cache_read": 60, "priority": 100}, Bill(100, 5, 60)),
        # langchain-anthropic's, where the provider says for how long; nothing counts twice.
        (
            {"cache_creation": 0, "ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
            Bill(100, 5, 0, 30),
        ),
        ({"cache_read": None}, Bill(100, 5)),
    ],
)
def test_what_a_providers_prompt_cache_was_used_for(details: Any, bought: Bill) -> None:
    usage = UsageMetadata(
        input_tokens=100, output_tokens=5, total_tokens=105, input_token_details=details
    )
    assert bill_of(usage) == bought


def test_nested_schemas_are_checked() -> None:
    inner = {"$defs": {"P": Point.model_json_schema()}, "properties": {"p": {"$ref": "#/$defs/P"}}}
    assert breach(call(p={"x": 1}), tools=[tool(**inner)]) is None
    said = breach(call(p={"x": "a draft"}), tools=[tool(**inner)])
    assert said == "wrong arguments for look: p.x is not of type 'integer'", "and no draft"


@pytest.mark.parametrize(
    ("choice", "required"),
    [
        ("any", True),
        ("required", True),
        (True, True),
        ("look", True),
        ({"type": "function", "function": {"name": "look"}}, True),
        ("auto", False),
        ("none", False),
        ({"type": "auto"}, False),
        (None, False),
    ],
)
def test_required_tool_calls(choice: Any, required: bool) -> None:
    said = breach(AIMessage("talk"), tools=[tool()], tool_choice=choice)
    assert (said is not None) is required


def legacy(name: str = "look", arguments: str = '{"x": 1}') -> AIMessage:
    said = {"function_call": {"name": name, "arguments": arguments}}
    return AIMessage("", additional_kwargs=said)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (legacy(), None),
        (legacy(arguments='{"x": "one"}'), "wrong arguments for look: x is not of type 'integer'"),
        (legacy(arguments="{x"), "a tool call is not valid JSON"),
        (legacy("jump"), "called an unknown tool: jump"),
        (AIMessage("talk"), "no tool call though one was required"),
    ],
)
def test_functions_are_tools_in_openais_first_form(message: AIMessage, said: str | None) -> None:
    functions = [{"name": "look", "parameters": Point.model_json_schema()}]
    assert breach(message, functions=functions, function_call={"name": "look"}) == said


def test_a_providers_own_tool_may_be_called_what_it_likes() -> None:
    tools: list[Any] = [{"type": "search_2030", "name": "s"}, {"type": "web_search"}, {"s": {}}]
    for own in tools:
        assert as_openai_tool(own, None) == own
    assert breach(call("server_search"), tools=[{"type": "search_2030"}]) is None
    with pytest.raises(ValueError, match="Unsupported"):
        as_openai_tool(7, None)


@pytest.mark.parametrize(
    ("response_format", "text", "fits"),
    [
        ({"type": "json_object"}, '{"a": 1}', True),
        ({"type": "json_object"}, "a: 1", False),
        (Point, '{"x": 1}', True),
        (Point, '{"x": "one"}', False),
        ({"type": "text"}, "anything", True),
    ],
)
def test_response_formats(response_format: Any, text: str, fits: bool) -> None:
    assert (breach(AIMessage(text), response_format=response_format) is None) is fits


def test_structured_output_reads_its_own_call_only() -> None:
    target = StructuredOutput(Point)
    assert target.parse(call("Point", x=1)) == Point(x=1)
    assert target.parse(AIMessage('```json\n{"x": 2}\n```')) == Point(x=2)
    assert "not JSON" in str(breach(call("other", x=1), structured_output=target))


X = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        (Point, "Point"),
        ({"title": "P", **X}, "P"),
        ({"name": "P", "parameters": X}, "P"),
        ({"type": "function", "function": {"name": "P", "parameters": X}}, "P"),
        ({"name": "P", "schema": X, "strict": True}, "P"),
        ({"type": "json_schema", "json_schema": {"name": "P", "schema": X}}, "P"),
        (X, None),
        (None, None),
    ],
)
def test_structured_output_is_checked_in_whatever_form_its_schema_comes(
    schema: Any, name: str | None
) -> None:
    target = StructuredOutput(schema)
    assert target.name == name
    assert breach(AIMessage('{"x": 1}'), structured_output=target) is None
    wrong = breach(AIMessage('{"x": "one"}'), structured_output=target)
    assert (wrong is None) is (schema is None), "any JSON will do"
    if name is not None:
        assert breach(call(name, x=1), structured_output=target) is None
        assert breach(call(name, y=1), structured_output=target) is not None


def test_other_tools_beside_structured_output_are_called_first() -> None:
    target = StructuredOutput(Point, {"tools": [tool()]})
    assert target.parse(call("look")) is None
    assert breach(call("look"), structured_output=target) is None


def test_structured_output_is_told_apart_in_cache_keys() -> None:
    class Other(BaseModel):
        y: int

    written = {repr(StructuredOutput(s)) for s in (Point, Other, None, Point.model_json_schema())}
    assert len(written) == 4
    assert "0x" not in "".join(written)
