"""What a lookup of the semantic cache costs, without the embedding, and GPTCache beside it.

    python -m benchmarks.cache_speed [--large] [--json results/cache_speed.json]

Real questions (Quora pairs) under the default embedder, 384 dimensions; stores of more than 10,000
entries hold disturbed copies of them (cosine about .9). Half of the lookups are other wordings of
stored questions, half disturbed copies. Each size is a process of its own, warmed up with as many
other lookups; figures are CPU time, medians, and means where they stand beside GPTCache's. At
10,000 entries they are the least of three processes, ours as GPTCache's, since what else runs on a
machine only ever adds. The store's part of a lookup is an exact miss and the five nearest; the
whole lookup adds guards, score and threshold, all but the embedding.

GPTCache is set up as its documentation says, SQLite and FAISS, on the same vectors and texts, its
embedding left out too. Like for like with our lookup is its public `adapter.api.get`; beside it
stands what its data manager takes of that, the search and the read of one. FAISS of GPTCache uses
all cores, whose waiting counts as CPU time: that is what its users pay. The same on one thread
(OMP_NUM_THREADS=1) is printed too. `--large` adds 1,000,000 entries and GPTCache at 100,000.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.gptcache import guarded_gptcache
from frugal_core.cache import SemanticCache
from frugal_core.cache.partition import digest
from frugal_core.cache.store.base import NewEntry, Vector
from frugal_core.cache.store.sqlite import SQLiteStore

PAIRS = (
    Path(__file__).resolve().parents[2]
    / "shared"
    / "data"
    / "duplicates"
    / "quora_pairs_dev.jsonl.gz"
)
EMBEDDER = "all-MiniLM-L6-v2-int8-v1"
SPACE = digest("space", "", "", EMBEDDER)
"""The space of a `SemanticCache` without scope and partition."""
ANSWER = {"text": "An answer of some length. " * 12, "model": "gpt-4o-mini"}
LOOKUPS = 1200
"""Half of them warm up."""
TURNS = {10_000: 3}
"""Processes of which the least counts; one for other sizes."""
LOOKUP_GOALS = {10_000: 0.5, 100_000: 1.0, 1_000_000: 3.0}

Figures = dict[str, float]


def prepare(folder: Path, size: int) -> None:
    """Write texts, vectors, queries and each query's best cosine into a folder."""
    from frugal_core.embedding import MiniLM

    chance = np.random.default_rng(1)
    base = folder.parent / "questions.npz"
    with gzip.open(PAIRS, "rt", encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    texts = list(dict.fromkeys(pair["a"] for pair in pairs))[:10_000]
    known = set(texts)
    asked = [p["b"] for p in pairs if p["duplicate"] and p["a"] in known and p["b"] not in known]
    asked = list(dict.fromkeys(asked))[: LOOKUPS // 2]
    if not base.exists():
        np.savez(base, stored=MiniLM().embed(texts), asked=MiniLM().embed(asked))
    with np.load(base) as loaded:
        real, others = loaded["stored"], loaded["asked"]

    def disturbed(rows: Vector, noise: float) -> Vector:
        rows = rows + noise / rows.shape[1] ** 0.5 * chance.normal(size=rows.shape)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    path = folder / "vectors.npy"
    vectors = np.lib.format.open_memmap(path, "w+", np.float32, (size, real.shape[1]))
    for start in range(0, size, len(real)):
        vectors[start : start + len(real)] = disturbed(real, 0.5) if start else real
    copied = chance.integers(0, size, LOOKUPS - len(others))
    order = chance.permutation(LOOKUPS)
    queries = np.concatenate([others, disturbed(vectors[copied], 0.4)])[order]
    wordings = [*asked, *(texts[row % len(texts)] for row in copied)]
    (folder / "asked.json").write_text(json.dumps([wordings[row] for row in order]), "utf-8")
    best = np.full(len(queries), -1.0)
    for start in range(0, size, 10_000):
        best = np.maximum(best, (queries @ vectors[start : start + 10_000].T).max(axis=1))
    np.savez(folder / "queries.npz", queries=queries, best=best)
    (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")


def material(folder: Path) -> tuple[list[str], Vector, Vector, Vector]:
    """Texts, vectors, queries and best cosines that `prepare` wrote."""
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    with np.load(folder / "queries.npz") as loaded:
        queries, best = loaded["queries"], loaded["best"]
    return texts, np.load(folder / "vectors.npy", mmap_mode="r"), queries, best


def times_ms(call: Callable[[Any], object], arguments: Iterable[Any]) -> list[float]:
    """CPU milliseconds of each call."""
    times = []
    for argument in arguments:
        started = time.process_time()
        call(argument)
        times.append(1000 * (time.process_time() - started))
    return times


def median_ms(call: Callable[[Any], object], arguments: Iterable[Any]) -> float:
    """Median CPU milliseconds of a call."""
    return statistics.median(times_ms(call, arguments))


def mean_ms(call: Callable[[Any], object], arguments: Iterable[Any]) -> float:
    """Mean CPU milliseconds of a call."""
    return statistics.mean(times_ms(call, arguments))


def fill(folder: Path, size: int) -> Figures:
    """Store all entries, then some one by one, in another space."""
    texts, vectors, _, _ = material(folder)
    store = SQLiteStore(folder / "cache.db")

    def entry(number: int, space: str = SPACE) -> NewEntry:
        key = f"{'s' if space == SPACE else 't'}{number:063d}"
        text = texts[number % len(texts)]
        return NewEntry(key, space, "scope", text, ANSWER, vectors[number])

    started = time.process_time()
    for start in range(0, size, 1000):
        store.add([entry(n) for n in range(start, min(size, start + 1000))])
    figures = {"bulk_cpu_s": time.process_time() - started}
    figures["add_ms"] = median_ms(lambda n: store.add([entry(n, "t" * 64)]), range(1000))
    store.close()
    return figures


def memory_mb(field: str) -> float:
    """Memory of this process that belongs to it alone or was read: VmRSS now, VmHWM at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    return float("nan")


class Known:
    """An embedder that knows its vectors already: what is left is the cache's own cost."""

    id = EMBEDDER

    def __init__(self, folder: Path, queries: Vector) -> None:
        self.asked: list[str] = json.loads((folder / "asked.json").read_text(encoding="utf-8"))
        self.vectors = dict(zip(self.asked, queries, strict=True))

    def embed(self, texts: Sequence[str]) -> Any:
        """The vectors of known texts."""
        return [self.vectors[text] for text in texts]


def look(folder: Path, size: int) -> Figures:
    """Open the file and look things up."""
    _, _, queries, best = material(folder)
    before = memory_mb("VmRSS")
    started = time.perf_counter()
    store = SQLiteStore(folder / "cache.db")
    store.nearest(SPACE, queries[0], 5)
    figures = {"reopen_s": time.perf_counter() - started}
    store.settle()
    figures["settled_s"] = time.perf_counter() - started
    found = [store.nearest(SPACE, query, 5)[0] for query in queries]
    near = [f.cosine >= top - 1e-3 for f, top in zip(found, best, strict=True)]
    figures["recall"] = float(np.mean(near))
    figures["memory_mb"] = memory_mb("VmRSS") - before
    figures["peak_mb"] = memory_mb("VmHWM") - before
    figures["vectors_mb"] = size * queries.shape[1] * 4 / 2**20

    def lookup(query: Vector) -> None:
        store.exact("m" * 64)
        store.nearest(SPACE, query, 5)

    figures["store_part_ms"] = median_ms(lookup, queries)
    known = Known(folder, queries)
    cache = SemanticCache(store, embed=known)
    half = len(known.asked) // 2
    for question in known.asked[:half]:
        cache.lookup(question)
    times = times_ms(cache.lookup, known.asked[half:])
    figures["lookup_ms"] = statistics.median(times)
    figures["lookup_mean_ms"] = statistics.mean(times)
    figures["exact_ms"] = median_ms(
        store.exact, [f"s{n:063d}" for n in range(0, size, size // 500)]
    )
    return figures


def peer(folder: Path, size: int) -> Figures:
    """GPTCache with SQLite and FAISS, its defaults otherwise."""
    texts, vectors, queries, _ = material(folder)
    with guarded_gptcache() as gptcache:
        by_text = {f"query {n}": query for n, query in enumerate(queries)}
        scalar = gptcache.CacheBase("sqlite", sql_url=f"sqlite:///{folder / 'gptcache.db'}")
        index = gptcache.VectorBase(
            "faiss", dimension=queries.shape[1], index_path=str(folder / "gptcache.index")
        )
        manager = gptcache.get_data_manager(scalar, index, max_size=10 * size)
        started = time.process_time()
        for start in range(0, size, 1000):
            rows = range(start, min(size, start + 1000))
            questions = [texts[n % len(texts)] for n in rows]
            answers = [ANSWER["text"]] * len(rows)
            manager.import_data(questions, answers, [vectors[n] for n in rows], [None] * len(rows))
        figures = {"bulk_cpu_s": time.process_time() - started}

        def lookup(query: Vector) -> None:
            for near in manager.search(query, top_k=1):
                manager.get_scalar_data(near)

        figures["manager_ms"] = mean_ms(lookup, queries[:150])
        cache = gptcache.Cache()
        cache.init(
            pre_embedding_func=gptcache.get_prompt,
            embedding_func=lambda text, **_: by_text[text],
            data_manager=manager,
            similarity_evaluation=gptcache.SearchDistanceEvaluation(),
        )
        figures["api_ms"] = mean_ms(
            lambda text: gptcache.get(text, cache_obj=cache), list(by_text)[150:300]
        )
        texts_left, add = iter(texts[:60]), manager.save
        figures["add_ms"] = median_ms(
            lambda n: add(next(texts_left), ANSWER["text"], vectors[n]), range(60)
        )
        return figures


def in_child(
    work: Callable[[Path, int], Figures], folder: Path, size: int, threads: str | None = None
) -> Figures:
    """Run in a fresh process, so that neither memory nor threads are shared.

    Args:
        work: What to run, with `folder` and `size`.
        threads: For OpenMP; as many as it likes if None.
    """
    os.environ.pop("OMP_NUM_THREADS", None)
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = threads
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (folder, size))


def smallest(turns: Sequence[Figures]) -> Figures:
    """Of each figure, the smallest."""
    return {name: min(turn[name] for turn in turns) for name in turns[0]}


def show(
    name: str, value: float, unit: str, goal: float | None = None, least: bool = False
) -> None:
    """One line of the table, with its goal and whether it was reached."""
    verdict = ""
    if goal is not None:
        reached = value >= goal if least else value <= goal
        verdict = f"goal {'>=' if least else '<='} {goal:g}: {'reached' if reached else 'MISSED'}"
    print(f"  {name:34}{value:10.3f} {unit:4}{verdict}".rstrip())


def run(folder: Path, size: int, with_peer: bool) -> Figures:
    """All figures for stores of one size, printed."""
    in_child_folder = folder / str(size)
    in_child_folder.mkdir()
    prepare(in_child_folder, size)
    turns = range(TURNS.get(size, 1))
    ours = in_child(fill, in_child_folder, size)
    ours |= smallest([in_child(look, in_child_folder, size) for _ in turns])
    print(f"{size:,} entries")
    show("lookup, without embedding", ours["lookup_ms"], "ms", LOOKUP_GOALS[size])
    show("  its mean", ours["lookup_mean_ms"], "ms")
    show("  the store's part", ours["store_part_ms"], "ms")
    show("exact hit", ours["exact_ms"], "ms")
    show("store one", ours["add_ms"], "ms", 0.2)
    show("store all", ours["bulk_cpu_s"], "s")
    show("recall@1", ours["recall"], "", 0.99, least=True)
    show("reopen to the first neighbour", ours["reopen_s"], "s", 2.0 if size <= 100_000 else None)
    show("reopen to the built index", ours["settled_s"], "s")
    limit = 1.5 * ours["vectors_mb"] if size == 100_000 else None
    show("memory", ours["memory_mb"], "MB", limit)
    show("memory at most", ours["peak_mb"], "MB", limit)
    figures = {f"{size}_{name}": value for name, value in ours.items()}
    if with_peer:
        for threads in (None, "1"):
            measured = []
            for turn in turns:
                place = in_child_folder / f"gptcache-{threads}-{turn}"
                place.mkdir()
                for name in ("texts.json", "queries.npz", "vectors.npy"):
                    (place / name).symlink_to(in_child_folder / name)
                measured.append(in_child(peer, place, size, threads))
            theirs = smallest(measured)
            setup = "as installed" if threads is None else "on one thread"
            figures |= {f"{size}_gptcache_{setup}_{name}": v for name, v in theirs.items()}
            print(f"  GPTCache 0.1.44, {setup}")
            goal = 20.0 if size == 10_000 and threads is None else None
            for name, what, ours_name, least in (
                ("api_ms", "api.get", "lookup_mean_ms", goal),
                ("manager_ms", "the data manager's part", "lookup_mean_ms", None),
                ("add_ms", "store one", "add_ms", None),
            ):
                show(f"  {what}", theirs[name], "ms")
                show("    times ours", theirs[name] / ours[ours_name], "x", least, least=True)
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="1,000,000 entries too")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in (10_000, 100_000, 1_000_000):
            if size <= 100_000 or options.large:
                with_peer = size == 10_000 or (size == 100_000 and options.large)
                figures |= run(Path(folder), size, with_peer)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
