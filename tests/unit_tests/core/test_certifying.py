"""The promise is kept as often as it says, whatever the unknown rates are."""

from __future__ import annotations

import dataclasses
import math
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from frugal_core.certifying import (
    Certificate,
    Promise,
    critical_value,
    keeps_promise,
    last_passing,
    rows_needed,
    tango_z,
)
from frugal_core.errors import FrugalError


def restricted_likelihood_z(losses: int, gains: int, n: int, epsilon: float) -> float:
    """Tango's statistic with P(gain) found by maximising the likelihood, not by the formula."""

    def minus_log_likelihood(q: float) -> float:
        rest = 1 - 2 * q - epsilon
        total = 0.0
        for count, p in ((losses, q + epsilon), (gains, q), (n - losses - gains, rest)):
            if count:
                total -= count * math.log(max(p, 1e-300))
        return total

    found = optimize.minimize_scalar(
        minus_log_likelihood,
        bounds=(0, (1 - epsilon) / 2),
        method="bounded",
        options={"xatol": 1e-12},
    )
    variance = n * (2 * found.x + epsilon * (1 - epsilon))
    return float((losses - gains - n * epsilon) / math.sqrt(variance))


@pytest.mark.parametrize("n", [50, 300, 1000])
@pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.05])
@pytest.mark.parametrize(("losses", "gains"), [(1, 1), (3, 9), (12, 4), (0, 6), (20, 20)])
def test_statistic_is_the_score_at_the_restricted_maximum_of_the_likelihood(
    n: int, epsilon: float, losses: int, gains: int
) -> None:
    expected = restricted_likelihood_z(losses, gains, n, epsilon)
    assert tango_z(losses, gains, n, epsilon) == pytest.approx(expected, abs=2e-4)


def test_statistic_without_a_margin_is_mcnemars() -> None:
    assert tango_z(5, 14, 80, 0.0) == pytest.approx((5 - 14) / math.sqrt(5 + 14))


def test_statistic_without_discordant_pairs_is_known_in_closed_form() -> None:
    assert tango_z(0, 0, 200, 0.02) == pytest.approx(-math.sqrt(200 * 0.02 / 0.98))
    assert tango_z(0, 0, 200, 0.0) == 0.0


def test_statistic_takes_arrays() -> None:
    losses, gains = np.array([[0, 3], [5, 7]]), np.array([[1, 1], [9, 0]])
    z = tango_z(losses, gains, 100, 0.01)
    assert z.shape == (2, 2)
    assert z[1, 0] == pytest.approx(tango_z(5, 9, 100, 0.01))


@lru_cache
def fewest_gains(n: int, epsilon: float) -> np.ndarray:
    """For 0 .. n losses, the fewest gains that pass (more never hurt); found by bisection."""
    losses = np.arange(n + 1)
    low, high = np.zeros(n + 1, dtype=int), n - losses + 1
    while (low < high).any():
        middle = (low + high) // 2
        passes = tango_z(losses, middle, n, epsilon) <= critical_value(n, epsilon, 0.05)
        low, high = (
            np.where(~passes & (low < high), middle + 1, low),
            np.where(passes & (low < high), middle, high),
        )
    return low


def chance_of_passing(n: int, epsilon: float, gain: float, true_loss: float) -> float:
    """P(a policy with these true rates gets its certificate), by summing over all outcomes."""
    losses = np.arange(n + 1)
    enough = stats.binom.sf(fewest_gains(n, epsilon) - 1, n - losses, gain / (1 - true_loss))
    return float(stats.binom.pmf(losses, n, true_loss) @ enough)


@pytest.mark.parametrize("n", [100, 300, 1000])
@pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.02])
def test_a_policy_at_the_edge_of_the_promise_passes_in_at_most_five_percent(
    n: int, epsilon: float
) -> None:
    # Up to 80 % of discordant pairs: no policy and its reference are further apart.
    gains = [0.0, *np.geomspace(0.02 / n, 0.4, 300)]
    worst = max(chance_of_passing(n, epsilon, gain, gain + epsilon) for gain in gains)
    assert worst <= 0.05 + 2e-4
    assert worst > 0.035  # and the level is used: no power is thrown away


@pytest.mark.parametrize(
    ("n", "epsilon", "rate", "power"),
    [(300, 0.01, 0.002, 0.55), (500, 0.01, 0.01, 0.4), (1000, 0.01, 0.01, 0.65)],
)
def test_a_policy_as_good_as_the_reference_passes_often(
    n: int, epsilon: float, rate: float, power: float
) -> None:
    assert chance_of_passing(n, epsilon, rate, rate) >= power


pairs = st.tuples(st.integers(0, 400), st.integers(0, 400))


@settings(deadline=None, max_examples=150)
@given(pairs, st.integers(50, 2000), st.sampled_from([0.0, 0.005, 0.01, 0.02, 0.1]))
def test_one_more_loss_never_helps_and_one_more_gain_never_hurts(
    discordant: tuple[int, int], n: int, epsilon: float
) -> None:
    losses, gains = discordant
    assume(losses + gains < n)
    z = tango_z(losses, gains, n, epsilon)
    assert tango_z(losses + 1, gains, n, epsilon) > z
    assert tango_z(losses, gains + 1, n, epsilon) <= z + 1e-12


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 30), st.integers(0, 30), st.sampled_from([100, 317, 640]))
def test_a_laxer_promise_is_never_harder_to_keep(losses: int, gains: int, n: int) -> None:
    strict = keeps_promise(losses, gains, n, Promise(0.01, 0.95))
    assert not strict or keeps_promise(losses, gains, n, Promise(0.02, 0.95))
    assert not strict or keeps_promise(losses, gains, n, Promise(0.01, 0.9))


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95, 0.99, 0.999])
def test_critical_value_is_at_most_the_normal_quantile(confidence: float) -> None:
    alpha = 1 - confidence
    assert critical_value(200, 0.01, alpha) <= stats.norm.ppf(alpha) + 1e-9


