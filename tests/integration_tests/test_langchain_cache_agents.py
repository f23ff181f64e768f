"""Agents: LangChain's `create_agent` with the callback and with the middleware."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from langchain_frugal import FrugalCascadeLLM, SemanticCacheMiddleware
from tests.conftest import StartScripted
from tests.integration_tests.langchain_cache_helpers import (
    ASKED,
    REWORDED,
    callback,
    chat,
    echo,
    layer,
    no_global_cache,
    with_,
)
from tests.servers import Answer, Fault, Request, ScriptedServer

__all__ = ["no_global_cache"]


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"Sunny in {city}"


def uses_the_tool(request: Request) -> Answer:
    if request.messages[-1]["role"] == "tool":
        return Answer(f"They say: {request.messages[-1]['content']}")
    return Answer.calling("get_weather", {"city": "Paris"})


def asking(said: str) -> Any:
    return {"messages": [{"role": "user", "content": said}]}


async def invoke(agent: Any, said: str, config: Any) -> BaseMessage:
    return agent.invoke(asking(said), config)["messages"][-1]


async def ainvoke(agent: Any, said: str, config: Any) -> BaseMessage:
    return (await agent.ainvoke(asking(said), config))["messages"][-1]


async def stream_values(agent: Any, said: str, config: Any) -> BaseMessage:
    return list(agent.stream(asking(said), config, stream_mode="values"))[-1]["messages"][-1]


async def stream_messages(agent: Any, said: str, config: Any) -> BaseMessage:
    modes = ["messages", "values"]
    parts = list(agent.stream(asking(said), config, stream_mode=modes))
    last: BaseMessage = parts[-1][1]["messages"][-1]
    shown = "".join(str(part[0].content) for mode, part in parts if mode == "messages")
    assert shown == last.content
    return last


async def astream_events(agent: Any, said: str, config: Any) -> BaseMessage:
    events = [e async for e in agent.astream_events(asking(said), config, version="v2")]
    assert sum(event["event"] == "on_chat_model_end" for event in events) == 1
    last: BaseMessage = events[-1]["data"]["output"]["messages"][-1]
    return last


Ask = Callable[[Any, str, Any], Awaitable[BaseMessage]]


@pytest.fixture
def server(scripted: StartScripted) -> ScriptedServer:
    return scripted({"m": echo})


@pytest.mark.parametrize("ask", [invoke, ainvoke, stream_values, stream_messages, astream_events])
@pytest.mark.parametrize("model", ["chat", "cascade"])
async def test_a_callback_serves_an_agent(server: ScriptedServer, ask: Ask, model: str) -> None:
    llm = chat(server) if model == "chat" else FrugalCascadeLLM(tiers=[chat(server)])
    agent, cached = create_agent(llm, tools=[]), with_(callback())
    first = await ask(agent, ASKED, cached)
    again = await ask(agent, ASKED, cached)
    reworded = await ask(agent, REWORDED, cached)
    assert [layer(m) for m in (first, again, reworded)] == [None, "exact", "semantic"]
    assert first.content == again.content == reworded.content
    assert server.calls["m"] == 1


@pytest.mark.parametrize("ask", [invoke, ainvoke])
async def test_the_middleware_serves_an_agent(server: ScriptedServer, ask: Ask) -> None:
    middleware = SemanticCacheMiddleware(":memory:", error_bound=0.05)
    agent = create_agent(chat(server), tools=[], middleware=[middleware])
    answers = [await ask(agent, said, {}) for said in (ASKED, ASKED, REWORDED)]
    assert [layer(answer) for answer in answers] == [None, "exact", "semantic"]
    other = create_agent(chat(server), tools=[], middleware=[middleware], system_prompt="Be brief.")
    assert layer(await ask(other, ASKED, {})) is None
    assert server.calls["m"] == 2
    middleware.report_wrong(await ask(agent, ASKED, {}))
    assert layer(await ask(agent, ASKED, {})) != "exact"


class Tells(AgentMiddleware[Any, Any, Any]):
    """Tells the model for whom it works, and tries a second time."""

    def __init__(self) -> None:
        super().__init__()
        self.user = "Ann"

    def _told(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        return request.override(system_message=SystemMessage(f"The user is {self.user}."))

    def wrap_model_call(self, request: ModelRequest[Any], handler: Any) -> Any:
        try:
            return handler(self._told(request))
        except Exception:
            return handler(self._told(request))

    async def awrap_model_call(self, request: ModelRequest[Any], handler: Any) -> Any:
        try:
            return await handler(self._told(request))
        except Exception:
            return await handler(self._told(request))


@pytest.mark.parametrize("ask", [invoke, ainvoke])
async def test_the_middleware_sees_what_later_ones_make_of_the_request(
    scripted: StartScripted, ask: Ask
) -> None:
    tells, server = Tells(), scripted({"m": [Fault.bad_request(), "for Ann", "for Bob"]})
    agent = create_agent(chat(server), [], middleware=[SemanticCacheMiddleware(":memory:"), tells])
    assert (await ask(agent, ASKED, {})).content == "for Ann"
    tells.user = "Bob"
    assert (await ask(agent, ASKED, {})).content == "for Bob"
    for tells.user in ("Ann", "Bob"):
        hit = await ask(agent, ASKED, {})
        assert (layer(hit), hit.content) == ("exact", f"for {tells.user}")


@pytest.mark.parametrize("ask", [invoke, ainvoke])
async def test_the_middleware_lets_failures_through(scripted: StartScripted, ask: Ask) -> None:
    server = scripted({"m": [Fault.bad_request(), "fine"]})
    agent = create_agent(chat(server), [], middleware=[SemanticCacheMiddleware(":memory:")])
    with pytest.raises(Exception, match="Invalid request"):
        await ask(agent, ASKED, {})
    assert (await ask(agent, ASKED, {})).content == "fine"
    assert layer(await ask(agent, ASKED, {})) == "exact"


@pytest.mark.parametrize("door", ["callback", "middleware"])
@pytest.mark.parametrize("ask", [invoke, ainvoke])
@pytest.mark.parametrize("opted_in", [False, True])
async def test_an_agent_with_tools(
    scripted: StartScripted, door: str, ask: Ask, opted_in: bool
) -> None:
    server = scripted({"m": uses_the_tool})
    cached: Any = with_(callback(tool_calls=opted_in)) if door == "callback" else {}
    middleware = [SemanticCacheMiddleware(":memory:", tool_calls=opted_in)] * (not cached)
    agent = create_agent(chat(server), tools=[get_weather], middleware=middleware)
    for _ in range(2):
        answer = await ask(agent, ASKED, cached)
        assert answer.content == "They say: Sunny in Paris"
    # The second step's prompt is the same though the tool call has another id.
    assert layer(answer) == "exact"
    assert server.calls["m"] == (2 if opted_in else 3)


def test_a_second_question_does_not_replace_the_first_answer(server: ScriptedServer) -> None:
    agent = create_agent(chat(server), tools=[], checkpointer=InMemorySaver())
    cached = with_(callback(error_bound=0))
    for thread in ("one", "two"):
        config: Any = {**cached, "configurable": {"thread_id": thread}}
        agent.invoke(asking(ASKED), config)
        state = agent.invoke(asking("And what about the very same thing in Rust?"), config)
    messages = state["messages"]
    assert len(messages) == 4 and len({message.id for message in messages}) == 4
    assert [layer(m) for m in messages if isinstance(m, AIMessage)] == ["exact", "exact"]


class Weather(BaseModel):
    city: str


def test_structured_responses_go_past_the_middleware(scripted: StartScripted) -> None:
    server = scripted({"m": Answer.calling("Weather", {"city": "Paris"})})
    middleware = SemanticCacheMiddleware(":memory:", tool_calls=True)
    agent = create_agent(chat(server), [], middleware=[middleware], response_format=Weather)
    for _ in range(2):
        assert agent.invoke(asking(ASKED))["structured_response"] == Weather(city="Paris")
    assert server.calls["m"] == 2


def test_without_langchain_the_middleware_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "langchain.agents.middleware", None)
    monkeypatch.delitem(sys.modules, "langchain_frugal.cache_middleware", raising=False)
    with pytest.raises(ImportError, match=r"pip install \"frugal-cascade\[langchain\]\""):
        from langchain_frugal import SemanticCacheMiddleware  # noqa: F401
