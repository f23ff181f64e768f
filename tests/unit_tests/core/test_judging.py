"""A scorer that fails, or returns what is no score, costs no answer."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from frugal_core.cascade import Judge, Outcome, Reply
from frugal_core.scoring import FunctionScorer
from tests.unit_tests.core.test_cascade_loop import CERTIFICATE, decisions, plan_of, run, said


def trail(outcome: Outcome) -> list[dict[str, Any]]:
    """The trail as it is written down; NaN would be refused."""
    steps: list[dict[str, Any]] = json.loads(json.dumps(outcome.to_json(), allow_nan=False))[
        "trail"
    ]
    return steps


def scored_by(function: Callable[[str, str], Any], name: str = "mine") -> Outcome:
    plan = replace(plan_of({}, thresholds=(0.5,)), scorer=FunctionScorer(function, id=name))
    outcome, script = run(plan, said("draft"), said("last"))
    assert all(ask.verify is None for ask in script.asked), "a fault is no reason to ask again"
    return outcome


def raising(query: str, answer: str) -> float:
    raise NameError("typo")


class Ragged:
    def __float__(self) -> float:
        raise RuntimeError("no single number")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda q, a: math.nan, "the scorer returned nan, not a number"),
        (lambda q, a: np.float32("nan"), "not a number"),
        (lambda q, a: math.inf, "the scorer returned inf, not a number"),
        (lambda q, a: -math.inf, "not a number"),
        (lambda q, a: "high", "the scorer returned 'high', not a number"),
        (lambda q, a: [0.5], "not a number"),
        (lambda q, a: 10**400, "not a number"),
        (lambda q, a: 0.5j, "not a number"),
        (lambda q, a: Ragged(), "not a number"),
        (raising, "the scorer raised NameError: typo"),
        (lambda q: 1.0, "the scorer raised TypeError"),
    ],
)
def test_what_is_no_score_sends_the_question_on(
    function: Callable[..., Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="frugal_core"):
        for _ in range(3):
            outcome = scored_by(function, name=repr(function))
    assert outcome.reply.text == "last"
    assert decisions(outcome) == [("a", "rejected"), ("b", "accepted")]
    first = trail(outcome)[0]
    assert first["why"].startswith("no score: ") and reason in first["why"]
    assert first["score"] is None
    assert outcome.promise == "no promise: the scorer failed in this call"
    assert len(caplog.records) == 1 and reason in caplog.text, "it is said once"


@pytest.mark.parametrize(
    ("value", "counts", "model"), [(85, 1.0, "a"), (1.0000001, 1.0, "a"), (-3.5, 0.0, "b")]
)
def test_a_score_that_is_no_probability_counts_as_the_nearer_end(
    value: float, counts: float, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="frugal_core"):
        for _ in range(3):
            outcome = scored_by(lambda q, a: value, name=f"always {value}")
    assert trail(outcome)[-1]["model"] == model
    assert trail(outcome)[0]["score"] == counts
    assert len(caplog.records) == 1 and f"returned {float(value)!r}" in caplog.text


@pytest.mark.parametrize("value", [True, np.float32(1.0), np.int64(1), np.True_])
def test_every_kind_of_number_is_a_score(value: Any) -> None:
    outcome = scored_by(lambda q, a: value)
    assert outcome.tier == 0 and trail(outcome)[0]["score"] == 1.0
    assert outcome.promise == CERTIFICATE.sentence


@dataclass(frozen=True)
class Unprepared:
    """A scorer that fails before it has seen an answer."""

    id: str = "unprepared"

    def judge(self, query: str) -> Judge:
        raise OSError("its model is not there")


def test_a_scorer_that_cannot_be_prepared() -> None:
    outcome, _ = run(plan_of({}, scorer=Unprepared()), said("x"), said("y"), said("last"))
    assert outcome.reply.text == "last"
    assert "its model is not there" in outcome.steps[0].why


def test_a_draft_without_a_score_is_better_than_nothing() -> None:
    plan = plan_of({}, thresholds=(0.5,), scorer=Unprepared())
    outcome, _ = run(plan, said("draft"), TimeoutError("down"))
    assert outcome.degraded and outcome.reply.text == "draft"


def test_the_last_tier_answers_where_the_best_of_all_cannot_be_told() -> None:
    @dataclass(frozen=True)
    class OnceOnly:
        id: str = "once only"

        def judge(self, query: str) -> Judge:
            def score(tier: str, reply: Reply, earlier: Sequence[tuple[str, Reply]]) -> float:
                if tier == "b":
                    raise ValueError("never seen")
                return 0.1

            return score

    plan = plan_of({}, thresholds=(0.5,), best_of=True, scorer=OnceOnly())
    outcome, _ = run(plan, said("first"), said("second"))
    assert outcome.reply.text == "second"
    assert outcome.steps[-1].why == "last tier; no score: the scorer raised ValueError: never seen"
    assert outcome.promise.startswith("no promise")
