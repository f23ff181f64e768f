"""Tools: every tier formats its own, bad calls escalate, and the tier that called is the reader."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms.mock import MockLLM
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_frugal import FrugalCascadeLLM
from tests.unit_tests.llama_index.fakes import Fake, calling, right


def look(city: str, days: int = 1) -> str:
    """Look up the weather."""
    return f"sunny in {city} for {days}"


class Point(BaseModel):
    x: int


LOOK = FunctionTool.from_defaults(look)
GOOD = calling("look", city="Paris")
WAYS = [
    "chat_with_tools",
    "achat_with_tools",
    "stream_chat_with_tools",
    "astream_chat_with_tools",
]


def cascade(first: Any, last: Any, **kwargs: Any) -> tuple[FrugalCascadeLLM, Fake, Fake]:
    a, b = Fake(model="a", says=[first]), Fake(model="b", says=[last])
    return FrugalCascadeLLM(tiers=[a, b], scorer=lambda q, answer: 1.0, **kwargs), a, b


async def called(llm: Any, way: str, **kwargs: Any) -> Any:
    """The last response of a call with tools."""
    said = getattr(llm, way)([LOOK], user_msg="How is the weather?", **kwargs)
    if way.startswith("a"):
        said = await said
    if "stream" in way:
        said = ([r async for r in said] if way.startswith("a") else list(said))[-1]
    return said


@pytest.mark.parametrize("way", WAYS)
async def test_a_good_call_is_accepted(way: str) -> None:
    llm, first, second = cascade(GOOD, "no")
    response = await called(llm, way)
    (call,) = llm.get_tool_calls_from_response(response)
    assert (call.tool_name, call.tool_kwargs) == ("look", {"city": "Paris"})
    assert call.tool_id.startswith("a/"), "read by the tier that called"
    assert first.calls[0][1]["tools"] == ["look"], "formatted by the tier itself"
    assert second.calls == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (calling("look", bogus=1), "wrong arguments for look"),
        (calling("look", city="Paris", bogus=1), "wrong arguments for look"),
        (calling("look", city=7), "wrong arguments for look: city is not of type 'string'"),
        (calling("jump"), "called an unknown tool: jump"),
        (ToolCallBlock(tool_name="look", tool_kwargs='{"city": "Par'), "not valid JSON"),
    ],
)
async def test_a_bad_call_goes_to_the_next_tier(way: str, bad: Any, why: str) -> None:
    llm, _, _ = cascade(bad, GOOD)
    response = await called(llm, way)
    (call,) = llm.get_tool_calls_from_response(response)
    assert call.tool_id.startswith("b/")
    step = response.additional_kwargs["frugal"]["trail"][0]
    assert step["decision"] == "rejected" and why in step["why"]
    assert "no promise" in response.additional_kwargs["frugal"]["promise"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("demand", "models"),
    [({}, 1), ({"tool_required": True}, 2), ({"tool_choice": "required"}, 2)],
)
async def test_words_will_do_unless_a_call_is_required(
    way: str, demand: dict[str, Any], models: int
) -> None:
    llm, _, _ = cascade("just words", GOOD)
    response = await called(llm, way, **demand)
    assert len(response.additional_kwargs["frugal"]["trail"]) == models


@pytest.mark.parametrize("way", WAYS)
async def test_the_callers_history_is_left_alone(way: str) -> None:
    llm, first, second = cascade(calling("jump"), GOOD)
    history = [ChatMessage(role="system", content="be brief")]
    await called(llm, way, chat_history=history)
    assert len(history) == 1
    for tier in (first, second):
        asked = [message.content for message in tier.calls[0][0]]
        assert asked == ["be brief", "How is the weather?", "(appended by the tier)"]


async def test_predict_and_call() -> None:
    llm, _, _ = cascade(calling("look", bogus=1), GOOD)
    assert str(llm.predict_and_call([LOOK], "weather?")) == "sunny in Paris for 1"
    assert str(await llm.apredict_and_call([LOOK], "weather?")) == "sunny in Paris for 1"


def test_no_tools_is_a_plain_call() -> None:
    llm, first, _ = cascade("words", "no")
    assert llm.chat_with_tools([], "hello").message.content == "words"
    assert [message.content for message in first.calls[0][0]] == ["hello"]


def test_a_tier_that_cannot_call_tools_is_not_passed_over_in_silence() -> None:
    llm = FrugalCascadeLLM(tiers=[MockLLM(is_chat_model=True), Fake(model="b")])
    assert not llm.metadata.is_function_calling_model
    with pytest.raises(NotImplementedError, match="MockLLM cannot be asked by chat_with_tools"):
        llm.chat_with_tools([LOOK], "weather?")


def test_reading_a_response_of_nobodys() -> None:
    llm, _, _ = cascade("x", "y")
    from llama_index.core.base.llms.types import ChatResponse

    foreign = ChatResponse(message=ChatMessage(role="assistant", blocks=[GOOD]))
    (call,) = llm.get_tool_calls_from_response(foreign)
    assert call.tool_id.startswith("b/")
    silent = ChatResponse(message=ChatMessage(role="assistant", content="words"))
    assert llm.get_tool_calls_from_response(silent, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="no tool call"):
        llm.get_tool_calls_from_response(silent)


def test_openai_arguments_of_a_call_are_a_contract_too() -> None:
    llm, _, _ = cascade('{"x": "one"}', '{"x": 1}')
    schema = {"properties": {"x": {"type": "integer"}}, "required": ["x"]}
    asked = {"type": "json_schema", "json_schema": {"name": "p", "schema": schema}}
    response = llm.chat([ChatMessage("x?")], response_format=asked)
    assert response.message.content == '{"x": 1}'


def test_tool_boxes_say_everything_and_no_address() -> None:
    from llama_index_frugal._requests import Target, ToolBox

    box = ToolBox((LOOK,), {"tool_required": True})
    assert "Look up the weather" in repr(box) and "tool_required" in repr(box)
    assert "0x" not in repr(box)
    assert repr(box) == repr(ToolBox((FunctionTool.from_defaults(look),), {"tool_required": True}))
    assert repr(Target(Point)) == repr(Target(Point))


@pytest.mark.parametrize("streaming", [True, False])
async def test_agents_hand_over(streaming: bool) -> None:
    def agent(name: str, *says: Any, **kwargs: Any) -> FunctionAgent:
        first = Fake(model="a", says=[calling("handoff", nowhere=1)])
        llm = FrugalCascadeLLM(tiers=[first, Fake(model="b", says=says)], scorer=right)
        return FunctionAgent(
            name=name, description=name, tools=[look], llm=llm, streaming=streaming, **kwargs
        )

    front = agent("front", calling("handoff", to_agent="back", reason="hard"))
    back = agent("back", GOOD, "right: it is sunny")
    workflow = AgentWorkflow(agents=[front, back], root_agent="front")
    assert str(await workflow.run(user_msg="How is the weather?")) == "right: it is sunny"
