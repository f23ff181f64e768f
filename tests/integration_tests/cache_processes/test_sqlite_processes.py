"""Several processes on one SQLite store: nothing lost, nothing wrong, whoever dies."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from frugal_core.cache.store.base import Selection
from frugal_core.cache.store.sqlite import SQLiteStore
from tests.integration_tests.cache_processes.worker import check, mixed_threads
from tests.unit_tests.core.cache.store_suite import new

KILLS = int(os.environ.get("FRUGAL_KILLS", "20"))
SOAK_SECONDS = float(os.environ.get("FRUGAL_SOAK_SECONDS", "4"))
WORKER = (sys.executable, "-m", "tests.integration_tests.cache_processes.worker")


def start(job: str, path: Path, *arguments: object) -> subprocess.Popen[str]:
    """A worker process; its output is read through its pipe."""
    command = [*WORKER, job, str(path), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_under_load(path: Path, kills: int, seed: int = 0) -> dict[str, int]:
    """Kill two writers again and again; every number they printed must be served rightly."""
    chance = random.Random(seed)
    acknowledged: list[int] = []
    for round in range(kills):
        writers = [start("write", path, 10**7 * worker + 10**4 * round) for worker in range(2)]
        for writer in writers:
            assert writer.stdout is not None
            acknowledged.append(int(writer.stdout.readline()))
        time.sleep(chance.uniform(0, 0.15))
        for writer in writers:
            writer.kill()
        for writer in writers:
            # A line that the kill cut off was never acknowledged.
            whole = writer.communicate()[0].rpartition("\n")[0]
            acknowledged += map(int, whole.split())
    store = SQLiteStore(path)
    wrong = [problem for number in acknowledged if (problem := check(store, number))]
    kept = store.count(Selection())
    store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT count(*) FROM entries").fetchone()[0]
        vectors = connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
    assert wrong == []
    # A writer may have stored one more than it could print.
    assert len(acknowledged) <= kept <= len(acknowledged) + 2 * kills
    assert kept == rows == vectors
    return {"kills": 2 * kills, "acknowledged": len(acknowledged), "stored": kept}


@pytest.mark.timeout(60 + 5 * KILLS)
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    figures = kill_under_load(tmp_path / "cache.db", KILLS)
    assert figures["acknowledged"] > 4 * KILLS


def soak(path: Path, seconds: float, threads: int = 8, processes: int = 4) -> dict[str, int]:
    """Threads here and processes beside them write and read one file."""
    store = SQLiteStore(path, patience=30)
    workers = [start("mixed", path, 10**7 * (i + 1), seconds) for i in range(processes)]
    added, problems = mixed_threads(store, 0, seconds, threads)
    for worker in workers:
        count, *wrong = worker.communicate()[0].splitlines()
        assert worker.returncode == 0
        added += int(count)
        problems += wrong
    assert problems == []
    assert store.count(Selection()) == added
    store.close()
    return {"added": added, "errors": 0}


@pytest.mark.timeout(120 + 3 * SOAK_SECONDS)
def test_threads_and_processes_share_a_file(tmp_path: Path) -> None:
    assert soak(tmp_path / "cache.db", SOAK_SECONDS)["added"] > 50


def test_limits_hold_across_processes(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    workers = [start("mixed", path, 10**7 * (i + 1), 0.5) for i in range(2)]
    for worker in workers:
        assert int(worker.communicate()[0].split()[0]) > 5
    store = SQLiteStore(path)
    store.evict(7)
    assert store.count(Selection()) == len(list(store.entries(Selection()))) == 7


def test_a_second_store_in_a_process_does_not_drop_the_locks_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    first = SQLiteStore(path)
    number = 1 + int(start("mixed", path, 1, 0.0).communicate()[0])
    second = SQLiteStore(path)
    # A process that believes itself alone deletes the log when it leaves.
    number += int(start("mixed", path, 10**6, 0.05).communicate()[0])
    first.add([new(0)])
    number += int(start("mixed", path, 2 * 10**6, 0.05).communicate()[0])
    assert [store.count(Selection()) for store in (first, second, SQLiteStore(path))] == [
        number
    ] * 3


def test_many_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "cache.db"
    workers = [start("mixed", path, 10**7 * (i + 1), 0.2) for i in range(6)]
    added = [worker.communicate()[0].splitlines() for worker in workers]
    assert all(len(lines) == 1 for lines in added), added
    assert SQLiteStore(path).count(Selection()) == sum(int(lines[0]) for lines in added)
