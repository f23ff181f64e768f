"""Upkeep of the cache: reports, invalidation, faults of the store, copies of the configuration."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import pickle
import time
from pathlib import Path
from typing import Any

import pytest
from langchain_core.globals import set_llm_cache

from frugal_core.cache.store import open_store
from frugal_core.errors import FrugalError
from langchain_frugal import FrugalCache, SemanticCacheCallback, _cache_router
from tests.conftest import StartScripted
from tests.integration_tests.langchain_cache_helpers import (
    ASKED,
    OTHER,
    REWORDED,
    callback,
    chat,
    echo,
    layer,
    no_global_cache,
    with_,
)
from tests.servers import ScriptedServer

__all__ = ["no_global_cache"]


@pytest.fixture
def server(scripted: StartScripted) -> ScriptedServer:
    return scripted({"m": echo})


def test_reports(server: ScriptedServer) -> None:
    llm, cb = chat(server), callback()
    first = llm.invoke(ASKED, with_(cb))
    cb.report_right(llm.invoke(REWORDED, with_(cb)))
    cb.report_wrong(llm.invoke(REWORDED, with_(cb)))
    assert layer(llm.invoke(REWORDED, with_(cb))) is None
    llm.invoke(OTHER, with_(cb))
    cb.report_wrong(llm.invoke(OTHER, with_(cb)))
    assert layer(llm.invoke(OTHER, with_(cb))) is None
    with pytest.raises(FrugalError, match="did not come from the cache"):
        cb.report_wrong(first)
    assert cb.certificate().error_bound == 0.05


def test_entries_die_and_are_invalidated(server: ScriptedServer) -> None:
    llm, mortal, tagged = chat(server), callback(ttl=0.05), callback(tags=["docs 3"])
    llm.invoke(ASKED, with_(mortal))
    time.sleep(0.1)
    assert layer(llm.invoke(ASKED, with_(mortal))) is None
    llm.invoke(ASKED, with_(tagged))
    assert tagged.invalidate(tag="docs 2") == 0
    assert tagged.invalidate(where={"model": "m"}, tag="docs 3") == 1
    assert layer(llm.invoke(ASKED, with_(tagged))) is None


def test_a_location_that_cannot_be_opened_costs_no_answer(
    server: ScriptedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    cb = callback(location=tmp_path / "file" / "cache.sqlite")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert layer(chat(server).invoke(ASKED, with_(cb))) is None
        assert layer(asyncio.run(chat(server).ainvoke(ASKED, with_(cb)))) is None
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "the cache cannot be opened"
    ]
    with pytest.raises(FrugalError, match="error_bound"):
        callback(error_bound=2)


class _Failing:
    """A store that breaks down in the middle of a call."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        if self.broken:
            raise OSError("the disk is gone")
        return getattr(self.store, name)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_store_that_fails_costs_no_answer(
    scripted: StartScripted, asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    store = _Failing(open_store(":memory:"))

    def breaks(request: Any) -> str:
        store.broken = True
        return "fine"

    server, cached = scripted({"m": breaks}), with_(callback(location=store))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            llm = chat(server)
            got = await llm.ainvoke(ASKED, cached) if asynchronous else llm.invoke(ASKED, cached)
            assert got.content == "fine"
        logged = len(caplog.records)
        for _ in range(3):
            chat(server).invoke(ASKED, cached)
    assert 0 < logged == len(caplog.records), "each kind of fault once, however many calls"
    assert server.calls["m"] == 5


def test_configurations_are_copied_and_sent(server: ScriptedServer, tmp_path: Path) -> None:
    cb = callback(location=tmp_path / "cache.sqlite", scope="a")
    chat(server).invoke(ASKED, with_(cb))
    assert copy.deepcopy(with_(cb))["callbacks"] == [cb]
    sent = pickle.loads(pickle.dumps(cb))  # noqa: S301  # what multiprocessing does
    assert layer(chat(server).invoke(ASKED, with_(sent))) == "exact"
    cb.close()
    sent.close()
    with pytest.raises(TypeError, match="stays in its process"):
        pickle.dumps(SemanticCacheCallback(cache=cb.cache))


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_scopes_on_one_call_none_is_served(
    server: ScriptedServer, order: int, caplog: pytest.LogCaptureFixture
) -> None:
    _cache_router._tell_of_scopes.cache_clear()
    shared, seven, eight = (callback(scope=name) for name in ("shared", "tenant 7", "tenant 8"))
    model = chat(server, callbacks=[shared])
    for tenant in (seven, eight):
        both: Any = {"callbacks": [shared, tenant][::order]}
        answers = [chat(server).invoke(ASKED, both)]
        answers += [model.invoke(ASKED, with_(tenant)) for _ in range(2)]
        assert [layer(answer) for answer in answers] == [None, None, None]
    assert layer(model.invoke(ASKED)) is None and layer(model.invoke(ASKED)) == "exact"
    assert caplog.text.count("two semantic caches") == 1


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_judge_may_ask_a_model_through_the_cache_it_judges(
    server: ScriptedServer, asynchronous: bool
) -> None:
    verdicts = []

    def prompt(question: str, stored: str) -> str:
        return f"Does one answer serve {question!r} and {stored!r}?"

    def judge(question: str, stored: str, answer: Any) -> bool:
        verdicts.append(chat(server).invoke(prompt(question, stored)))
        return True

    async def ajudge(question: str, stored: str, answer: Any) -> bool:
        verdicts.append(await asyncio.to_thread(chat(server).invoke, prompt(question, stored)))
        return True

    chosen = ajudge if asynchronous else judge
    with FrugalCache(":memory:", error_bound=0.05, judge=chosen, judge_rate=1.0) as cache:
        set_llm_cache(cache)
        chat(server).invoke(ASKED)
        for _ in range(3):
            assert layer(chat(server).invoke(REWORDED)) == "semantic"
        cache.cache._sample.close()
        assert [layer(verdict) for verdict in verdicts] == [None] * 3
        assert cache.cache.stats()["entries"] == 1


def test_a_callback_for_each_call_does_not_use_up_the_files_of_the_process(
    server: ScriptedServer, tmp_path: Path
) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("open files are counted on Linux")
    llm, before = chat(server), len(list(descriptors.iterdir()))
    for number in range(60):
        llm.invoke(f"{ASKED} {number}", with_(callback(location=tmp_path / "cache.sqlite")))
    gc.collect()
    assert len(list(descriptors.iterdir())) < before + 150
