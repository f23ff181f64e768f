from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frugal_core.arrays import Floats
from frugal_core.cache import Hit, SemanticCache, Turn
from frugal_core.cache.decision import Decision, Neighbour, Verdict
from frugal_core.cache.faults import Faults
from frugal_core.cache.judging import Sample
from frugal_core.cache.store.base import Candidate, StoreError
from frugal_core.cache.store.sqlite import SQLiteStore
from frugal_core.errors import FrugalError

NAMES = "the guitar,the flute,chess,football,cards,poker,the trumpet,drums,golf,tennis".split(",")
ASKED = "How can I learn to play the guitar?"
STORED = "How do I learn to play the guitar?"


@pytest.fixture
def cache() -> Iterator[SemanticCache]:
    with SemanticCache(":memory:", error_bound=0.05) as cache:
        yield cache


def test_exact_then_semantic(cache: SemanticCache) -> None:
    assert cache.lookup(STORED) is None
    cache.store(STORED, {"text": "Practise."})
    exact, other = cache.lookup(STORED), cache.lookup(ASKED)
    assert exact and other
    assert exact.layer == "exact" and exact.score == 1.0
    assert other.layer == "semantic" and 0 < other.score < 1
    assert other.question == STORED and other.answer == {"text": "Practise."} and other.age_s >= 0
    assert cache.lookup("How can I learn to play the violin?") is None
    assert cache.lookup("How can I forget to play the guitar?") is None


