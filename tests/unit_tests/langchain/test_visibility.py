"""Who sees what: every token counted once, no draft anywhere, all tiers in the traces."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import (
    BaseCallbackHandler,
    UsageMetadataCallbackHandler,
    get_usage_metadata_callback,
)
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tracers.base import AsyncBaseTracer, BaseTracer
from langchain_core.tracers.schemas import Run
from langgraph.graph import START, MessagesState, StateGraph

from langchain_frugal import FrugalCascadeLLM
from tests.unit_tests.langchain.fakes import Fake, right

DRAFT = "secretdraft"
ASK: Any = {"messages": [("user", "Q")]}


class Tracer(BaseTracer):
    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.roots.append(run)


class AsyncTracer(AsyncBaseTracer):
    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Run] = []

    async def _persist_run(self, run: Run) -> None:
        self.roots.append(run)


class Listener(BaseCallbackHandler):
    """Notes every chat model that starts and every token."""

    def __init__(self) -> None:
        self.starts = 0
        self.tokens: list[str] = []

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.starts += 1

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(str(token))


def cascade(**kwargs: Any) -> FrugalCascadeLLM:
    """Every call escalates and costs 30 tokens."""
    return FrugalCascadeLLM(
        tiers={"a": Fake(model="a", says=[DRAFT]), "b": Fake(model="b", says=["it is right"])},
        scorer=right,
        **kwargs,
    )


def graph(llm: Any, *, is_async: bool) -> Any:
    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [llm.invoke(state["messages"])]}

    async def anode(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await llm.ainvoke(state["messages"])]}

    built = StateGraph(MessagesState)
    built.add_node("n", anode if is_async else node)
    built.add_edge(START, "n")
    return built.compile()


def runs(run: Run) -> list[Run]:
    return [run, *(below for child in run.child_runs for below in runs(child))]


def tiers_below(root: Run) -> list[str]:
    (cascade_run,) = [run for run in runs(root) if run.name == "FrugalCascadeLLM"]
    return [child.name for child in cascade_run.child_runs]


def total(usage: dict[str, Any]) -> int:
    return sum(of_model["total_tokens"] for of_model in usage.values())


# Usage


async def test_usage_is_counted_once_in_every_way() -> None:
    llm, handler = cascade(), UsageMetadataCallbackHandler()
    config: Any = {"callbacks": [handler]}
    with get_usage_metadata_callback() as scoped:
        llm.invoke("Q", config)
        await llm.ainvoke("Q", config)
        list(llm.stream("Q", config))
        [chunk async for chunk in llm.astream("Q", config)]
        (ChatPromptTemplate.from_template("{q}") | llm).invoke({"q": "x"}, config)
        list((ChatPromptTemplate.from_template("{q}") | llm).stream({"q": "x"}, config))
        [event async for event in llm.astream_events("Q", config, version="v2")]
        llm.with_structured_output(method="json_mode")  # building costs nothing
    assert total(handler.usage_metadata) == total(scoped.usage_metadata) == 7 * 30
    assert scoped.usage_metadata["b"]["input_token_details"]["cache_read"] == 7 * 8


def test_usage_in_a_batch_of_fifty_threads() -> None:
    llm, handler = cascade(), UsageMetadataCallbackHandler()
    questions: list[Any] = [str(i) for i in range(200)]
    config: Any = {"callbacks": [handler], "max_concurrency": 50}
    messages = llm.batch(questions, config)
    assert total(handler.usage_metadata) == 200 * 30
    assert all(len(m.response_metadata["frugal"]["trail"]) == 2 for m in messages)


def test_trails_of_parallel_calls_are_not_mixed() -> None:
    def echo(query: str, answer: str) -> float:
        return float(int(query) % 2)

    llm = FrugalCascadeLLM(tiers={"a": Fake(model="a"), "b": Fake(model="b")}, scorer=echo)
    barrier = threading.Barrier(40)

    def ask(i: int) -> bool:
        barrier.wait()
        trail = llm.invoke(str(i)).response_metadata["frugal"]["trail"]
        return len(trail) == (1 if i % 2 else 2)

    with ThreadPoolExecutor(40) as pool:
        assert all(pool.map(ask, range(40)))


@pytest.mark.parametrize("mode", ["messages", "updates", "values"])
@pytest.mark.parametrize("is_async", [False, True])
async def test_graphs_count_once_and_show_no_draft(mode: Any, is_async: bool) -> None:
    tracer, listener, app = Tracer(), Listener(), graph(cascade(), is_async=is_async)
    config: Any = {"callbacks": [tracer, listener]}
    with get_usage_metadata_callback() as scoped:
        if is_async:
            parts = [part async for part in app.astream(ASK, config, stream_mode=mode)]
        else:
            parts = list(app.stream(ASK, config, stream_mode=mode))
    assert total(scoped.usage_metadata) == 30
    assert DRAFT not in str(parts)
    assert listener.starts == 1
    assert tiers_below(tracer.roots[0]) == ["a", "b"]
    if mode == "messages":
        shown = "".join(message.content for message, _ in parts)
        assert shown.strip() == "it is right", "each token once"


async def test_agents_count_once_and_show_no_draft() -> None:
    def look(where: str) -> str:
        """Look somewhere."""
        return "found"

    call = AIMessage("", tool_calls=[{"name": "look", "args": {"where": "x"}, "id": "1"}])
    cheap = Fake(model="a", says=[DRAFT])
    strong = Fake(model="b", says=[call, "it is right"])
    llm = FrugalCascadeLLM(tiers={"a": cheap, "b": strong}, scorer=right)
    agent = create_agent(llm, [look])
    for mode in ("messages", "updates", "values"):
        strong.calls.clear()
        tracer = Tracer()
        with get_usage_metadata_callback() as scoped:
            parts = list(agent.stream(ASK, {"callbacks": [tracer]}, stream_mode=mode))
        assert total(scoped.usage_metadata) == 2 * 30
        assert DRAFT not in str(parts)
    strong.calls.clear()
    with get_usage_metadata_callback() as scoped:
        events = [event async for event in agent.astream_events(ASK, version="v2")]
    assert total(scoped.usage_metadata) == 2 * 30
    assert DRAFT not in str(events)
    assert sum(event["event"] == "on_chat_model_end" for event in events) == 2


async def test_events_show_one_model_and_no_draft() -> None:
    events = [event async for event in cascade().astream_events("Q", version="v2")]
    assert {event["name"] for event in events} == {"FrugalCascadeLLM"}
    assert DRAFT not in str(events)
    shown = "".join(e["data"]["chunk"].content for e in events if "stream" in e["event"])
    assert shown.strip() == "it is right"


async def test_ordinary_handlers_see_one_model() -> None:
    listener = Listener()
    list(cascade().stream("Q", {"callbacks": [listener]}))
    assert listener.starts == 1
    assert DRAFT not in "".join(listener.tokens)
    assert "".join(listener.tokens).split() == ["it", "is", "right"]


# Traces


async def test_tiers_are_children_in_every_way() -> None:
    llm, tracer, native = cascade(), Tracer(), AsyncTracer()
    llm.invoke("Q", {"callbacks": [tracer]})
    list(llm.stream("Q", {"callbacks": [tracer]}))
    await llm.ainvoke("Q", {"callbacks": [tracer, native]})
    [chunk async for chunk in llm.astream("Q", {"callbacks": [tracer, native]})]
    assert [tiers_below(root) for root in tracer.roots] == [["a", "b"]] * 4
    assert [tiers_below(root) for root in native.roots] == [["a", "b"]] * 2
    assert {run.name for root in tracer.roots for run in runs(root)} == {
        "FrugalCascadeLLM",
        "a",
        "b",
    }


def test_run_id_of_the_caller_is_kept() -> None:
    from uuid import uuid4

    tracer, wanted = Tracer(), uuid4()
    list(cascade().stream("Q", {"callbacks": [tracer], "run_id": wanted}))
    assert tracer.roots[0].id == wanted


def test_failed_tiers_are_traced_as_failed() -> None:
    tracer = Tracer()
    llm = FrugalCascadeLLM(
        tiers={"a": Fake(says=[TimeoutError("slow")]), "b": Fake()}, scorer=right
    )
    llm.invoke("Q", {"callbacks": [tracer]})
    failed, fine = tracer.roots[0].child_runs
    assert failed.error is not None
    assert fine.error is None


def test_a_tiers_own_callbacks_are_called() -> None:
    listener = Listener()
    llm = FrugalCascadeLLM(
        tiers={"a": Fake(callbacks=[listener]), "b": Fake()}, scorer=lambda q, a: 1.0
    )
    llm.invoke("Q")
    assert listener.starts == 1


def test_the_models_own_tracer_sees_the_tiers() -> None:
    tracer = Tracer()
    cascade(callbacks=[tracer]).invoke("Q")
    assert tiers_below(tracer.roots[0]) == ["a", "b"]


def test_tracing_parameters_name_no_provider_that_would_price_the_sum() -> None:
    params = cascade()._get_ls_params(stop=["x"])
    assert params["ls_provider"] == "frugal"
    assert params["ls_model_name"] == "b"
    assert cascade()._get_ls_params(model="a")["ls_model_name"] == "a"
