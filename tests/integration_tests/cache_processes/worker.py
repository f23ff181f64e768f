"""A process that writes to a store, for tests that run several and kill some.

python -m tests.integration_tests.cache_processes.worker write FILE FIRST
python -m tests.integration_tests.cache_processes.worker mixed FILE FIRST SECONDS
"""

from __future__ import annotations

import sys
import threading
import time

from frugal_core.cache.store.base import Selection
from frugal_core.cache.store.sqlite import SQLiteStore
from tests.unit_tests.core.cache.store_suite import direction, new

SPACES = 3


def entry_space(number: int) -> str:
    return f"s{number % SPACES}"


def check(store: SQLiteStore, number: int) -> str | None:
    """What is wrong with what a store serves for an entry that was added to it."""
    exact = store.exact(f"key-{number}")
    if exact is None or exact.answer != {"text": f"answer {number}"}:
        return f"exact {number}: {exact}"
    found = store.nearest(entry_space(number), direction(number), 3)
    if not found or found[0].entry != exact or abs(found[0].cosine - 1) > 1e-3:
        return f"nearest {number}: {found[:1]}"
    if any(c.entry.space != entry_space(number) for c in found):
        return f"another space's entry for {number}"
    if any(
        c.entry.answer != {"text": c.entry.question.replace("question", "answer")} for c in found
    ):
        return f"a wrong pair near {number}"
    return None


def write(store: SQLiteStore, first: int) -> None:
    """Add entries until killed, each number printed once it is stored."""
    for number in range(first, first + 10**6):
        store.add([new(number, space=entry_space(number), tags=("t",))])
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        if number % 7 == 0:
            store.touch([e.id for e in store.entries(Selection(), limit=3)])
            store.flush()


def mixed(store: SQLiteStore, first: int, seconds: float) -> tuple[int, list[str]]:
    """Add, look up and touch for a while; how many were added, and what went wrong."""
    problems: list[str] = []
    end, number = time.monotonic() + seconds, first
    while time.monotonic() < end:
        try:
            store.add([new(number, space=entry_space(number))])
            for seen in {number, first + (number - first) // 2}:
                problem = check(store, seen)
                if problem:
                    problems.append(problem)
                store.touch([1 + seen % 100])
        except Exception as error:
            problems.append(repr(error))
        number += 1
    return number - first, problems


def mixed_threads(
    store: SQLiteStore, first: int, seconds: float, threads: int
) -> tuple[int, list[str]]:
    """`mixed` in several threads of this process."""
    results: list[tuple[int, list[str]]] = []
    workers = [
        threading.Thread(
            target=lambda i=i: results.append(mixed(store, first + 10**5 * i, seconds))
        )
        for i in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(added for added, _ in results), [p for _, problems in results for p in problems]


if __name__ == "__main__":
    job, path, start = sys.argv[1], sys.argv[2], int(sys.argv[3])
    opened = SQLiteStore(path, patience=30)
    if job == "write":
        write(opened, start)
    else:
        added, wrong = mixed(opened, start, float(sys.argv[4]))
        opened.close()
        sys.stdout.write("\n".join([str(added), *wrong[:5]]))