def test_what_is_deleted_while_it_is_looked_up_is_a_miss_and_no_fault(
    cache: SemanticCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache.store(STORED, "Practise.")
    nearest = cache.rows.nearest

    def late(space: str, vector: Floats, count: int) -> list[Candidate]:
        found = nearest(space, vector, count)
        cache.invalidate(everything=True)
        return found

    monkeypatch.setattr(cache.rows, "nearest", late)
    assert cache.lookup(ASKED) is None and not caplog.records


def test_what_is_far_away_is_not_compared(
    cache: SemanticCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.store("What is the boiling point of water?", "100 degrees")
    assert cache.certificate().least_cosine > 0.5
    compared: list[str] = []
    judge = type(cache.decision).judge

    def counted(self: Decision, question: str, neighbours: Sequence[Neighbour]) -> Verdict:
        compared.append(question)
        return judge(self, question, neighbours)

    monkeypatch.setattr(Decision, "judge", counted)
    assert cache.lookup(ASKED) is None and not compared
    assert cache.lookup("What's the boiling point of water?") and len(compared) == 1
    # Who has lookups judged wants to know of all of them.
    with SemanticCache(cache.rows, judge=lambda *_: False, judge_rate=1.0) as judged:
        assert judged.lookup(ASKED) is None and len(compared) == 2


def test_lookups_before_there_was_evidence_do_not_dilute_it() -> None:
    """None of them could be served wrongly; those to come can."""

    def embed(texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, len(text) / 100] for text in texts]

    pairs = [
        (f"How do I cook dish {n}?", f"How can I cook dish {n}?", n % 10 > 0) for n in range(400)
    ]
    certified = []
    for before in (0, 3000):
        with SemanticCache(":memory:", embed=embed, error_bound=0.2) as cache:
            assert not cache.certificate().serves
            for number in range(before):
                assert (
                    cache.lookup(f"How do I cook meal {number}?", semantic=number % 2 > 0) is None
                )
            certified.append(cache.calibrate(pairs).lookups)
    assert certified[1] <= certified[0]


def test_a_strict_bound_is_reached_where_nearly_all_is_far(cache: SemanticCache) -> None:
    with SemanticCache(cache.rows, error_bound=0.001) as strict:
        assert not strict.certificate().serves
        for number in range(1200):
            strict.lookup(f"Who was the mayor of town {number}?")
        strict._feedback.counts()  # it is read every half a minute
        assert strict.certificate().serves


def test_an_answer_is_a_fresh_copy(cache: SemanticCache) -> None:
    cache.store(STORED, {"list": [1]})
    hit = cache.lookup(STORED)
    assert hit
    hit.answer["list"].append(2)
    again = cache.lookup(STORED)
    assert again and again.answer == {"list": [1]}


def test_partitions_and_scopes_never_meet(tmp_path: Path) -> None:
    place = tmp_path / "cache.sqlite"
    one = SemanticCache(place, scope="one", error_bound=0.05)
    other = SemanticCache(place, scope="other", error_bound=0.05)
    one.store(STORED, "one's", partition="p")
    for question in (STORED, ASKED):
        assert one.lookup(question) is None and one.lookup(question, "q") is None
        assert other.lookup(question, "p") is None
        hit = one.lookup(question, "p")
        assert hit and hit.answer == "one's"
    assert other.invalidate(everything=True) == 0 and one.stats()["entries"] == 1


def test_embedders_never_meet(tmp_path: Path) -> None:
    place = tmp_path / "cache.sqlite"
    SemanticCache(place, error_bound=0.05).store(STORED, 1)
    mine = SemanticCache(place, error_bound=0.5, embed=letters)
    mine.calibrate([(f"what is {i}", f"what's {i}", True) for i in range(400)])
    assert mine.lookup(ASKED) is None
    hit = mine.lookup(STORED)
    assert hit and hit.layer == "exact"


def letters(texts: list[str]) -> Floats:
    """An embedder that counts letters."""
    return np.array([[1.0 + t.count(c) for c in "abcdefghijklmnop"] for t in texts])


def test_an_embedder_of_ones_own_serves_once_it_is_calibrated() -> None:
    cache = SemanticCache(":memory:", error_bound=0.05, embed=letters)
    cache.store(STORED, 1)
    assert cache.lookup(ASKED) is None and not cache.certificate().serves
    same = [(f"How do I play {name} well?", f"How can I play {name} well?", True) for name in NAMES]
    other = [(f"How do I play {name} well?", f"Why do I play {name}?", False) for name in NAMES]
    pairs = (same + other) * 20
    found = cache.calibrate(pairs)
    assert found.serves and found.lookups > 100 and "your own" in found.about
    hit = cache.lookup(ASKED)
    assert hit and hit.layer == "semantic"


def test_a_reported_entry_is_not_served_again(cache: SemanticCache) -> None:
    cache.store(STORED, 1)
    semantic = cache.lookup(ASKED)
    assert semantic
    cache.report_right(semantic)
    assert cache.lookup(ASKED)
    cache.report_wrong(semantic)
    assert cache.lookup(ASKED) is None
    exact = cache.lookup(STORED)
    assert exact
    cache.report_wrong(exact)
    assert cache.lookup(STORED) is None


def test_a_judge_sees_a_sample_and_stops_wrong_entries() -> None:
    seen: list[tuple[str, str, Any]] = []

    def judge(question: str, stored: str, answer: Any) -> bool:
        seen.append((question, stored, answer))
        return False

    cache = SemanticCache(":memory:", error_bound=0.05, judge=judge, judge_rate=1.0)
    cache.store(STORED, 1)
    assert cache.lookup(ASKED)
    wait_for(lambda: cache.lookup(ASKED) is None)
    assert (ASKED, STORED, 1) in seen
    cache.close()


def test_a_judge_that_hangs_does_not_keep_python_alive() -> None:
    program = (
        "import time\n"
        "from frugal_core.cache import SemanticCache\n"
        "judge = lambda *_: time.sleep(60)\n"
        "cache = SemanticCache(':memory:', error_bound=0.05, judge=judge, judge_rate=1.0)\n"
        f"cache.store({STORED!r}, 1)\n"
        f"assert cache.lookup({ASKED!r})\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_a_judge_that_ends_its_thread_is_asked_again() -> None:
    seen: list[int] = []

    def judge(number: int) -> None:
        seen.append(number)
        raise SystemExit

    sample = Sample(lambda *_: True, 1.0)
    for number in range(3):
        sample.submit(partial(judge, number))
        sample.close()
    assert seen == [0, 1, 2]


def test_of_a_judge_that_is_too_slow_the_rest_is_left_out() -> None:
    go_on = threading.Event()
    seen: list[int] = []

    def judge(number: int) -> None:
        go_on.wait(10)
        seen.append(number)

    sample = Sample(lambda *_: True, 1.0)
    for number in range(3000):
        sample.submit(partial(judge, number))
    go_on.set()
    sample.close()
    assert 1000 <= len(seen) <= 1001 and seen == sorted(seen)


def test_a_judge_that_raises_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def judge(*_: Any) -> bool:
        raise RuntimeError("judge is out, sk-secret123")

    cache = SemanticCache(":memory:", error_bound=0.05, judge=judge, judge_rate=1.0)
    cache.store(STORED, 1)
    assert cache.lookup(ASKED) and cache.lookup(ASKED)
    cache.close()
    assert caplog.text.count("judge is out") == 1 and "secret123" not in caplog.text


async def wrong_later(*_: Any) -> bool:
    await asyncio.sleep(0)
    return False


def judged_by(judge: Any) -> SemanticCache:
    """A cache after one lookup that its judge has seen."""
    cache = SemanticCache(":memory:", error_bound=0.05, judge=judge, judge_rate=1.0)
    cache.store(STORED, 1)
    assert cache.lookup(ASKED)
    cache._sample.close()
    return cache


@pytest.mark.parametrize(
    "judge",
    [lambda *_: False, lambda *_: np.False_, lambda *_: 0, wrong_later],
    ids=["bool", "NumPy's", "0", "async"],
)
def test_a_judge_may_say_no_in_several_ways(judge: Any) -> None:
    cache = judged_by(judge)
    assert cache.lookup(ASKED) is None
    assert [wrong for _, wrong in cache._feedback._notes["judged"]] == [True]


@pytest.mark.parametrize("said", ["no", "", None, 2, 0.5, [], float("nan")], ids=repr)
def test_what_a_judge_says_that_is_no_label_is_not_counted(
    said: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cache = judged_by(lambda *_: said)
    assert cache.lookup(ASKED)
    cache._sample.close()
    assert cache._feedback._notes["judged"] == []
    assert caplog.text.count("is no label, give True or False") == 1


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ((STORED, ASKED, "0"), "pair 1: '0' is no label"),
        ((STORED, ASKED, None), "pair 1: None is no label"),
        ((STORED, ASKED), r"pair 1: \(.* is no \(stored question, new question, label\)"),
        (7, "pair 1: 7 is no"),
        ((STORED, 7, True), "give a string"),
    ],
)
def test_labels_must_be_labels(cache: SemanticCache, pair: Any, words: str) -> None:
    with pytest.raises(FrugalError, match=words):
        cache.calibrate([(STORED, ASKED, True), pair])
    assert cache.stats()["lookups"] == 0, "nothing of them is kept"


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_answers_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = SemanticCache(":memory:", error_bound=0.05, ttl=3600)
    cache.store(STORED, 1)
    assert cache.lookup(STORED) and cache.lookup(ASKED)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3601)
    assert cache.lookup(STORED) is None and cache.lookup(ASKED) is None


