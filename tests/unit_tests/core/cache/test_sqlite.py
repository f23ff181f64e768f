"""The SQLite store, on real files."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import random
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frugal_core.arrays import Floats
from frugal_core.cache.store.base import Selection, StoreError
from frugal_core.cache.store.sqlite import SQLiteStore
from tests.unit_tests.core.cache.store_suite import Reopen, StoreSuite, direction, new


class TestSQLite(StoreSuite):
    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Iterator[Reopen]:
        with ExitStack() as stores:

            def opened() -> SQLiteStore:
                store = SQLiteStore(tmp_path / "cache.db")
                stores.callback(store.close)
                return store

            yield opened


class TestMemory(StoreSuite):
    """A store in memory does the same; what needs two of them is left out."""

    @pytest.fixture
    def reopen(self) -> Reopen:
        return lambda: SQLiteStore(None)

    @pytest.fixture(autouse=True)
    def _alone(self, request: pytest.FixtureRequest) -> None:
        if "reopen" in request.function.__code__.co_varnames:
            pytest.skip("a store in memory has no location")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


def filled(path: Path, entries: int = 50) -> list[int]:
    """A closed file with entries; their ids."""
    store = SQLiteStore(path)
    ids = store.add([new(n) for n in range(entries)])
    store.close()
    return ids


def test_files_are_for_their_owner_alone(path: Path) -> None:
    mask = os.umask(0)
    try:
        store = SQLiteStore(path)
        store.add([new(1)])
    finally:
        os.umask(mask)
    files = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
    assert files == dict.fromkeys(("cache.db", "cache.db-wal", "cache.db-shm"), 0o600)


def test_what_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("notes of mine\n" * 100)
    with pytest.raises(StoreError, match=r"cache\.db is damaged .*move it away"):
        SQLiteStore(path)
    assert path.read_text() == "notes of mine\n" * 100


def test_a_database_of_something_else_is_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (a)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="database of something else"):
        SQLiteStore(path)
    assert path.read_bytes() == before


def test_openings_at_one_moment_make_one_file(tmp_path: Path) -> None:
    """Whoever looks while another makes the tables sees all of them or none."""

    def opened(path: Path, start: threading.Barrier) -> None:
        start.wait()
        SQLiteStore(path).close()

    with ThreadPoolExecutor(6) as threads:
        for round in range(100):
            path, start = tmp_path / f"{round}.db", threading.Barrier(6)
            for opening in [threads.submit(opened, path, start) for _ in range(6)]:
                opening.result()


def test_a_newer_schema_is_refused(path: Path) -> None:
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=r"newer version.*schema 99"):
        SQLiteStore(path)


@pytest.mark.parametrize("place", [".", "/dev/null", "/dev/null/cache.db"])
def test_a_place_that_cannot_be_a_file(tmp_path: Path, place: str) -> None:
    with pytest.raises(StoreError, match=r"cannot use|not a file"):
        SQLiteStore(tmp_path / place)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_a_truncated_file_gives_an_error_or_what_was_stored(path: Path, keep: float) -> None:
    filled(path, 300)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    assert_never_wrong(path, 300)


@given(seed=st.integers(0, 10**6))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_torn_file_gives_an_error_or_what_was_stored(tmp_path: Path, seed: int) -> None:
    path = tmp_path / f"torn-{seed}.db"
    filled(path, 60)
    chance = random.Random(seed)
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 5, 50])):
        at = chance.randrange(len(content))
        piece = chance.randbytes(chance.choice([1, 16, 512]))
        content[at : at + len(piece)] = piece
    path.write_bytes(content)
    assert_never_wrong(path, 60)


def assert_never_wrong(path: Path, entries: int) -> None:
    """A damaged file may raise, or miss; what it serves is what was stored."""
    store = None
    with contextlib.suppress(StoreError):
        store = SQLiteStore(path)
    for n in range(entries) if store is not None else ():
        assert store is not None
        with contextlib.suppress(StoreError):
            exact = store.exact(f"key-{n}")
            assert exact is None or exact.answer == {"text": f"answer {n}"}
        with contextlib.suppress(StoreError):
            for found in store.nearest("s", direction(n), 3):
                number = int(found.entry.question.split()[1])
                assert found.entry.answer == {"text": f"answer {number}"}
                assert found.cosine < 1.01
    if store is not None:
        with contextlib.suppress(StoreError):
            store.close()


def printed(program: str, path: Path) -> list[str]:
    """The lines that a program prints, which is given a path, in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    return run.stdout.splitlines()


