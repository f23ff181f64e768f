from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from frugal_core.cache.calibration import (
    CacheCertificate,
    Evidence,
    Traffic,
    certify,
    certify_in,
    lower_limit,
    shipped,
    upper_limit,
)
from frugal_core.embedding import MiniLM


def evidence(chance: np.random.Generator, lookups: int, share: float = 0.6) -> Evidence:
    """Lookups whose answers are the more often wrong the lower the score."""
    scores = chance.random(int(share * lookups))
    return Evidence(scores, chance.random(len(scores)) > scores**0.3, lookups, "made up")


@pytest.mark.parametrize("wrong", [0, 1, 7, 30])
def test_limits_are_clopper_and_pearsons(wrong: int) -> None:
    interval = stats.binomtest(wrong, 200).proportion_ci(0.9, method="exact")
    assert upper_limit(wrong, 200, 0.95) == pytest.approx(interval.high)
    assert lower_limit(wrong, 200, 0.95) == pytest.approx(interval.low)


def test_limits_without_lookups_know_nothing() -> None:
    assert upper_limit(0, 0, 0.95) == 1.0 and lower_limit(0, 0, 0.95) == 0.0


def test_the_threshold_is_the_loosest_that_keeps_the_bound() -> None:
    known = evidence(np.random.default_rng(0), 3000)
    for bound in (0.01, 0.02, 0.05):
        found = certify(known, bound)
        served = known.scores >= found.threshold
        assert found.hits == served.sum() and found.wrong == known.wrong[served].sum()
        assert found.upper == pytest.approx(upper_limit(found.wrong, 3000, 0.95))
        assert found.upper <= bound


def test_it_tells_how_far_away_nothing_was_served() -> None:
    known = evidence(np.random.default_rng(0), 3000)
    assert certify(known, 0.02).least_cosine == -1, "nothing is known of cosines"
    cosines = 0.5 + known.scores / 2
    whole = Evidence(known.scores, known.wrong, 3000, "made up", cosines)
    for bound in (0.01, 0.02, 0.05):
        found = certify(whole, bound)
        assert found.least_cosine == pytest.approx(
            cosines[known.scores >= found.threshold].min() - 0.03
        )
    assert certify(whole, 0.0).least_cosine == -1
    again = Evidence.from_json(whole.to_json())
    assert again.cosines is not None
    assert certify(again, 0.02).least_cosine == pytest.approx(
        certify(whole, 0.02).least_cosine, abs=0.01
    )


def test_a_looser_bound_serves_more() -> None:
    known = evidence(np.random.default_rng(1), 3000)
    thresholds = [certify(known, bound).threshold for bound in (0.01, 0.02, 0.05, 0.2)]
    assert thresholds == sorted(thresholds, reverse=True) and thresholds[0] > thresholds[-1]


def test_the_bound_holds_where_all_that_is_near_is_wrong() -> None:
    """Traffic unlike the evidence: nobody ever asks again what was asked before."""
    chance = np.random.default_rng(3)
    broken = gained = 0
    for _ in range(300):
        known = evidence(chance, 2000)
        near = chance.random(len(known.scores)) < 0.5
        known = replace(known, cosines=np.where(near, 0.9, 0.5))
        share = chance.uniform(0.005, 0.06)  # of the evidence, .07 are near and wrong
        lookups = 700
        traffic = Traffic(lookups, 0, lookups - chance.binomial(lookups, share))
        found = certify_in(traffic, known, 0.02)
        # P(score > t | wrong) where P(right | score) = score ** 0.3, scores being uniform.
        scores = np.linspace(0, 1, 20_001)
        weight = 1 - scores**0.3
        served = weight[scores >= found.threshold].sum() / weight.sum()
        broken += share * served > 0.02
        gained += found.threshold < certify(known, 0.02).threshold
    assert broken <= 25, "5 % of 300, and three standard errors"
    assert gained > 150


def test_the_bound_is_broken_no_more_often_than_promised() -> None:
    chance = np.random.default_rng(2)
    whole = evidence(chance, 200_000)
    broken = 0
    for _ in range(300):
        rows = chance.choice(len(whole.scores), 600, replace=False)
        found = certify(Evidence(whole.scores[rows], whole.wrong[rows], 1000, ""), 0.02)
        wrong = whole.wrong[whole.scores >= found.threshold].sum()
        broken += wrong / whole.lookups > 0.02
    assert broken / 300 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


@pytest.mark.parametrize(
    "known",
    [
        Evidence(np.zeros(0), np.zeros(0, dtype=bool), 0, "nothing"),
        Evidence(np.array([0.9, 0.8]), np.array([True, True]), 1000, "all wrong"),
        Evidence(np.array([0.9] * 100), np.zeros(100, dtype=bool), 100, "too few"),
    ],
)
def test_what_cannot_be_certified_is_not_served(known: Evidence) -> None:
    found = certify(known, 0.001)
    assert not found.serves and found.hits == 0
    assert "nothing is served by meaning" in found.sentence and known.about in found.sentence


def test_equal_scores_are_served_together() -> None:
    known = Evidence(np.full(400, 0.5), np.arange(400) == 399, 1000, "ties")
    assert certify(known, 0.02).hits == 400
    bad = Evidence(np.full(400, 0.5), np.arange(400) % 2 == 1, 1000, "ties")
    assert not certify(bad, 0.02).serves


def test_evidence_survives_being_written_down() -> None:
    known = evidence(np.random.default_rng(3), 500)
    again = Evidence.from_json(known.to_json())
    for bound in (0.02, 0.2):
        one, other = certify(known, bound), certify(again, bound)
        assert (one.hits, one.wrong) == (other.hits, other.wrong)
        assert one.threshold == pytest.approx(other.threshold, abs=1e-6)


def test_the_shipped_evidence_serves_the_default_embedder() -> None:
    found = certify(shipped()[MiniLM.id], 0.01)
    assert isinstance(found, CacheCertificate) and found.serves and found.lookups > 10_000
    assert "% of the" in found.sentence and "Quora" in found.sentence
    assert 0 < found.threshold < 1