def test_invalidation(cache: SemanticCache) -> None:
    cache.store("one", {"model": "a"}, tags=["news", "x"])
    cache.store("two", {"model": "b"}, tags=["news"])
    cache.store("three", {"model": "b"})
    assert cache.invalidate(tag="x") == 1
    assert cache.invalidate(where={"model": "b"}, tag="news") == 1
    assert cache.invalidate(older_than=1000) == 0
    with pytest.raises(FrugalError, match="tag="):
        cache.invalidate()
    assert cache.invalidate(everything=True) == 1 and cache.stats()["entries"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        {"older_than": -7 * 86400},
        {"older_than": "7d"},
        {"older_than": float("nan")},
        {"older_than": True},
        {"tag": 5},
        {"tag": ["news"]},
        {"where": "x"},
        {"where": ["model"]},
        {"where": {5: 1}},
        {"where": {"model": object()}},
    ],
)
def test_what_cannot_be_meant_deletes_nothing(
    cache: SemanticCache, arguments: dict[str, Any]
) -> None:
    cache.store("one", {"model": "a"})
    with pytest.raises(FrugalError, match=next(iter(arguments))):
        cache.invalidate(**arguments)
    assert cache.stats()["entries"] == 1


def test_tags_may_be_one_several_or_none(cache: SemanticCache) -> None:
    for number, tags in enumerate(("a", ["a", "b"], None, ())):
        cache.store(f"question {number}", number, tags=tags)
    assert cache.invalidate(tag="a") == 2 and cache.stats()["entries"] == 2
    for senseless in (5, [5], {"a": 1}.values()):
        with pytest.raises(FrugalError, match=r"tags .*: give a text, or a list of texts"):
            cache.store("q", 1, tags=senseless)  # type: ignore[arg-type]  # what users do
        with pytest.raises(FrugalError, match="tags"):
            cache.get_or_compute("q", lambda: 1, tags=senseless)  # type: ignore[arg-type]


def test_the_limit_keeps_what_is_used() -> None:
    cache = SemanticCache(":memory:", error_bound=0, max_entries=20)
    cache.store("kept", 0)
    for i in range(60):
        cache.store(f"question {i}", i)
        assert cache.lookup("kept")
    assert cache.stats()["entries"] == 20


@pytest.mark.parametrize(
    "question",
    ["", "   ", "\x00", "a\ud800b", "?" * 5, "🙂", "word " * 200_000, "x" * 1_000_000],
    ids=["empty", "blank", "NUL", "surrogate", "marks", "emoji", "many words", "one word"],
)
def test_odd_questions_are_kept_exactly(cache: SemanticCache, question: str) -> None:
    cache.store(question, ["answer"], partition="p\x00\udfff")
    hit = cache.lookup(question, partition="p\x00\udfff")
    assert hit and hit.answer == ["answer"] and hit.layer == "exact"
    assert cache.lookup(question, partition="another") is None


