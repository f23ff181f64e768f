"""Example selection: what is picked, what fits, and how many are needed."""

from __future__ import annotations

import copy
import logging
import pickle
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugal_core import Recording
from frugal_core.adapt.examples import OVERHEAD, ExamplePool
from frugal_core.adapt.rows import Example, examples_of
from frugal_core.adapt.shots import FittedShots, Shot, fit_shots
from frugal_core.cascade import Failure, Reply
from frugal_core.errors import FrugalError
from tests.unit_tests.core.adapt.driving import drive

MARKET = [
    ("gold price rises sharply", "up"),
    ("gold price rises again", "up"),
    ("gold price falls sharply", "down"),
    ("oil price falls", "down"),
    ("silver coins for collectors", "none"),
]


def asked(examples: Sequence[Example]) -> list[str]:
    return [example.text for example in examples]


@pytest.mark.parametrize(
    "row",
    [
        {"question": "2 + 2?", "answer": 4},
        {"input": "2 + 2?", "output": "4"},
        {"id": "7", "query": "2 + 2?", "reference": "4", "answers": {}},
        {"sum": "2 + 2?", "result": "4"},
        ("2 + 2?", "4"),
        Example("2 + 2?", "4"),
    ],
)
def test_reads_examples_as_users_have_them(row: Any) -> None:
    (example,) = examples_of([row])
    assert (example.text, example.answer) == ("2 + 2?", "4")


def test_reads_a_recording() -> None:
    rows = [{"query": "2 + 2?", "reference": "4", "answers": {}}, {"query": "?", "answers": {}}]
    assert [e.answer for e in examples_of(Recording.from_rows(rows))] == ["4", None]


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("a text", "not a str"),
        ([3], "example 1: expected a mapping"),
        ([{"a": "1", "b": "2", "c": "3"}], "which of its fields ('a', 'b', 'c')"),
        ([], None),
    ],
)
def test_says_what_is_wrong_with_examples(rows: Any, complaint: str | None) -> None:
    if complaint is None:
        assert examples_of(rows) == []
        return
    with pytest.raises(FrugalError) as caught:
        examples_of(rows)
    assert complaint in str(caught.value)


def test_a_key_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FrugalError, match="'label' is not among its fields"):
        ExamplePool([{"text": "a", "kind": "b"}], output_key="label")


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"k": -1}, "k -1"),
        ({"k": 1.5}, "k 1.5"),
        ({"k": True}, "k True"),
        ({"k": float("nan")}, "k nan"),
        ({"token_budget": float("inf")}, "token_budget inf"),
        ({"token_budget": 0}, "token_budget 0"),
        ({"k": None}, "give k, token_budget"),
        ({"diversity": 1.0}, "diversity 1.0"),
    ],
)
def test_refuses_settings_without_sense(setting: dict[str, Any], complaint: str) -> None:
    with pytest.raises(FrugalError, match=complaint.replace(".", r"\.")):
        ExamplePool(MARKET, **setting)


def test_the_most_similar_example_comes_last() -> None:
    chosen = ExamplePool(MARKET, k=3).select("the gold price rises sharply")
    assert asked(chosen)[-1] == "gold price rises sharply"
    assert "silver coins for collectors" not in asked(chosen)


def test_diversity_leaves_out_what_says_the_same_again() -> None:
    rows = [*MARKET[:2], ("rises of rents", "up")]
    alike = ExamplePool(rows, k=2).select("gold price rises")
    diverse = ExamplePool(rows, k=2, diversity=0.7).select("gold price rises")
    assert set(asked(alike)) == {"gold price rises sharply", "gold price rises again"}
    assert "rises of rents" in asked(diverse)


def test_answers_take_turns() -> None:
    pool = ExamplePool(MARKET, k=3, balance=True)
    assert {example.answer for example in pool.select("gold price rises")} == {"up", "down", "none"}


