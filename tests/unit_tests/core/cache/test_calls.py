"""Calls through a cache, without any model: who waits for whom, and what faults cost."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from frugal_core.cache import Hit, SemanticCache
from frugal_core.cache.admission import Layers
from frugal_core.cache.calls import Asked, Calls
from frugal_core.cache.store.base import Selection, StoreError
from frugal_core.cache.store.late import LateStore

QUESTION = Asked("What is a monad?", "partition", True)
ANSWER = "a burrito"
TOOL_CALL = "call a tool"


class Plain:
    """Answers as they are, but tool calls."""

    def pack(self, answer: str) -> tuple[str | None, Layers]:
        return (None, "none") if answer == TOOL_CALL else (answer, "semantic")

    def unpack(self, hit: Hit) -> str | None:
        return str(hit.answer)


@pytest.fixture
def calls() -> Iterator[Calls[str]]:
    with SemanticCache(":memory:") as cache:
        yield Calls(cache, None, Plain(), ["tag"])


def elsewhere(act: Any, *arguments: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(act, *arguments).result(10)


def test_what_is_kept_is_found(calls: Calls[str]) -> None:
    assert calls.lookup(QUESTION) is None
    calls.update(QUESTION, ANSWER)
    found = elsewhere(calls.lookup, QUESTION)
    assert found == ANSWER
    assert calls.cache.invalidate(tag="tag") == 1


def test_others_wait_as_long_as_they_are_told(calls: Calls[str]) -> None:
    assert calls.lookup(QUESTION) is None
    assert elsewhere(calls.lookup, QUESTION, 0.05) is None
    with ThreadPoolExecutor(1) as pool:
        follower = pool.submit(calls.lookup, QUESTION)
        with pytest.raises(TimeoutError):
            follower.result(0.1)
        calls.update(QUESTION, ANSWER)
        assert follower.result(10) is not None


def test_giving_up_lets_the_others_go_on(calls: Calls[str]) -> None:
    assert calls.lookup(QUESTION) is None
    calls.give_up(QUESTION)
    calls.give_up(QUESTION)
    assert elsewhere(calls.lookup, QUESTION) is None


def test_an_answer_that_is_not_kept_stops_all_waiting(calls: Calls[str]) -> None:
    assert calls.lookup(QUESTION) is None
    calls.update(QUESTION, TOOL_CALL)
    for _ in range(3):
        assert elsewhere(calls.lookup, QUESTION) is None
    calls.update(QUESTION, ANSWER)
    assert elsewhere(calls.lookup, QUESTION) is not None


def test_who_holds_a_turn_does_not_wait(calls: Calls[str]) -> None:
    other = Asked("What is a functor?", "partition", True)
    assert calls.lookup(QUESTION) is None
    assert elsewhere(calls.lookup, other) is None  # and the thread is gone
    assert calls.lookup(other) is None, "they might wait for each other"
    assert calls.lookup(QUESTION) is None, "the same thread again: its call has failed"


async def test_a_task_that_ends_gives_up(calls: Calls[str]) -> None:
    abandoned: list[bool] = []

    async def asks() -> None:
        assert await calls.alookup(QUESTION, abandoned=lambda: abandoned.append(True)) is None

    await asyncio.create_task(asks())
    assert await asyncio.wait_for(calls.alookup(QUESTION), 10) is None
    await asyncio.sleep(0)
    assert abandoned == [True]
    await calls.aupdate(QUESTION, ANSWER)
    assert await calls.alookup(QUESTION) is not None


async def test_threads_do_not_wait_for_a_task(calls: Calls[str]) -> None:
    """It may need one of them to go on."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    assert await calls.alookup(QUESTION) is None

    def follow() -> str | None:
        found = calls.lookup(QUESTION, 5.0)
        if found is None:
            calls.update(QUESTION, ANSWER)
        return found

    started = time.monotonic()
    found = await asyncio.gather(*[asyncio.to_thread(follow) for _ in range(6)])
    assert time.monotonic() - started < 4
    assert found.count(None) == 1 and found.count(ANSWER) == 5, "but for one another"


async def test_a_task_needs_none_of_asyncios_threads(calls: Calls[str]) -> None:
    other = Asked("What is a functor?", "partition", True)
    with all_busy():
        for question in (QUESTION, other):
            assert await asyncio.wait_for(calls.alookup(question), 5) is None
        follower = asyncio.create_task(calls.alookup(other))
        await asyncio.sleep(0.05)
        calls.give_up(other)
        assert await asyncio.wait_for(follower, 5) is None
        await asyncio.wait_for(calls.aupdate(QUESTION, ANSWER), 5)
        assert await asyncio.wait_for(calls.alookup(QUESTION), 5) == ANSWER


@contextmanager
def all_busy() -> Iterator[None]:
    """Nobody gets a thread of asyncio's."""
    loop, over = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    loop.run_in_executor(None, over.wait)
    try:
        yield
    finally:
        over.set()


async def test_a_follower_that_is_cancelled_takes_nothing_with_it(calls: Calls[str]) -> None:
    assert await calls.alookup(QUESTION) is None
    follower = asyncio.create_task(calls.alookup(QUESTION))
    await asyncio.sleep(0.05)
    follower.cancel()
    with pytest.raises(asyncio.CancelledError):
        await follower
    other = asyncio.create_task(calls.alookup(QUESTION))
    await asyncio.sleep(0.05)
    await calls.aupdate(QUESTION, ANSWER)
    assert await asyncio.wait_for(other, 10) is not None


async def test_a_leader_that_is_cancelled_in_its_claim_gives_the_turn_back(
    calls: Calls[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = calls.cache.aclaim

    async def slowly(*arguments: Any, **options: Any) -> Any:
        found = await claim(*arguments, **options)
        await asyncio.sleep(0.1)
        return found

    monkeypatch.setattr(calls.cache, "aclaim", slowly)
    leader = asyncio.create_task(calls.alookup(QUESTION))
    await asyncio.sleep(0.05)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert await asyncio.wait_for(calls.alookup(QUESTION), 10) is None


def test_faults_are_logged_once(
    calls: Calls[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("no such luck")

    for name in ("claim", "lookup", "store"):
        monkeypatch.setattr(calls.cache, name, broken)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert calls.lookup(QUESTION) is None
            calls.update(QUESTION, ANSWER)
            assert asyncio.run(calls.alookup(QUESTION)) is None
    assert len(caplog.records) == 1


def test_a_store_is_opened_late_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "folder"
    blocked.write_text("a file")
    store = LateStore(blocked / "cache.sqlite")
    with caplog.at_level(logging.WARNING):
        assert not store.ready()
        with pytest.raises(StoreError, match="cannot be opened"):
            store.count(Selection())
        blocked.unlink()
        blocked.mkdir()
        assert not store.ready(), "not before its time"
        monkeypatch.setattr(store, "_retry_at", 0.0)
        assert store.ready() and store.count(Selection()) == 0
    assert len(caplog.records) == 1
    store.close()
    LateStore(":memory:").close()