@pytest.mark.parametrize("epsilon", [0.0, 0.005, 0.05, 0.07, 0.1, 0.15, 0.2, 0.4])
def test_critical_value_stays_near_the_normal_quantile(epsilon: float) -> None:
    """At 0.1 and others, q / (1 - loss) is rounded to a little over 1."""
    assert all(-2.2 < critical_value(n, epsilon, 0.05) < -1.6 for n in (36, 100, 390))


def test_nothing_is_certified_without_rows() -> None:
    assert not keeps_promise(0, 0, 0, Promise(0.5, 0.5))


def test_with_no_margin_equality_alone_is_no_evidence() -> None:
    assert not keeps_promise(0, 0, 100_000, Promise(0.0))


def test_fixed_sequence_stops_at_the_first_failure() -> None:
    good, bad = (0, 30), (60, 0)
    promise = Promise(0.01)
    assert keeps_promise(*good, 500, promise) and not keeps_promise(*bad, 500, promise)
    assert last_passing([good, good, bad, good], 500, promise) == 1
    assert last_passing([bad, good, good], 500, promise) is None
    assert last_passing([good] * 3, 500, promise) == 2
    assert last_passing([], 500, promise) is None


def test_fixed_sequence_does_not_look_beyond_the_first_failure() -> None:
    def candidates() -> object:
        yield 0, 30
        yield 60, 0
        raise AssertionError("a candidate after a failure was looked at")

    assert last_passing(candidates(), 500, Promise(0.01)) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("epsilon", [0.005, 0.01, 0.02, 0.1, 0.3])
def test_rows_needed_without_losses_is_the_smallest_test_that_passes(epsilon: float) -> None:
    promise = Promise(epsilon)
    rows = rows_needed(promise)
    assert rows is not None
    assert keeps_promise(0, 0, rows, promise)
    assert not keeps_promise(0, 0, rows - 1, promise)


@pytest.mark.parametrize(("loss", "gain"), [(0.01, 0.01), (0.03, 0.03), (0.02, 0.018), (0.0, 0.01)])
def test_with_the_rows_needed_about_half_of_the_tests_pass(loss: float, gain: float) -> None:
    promise = Promise(0.01)
    rows = rows_needed(promise, loss, gain)
    assert rows is not None
    assert keeps_promise(math.ceil(loss * rows), math.floor(gain * rows), rows, promise)
    outcomes = np.random.default_rng(5).multinomial(rows, [loss, gain, 1 - loss - gain], size=400)
    passed = np.mean([keeps_promise(int(b), int(c), rows, promise) for b, c, _ in outcomes])
    assert 0.35 <= passed <= (1.0 if loss == 0 else 0.75)


def test_no_number_of_rows_shows_what_is_false() -> None:
    assert rows_needed(Promise(0.01), loss_rate=0.05, gain_rate=0.04) is None
    assert rows_needed(Promise(0.0)) is None


@pytest.mark.parametrize(
    "arguments",
    [(-0.01, 0.95), (1.0, 0.95), (math.nan, 0.95), (0.01, 1.0), (0.01, 0.4), (0.01, math.nan)],
)
def test_a_promise_out_of_range_is_refused(arguments: tuple[float, float]) -> None:
    with pytest.raises(FrugalError, match="promise"):
        Promise(*arguments)


def test_a_promise_is_read_from_its_epsilon() -> None:
    assert Promise.of(0.02) == Promise(0.02, 0.95)
    assert Promise.of(Promise(0.02, 0.9)) == Promise(0.02, 0.9)


def test_certificate_says_everything_that_the_evidence_is() -> None:
    certificate = Certificate(0.01, 0.95, 1200, 7, 3, "gpt-4o", "gold", "2026-01-31")
    for said in ("95 %", "1 point below gpt-4o", "1,200", "7 lost", "3 gained", "2026-01-31"):
        assert said in certificate.sentence
    assert "same kind of traffic" in certificate.sentence
    assert Certificate(**certificate.to_json()) == certificate
    agreement = dataclasses.replace(certificate, labels="reference", epsilon=0.02)
    assert "2 points of disagreement with gpt-4o" in agreement.sentence
    assert "no gold labels" in agreement.sentence


def test_over_200_draws_from_a_known_population_the_promise_is_broken_in_five_percent() -> None:
    """A family of policies from as good as the reference to much worse; the truth is known."""
    rng = np.random.default_rng(11)
    promise, draws = Promise(0.01), 200
    population, candidates = 20_000, 30
    noise = rng.random(population)
    differences = []
    for share in np.linspace(0.0, 1.0, candidates):  # nested: cheaper policies lose ever more rows
        loss, gain = 0.005 + 0.06 * share, 0.01 + 0.01 * share
        differences.append(np.where(noise < loss, -1, np.where(noise > 1 - gain, 1, 0)))
    difference = np.array(differences)
    truth = difference.mean(axis=1)
    for n in (300, 1000):
        broken = 0
        for _ in range(draws):
            sample = difference[:, rng.integers(population, size=n)]
            counts = zip((sample < 0).sum(axis=1), (sample > 0).sum(axis=1), strict=True)
            chosen = last_passing(((int(b), int(c)) for b, c in counts), n, promise)
            broken += chosen is not None and truth[chosen] < -promise.epsilon
        assert broken / draws <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)
