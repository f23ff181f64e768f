"""Evaluation: the figures against figures computed by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from frugal_core.certifying import Certificate, Promise
from frugal_core.errors import RecordingError
from frugal_core.evaluation import saving, wilson
from frugal_core.fitting import fit
from frugal_core.policy import Policy
from frugal_core.recording import Recording
from frugal_core.routing import Chain
from tests.unit_tests.core.helpers import PRICES, closed, closed_rows, free, run_recorded


@pytest.fixture(scope="module")
def policy() -> Policy:
    return fit(closed(600), promise=Promise(0.05), reference="medium")


def test_every_figure_is_what_running_the_queries_gives(policy: Policy) -> None:
    recording = closed(200, seed=1)
    runs = [run_recorded(policy, query) for query in recording]
    found = policy.evaluate(recording)
    right = [run.reply.text == query.reference for run, query in zip(runs, recording, strict=True)]
    usd = 1000 * float(np.mean([run.usd or 0.0 for run in runs]))
    assert found.queries == 200
    assert found.accuracy == pytest.approx(np.mean(right))
    assert found.usd_per_1k == pytest.approx(usd)

    def alone(model: str) -> tuple[float, float]:
        answers = [query.answers[model] for query in recording]
        costs = [recording.prices.cost(model, a.input_tokens, a.output_tokens) for a in answers]
        return float(np.mean([bool(a.correct) for a in answers])), 1000 * float(np.mean(costs))

    for single, model in ((found.reference, "medium"), (found.dearest, "large")):
        assert single.model == model
        assert (single.accuracy, single.usd_per_1k) == pytest.approx(alone(model))
    assert found.saving_vs_reference == pytest.approx(1 - usd / alone("medium")[1])
    assert found.saving_vs_dearest == pytest.approx(1 - usd / alone("large")[1])
    assert found.accuracy_gain == pytest.approx(np.mean(right) - alone("medium")[0])
    shares = {tier: 0.0 for tier in policy.chain.tiers}
    for run in runs:
        shares[policy.chain.tiers[run.tier]] += 1 / 200
    assert found.tier_share == pytest.approx(shares)
    assert math.fsum(found.tier_share.values()) == pytest.approx(1)


def test_the_evaluation_is_json_with_the_promised_names(policy: Policy) -> None:
    shown = json.loads(json.dumps(policy.evaluate(closed(60, seed=1)).to_json(), allow_nan=False))
    names = "queries accuracy accuracy_ci usd_per_1k reference dearest saving_vs_reference"
    names += " saving_vs_dearest accuracy_gain tier_share certificate"
    assert set(names.split()) == set(shown)
    assert set(shown["reference"]) == {"model", "accuracy", "usd_per_1k"}


@pytest.mark.parametrize(("gain", "holds"), [(-0.02, True), (-0.03, False), (0.1, True)])
def test_a_certificate_holds_if_the_loss_is_within_epsilon(
    policy: Policy, gain: float, holds: bool
) -> None:
    rows = closed_rows(100, models=("small", "medium", "large"))
    for i, row in enumerate(rows):  # the reference is right in half of the rows
        row["answers"]["medium"]["text"] = row["reference"] if i < 50 else "wrong"
        row["answers"]["small"]["text"] = row["reference"] if i < 50 + 100 * gain else "wrong"
    certificate = Certificate(0.02, 0.95, 500, 1, 1, "medium", "gold", "2026-01-31")
    tested = replace(policy, chain=Chain(("small",), ()), certificate=certificate)
    held = tested.evaluate(Recording.from_rows(rows, prices=PRICES)).certificate
    assert held is not None
    assert held.holds is holds
    assert (held.epsilon, held.confidence, held.n, held.reference) == (0.02, 0.95, 100, "medium")


def test_accuracy_is_over_labelled_rows_and_cost_over_all(policy: Policy) -> None:
    rows = closed_rows(120, seed=2)
    for row in rows[80:]:
        del row["reference"]
    part = policy.evaluate(Recording.from_rows(rows[:80], prices=PRICES))
    whole = policy.evaluate(Recording.from_rows(rows, prices=PRICES))
    assert whole.accuracy == part.accuracy and whole.accuracy_ci == part.accuracy_ci
    assert whole.queries == 120
    rest = policy.evaluate(closed(120, seed=2).select(range(80, 120)))
    assert whole.usd_per_1k == pytest.approx((80 * part.usd_per_1k + 40 * rest.usd_per_1k) / 120)


def test_without_any_gold_label_accuracy_is_refused_in_words(policy: Policy) -> None:
    with pytest.raises(RecordingError, match="labels='reference'"):
        policy.evaluate(closed(30).unlabelled())


def test_agreement_is_evaluated_without_gold() -> None:
    policy = fit(closed(300).unlabelled(), budget=1e9, labels="reference")
    evaluation = policy.evaluate(closed(100, seed=3).unlabelled())
    assert evaluation.reference.accuracy == 1.0 and evaluation.labels == "reference"


@pytest.mark.parametrize(("right", "n"), [(0, 10), (5, 10), (10, 10), (970, 1000)])
def test_the_interval_is_wilsons(right: int, n: int) -> None:
    expected = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_savings() -> None:
    assert saving(0.2, 1.0) == pytest.approx(0.8)
    assert saving(2.0, 1.0) == pytest.approx(-1.0)
    assert saving(0.0, 0.0) == 0.0


def test_free_models_save_nothing_and_break_nothing(policy: Policy) -> None:
    free_of_charge = {model: [0, 0] for model in PRICES}
    rows = closed_rows(40)
    evaluation = policy.evaluate(Recording.from_rows(rows, prices=free_of_charge))
    assert evaluation.usd_per_1k == 0.0 and evaluation.saving_vs_dearest == 0.0


def test_the_curve_lies_between_the_models_and_the_oracle(policy: Policy) -> None:
    recording = closed(300, seed=4)
    curve = policy.curve(recording)
    assert {point.chain.tiers[0] for point in curve.singles} == {"small", "medium", "large"}
    assert len(curve.frontier) == len(policy.frontier)
    evaluation = policy.evaluate(recording)
    assert curve.policy.accuracy == evaluation.accuracy
    assert 1000 * curve.policy.usd == pytest.approx(evaluation.usd_per_1k)
    any_right = np.mean([any(a.correct for a in query.answers.values()) for query in recording])
    assert curve.oracle.accuracy == pytest.approx(any_right)
    assert all(curve.oracle.accuracy >= point.accuracy for point in curve.singles)
    assert curve.oracle.usd < max(point.usd for point in curve.singles)


def test_the_oracle_pays_the_cheapest_right_answer() -> None:
    rows = closed_rows(3, models=("small", "large"))
    verdicts = ((True, True), (False, True), (False, False))
    for row, right in zip(rows, verdicts, strict=True):
        for model, good in zip(("small", "large"), right, strict=True):
            row["answers"][model] |= {
                "text": row["reference"] if good else "wrong",
                "input_tokens": 10,
            }
    policy = fit(closed(100, models=("small", "large")), budget=1e9, student=False)
    oracle = policy.curve(Recording.from_rows(rows, prices=PRICES)).oracle
    small, large = (10 * PRICES[m][0] + PRICES[m][1] for m in ("small", "large"))
    assert oracle.accuracy == pytest.approx(2 / 3)
    assert oracle.usd == pytest.approx((small + large + small) / 3 / 1e6)


def test_a_recording_with_more_models_than_the_policy_is_evaluated() -> None:
    policy = fit(free(150, models=("small", "large")), budget=1e9)
    evaluation = policy.evaluate(free(60, seed=1, models=("tiny", "small", "large", "huge")))
    assert evaluation.dearest.model == "large"