@settings(max_examples=60, deadline=None)
@given(
    budget=st.integers(1, 120),
    diversity=st.sampled_from([0.0, 0.4]),
    balance=st.booleans(),
    k=st.sampled_from([None, 2, 5]),
)
def test_the_token_budget_is_never_exceeded(
    budget: int, diversity: float, balance: bool, k: int | None
) -> None:
    pool = ExamplePool(
        MARKET,
        k=k,
        token_budget=budget,
        diversity=diversity,
        balance=balance,
        count_tokens=lambda text: len(text.split()),
    )
    chosen = pool.select("gold price rises")
    words = sum(len(f"{e.text} {e.answer}".split()) + OVERHEAD for e in chosen)
    assert words <= budget
    smallest = min(pool.tokens(example) for example in pool.examples)
    assert chosen or budget < smallest, "an example that does not fit is passed over"


def test_every_field_of_an_example_counts() -> None:
    row = {"context": "one two three", "question": "four five?", "answer": 6}
    pool = ExamplePool([row], token_budget=OVERHEAD + 5, count_tokens=lambda t: len(t.split()))
    assert pool.tokens(pool.examples[0]) == OVERHEAD + 6
    assert pool.select("four") == []


def test_fewer_examples_are_the_first_of_more() -> None:
    pool = ExamplePool(MARKET, k=5, diversity=0.3)
    picked = [example for example, _ in pool.ranked("gold price falls")]
    assert [example for example, _ in pool.ranked("gold price falls", 2)] == picked[:2]


def test_an_added_example_is_known_at_once() -> None:
    pool = ExamplePool(MARKET, k=1)
    pool.select("warm the index")
    pool.add(("tin price soars", "up"))
    assert asked(pool.select("tin soars")) == ["tin price soars"]


def test_large_pools_take_examples_without_learning_all_words_anew() -> None:
    words = [f"word{i}" for i in range(300)]
    draw = random.Random(0)
    pool = ExamplePool([(" ".join(draw.sample(words, 6)), "x") for _ in range(1500)], k=1)
    pool.select("word1")
    pool.add(("word1 word2 word3 word4 word5 word6", "y"))
    assert [e.answer for e in pool.select("word6 word5 word4 word3 word2 word1")] == ["y"]
    index = pool._index
    assert index is not None and index.learned == 1500 and len(index) == 1501


def test_works_where_there_is_little() -> None:
    assert ExamplePool().select("anything") == []
    assert ExamplePool(MARKET, k=0).select("gold") == []
    assert len(ExamplePool(MARKET, k=9).select("")) == len(MARKET)
    assert asked(
        ExamplePool([("金价上涨", "up"), ("油价下跌", "down")], k=1).select("金价大涨")
    ) == ["金价上涨"]


def test_copies_and_pickles() -> None:
    pool = ExamplePool(MARKET, k=2)
    chosen = pool.select("gold price falls")
    for same in (pickle.loads(pickle.dumps(pool)), copy.deepcopy(pool)):  # noqa: S301  # our own
        assert same.select("gold price falls") == chosen


def test_threads_may_add_and_select() -> None:
    pool = ExamplePool(MARKET, k=3)

    def work(i: int) -> int:
        pool.add((f"gold price number {i}", "up"))
        return len(pool.select("gold price"))

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(work, range(64))) == {3}
    assert len(pool.examples) == len(MARKET) + 64


class Concepts:
    """An embedder that knows that metals are alike; or fails."""

    id = "concepts"

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def embed(self, texts: Sequence[str]) -> Any:
        if self.fails:
            raise ConnectionError("no embedder here")
        metal = [any(word in text for word in ("gold", "silver", "platinum")) for text in texts]
        return np.array([[1.0, 0.0] if yes else [0.0, 1.0] for yes in metal], dtype="float32")


def test_embeddings_are_weighed_in() -> None:
    rows = [("oil for sale", "oil"), ("silver mine", "metal")]
    query = "platinum for sale"
    assert asked(ExamplePool(rows, k=1).select(query)) == ["oil for sale"]
    assert asked(ExamplePool(rows, k=1, embedder=Concepts()).select(query)) == ["silver mine"]


def test_an_embedder_that_fails_costs_no_example(caplog: pytest.LogCaptureFixture) -> None:
    pool = ExamplePool(MARKET, k=2, embedder=Concepts(fails=True))
    with caplog.at_level(logging.WARNING):
        chosen = [asked(pool.select("gold price rises")) for _ in range(3)]
    assert chosen[0] == asked(ExamplePool(MARKET, k=2).select("gold price rises"))
    assert len(caplog.records) == 1 and "no embedder here" in caplog.text


