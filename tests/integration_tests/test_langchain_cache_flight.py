"""Equal questions at the same time: one call of the model, whatever becomes of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage

from langchain_frugal import FrugalCache
from tests.conftest import StartScripted
from tests.integration_tests.langchain_cache_helpers import (
    ASKED,
    OTHER,
    callback,
    chat,
    layer,
    no_global_cache,
    with_,
)
from tests.servers import Answer, Fault, Request

__all__ = ["no_global_cache"]

TWENTY = 20


class Gate:
    """A model that answers only once it is told to."""

    def __init__(self, *then: Any) -> None:
        self.then = then or ("fine",)
        self.asked = threading.Event()
        self.open = threading.Event()

    def __call__(self, request: Request) -> Any:
        self.asked.set()
        self.open.wait(20)
        return self.then[min(request.number, len(self.then) - 1)]


def at_once(act: Callable[[], Any], gate: Gate | None = None) -> list[Any]:
    with ThreadPoolExecutor(TWENTY) as pool:
        doing = [pool.submit(act) for _ in range(TWENTY)]
        if gate is not None:
            assert gate.asked.wait(20)
            gate.open.set()
        return [done.exception() or done.result() for done in doing]


@pytest.mark.parametrize("door", ["callback", "global"])
def test_threads(scripted: StartScripted, door: str) -> None:
    gate = Gate()
    server = scripted({"m": gate})
    llm, cached = chat(server), with_(callback())
    if door == "global":
        cached = {}
        set_llm_cache(FrugalCache(":memory:"))
    answers = at_once(lambda: llm.invoke(ASKED, cached), gate)
    assert server.calls["m"] == 1
    assert sorted(str(layer(answer)) for answer in answers) == ["None"] + ["exact"] * (TWENTY - 1)


@pytest.mark.parametrize("door", ["callback", "global"])
async def test_tasks(scripted: StartScripted, door: str) -> None:
    server = scripted({"m": Answer("fine", delay=0.1)})
    llm, cached = chat(server), with_(callback())
    if door == "global":
        cached = {}
        set_llm_cache(FrugalCache(":memory:"))
    answers = await asyncio.gather(*(llm.ainvoke(ASKED, cached) for _ in range(TWENTY)))
    assert server.calls["m"] == 1
    assert sum(layer(answer) == "exact" for answer in answers) == TWENTY - 1


async def test_batches(scripted: StartScripted) -> None:
    server = scripted({"m": Answer("fine", delay=0.1)})
    cached = with_(callback())
    chat(server).batch([ASKED] * TWENTY, cached)
    await chat(server).abatch([OTHER] * TWENTY, cached)
    assert server.calls["m"] == 2


def test_two_caches_on_one_file(scripted: StartScripted, tmp_path: Path) -> None:
    gate = Gate()
    server = scripted({"m": gate})
    one, two = (callback(location=tmp_path / "cache.sqlite") for _ in range(2))
    with one, two, ThreadPoolExecutor(2) as pool:
        leader = pool.submit(chat(server).invoke, ASKED, with_(one))
        assert gate.asked.wait(20)
        follower = pool.submit(chat(server).invoke, ASKED, with_(two))
        with pytest.raises(TimeoutError):
            follower.result(0.3)
        gate.open.set()
        assert [layer(asked.result(20)) for asked in (leader, follower)] == [None, "exact"]
    assert server.calls["m"] == 1


def test_after_a_failure_nobody_waits_for_anybody(scripted: StartScripted) -> None:
    gate = Gate(Fault.bad_request())
    server = scripted({"m": gate})
    llm, cached = chat(server), with_(callback())
    failures = at_once(lambda: llm.invoke(ASKED, cached), gate)
    assert all(isinstance(failure, openai.BadRequestError) for failure in failures)


def test_after_an_answer_that_is_not_kept_nobody_waits(scripted: StartScripted) -> None:
    together = threading.Barrier(TWENTY - 1)
    gate = Gate()

    def calls(request: Request) -> Answer:
        if request.number:
            together.wait(20)  # all of them at once, or the barrier breaks
        else:
            gate(request)
        return Answer.calling("f", {})

    server = scripted({"m": calls})
    cached = with_(callback())
    answers = at_once(lambda: chat(server).invoke(ASKED, cached), gate)
    assert all(answer.tool_calls for answer in answers)


def test_the_next_one_asks_after_a_failure(scripted: StartScripted) -> None:
    server = scripted({"m": [Fault.bad_request(), "fine"]})
    llm, cached = chat(server), with_(callback())
    with pytest.raises(openai.BadRequestError):
        llm.invoke(ASKED, cached)
    with ThreadPoolExecutor(1) as pool:  # another thread, as the same one would not wait anyway
        assert pool.submit(lambda: llm.invoke(ASKED, cached)).result(10).content == "fine"
    assert layer(llm.invoke(ASKED, cached)) == "exact"


def test_a_failure_under_the_global_cache_is_tried_again_at_once(scripted: StartScripted) -> None:
    server = scripted({"m": [Fault.bad_request(), "fine"]})
    set_llm_cache(FrugalCache(":memory:"))
    with pytest.raises(openai.BadRequestError):
        chat(server).invoke(ASKED)
    assert chat(server).invoke(ASKED).content == "fine"


def test_a_failed_thread_is_not_waited_for_longer_than_the_limit(
    scripted: StartScripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("langchain_frugal.cache.SHORT_PATIENCE", 0.2)
    server = scripted({"m": [Fault.bad_request(), "fine"]})
    set_llm_cache(FrugalCache(":memory:"))
    with pytest.raises(openai.BadRequestError):
        chat(server).invoke(ASKED)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: chat(server).invoke(ASKED)).result(10).content == "fine"


@pytest.mark.parametrize("door", ["callback", "global"])
async def test_a_cancelled_call_is_not_waited_for(scripted: StartScripted, door: str) -> None:
    server = scripted({"m": [Answer("late", delay=60), "fine"]})
    llm, cached = chat(server), with_(callback())
    if door == "global":
        cached = {}
        set_llm_cache(FrugalCache(":memory:"))
    leader = asyncio.create_task(llm.ainvoke(ASKED, cached))
    async with asyncio.timeout(10):
        while not server.calls["m"]:
            await asyncio.sleep(0.01)
    followers = [asyncio.create_task(llm.ainvoke(ASKED, cached)) for _ in range(3)]
    await asyncio.sleep(0.05)
    followers.pop().cancel()
    leader.cancel()
    answers = await asyncio.wait_for(asyncio.gather(*followers), 20)
    assert [answer.content for answer in answers] == ["fine"] * 2
    assert layer(await llm.ainvoke(ASKED, cached)) == "exact"


async def test_a_timeout_in_the_same_task_leaves_nothing_behind(scripted: StartScripted) -> None:
    server = scripted({"m": [Answer("late", delay=60), "fine"]})
    llm, cb = chat(server), callback()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await llm.ainvoke(ASKED, with_(cb))
    assert (await llm.ainvoke(ASKED)).content == "fine"
    assert cb.cache.stats()["entries"] == 0, "the answer of a run without the callback"
    assert layer(await llm.ainvoke(ASKED, with_(cb))) is None
    assert layer(await llm.ainvoke(ASKED, with_(cb))) == "exact"


async def test_a_synchronous_call_in_an_event_loop_does_not_block_it(
    scripted: StartScripted,
) -> None:
    gate = Gate()
    server = scripted({"m": gate})
    llm, cached = chat(server), with_(callback())
    leader = asyncio.create_task(llm.ainvoke(ASKED, cached))
    async with asyncio.timeout(10):
        while not gate.asked.is_set():
            await asyncio.sleep(0.01)
    gate.open.set()
    assert llm.invoke(ASKED, cached).content == "fine"  # the leader cannot go on meanwhile
    assert (await leader).content == "fine"


async def test_different_callbacks_in_parallel_do_not_mix(scripted: StartScripted) -> None:
    server = scripted({"m": lambda request: Answer(request.headers["x-who"], delay=0.05)})
    caches = {who: callback(scope=who) for who in ("a", "b", "c")}

    async def ask(who: str) -> tuple[str, AIMessage]:
        llm = chat(server, default_headers={"x-who": who})
        return who, await llm.ainvoke(ASKED, with_(caches[who]) if who in caches else {})

    # The header is no part of the key, so a mix would show.
    pairs = await asyncio.gather(*(ask(who) for who in "abcd" * 5))
    assert all(answer.content == who for who, answer in pairs)
    assert server.calls["m"] == 3 + 5
    assert all(layer(answer) is None for who, answer in pairs if who == "d")


async def test_plain_models(scripted: StartScripted) -> None:
    set_llm_cache(FrugalCache(":memory:", error_bound=0.05))
    llm = FakeListLLM(responses=["one", "two", "three"])
    assert [llm.invoke(ASKED), llm.invoke(ASKED), await llm.ainvoke(ASKED)] == ["one"] * 3
    twice = llm.generate([OTHER, OTHER])
    assert [generations[0].text for generations in twice.generations] == ["two", "three"]
    assert await llm.ainvoke(OTHER) in ("two", "three")
    await llm.agenerate(["What is a monad?", "What is a monad?"])
    # With a callback, which plain models tell too late, the global cache goes on serving them.
    assert llm.invoke(ASKED, with_(callback())) == "one"
