from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest

from frugal_core.cache.decision import FEATURES, Neighbour, Trees, features, shipped
from frugal_core.cache.lexicon import english
from frugal_core.cache.wording import compare, read
from frugal_core.embedding import MiniLM

TREES = Trees(
    roots=np.array([0, 3]),
    feature=np.array([0, 0, 0, 1, 0, 0]),
    threshold=np.array([0.5, 1e300, 1e300, 2.0, 1e300, 1e300]),
    left=np.array([1, 1, 2, 4, 4, 5]),
    right=np.array([2, 1, 2, 5, 4, 5]),
    value=np.array([0.0, -1.0, 1.0, 0.0, -2.0, 2.0]),
    base=0.25,
)


@pytest.mark.parametrize(
    ("row", "logit"), [((0.5, 2), -2.75), ((0.6, 2), -0.75), ((0.4, 3), 1.25), ((0.6, 3), 3.25)]
)
def test_trees_add_up_the_leaves(row: tuple[float, float], logit: float) -> None:
    assert TREES.score(np.array(row)) == pytest.approx(1 / (1 + math.exp(-logit)))


def test_all_trees_at_once_score_as_one_node_after_the_other() -> None:
    trees = shipped().trees
    chance = np.random.default_rng(0)
    low, high = trees.threshold.min(), trees.threshold.max()
    for row in chance.uniform(low, high, (20, len(FEATURES))) * chance.integers(
        0, 2, len(FEATURES)
    ):
        logit = trees.base
        for node in trees.roots:
            while trees.left[node] != node:
                goes_left = row[trees.feature[node]] <= trees.threshold[node]
                node = trees.left[node] if goes_left else trees.right[node]
            logit += trees.value[node]
        assert trees.score(row) == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-12)


def test_trees_survive_being_written_down() -> None:
    again = Trees.from_json(json.loads(json.dumps(TREES.to_json())))
    assert again.score(np.array([0.6, 3.0])) == TREES.score(np.array([0.6, 3.0]))


def test_features_are_named_and_finite() -> None:
    for one, other in [("", ""), ("?", "What?"), ("How to cook rice?", "Rice 2 cook"), ("a", "b")]:
        new, old = read(one), read(other)
        row = features(new, old, compare(new, old, english()), [0.8, 0.5], english())
        assert row.shape == (len(FEATURES),) and np.isfinite(row).all()


def test_the_nearest_neighbour_without_an_objection_is_scored() -> None:
    asked = "How do I get to Rome in 2 days?"
    near = [
        Neighbour("How do I get to Rome in 3 days?", 0.97),
        Neighbour("How do I not get to Rome in 2 days?", 0.95),
        Neighbour("How can I get to Rome in 2 days?", 0.93),
    ]
    verdict = shipped().judge(asked, near)
    assert verdict.position == 2 and verdict.objections == ("numbers", "negation")
    assert verdict.score == shipped().judge(asked, near[2:]).score
    nothing = shipped().judge(asked, near[:2])
    assert nothing.position is None and nothing.score == -math.inf


def test_what_passes_away_is_not_served() -> None:
    verdict = shipped().judge("What is on TV tonight?", [Neighbour("What is on TV tonight?", 1.0)])
    assert verdict.position is None and "passes away" in verdict.objections[0]


def test_closer_wordings_score_higher() -> None:
    embedder = MiniLM()

    def score(one: str, other: str) -> float:
        a, b = embedder.embed([one, other])
        return shipped().judge(one, [Neighbour(other, float(a @ b))]).score

    asked = "What is the best way to learn English?"
    same = score(asked, "What's the best way to learn English?")
    near = score(asked, "How can I learn English?")
    far = score(asked, "What is the best way to learn French?")
    assert same > near > far


def test_odd_texts_are_judged() -> None:
    odd = ["", " ", "\x00", "\ud800", "🙂" * 5000, "a" * 1_000_000, "１２３ ٣", "'" * 300]
    started = time.perf_counter()
    for one in odd:
        verdict = shipped().judge(one, [Neighbour(other, 0.99) for other in odd])
        assert verdict.score == -math.inf or 0 < verdict.score <= 1
    assert time.perf_counter() - started < 30
