"""What llama-index-core's own tests ask of an LLM, asked of a cascade.

Its source distribution (0.14.25) holds no tests. The behaviours here are those of files in its
repository, `llama-index-core/tests/`; every test names what it follows. They stand on its models:
`MockLLM` and its kin.
"""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.agent.workflow import (
    AgentStream,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.mock import (
    MockFunctionCallingLLM,
    MockLLM,
    MockLLMWithNonyieldingChatStream,
)
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_frugal import FrugalCascadeLLM
from tests.unit_tests.llama_index.fakes import Fake, calling

SECRET = "sk-super-secret"


def accepts(query: str, answer: str) -> float:
    return 1.0


def rejects(query: str, answer: str) -> float:
    return 0.0


def cascade(*tiers: LLM, scorer: Any = accepts, **kwargs: Any) -> FrugalCascadeLLM:
    return FrugalCascadeLLM(tiers=list(tiers), scorer=scorer, **kwargs)


@pytest.fixture(params=[accepts, rejects], ids=["first tier", "second tier"])
def llm(request: pytest.FixtureRequest) -> FrugalCascadeLLM:
    return cascade(MockLLM(), MockLLM(), scorer=request.param)


# llms/test_callbacks.py, llms/test_custom.py, llms/test_mock.py


def test_prompts_by_position_and_by_keyword(llm: Any) -> None:
    """test_callbacks.py: test_llm_complete_prompt_arg, .._kwarg, .._throws_if_duplicate_prompt,
    .._throws_if_no_prompt, and the same four of test_llm_stream_complete_.."""
    assert llm.complete("a b").text == llm.complete(prompt="a b").text == "a b"
    for stream in (llm.stream_complete("a b"), llm.stream_complete(prompt="a b")):
        assert "".join(piece.delta for piece in stream) == "a b"
    for endpoint in (llm.complete, llm.stream_complete):
        with pytest.raises(TypeError):
            endpoint("a b", prompt="a b")
        with pytest.raises(ValueError, match="no prompt"):
            endpoint()


@pytest.mark.parametrize("silent", [0, 1])
async def test_a_stream_that_yields_nothing(silent: int) -> None:
    """test_callbacks.py: test_llm_stream_chat_handles_nonyielding_stream, and astream_chat."""
    tiers: list[LLM] = [MockLLM(), MockLLM()]
    tiers[silent] = MockLLMWithNonyieldingChatStream(max_tokens=None)
    llm = cascade(*tiers, scorer=rejects if silent else accepts)
    asked = [ChatMessage("p")]
    pieces = list(llm.stream_chat(asked))
    apieces = [piece async for piece in await llm.astream_chat(asked)]
    assert [piece.delta for piece in pieces] == [piece.delta for piece in apieces]
    assert pieces[-1].additional_kwargs["frugal"]["trail"]
    # A silent first tier is no answer; instead of a silent last one the draft is returned.
    assert "p" in "".join(piece.delta or "" for piece in pieces)


def test_an_empty_prompt_is_streamed(llm: FrugalCascadeLLM) -> None:
    """test_mock.py: test_mock_llm_stream_complete_empty_prompt_no_max_tokens."""
    (piece,) = list(llm.stream_complete(""))
    assert (piece.text, piece.delta) == ("", "")


class Secretive(MockLLM):
    """Has a key."""

    api_key: str = SECRET


def test_callbacks_are_told_no_secret() -> None:
    """test_callbacks.py: test_to_payload_excludes_secrets, test_callback_serialized_excludes_.."""
    told = LlamaDebugHandler(print_trace_on_end=False)
    tier = Secretive(max_tokens=9)
    llm = cascade(tier, tier, callback_manager=CallbackManager([told]))
    llm.complete("p")
    payload = llm.to_payload()
    assert payload["model_name"] == llm.metadata.model_name
    assert payload["class_name"] == llm.class_name()
    serialized = [
        event.payload[EventPayload.SERIALIZED]
        for event in told.get_events(CBEventType.LLM)
        if event.payload and EventPayload.SERIALIZED in event.payload
    ]
    assert serialized
    assert SECRET not in f"{payload}{serialized}"


def test_blocks_reach_the_tiers_as_they_are() -> None:
    """test_mock.py: test_mock_function_calling_llm_sync_methods."""
    blocks = [
        TextBlock(text="hello"),
        DocumentBlock(data=b"hello world"),
        ImageBlock(image=b"1px"),
    ]
    asked = [ChatMessage(role="user", blocks=blocks)]
    said = MockFunctionCallingLLM(max_tokens=200).chat(asked).message.content
    llm = cascade(MockFunctionCallingLLM(max_tokens=200), Fake())
    assert llm.chat(asked).message.content == said
    assert "".join(piece.delta or "" for piece in llm.stream_chat(asked)) == said


def test_events_leave_the_object_of_an_answer_alone() -> None:
    """test_instrumentation_events.py: test_llm_chat_end_event_does_not_mutate_response_raw."""

    class Point(BaseModel):
        x: int

    llm = cascade(Fake(says=[calling("Point", x=1)])).as_structured_llm(Point)
    response = llm.chat([ChatMessage("x?")])
    LLMChatEndEvent(messages=[], response=response).model_dump()
    assert response.raw == Point(x=1)


# llms/test_function_calling.py, llms/test_predict_and_call.py


def greet(name: str) -> str:
    """Greet somebody."""
    if name == "nobody":
        raise ValueError("there is nobody")
    return f"hello, {name}"


GREET = FunctionTool.from_defaults(greet)


async def test_tools_that_fail_raise_only_if_told_to() -> None:
    """test_function_calling.py: test_predict_and_call, .._throws_if_error_on_tool, both async."""
    llm = cascade(Fake(says=[calling("greet", name="nobody")]))
    arguments: dict[str, Any] = {"user_msg": "greet"}
    assert "nobody" in llm.predict_and_call([GREET], **arguments).response
    assert "nobody" in (await llm.apredict_and_call([GREET], **arguments)).response
    arguments["error_on_tool_error"] = True
    with pytest.raises(ValueError, match="nobody"):
        llm.predict_and_call([GREET], **arguments)
    with pytest.raises(ValueError, match="nobody"):
        await llm.apredict_and_call([GREET], **arguments)


async def test_streamed_answers_without_tools() -> None:
    """test_mock.py: test_mock_function_calling_llm_astream_chat_with_tools, of no tools."""
    llm = cascade(MockFunctionCallingLLM(max_tokens=200), MockFunctionCallingLLM())
    pieces = await llm.astream_chat_with_tools(tools=[], chat_history=[ChatMessage("hello world")])
    assert "".join([piece.delta or "" async for piece in pieces]) == "hello world"


# agent/workflow/: test_code_act_agent.py, test_thinking_delta.py, test_tool_streaming.py,
# test_function_agent_reasoning_only.py; chat_engine/test_streaming_history.py


class Scripted(Fake):
    """Says the same whole response in every way; a stream of one piece, as upstream's."""

    def _response(self) -> ChatResponse:
        blocks = list(self.says)
        text = "".join(block.text for block in blocks if isinstance(block, TextBlock))
        message = ChatMessage(role="assistant", blocks=blocks)
        extra = {"thinking_delta": "let me see"}
        return ChatResponse(message=message, delta=text, additional_kwargs=extra)

    def chat(self, messages: Any, **kwargs: Any) -> Any:
        return self._response()

    async def achat(self, messages: Any, **kwargs: Any) -> Any:
        return self._response()

    def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
        return iter([self._response()])

    async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
        async def pieces() -> Any:
            yield self._response()

        return pieces()


async def test_code_act_agents_run_what_the_tiers_write() -> None:
    """test_code_act_agent.py: test_code_act_agent_basic_execution, .._tool_handling."""
    code = "So:\n<execute>\nprint(2 + 2)\n</execute>"
    llm = cascade(Fake(says=["a guess"]), Fake(says=[code, "It is 4."]), scorer=rejects)
    ran: list[str] = []

    def execute(code: str) -> str:
        ran.append(code)
        return "4"

    agent = CodeActAgent(code_execute_fn=execute, llm=llm)
    assert str(await agent.run("What is 2 + 2?")) == "It is 4."
    assert [code.strip() for code in ran] == ["print(2 + 2)"]


@pytest.mark.parametrize("kind", [FunctionAgent, ReActAgent, CodeActAgent])
async def test_thoughts_are_streamed_by_every_agent(kind: Any) -> None:
    """test_thinking_delta.py: test_.._agent_comprehensive_thinking_streaming."""
    tier = Scripted(says=[TextBlock(text="Thought: I can.\nAnswer: yes")])
    runs_code = {"code_execute_fn": greet} if kind is CodeActAgent else {}
    agent = kind(llm=cascade(Fake(says=["no"]), tier, scorer=rejects), **runs_code)
    handler = agent.run("Can you?")
    events = [event async for event in handler.stream_events() if isinstance(event, AgentStream)]
    await handler
    assert [event.thinking_delta for event in events if event.thinking_delta] == ["let me see"]


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_answer_in_the_thoughts_alone_is_no_answer(streaming: bool) -> None:
    """test_function_agent_reasoning_only.py: test_present_content_is_not_overridden_by_thinking,
    and what leads to test_reasoning_only_thinking_block_is_recovered."""
    thought, spoken = ThinkingBlock(content="It is Paris."), TextBlock(text="Paris.")

    async def said(*tiers: LLM) -> str:
        agent = FunctionAgent(llm=cascade(*tiers), tools=[], streaming=streaming)
        return str(await agent.run("What is the capital of France?"))

    assert await said(Scripted(says=[thought]), Fake(says=["Paris!"])) == "Paris!"
    assert await said(Scripted(says=[thought, spoken]), Fake(says=["no"])) == "Paris."


async def test_results_of_tools_are_streamed() -> None:
    """test_tool_streaming.py: test_streaming_tool_results."""
    tier = Fake(says=[calling("greet", name="Ada"), "done"])
    agent = FunctionAgent(tools=[GREET], llm=cascade(Fake(says=[calling("jump")]), tier))
    handler = agent.run("Greet Ada.")
    events = [event async for event in handler.stream_events()]
    assert str(await handler) == "done"
    results = [event for event in events if isinstance(event, ToolCallResult)]
    assert [result.tool_output.content for result in results] == ["hello, Ada"]


@pytest.mark.parametrize("scorer", [accepts, rejects])
async def test_a_streamed_answer_of_several_blocks_is_written_to_the_history(scorer: Any) -> None:
    """test_streaming_history.py: test_write_response_to_history_handles_multi_block_message,
    test_awrite_response_to_history_.."""
    tier = Scripted(says=[ThinkingBlock(content="hm"), TextBlock(text="hello there")])
    llm = cascade(tier, tier, scorer=scorer)
    assert list(llm.stream_chat([ChatMessage("hi")]))[-1].message.blocks == tier.says
    engine = SimpleChatEngine.from_defaults(llm=llm)
    for _ in engine.stream_chat("hi").response_gen:
        pass
    async for _ in (await engine.astream_chat("hi")).async_response_gen():
        pass
    answers = [message for message in engine.chat_history if message.role == "assistant"]
    assert [answer.content for answer in answers] == ["hello there"] * 2


def test_metadata_of_one_tier_is_the_tiers() -> None:
    """test_mock.py: test_mock_function_calling_llm_init."""
    alone = MockFunctionCallingLLM()
    ours, theirs = cascade(alone).metadata, alone.metadata
    assert ours.is_function_calling_model
    fields = ("context_window", "num_output", "is_chat_model", "system_role")
    assert [getattr(ours, one) for one in fields] == [getattr(theirs, one) for one in fields]


def test_tool_calls_are_read_from_a_response() -> None:
    """test_mock.py: test_mock_function_calling_llm_get_tool_calls_from_response, .._empty."""
    llm = cascade(MockFunctionCallingLLM())
    block = ToolCallBlock(tool_call_id="t", tool_name="greet", tool_kwargs={"name": "Ada"})
    (call,) = llm.get_tool_calls_from_response(
        ChatResponse(message=ChatMessage(role="assistant", blocks=[block]))
    )
    assert (call.tool_id, call.tool_name, call.tool_kwargs) == ("t", "greet", {"name": "Ada"})
    silent = ChatResponse(message=ChatMessage(role="assistant", content="words"))
    assert llm.get_tool_calls_from_response(silent, error_on_no_tool_call=False) == []
