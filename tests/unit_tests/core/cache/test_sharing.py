"""What processes and tenants on one location owe each other: turns, limits, patience."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from frugal_core.cache import SemanticCache, Turn, flight
from frugal_core.cache.store import open_store, postgres_url
from frugal_core.cache.store.base import Selection
from frugal_core.errors import FrugalError

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def answered(cache: SemanticCache, calls: Any) -> None:
    def compute() -> str:
        with calls.get_lock():
            calls.value += 1
        time.sleep(0.3)
        return "an answer"

    assert cache.get_or_compute("What is a fork?", compute) == "an answer"


@needs_fork
def test_forked_processes_make_one_call(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    calls = context.Value("i", 0)
    with SemanticCache(tmp_path / "cache.sqlite", error_bound=0) as cache:
        children = [context.Process(target=answered, args=(cache, calls)) for _ in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join(30)
    assert [child.exitcode for child in children] == [0] * 4
    assert calls.value == 1


@needs_fork
def test_a_child_does_not_wait_for_the_parents_thread_for_ever(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    calls = context.Value("i", 0)
    with SemanticCache(tmp_path / "cache.sqlite", error_bound=0) as cache:
        leads = threading.Event()

        def lead() -> str:
            leads.set()
            time.sleep(0.5)
            return "an answer"

        thread = threading.Thread(target=cache.get_or_compute, args=("What is a fork?", lead))
        thread.start()
        leads.wait(10)
        child = context.Process(target=answered, args=(cache, calls))
        child.start()
        child.join(20)
        thread.join()
    assert child.exitcode == 0 and calls.value == 0


@needs_fork
def test_a_child_has_threads_of_its_own(tmp_path: Path) -> None:
    async def compute() -> str:
        return "an answer"

    def ask(question: str) -> None:
        assert asyncio.run(cache.aget_or_compute(question, compute)) == "an answer"

    with SemanticCache(tmp_path / "cache.sqlite", error_bound=0) as cache:
        ask("What is a fork?")
        child = multiprocessing.get_context("fork").Process(target=ask, args=("And a child?",))
        child.start()
        child.join(20)
        if child.is_alive():
            child.kill()
    assert child.exitcode == 0


def test_a_leader_that_is_killed_does_not_block(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    program = (
        "import sys, time\n"
        "from frugal_core.cache import SemanticCache, Turn, flight\n"
        "flight.LEASE = 1.0\n"
        "turn = SemanticCache(sys.argv[1], error_bound=0).claim('What is a fork?')\n"
        "print(isinstance(turn, Turn), flush=True)\n"
        "time.sleep(600)\n"
    )
    leader = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert leader.stdout is not None and leader.stdout.readline() == "True\n"
    with SemanticCache(path, error_bound=0) as cache:
        # It lives, and prolongs its lease.
        late = cache.claim("What is a fork?", wait=2.5)
        assert isinstance(late, Turn) and not late._leased
        late.release()
        leader.kill()
        leader.communicate()
        started = time.monotonic()
        turn = cache.claim("What is a fork?", wait=60)
        assert isinstance(turn, Turn) and turn._leased
        assert time.monotonic() - started < 30


def test_a_slow_leader_keeps_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "LEASE", 0.6)
    caches = [SemanticCache(tmp_path / "cache.sqlite", error_bound=0) for _ in range(2)]
    computed: list[int] = []

    def compute() -> int:
        computed.append(1)
        time.sleep(2)
        return 1

    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(cache.get_or_compute, "Slow?", compute) for cache in caches]
    assert [answer.result() for answer in answers] == [1, 1] and computed == [1]
    deadline = time.monotonic() + 10
    while any(cache._flights._prolonger is not None for cache in caches):
        assert time.monotonic() < deadline, "nothing is left to prolong"
        time.sleep(0.05)


def test_a_limit_deletes_in_its_own_scope(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    with SemanticCache(path, scope="a", error_bound=0) as one:
        for number in range(20):
            one.store(f"question {number}", number)
        with SemanticCache(path, scope="b", error_bound=0, max_entries=3) as other:
            for number in range(6):
                other.store(f"question {number}", number)
            assert other.rows.count(Selection(scope="b")) == 3
        assert one.rows.count(Selection(scope="a")) == 20


def test_a_limit_holds_for_caches_that_store_once(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    for number in range(12):
        with SemanticCache(path, error_bound=0, max_entries=5) as cache:
            cache.store(f"question {number}", number)
            assert cache.rows.count(Selection()) <= 5


def test_a_stuck_writer_is_waited_for_once(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    store: Any = open_store(path)
    with SemanticCache(store, error_bound=0) as cache:
        cache.store("What is stored?", "this")
        stuck = sqlite3.connect(path, isolation_level=None)
        stuck.execute("BEGIN IMMEDIATE")
        store._database._patience = 0.3
        started = time.monotonic()
        for number in range(20):
            assert cache.get_or_compute(f"question {number}", lambda: "asked") == "asked"
        assert time.monotonic() - started < 2
        assert cache.lookup("What is stored?") is not None
        stuck.execute("ROLLBACK")
        stuck.close()
        cache.store("And now?", "written")
        assert cache.lookup("And now?") is not None


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("postgresql://u:p@host/db", "postgresql://u:p@host/db"),
        ("postgres://host/db", "postgresql://host/db"),
        ("PostgreSQL+psycopg://host/db", "postgresql://host/db"),
        ("folder/cache.sqlite", None),
        (r"C:\folder\cache.sqlite", None),
    ],
)
def test_which_locations_are_postgres(location: str, url: str | None) -> None:
    assert postgres_url(location) == url


@pytest.mark.parametrize("location", ["redis://:hunter2@host/0", "sqlite:///x.db"])
def test_other_urls_are_refused_without_their_password(location: str) -> None:
    with pytest.raises(FrugalError, match="give a path, or a postgresql:// URL") as caught:
        SemanticCache(location)
    assert "hunter2" not in str(caught.value)


def test_what_is_no_question_or_no_json_is_refused() -> None:
    nested: list[Any] = []
    for _ in range(sys.getrecursionlimit() * 20):
        nested = [nested]
    with SemanticCache(":memory:", error_bound=0) as cache:
        for question in (None, 12, b"bytes"):
            with pytest.raises(FrugalError, match="give a string"):
                cache.lookup(question)  # type: ignore[arg-type]  # what users do
        with pytest.raises(FrugalError, match="JSON"):
            cache.store("deep", nested)
        cache.store("tagged", 1, tags="faq")
        assert cache.invalidate(tag="faq") == 1
