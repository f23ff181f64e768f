"""What a lookup and a store cost in Postgres at 10,000 entries, beside GPTCache on the same server.

    python -m benchmarks.cache_postgres [--entries 10000] [--json results/cache_postgres.json]

Starts a server of its own (package pgserver), durable as by default. A lookup of ours is `exact`,
which misses, and `nearest` for 5 candidates; one of the peer is its data manager's search for 1
candidate (its default) and the row that belongs to it. The vectors have 384 dimensions and stand
close together in groups, as questions do. Medians; the peer runs in turn with us, 20 calls each.
Its row needs `pip install gptcache==0.1.44 psycopg2-binary`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from frugal_core.arrays import Floats
from frugal_core.cache.store.base import NewEntry
from frugal_core.cache.store.postgres import PostgresStore
from tests.integration_tests.cache_postgres.server import Server

DIMENSIONS = 384
CALLS = 200
AT_ONCE = 20
ANSWER = "Read it in chunks, each a small part, so that only one of them is in memory. " * 8
Call = Callable[[int], object]


def vectors(count: int, seed: int) -> Floats:
    """Unit vectors in groups; shape (count, DIMENSIONS)."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(2000, DIMENSIONS))
    rows = centres[rng.integers(0, 2000, count)] + 0.7 * rng.normal(size=(count, DIMENSIONS))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def ours(server: Server, spaces: int, count: int) -> tuple[Call, Call, PostgresStore]:
    """Lookup and store of a filled `PostgresStore`."""
    store = PostgresStore(server.url(), schema=f"spaces_{spaces}", timeout=60)
    given = vectors(count + CALLS, seed=0)

    def new(i: int) -> NewEntry:
        question = f"How do I read file number {i} without running out of memory?"
        answer = {"text": ANSWER, "model": "gpt-4o"}
        return NewEntry(f"{i:064d}", f"{i % spaces:064d}", "tenant", question, answer, given[i])

    for start in range(0, count, 1000):
        store.add([new(i) for i in range(start, min(start + 1000, count))])
    asked = queries(given[:CALLS])

    def look_up(i: int) -> object:
        space = f"{i % spaces:064d}"
        assert store.exact("absent") is None
        found = store.nearest(space, asked[i], 5)
        assert len(found) == 5
        return found

    return look_up, lambda i: store.add([new(count + i)]), store


def queries(given: Floats) -> Floats:
    """Close to what is stored, as a paraphrase is; same shape."""
    noise = np.random.default_rng(1).normal(size=given.shape)
    rows = given + 0.02 * noise
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def recall(store: PostgresStore, spaces: int, count: int) -> float:
    """Share of the 5 nearest in a space that `nearest` finds."""
    given = vectors(count + CALLS, seed=0)[:count]
    found = 0
    for i, query in enumerate(queries(given[:CALLS])):
        members = np.arange(i % spaces, count, spaces)
        best = members[np.argsort(-(given[members] @ query))[:5]]
        keys = {c.entry.key for c in store.nearest(f"{i % spaces:064d}", query, 5)}
        found += len(keys & {f"{number:064d}" for number in best})
    return found / (5 * CALLS)


def peer(server: Server, count: int) -> tuple[Call, Call] | None:
    """Lookup and store of GPTCache's data manager; None if it is not installed."""
    # Importing gptcache unpickles ./data_map.txt: there is none in an empty directory.
    os.chdir(tempfile.mkdtemp(prefix="frugal-benchmark-"))
    try:
        import gptcache.utils
        import psycopg2  # noqa: F401
    except ImportError:
        return None

    def refuse(package: str, *_: object, **__: object) -> None:
        raise ImportError(f"the peer wants to install {package}")

    # It installs what it misses, unasked.
    gptcache.utils.prompt_install = refuse
    from gptcache.manager import CacheBase, VectorBase, get_data_manager

    address = server.url()
    manager: Any = get_data_manager(
        CacheBase(
            "postgresql",
            sql_url=address.replace("postgresql:", "postgresql+psycopg2:"),
            table_len_config={"answer_answer": 5000},
        ),
        VectorBase("pgvector", url=address, dimension=DIMENSIONS),
        max_size=10 * count,
    )
    given = vectors(count + CALLS, seed=0).astype(np.float32)
    for start in range(0, count, 1000):
        part = range(start, min(start + 1000, count))
        manager.import_data(
            [f"How do I read file number {i} without running out of memory?" for i in part],
            [ANSWER for _ in part],
            [given[i] for i in part],
            [None for _ in part],
        )
    asked = queries(vectors(count + CALLS, seed=0)[:CALLS]).astype(np.float32)

    def look_up(i: int) -> object:
        row = manager.get_scalar_data(manager.search(asked[i])[0])
        assert row is not None
        return row

    def save(i: int) -> object:
        question = f"How do I read file number {count + i} without running out of memory?"
        return manager.save(question, ANSWER, given[count + i])

    return look_up, save


def measure(calls: dict[str, Call]) -> dict[str, dict[str, float]]:
    """Median wall and CPU milliseconds of this process for each call; they run in turn, some at a
    time: call by call each would find the processor's caches full of another's tables."""
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    for start in range(0, CALLS, AT_ONCE):
        for name, call in calls.items():
            for i in range(start, start + AT_ONCE):
                before = time.perf_counter(), time.process_time()
                call(i)
                if start:  # Connections and plans are warm by then.
                    wall[name].append(1000 * (time.perf_counter() - before[0]))
                    cpu[name].append(1000 * (time.process_time() - before[1]))
    return {
        name: {"wall": statistics.median(wall[name]), "cpu": statistics.median(cpu[name])}
        for name in calls
    }


def main() -> int:
    """Print the table; 1 if a lookup misses its goal."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    place = Path.cwd()
    with Server(durable=True) as server:
        lookups: dict[str, Call] = {}
        saves: dict[str, Call] = {}
        recalls: dict[str, float] = {}
        stores = []
        for spaces in (1, 4, 100):
            name = f"{spaces} space{'s' * (spaces > 1)}"
            lookups[name], saves[name], store = ours(server, spaces, arguments.entries)
            recalls[name] = recall(store, spaces, arguments.entries)
            stores.append(store)
        other = peer(server, arguments.entries)
        if other is not None:
            lookups["GPTCache"], saves["GPTCache"] = other
        results = {"lookup": measure(lookups), "store": measure(saves)}
        for store in stores:
            store.close()
    print(f"{arguments.entries:,} entries     wall ms   CPU ms   GPTCache is   recall of 5")
    for what, rows in results.items():
        for name, row in rows.items():
            ratio = rows["GPTCache"]["wall"] / row["wall"] if "GPTCache" in rows else float("nan")
            times = f"{ratio:8.1f} x" if name != "GPTCache" else ""
            found = f"{recalls[name]:8.3f}" if what == "lookup" and name in recalls else ""
            print(f"{what:7} {name:10} {row['wall']:8.2f} {row['cpu']:8.2f} {times:>13} {found}")
    worst = max(row["wall"] for name, row in results["lookup"].items() if name != "GPTCache")
    print(f"slowest lookup of ours: {worst:.2f} ms (goal <= 3)")
    if arguments.json:
        target = place / arguments.json
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(results | {"recall": recalls}, indent=1))
    return int(worst > 3)


if __name__ == "__main__":
    sys.exit(main())