def topics(n: int, seed: int = 0) -> list[tuple[str, str]]:
    """Questions on three topics; each holds one word of its topic, and noise."""
    draw = random.Random(seed)
    words = {t: [f"{t}word{i}" for i in range(25)] for t in ("art", "law", "sea")}
    rows = []
    for i in range(n):
        topic = draw.choice(list(words))
        noise = [f"noise{draw.randrange(60)}" for _ in range(2)]
        rows.append((" ".join([*draw.sample(words[topic], 1), *noise, f"n{i}"]), topic))
    return rows


def test_finds_how_many_examples_a_model_needs() -> None:
    """A model that needs two examples, and that more confuse a little."""

    def model(shot: Shot) -> Reply:
        enough = len(shot.shown) >= 2 and (len(shot.shown) < 8 or len(shot.question.text) % 9)
        return Reply((shot.question.answer or "") if enough else "?", 10 * len(shot.shown), 1)

    pool = ExamplePool(topics(400))
    fitted: FittedShots = drive(fit_shots(pool, live=True, sizes=(0, 1, 2, 4, 8)), model)
    assert fitted.k == 2
    assert [one.size for one in fitted.measured] == [0, 1, 2, 4, 8]
    assert [round(one.accuracy) for one in fitted.measured[:3]] == [0, 0, 1]
    assert fitted.measured[2].tokens == 21
    assert "nothing is promised" in fitted.verdict and "120 held-out rows" in fitted.verdict


def test_a_promise_is_kept_step_by_step_from_many_to_few() -> None:
    tried: list[int] = []

    def model(shot: Shot) -> Reply:
        tried.append(len(shot.shown))
        return Reply((shot.question.answer or "") if len(shot.shown) >= 4 else "?")

    pool = ExamplePool(topics(600))
    loop = fit_shots(pool, live=True, sizes=(1, 2, 4, 8), promise=0.05)
    fitted: FittedShots = drive(loop, model)
    assert fitted.k == 4
    assert fitted.certificate is not None
    assert "below 8 examples, tested on 180 answers (0 lost, 0 gained)" in fitted.verdict
    assert list(dict.fromkeys(tried)) == [8, 4, 2], "after the first failure nothing is bought"


def test_too_few_rows_to_promise_anything_keep_the_largest_number() -> None:
    loop = fit_shots(ExamplePool(topics(60)), live=True, promise=0.01)
    fitted: FittedShots = drive(loop, lambda shot: Reply(shot.question.answer or ""))
    assert fitted.k == 8 and fitted.certificate is None
    assert "fewer cannot be shown" in fitted.verdict


def test_without_a_model_the_examples_vote() -> None:
    fitted: FittedShots = drive(fit_shots(ExamplePool(topics(500)), live=False), pytest.fail)
    assert fitted.judge == "vote" and fitted.k in (1, 2, 4, 8)
    assert max(one.accuracy for one in fitted.measured) > 0.6
    assert all(one.tokens > 0 for one in fitted.measured)


def test_held_out_rows_are_never_shown() -> None:
    rows = topics(100) + topics(100)  # every question twice

    def model(shot: Shot) -> Reply:
        assert shot.question.text not in asked(shot.shown)
        return Reply("art")

    drive(fit_shots(ExamplePool(rows), live=True), model)


@pytest.mark.parametrize(
    ("rows", "options", "complaint"),
    [
        (topics(20), {}, "leave 6 to hold out"),
        ([(f"q {i}", f"a free text, {i}") for i in range(90)], {}, "free text"),
        (topics(90), {"sizes": (0, 2)}, "sizes"),
        (topics(90), {"held_out": 1.0}, "held_out"),
        ([(text, None) for text, _ in topics(90)], {}, "0 examples with answers"),
    ],
)
def test_says_why_nothing_can_be_fitted(
    rows: list[Any], options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(FrugalError, match=complaint):
        drive(fit_shots(ExamplePool(rows), live=False, **options), pytest.fail)


def test_a_model_that_fails_is_an_error_and_not_a_result() -> None:
    loop = fit_shots(ExamplePool(topics(90)), live=True)
    with pytest.raises(FrugalError, match="failed on 27 of 27 held-out rows: TimeoutError: slow"):
        drive(loop, lambda shot: Failure(TimeoutError("slow")))