@pytest.mark.parametrize(
    "answer",
    [{1, 2}, float("nan"), object(), {"a": b"bytes"}, {1: 2}, [({"a": {None: 1}},)]],
)
def test_an_answer_that_is_not_json_is_refused(cache: SemanticCache, answer: Any) -> None:
    with pytest.raises(FrugalError, match="JSON"):
        cache.store("q", answer)
    with pytest.raises(FrugalError, match="JSON"):
        cache.get_or_compute("q", lambda: answer)
    assert cache.stats()["entries"] == 0


async def test_the_first_answer_is_like_all_later_ones(cache: SemanticCache) -> None:
    class Name(str):
        pass

    async def compute() -> Any:
        return mine

    mine = {"pair": (1, Name("two"))}
    expected = {"pair": [1, "two"]}
    for _ in range(2):
        for answer in (
            cache.get_or_compute("q", lambda: mine),
            await cache.aget_or_compute("another", compute),
        ):
            assert answer == expected and type(answer["pair"][1]) is str
            answer["pair"].append("more")
    assert mine == {"pair": (1, "two")}


@pytest.mark.parametrize(
    "arguments",
    [
        {"error_bound": 1.0},
        {"error_bound": -0.1},
        {"error_bound": float("nan")},
        {"error_bound": "0.01"},
        {"error_bound": None},
        {"error_bound": True},
        {"scope": None},
        {"scope": 7},
        {"ttl": 0},
        {"ttl": float("inf")},
        {"ttl": "5"},
        {"confidence": 0.2},
        {"confidence": "x"},
        {"max_entries": 0},
        {"max_entries": 1.5},
        {"max_entries": "3"},
        {"judge_rate": 2},
        {"judge_rate": "x"},
        {"judge": True},
        {"judge": "gpt-4o"},
    ],
)
def test_arguments_without_sense_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(FrugalError, match=next(iter(arguments))):
        SemanticCache(":memory:", **arguments)


def test_a_location_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=str(tmp_path)):
        SemanticCache(tmp_path)
    for name in ("a\0b", "a\ud800b"):
        with pytest.raises(StoreError, match=r"location .* no file can be called so"):
            SemanticCache(name)