def test_a_full_disk_is_an_error_and_nothing_is_lost(path: Path) -> None:
    program = (
        "import resource, sys\n"
        "from frugal_core.cache.store.base import Selection, StoreError\n"
        "from frugal_core.cache.store.sqlite import SQLiteStore\n"
        "from tests.unit_tests.core.cache.store_suite import new\n"
        "store = SQLiteStore(sys.argv[1])\n"
        "store.add([new(1)])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try:\n"
        "    store.add([new(2, answer='x' * 10**6)])\n"
        "except StoreError as error:\n"
        "    print('refused', error)\n"
        "store.add([new(3)])\n"
        "print([e.question for e in store.entries(Selection())])\n"
    )
    first, second = printed(program, path)
    assert first.startswith("refused cannot use")
    assert second == "['question 1', 'question 3']"
    assert SQLiteStore(path).count(Selection()) == 2


def test_a_disk_that_is_full_from_the_start_is_an_error_at_once(path: Path) -> None:
    program = (
        "import resource, sys, time\n"
        "from frugal_core.cache.store.base import StoreError\n"
        "from frugal_core.cache.store.sqlite import SQLiteStore\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "started = time.monotonic()\n"
        "try:\n"
        "    SQLiteStore(sys.argv[1]).lease('key', 'owner', 1)\n"
        "except StoreError as error:\n"
        "    print('refused', time.monotonic() - started)\n"
    )
    (line,) = printed(program, path)
    refused, seconds = line.split()
    assert refused == "refused" and float(seconds) < 2


def test_what_may_not_be_written_can_still_be_read(path: Path) -> None:
    filled(path)
    store = SQLiteStore(path)
    with store._database.write() as connection:
        connection.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreError, match="cannot use"):
        store.add([new(99)])
    assert store.exact("key-1") is not None and len(store.nearest("s", direction(1), 5)) == 5


def test_what_may_not_be_written_can_be_closed(path: Path) -> None:
    filled(path)
    store = SQLiteStore(path)
    with store._database.write() as connection:
        connection.execute("PRAGMA query_only = 1")
    store.touch([1])
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.exact("key-1")


def test_closed_is_closed(path: Path) -> None:
    store = SQLiteStore(path)
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.exact("key")
    with pytest.raises(StoreError, match="closed"):
        store.add([new(1)])


def test_pickled_it_opens_its_file_again(path: Path) -> None:
    store = SQLiteStore(path)
    store.add([new(1)])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(count_and_add, (store, 2)) == 1
    assert store.count(Selection()) == 2
    with pytest.raises(StoreError, match="in memory"):
        pickle.dumps(SQLiteStore(":memory:"))


def count_and_add(store: SQLiteStore, number: int) -> int:
    """What was there before; runs in a process of its own."""
    before = store.count(Selection())
    store.add([new(number)])
    return before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("kind", ["file", "memory"])
def test_both_sides_of_a_fork_go_on(path: Path, kind: str) -> None:
    store = SQLiteStore(path if kind == "file" else None)
    store.add([new(n) for n in range(3000)])
    assert store.nearest("s", direction(7), 1)[0].entry.question == "question 7"
    stop = threading.Event()

    def busy() -> None:
        number = 10**6
        while not stop.is_set():
            store.add([new(number)])
            store.nearest("s", direction(number), 1)
            store.touch([1])
            number += 1

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for number in range(5000, 5005):
            child = os.fork()
            if child == 0:
                good = store.nearest("s", direction(9), 1)[0].entry.question == "question 9"
                store.add([new(number)])
                store.close()
                os._exit(0 if good else 1)
            assert os.waitpid(child, 0)[1] == 0
            assert (store.exact(f"key-{number}") is None) == (kind == "memory")
            assert store.nearest("s", direction(8), 1)[0].entry.question == "question 8"
            found = store.nearest("s", direction(number), 1)[0].entry.question
            assert (found == f"question {number}") == (kind == "file"), "what the child stored"
    finally:
        stop.set()
        thread.join()
    store.close()


