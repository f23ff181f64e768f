"""The learned scorer: one answer scores as many do, and scores tell right from wrong."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from frugal_core.cascade import Reply
from frugal_core.learned_scorer import LearnedScorer, ScorerFit
from frugal_core.recording import Recording
from frugal_core.student import STUDENT, Student
from frugal_core.table import Table
from frugal_core.text import Vectoriser
from tests.unit_tests.core.helpers import (
    PRICES,
    answer,
    closed,
    closed_rows,
    free,
    free_rows,
    with_gaps,
)

MODELS = ("small", "medium", "large")
STAGES = [order for k in (1, 2, 3) for order in itertools.permutations(MODELS, k)]


def fitted(recording: Recording) -> tuple[LearnedScorer, ScorerFit]:
    """A scorer of every stage."""
    table = Table.of(recording, recording.models)
    vectoriser = Vectoriser.fit(table.texts)
    folds = np.random.default_rng(0).integers(4, size=len(table))
    fit = ScorerFit(table, vectoriser.matrix(table.texts), folds)
    stages = [stage for stage in STAGES if set(stage) <= set(recording.models)]
    return fit.scorer(vectoriser, stages), fit


def in_bulk(scorer: LearnedScorer, recording: Recording, stage: tuple[str, ...]) -> Any:
    table = Table.of(recording, list(MODELS), scorer.labels)
    return scorer.scores(table, scorer.pooled(scorer.vectoriser.matrix(table.texts)), stage)


def area(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Area under the ROC curve."""
    u = stats.mannwhitneyu(scores[right], scores[~right]).statistic
    return float(u / (right.sum() * (~right).sum()))