class Failing:
    """A store whose every method raises."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def fail(*_: Any, **__: Any) -> Any:
            raise StoreError("the disk is full")

        return fail


def test_a_store_that_fails_costs_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    cache = SemanticCache(Failing())
    with caplog.at_level(logging.WARNING, "frugal_core"):
        for _ in range(3):
            cache.store("q", 1)
            assert cache.lookup("q") is None
            assert cache.get_or_compute("q", lambda: "computed") == "computed"
        cache.close()
    assert caplog.text.count("the disk is full") == 1, "whatever was tried when it happened"


def test_closing_what_fails_costs_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    with SemanticCache(Failing()) as cache:
        cache.lookup("q")
    assert caplog.text.count("the disk is full") == 1


def test_another_fault_is_told_and_all_in_all_not_too_many(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults = Faults()
    for number in range(300):
        faults.tell("lookup", StoreError(f"the disk is full, {number} bytes left"))
        faults.tell("lookup", OSError("the disk is full, 7 bytes left"))
        faults.tell("lookup", StoreError("the disk is full of " + "x" * number))
    assert caplog.text.count("bytes left") == 2
    assert len(caplog.records) == 4


def test_closing_twice_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    cache = SemanticCache(":memory:", error_bound=0)
    cache.close()
    assert cache.lookup("q") is None
    cache.close()
    assert "(lookup)" in caplog.text and "(close)" not in caplog.text


class Embedding:
    """An embedder that goes wrong after a while."""

    id = "fails"

    def __init__(self, bad: Any) -> None:
        self.bad = bad
        self.calls = 0

    def embed(self, texts: Sequence[str]) -> Floats:
        self.calls += 1
        if isinstance(self.bad, Exception):
            raise self.bad
        return np.array([self.bad for _ in texts], dtype=float)


@pytest.mark.parametrize(
    "bad", [RuntimeError("no GPU"), [np.nan, 1.0], [0.0, 0.0], [np.inf, 1.0]], ids=str
)
def test_an_embedder_that_fails_leaves_the_exact_layer(bad: Any) -> None:
    cache = SemanticCache(":memory:", embed=Embedding(bad))
    cache.store(STORED, 1)
    hit = cache.lookup(STORED)
    assert hit and hit.layer == "exact" and cache.lookup(ASKED) is None


def test_a_change_of_dimensions_is_a_miss() -> None:
    embedding = Embedding([1.0, 0.0])
    cache = SemanticCache(":memory:", embed=embedding, error_bound=0.5)
    cache.calibrate([(f"what is {i}", f"what's {i}", True) for i in range(400)])
    cache.store(STORED, 1)
    embedding.bad = [1.0, 0.0, 0.0]
    assert cache.lookup(ASKED) is None
    cache.store(ASKED, 2)
    hit = cache.lookup(STORED)
    assert hit and hit.answer == 1


@pytest.mark.parametrize("count", [20])
def test_of_equal_questions_in_threads_one_is_computed(cache: SemanticCache, count: int) -> None:
    computed: list[int] = []
    answers: list[Any] = []
    barrier = threading.Barrier(count)

    def compute() -> str:
        computed.append(1)
        time.sleep(0.2)
        return "answer"

    def ask() -> None:
        barrier.wait()
        answers.append(cache.get_or_compute(STORED, compute))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(computed) == 1 and answers == ["answer"] * count


async def test_of_equal_questions_in_tasks_one_is_computed(cache: SemanticCache) -> None:
    computed: list[int] = []

    async def compute() -> str:
        computed.append(1)
        await asyncio.sleep(0.2)
        return "answer"

    answers = await asyncio.gather(*[cache.aget_or_compute(STORED, compute) for _ in range(20)])
    assert len(computed) == 1 and answers == ["answer"] * 20


async def test_threads_do_not_wait_for_a_task_that_needs_one(cache: SemanticCache) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    computed: list[int] = []

    def answer() -> str:
        computed.append(1)
        time.sleep(0.05)
        return "answer"

    async def compute() -> str:
        await asyncio.sleep(0.1)  # until all threads are taken
        return await asyncio.to_thread(answer)

    asking = asyncio.gather(
        cache.aget_or_compute(STORED, compute),
        *[asyncio.to_thread(cache.get_or_compute, STORED, answer) for _ in range(6)],
        cache.aget_or_compute(STORED, compute),
    )
    assert await asyncio.wait_for(asking, 5) == ["answer"] * 8
    assert len(computed) == 2, "threads wait for a thread, tasks for a task"


def test_two_caches_on_one_file_take_turns(tmp_path: Path) -> None:
    place = tmp_path / "cache.sqlite"
    caches = [SemanticCache(place), SemanticCache(place)]
    computed: list[int] = []

    def compute() -> int:
        computed.append(1)
        time.sleep(0.3)
        return 1

    threads = [
        threading.Thread(target=lambda c=c: c.get_or_compute(STORED, compute)) for c in caches * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(computed) == 1


def test_the_turn_passes_on_when_a_leader_fails(cache: SemanticCache) -> None:
    def fail() -> Any:
        time.sleep(0.1)
        raise RuntimeError("model is down")

    results: list[Any] = []

    def lead() -> None:
        with pytest.raises(RuntimeError):
            cache.get_or_compute(STORED, fail)
        results.append("failed")

    first = threading.Thread(target=lead)
    first.start()
    time.sleep(0.03)
    results.append(cache.get_or_compute(STORED, lambda: "second"))
    first.join()
    assert sorted(results) == ["failed", "second"]


def test_a_leader_that_hangs_is_not_waited_for_for_ever(cache: SemanticCache) -> None:
    turn = cache.claim(STORED)
    assert isinstance(turn, Turn)
    late = cache.claim(STORED, wait=0.1)
    assert isinstance(late, Turn)
    late.store("late")
    hit = cache.claim(STORED)
    assert isinstance(hit, Hit) and hit.answer == "late"
    turn.release()


def test_a_dead_process_does_not_block(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "cache.sqlite")
    cache = SemanticCache(store)
    assert store.lease(cache.key(STORED, ""), "somebody dead", 0.3)
    started = time.monotonic()
    assert cache.get_or_compute(STORED, lambda: 1) == 1
    assert time.monotonic() - started < 20


def test_stats_and_certificate(cache: SemanticCache) -> None:
    cache.store(STORED, 1)
    for question in (STORED, ASKED, "Something else entirely?"):
        cache.lookup(question)
    stats = cache.stats()
    assert (stats["lookups"], stats["exact_hits"], stats["semantic_hits"]) == (3, 1, 1)
    assert "5 % of lookups" in cache.certificate().sentence