def test_use_is_written_by_itself_and_at_the_end(path: Path) -> None:
    program = (
        "import sys\n"
        "from frugal_core.cache.store.sqlite import SQLiteStore\n"
        "SQLiteStore(sys.argv[1]).touch([1])\n"
    )
    filled(path, 5)
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    store = SQLiteStore(path, touch_every=0.05)
    store.touch([3])
    time.sleep(0.3)
    other = SQLiteStore(path)
    assert other.evict(2) == 3
    assert [e.id for e in other.entries(Selection())] == [1, 3]


def clustered(count: int, dimensions: int = 32, seed: int = 0) -> Floats:
    """Unit vectors around 50 centres; shape (count, dimensions)."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(50, dimensions))
    rows = centres[chance.integers(0, 50, count)] + 0.5 * chance.normal(size=(count, dimensions))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_what_is_unlike_all_rows_before_is_as_near_as_it_is(path: Path) -> None:
    """A view of many rows keeps 8 bits of each number, in a range that the first rows gave it."""
    narrow = direction(0, 64) + 0.02 * np.random.default_rng(1).normal(size=(2500, 64))
    store = SQLiteStore(path)
    store.add([new(n, vector) for n, vector in enumerate(narrow)])
    assert store.nearest("s", narrow[0], 1)
    store.settle()
    store.add([new(n, direction(n, 64)) for n in range(3000, 3050)])
    for n in range(3000, 3050):
        (found,) = store.nearest("s", direction(n, 64), 1)
        assert found.question == f"question {n}" and found.cosine >= 0.99
    assert store.nearest("s", direction(4000, 64), 1)[0].cosine < 0.99


def test_a_neighbour_that_is_deleted_before_it_is_read_is_none(path: Path) -> None:
    store = SQLiteStore(path)
    ids = store.add([new(1, direction(1)), new(2, direction(2))])
    first, second = store.nearest("s", direction(1), 2)
    store.remove(Selection(ids=[ids[0]]))
    assert first.read() is None and second.read() == store.exact("key-2")
    with pytest.raises(StoreError, match="deleted"):
        _ = first.entry


@pytest.mark.parametrize("settled", [False, True])
def test_many_rows_find_what_comparing_all_finds(path: Path, settled: bool) -> None:
    vectors = clustered(6000)
    store = SQLiteStore(path)
    store.add([new(n, vectors[n]) for n in range(5000)])
    queries = clustered(6100, seed=0)[5000:] if not settled else vectors[:100] * 0.9
    assert len(store.nearest("s", vectors[0], 1)) == 1
    if settled:
        store.settle()
    right = 0
    for query in queries[:100]:
        exact = vectors[:5000] @ (query / np.linalg.norm(query))
        found = store.nearest("s", query, 5)
        assert [c.cosine for c in found] == sorted((c.cosine for c in found), reverse=True)
        for candidate in found:
            number = int(candidate.entry.question.split()[1])
            assert candidate.cosine == pytest.approx(exact[number], abs=1e-3)
        right += found[0].cosine >= exact.max() - 1e-3
    assert right >= 97
    assert len(store.nearest("s", vectors[0], 4000)) == 4000
    store.add([new(n, vectors[n]) for n in range(5000, 6000)])
    for n in range(5000, 5050):
        assert store.nearest("s", vectors[n], 1)[0].entry.question == f"question {n}"


def test_a_view_with_many_dead_rows_is_made_anew(path: Path) -> None:
    vectors = clustered(4000)
    store, other = SQLiteStore(path), SQLiteStore(path)
    ids = store.add([new(n, vectors[n]) for n in range(4000)])
    store.nearest("s", vectors[0], 1)
    store.settle()
    other.remove(Selection(ids=ids[:3500]))
    for n in range(3500, 4000):
        assert store.nearest("s", vectors[n], 1)[0].entry.question == f"question {n}"
    store.settle()
    store.nearest("s", vectors[3500], 1)
    assert len(store._views.of("s")) == 500
    other.remove(Selection())
    assert store.nearest("s", vectors[0], 3) == []
    other.add([new(1, direction(1, 12))])
    assert len(store.nearest("s", direction(1, 12), 3)) == 1


def test_views_of_many_spaces_are_dropped(path: Path) -> None:
    store = SQLiteStore(path, memory=50_000)
    store.add([new(n, space=f"s{n}") for n in range(2000)])
    for n in range(2000):
        assert len(store.nearest(f"s{n}", direction(n), 5)) == 1
    assert len(store._views) < 30
