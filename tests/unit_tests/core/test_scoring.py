"""Scorers that need no fitting."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest

from frugal_core.cascade import Reply
from frugal_core.scoring import AgreementScorer, FunctionScorer, LogProbScorer


@pytest.mark.parametrize(
    ("confidence", "score"),
    [(0.0, 1.0), (math.log(0.25), 0.25), (1e-9, 1.0), (-math.inf, 0.0), (None, None)],
)
def test_log_probabilities_become_a_probability(
    confidence: float | None, score: float | None
) -> None:
    judged = LogProbScorer().judge("q")("a", Reply("x", confidence=confidence), [])
    assert judged == (None if score is None else pytest.approx(score))


def test_agreement_is_the_share_of_earlier_tiers_that_said_the_same() -> None:
    judge = AgreementScorer().judge("q")
    earlier = [("a", Reply("Paris.")), ("b", Reply("  paris")), ("c", Reply("Lyon"))]
    assert judge("d", Reply("PARIS"), earlier) == pytest.approx(2 / 3)
    assert judge("d", Reply("PARIS"), []) == 0.0


def test_functions_that_differ_in_code_or_closure_have_different_ids() -> None:
    def at_least(words: int) -> FunctionScorer:
        return FunctionScorer(lambda query, answer: float(len(answer.split()) >= words))

    assert at_least(2).id == at_least(2).id
    assert at_least(2).id != at_least(3).id
    other = FunctionScorer(lambda query, answer: float(len(answer.split()) > 2))
    assert other.id not in (at_least(2).id, at_least(3).id)
    assert FunctionScorer(lambda query, answer: 1.0, id="mine").id == "mine"


HASHED = """
from frugal_core.scoring import FunctionScorer
words = {"a": [{"b", "c", "d", "e"}]}
def score(query, answer, known=frozenset({"x", "y", "z", "w"}), *, more={"p", "q", "r"}):
    return float(answer in {"s", "t", "u"} or answer in words)
print(FunctionScorer(score).id, FunctionScorer((lambda w: lambda q, a: float(a in w))(words)).id)
"""


def test_an_id_is_the_same_in_every_process() -> None:
    def ids(seed: str) -> str:
        environment = os.environ | {"PYTHONHASHSEED": seed}
        run = [sys.executable, "-c", HASHED]
        return subprocess.run(
            run, env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert len({ids(seed) for seed in ("1", "2", "3")}) == 1


def test_a_scorer_may_be_an_object_that_can_be_called() -> None:
    class Length:
        def __call__(self, query: str, answer: str) -> float:
            return 1.0 / len(answer)

        def __repr__(self) -> str:
            return "Length()"

    scorer = FunctionScorer(Length())
    assert scorer.id == "Length()"
    assert scorer.judge("q")("a", Reply("four"), []) == 0.25