@pytest.mark.parametrize(
    ("learned", "fresh"),
    [
        (closed_rows(200), closed_rows(60, 1)),
        (free_rows(200), free_rows(60, 1)),
        (with_gaps(closed_rows(200), 0.2), with_gaps(closed_rows(60, 1), 0.4)),
        (with_gaps(free_rows(200), 0.2), with_gaps(free_rows(60, 1), 0.4)),
    ],
)
def test_one_answer_scores_as_it_does_among_many(learned: list[Any], fresh: list[Any]) -> None:
    for i, row in enumerate(fresh):
        for model in set(row["answers"]) & {"medium"}:
            row["answers"][model]["text"] += ("", ".", " and more", "\n")[i % 4]
            if i % 3 == 0:
                row["answers"][model]["confidence"] = (-0.1, -math.inf, math.nan)[i % 9 // 3]
    scorer, _ = fitted(Recording.from_rows(learned, prices=PRICES))
    recording = Recording.from_rows(fresh, prices=PRICES)
    for stage in STAGES:
        many = in_bulk(scorer, recording, stage)
        for i, query in enumerate(recording):
            replies = {
                model: Reply(a.text, confidence=a.confidence) for model, a in query.answers.items()
            }
            if stage[-1] not in replies:
                assert many[i] == 0.0
                continue
            earlier = [(model, replies[model]) for model in stage[:-1] if model in replies]
            one = scorer.judge(query.text)(stage[-1], replies[stage[-1]], earlier)
            assert one == pytest.approx(many[i], abs=1e-9), (stage, i)


def test_scores_are_probabilities_that_can_be_believed() -> None:
    scorer, _ = fitted(free(1500))
    fresh = free(2000, seed=1)
    for model in MODELS:
        scores = in_bulk(scorer, fresh, (model,))
        right = np.array([bool(query.answers[model].correct) for query in fresh])
        assert ((scores > 0) & (scores < 1)).all()
        for low, high in itertools.pairwise(np.quantile(scores, [0, 0.25, 0.5, 0.75, 1])):
            inside = (scores >= low) & (scores <= high)
            assert abs(scores[inside].mean() - right[inside].mean()) < 0.08


def xor_rows(n: int, seed: int) -> list[dict[str, Any]]:
    """Whether an answer is right hangs on query and answer together, and on neither alone."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        first, said = (int(bit) for bit in rng.integers(2, size=2))
        right = (first == said) ^ (rng.random() < 0.02)
        text = f"{('red', 'blue')[first]} house number {i % 9}"
        rows.append({"query": text, "answers": {"m": answer(("yes", "no")[said], correct=right)}})
    return rows


def test_query_and_answer_are_read_together() -> None:
    prices = {"m": [1, 1]}
    recording = Recording.from_rows(xor_rows(400, 0), prices=prices)
    table = Table.of(recording, ["m"])
    assert table.labels == ("no", "yes")
    vectoriser = Vectoriser.fit(table.texts)
    fit = ScorerFit(table, vectoriser.matrix(table.texts), np.arange(400) % 4)
    right = table.correct[:, 0] == 1
    for one_alone in (table.said[:, 0].astype(float), np.array(["red" in t for t in table.texts])):
        assert abs(area(one_alone.astype(float), right) - 0.5) < 0.1
    assert area(fit.out_of_fold(("m",)), right) > 0.9
    scorer = fit.scorer(vectoriser, [("m",)])
    judge = scorer.judge("red house number 4")
    yes, no = judge("m", Reply("Yes."), []), judge("m", Reply("no"), [])
    assert yes is not None and no is not None and yes > 0.8 and no < 0.2


def test_out_of_fold_scores_are_honest_where_in_sample_ones_flatter() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(300):  # nothing can be learned: words and labels are drawn apart
        text = " ".join(f"w{word}" for word in rng.integers(4000, size=8))
        right = bool(rng.random() < 0.5)
        rows.append({"query": text, "answers": {"m": answer(f"text {i}", correct=right)}})
    table = Table.of(Recording.from_rows(rows, prices={"m": [1, 1]}), ["m"])
    vectoriser = Vectoriser.fit(table.texts)
    features = vectoriser.matrix(table.texts)
    fit = ScorerFit(table, features, np.arange(300) % 4)
    right = table.correct[:, 0] == 1
    scorer = fit.scorer(vectoriser, [("m",)])
    flattering = area(scorer.pooled(features)[:, 0], right)
    assert flattering > 0.9
    assert area(fit.out_of_fold(("m",)), right) < 0.6


def test_agreement_with_an_earlier_tier_raises_the_score() -> None:
    scorer, _ = fitted(closed(600))
    judge = scorer.judge("downward1 flatward3 upward5 plain case")
    same = judge("medium", Reply("up"), [("small", Reply("Up"))])
    other = judge("medium", Reply("up"), [("small", Reply("down"))])
    assert same is not None and other is not None and same > other + 0.05


def test_a_tier_that_was_never_scored_gets_no_score() -> None:
    scorer, _ = fitted(closed(60))
    assert scorer.judge("q")("unknown", Reply("up"), []) is None


def test_a_stage_that_was_never_fitted_falls_back_to_the_tier_alone() -> None:
    scorer, _ = fitted(closed(100).only(["small", "medium"]))
    judge = scorer.judge("upward3")
    alone = judge("small", Reply("up"), [])
    assert judge("small", Reply("up"), [("stranger", Reply("up"))]) == alone


def test_the_id_names_the_fitted_weights() -> None:
    one, again, other = (fitted(recording)[0] for recording in (closed(80), closed(80), closed(81)))
    assert one.id == again.id != other.id


def test_the_students_confidence_counts_alike_in_one_call_and_among_many() -> None:
    table = Table.of(closed(200), MODELS)
    vectoriser = Vectoriser.fit(table.texts)
    features = vectoriser.matrix(table.texts)
    weights = np.random.default_rng(1).normal(size=(3, len(vectoriser.terms)))
    student = Student(vectoriser, weights, np.zeros(3), table.labels)
    said, confidence = student.predict(features)
    wider = table.with_student(STUDENT, said, confidence)
    fit = ScorerFit(wider, features, np.arange(200) % 4)
    stages = [(STUDENT,), (STUDENT, "large")]
    scorer = fit.scorer(vectoriser, stages)
    scores = scorer.scores(wider, scorer.pooled(features), (STUDENT,))
    for i, text in enumerate(table.texts[:50]):
        reply = student.reply(text)
        assert reply.text == table.labels[said[i]]
        score = scorer.judge(text)(STUDENT, reply, [])
        assert score == pytest.approx(scores[i], abs=1e-9)
        assert score != scorer.judge(text)(STUDENT, replace(reply, confidence=-0.01), [])
