"""Peer: Markov-copula threshold tuning of LLM cascades.

Own implementation, from the published description, of the method of M. J. Zellinger and M.
Thomson, "Rational Tuning of LLM Cascades via Probabilistic Modeling" (arXiv:2501.09345, 2025;
repositories mzelling/rational-llm-cascades and mzelling/niagara).

As published:
* each model's transformed confidence is calibrated by an unregularised logistic regression on one
  feature; an infinite confidence takes the largest (smallest) finite training value;
* a calibrated confidence is a discrete-continuous mixture: point masses at the smallest and the
  largest training value, a mixture of two scaled beta distributions between them (EM from weight
  .5, Beta(2,5), Beta(5,2));
* adjacent models are joined by a Gumbel copula whose parameter is 1 / (1 - Kendall's tau),
  independence if tau <= 0; one beta distribution each for the cases where one of the two sits on
  a point mass; the chain is Markov;
* P(correct) of an accepted answer is its calibrated confidence; expected error + lambda *
  expected cost is minimised over the thresholds by L-BFGS-B from the middle of the ranges, 1e-3
  inside the bounds, with numerical gradients;
* lambda runs 0, 1e-10, 1e-8, 1e-6 and then doubles (at most 24 times) until the expected cost is
  below 1.25 times that of the cheapest model; thresholds of neighbouring lambdas with more than
  10 % of a model's training mass between them are joined by midpoints; a query moves on when its
  confidence is <= the threshold;
* the expectations are tabulated on grids (100 points for one model, 20 x 20 for a pair) and
  interpolated.

Simplified: the M-step of the beta fits solves the likelihood equations by Newton steps on the
sufficient statistics (the published code minimises the likelihood numerically), EM stops after at
most 1,000 rounds, a pair is interpolated bilinearly, expectations are summed on a finer grid, and
a beta fit of fewer than three distinct points becomes uniform (published: triangular).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betainc, betaln, digamma, polygamma
from scipy.stats import kendalltau

Floats = NDArray[np.float64]
Cdf = Callable[[Floats], Floats]

START_LAMBDAS = (0.0, 1e-10, 1e-8, 1e-6)
_EDGE = 1e-9  # keeps log(x) and log(1 - x) finite for values next to a bound
_UNIVARIATE_GRID = 100
_PAIR_GRID = 20
_SUM_GRID = 50


@dataclass(frozen=True)
class Platt:
    """Logistic regression on one feature; infinite values are moved into the training range."""

    intercept: float
    slope: float
    low: float
    high: float

    def __call__(self, confidence: Floats) -> Floats:
        finite = np.where(
            np.isposinf(confidence),
            self.high,
            np.where(np.isneginf(confidence), self.low, confidence),
        )
        return 1.0 / (1.0 + np.exp(-(self.intercept + self.slope * finite)))


def fit_platt(confidence: Floats, correct: NDArray[np.bool_], ridge: float = 1e-6) -> Platt:
    """Newton steps for the logistic regression; the tiny ridge only guards separable data."""
    finite = confidence[np.isfinite(confidence)]
    low, high = float(finite.min()), float(finite.max())
    x = np.clip(np.nan_to_num(confidence, posinf=high, neginf=low), low, high)
    design = np.column_stack([np.ones_like(x), x])
    y = correct.astype(float)
    beta = np.zeros(2)

    def loss(b: Floats) -> float:
        z = design @ b
        return float(np.logaddexp(0.0, z).sum() - y @ z + 0.5 * ridge * b @ b)

    for _ in range(100):
        p = 1.0 / (1.0 + np.exp(-(design @ beta)))
        gradient = design.T @ (p - y) + ridge * beta
        hessian = (design * (p * (1 - p))[:, None]).T @ design + ridge * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        scale, now = 1.0, loss(beta)
        while loss(beta - scale * step) > now and scale > 1e-6:
            scale /= 2
        beta = beta - scale * step
        if np.abs(scale * step).max() < 1e-9:
            break
    return Platt(float(beta[0]), float(beta[1]), low, high)


def _beta_mle(mean_log: float, mean_log1m: float, a: float, b: float) -> tuple[float, float]:
    """Maximum-likelihood beta parameters from the means of log x and log(1 - x), by Newton."""
    theta = np.log([a, b])
    for _ in range(60):
        a, b = np.exp(theta)
        gradient = np.array(
            [digamma(a) - digamma(a + b) - mean_log, digamma(b) - digamma(a + b) - mean_log1m]
        )
        t_a, t_b, t_ab = polygamma(1, a), polygamma(1, b), polygamma(1, a + b)
        hessian = np.array([[t_a - t_ab, -t_ab], [-t_ab, t_b - t_ab]])
        # Newton in the plain parameters, taken as a relative step: both stay positive.
        step = np.linalg.solve(hessian, gradient) / np.array([a, b])
        theta = np.clip(theta - np.clip(step, -0.7, 0.7), -7.0, 9.0)
        if np.abs(step).max() < 1e-8:
            break
    return float(np.exp(theta[0])), float(np.exp(theta[1]))


def _unit(x: Floats, low: float, high: float) -> Floats:
    return np.clip((x - low) / max(high - low, _EDGE), 0.0, 1.0)


def _single_beta(x: Floats, low: float, high: float) -> Cdf:
    if len(np.unique(x)) < 3:
        return lambda t: _unit(t, low, high)
    u = np.clip(_unit(x, low, high), _EDGE, 1 - _EDGE)
    a, b = _beta_mle(float(np.log(u).mean()), float(np.log1p(-u).mean()), 1.0, 1.0)
    return lambda t: betainc(a, b, _unit(t, low, high))


def _beta_mixture(x: Floats, low: float, high: float) -> Cdf:
    if len(np.unique(x)) < 5:
        return _single_beta(x, low, high)
    u = np.clip(_unit(x, low, high), _EDGE, 1 - _EDGE)
    log_u, log_v = np.log(u), np.log1p(-u)
    weight, shapes = 0.5, [(2.0, 5.0), (5.0, 2.0)]
    previous = -np.inf
    for _ in range(1000):
        density = [np.exp((a - 1) * log_u + (b - 1) * log_v - betaln(a, b)) for a, b in shapes]
        parts = np.array([weight * density[0], (1 - weight) * density[1]])
        total = np.maximum(parts.sum(axis=0), 1e-6)
        likelihood = float(np.log(total).sum())
        if abs(likelihood - previous) < 1e-6:
            break
        previous = likelihood
        share = parts / total
        weight = float(share[0].mean())
        shapes = [
            _beta_mle(float(r @ log_u / s), float(r @ log_v / s), *shape)
            if (s := r.sum()) > 1e-6
            else shape
            for r, shape in zip(share, shapes, strict=True)
        ]
    (a1, b1), (a2, b2) = shapes

    def cdf(t: Floats) -> Floats:
        v = _unit(t, low, high)
        return weight * betainc(a1, b1, v) + (1 - weight) * betainc(a2, b2, v)

    return cdf


def _gumbel(u: Floats, v: Floats, theta: float) -> Floats:
    if theta <= 1:
        return u * v
    a, b = (-np.log(np.clip(w, 1e-12, 1.0)) for w in (u, v))
    joint = np.exp(-((a**theta + b**theta) ** (1 / theta)))
    return np.where((u <= 0) | (v <= 0), 0.0, joint)


@dataclass(frozen=True)
class Marginal:
    """Calibrated confidence of one model: two point masses and a beta mixture between them."""

    low: float
    high: float
    p_low: float
    p_high: float
    smooth: Cdf
    grid: Floats
    accepted: Floats  # E[X; X > t] on the grid

    def below(self, t: Floats) -> Floats:
        """P(X <= t) for t below the upper point mass."""
        return self.p_low + (1 - self.p_low - self.p_high) * self.smooth(t)


def _fit_marginal(x: Floats) -> Marginal:
    low, high = float(x.min()), float(x.max())
    inner = x[(x > low) & (x < high)]
    smooth = _beta_mixture(inner, low, high) if len(inner) else (lambda t: _unit(t, low, high))
    p_low, p_high = float((x == low).mean()), float((x == high).mean())
    fine = np.linspace(low, high, (_UNIVARIATE_GRID - 1) * 10 + 1)
    mass = np.diff((1 - p_low - p_high) * smooth(fine)) * (fine[1:] + fine[:-1]) / 2
    above = np.concatenate([np.cumsum(mass[::-1])[::-1], [0.0]]) + p_high * high
    above[0] += p_low * low
    return Marginal(low, high, p_low, p_high, smooth, fine[::10], above[::10])


@dataclass(frozen=True)
class Pair:
    """Joint law of two models' calibrated confidences, as the tables that the objective needs."""

    joint: Callable[
        [Floats, Floats], Floats
    ]  # P(X0 <= t0, X1 <= t1), both below their upper masses
    grid0: Floats
    grid1: Floats
    accepted: Floats  # E[X1; X1 > t1 | X0 <= t0] on the grids


def _fit_pair(x0: Floats, x1: Floats, m0: Marginal, m1: Marginal) -> Pair:
    low0, low1, high0, high1 = x0 == m0.low, x1 == m1.low, x0 == m0.high, x1 == m1.high
    mid0, mid1 = ~low0 & ~high0, ~low1 & ~high1
    both = mid0 & mid1
    tau = kendalltau(x0[both], x1[both]).statistic if both.sum() > 2 else 0.0
    theta = 1.0 / (1.0 - min(tau, 0.99)) if np.isfinite(tau) else 1.0
    x0_if_low1 = _single_beta(x0[mid0 & low1], m0.low, m0.high)
    x1_if_low0 = _single_beta(x1[mid1 & low0], m1.low, m1.high)
    x0_if_high1 = _single_beta(x0[mid0 & high1], m0.low, m0.high)
    share = {
        "low_low": float((low0 & low1).mean()),
        "low_high": float((low0 & high1).mean()),
        "low_mid": float((low0 & mid1).mean()),
        "mid_low": float((mid0 & low1).mean()),
        "mid_high": float((mid0 & high1).mean()),
        "mid_mid": float(both.mean()),
    }

    def joint(t0: Floats, t1: Floats) -> Floats:
        return (
            share["low_low"]
            + share["mid_low"] * x0_if_low1(t0)
            + share["low_mid"] * x1_if_low0(t1)
            + share["mid_mid"] * _gumbel(m0.smooth(t0), m1.smooth(t1), theta)
        )

    grid0 = np.linspace(m0.low, m0.high, _PAIR_GRID)
    step = _SUM_GRID
    fine = np.linspace(m1.low, m1.high, (_PAIR_GRID - 1) * step + 1)
    reach = np.maximum(m0.below(grid0), 1e-9)
    conditional = joint(grid0[:, None], fine[None, :]) / reach[:, None]
    mass = np.diff(conditional, axis=1) * (fine[1:] + fine[:-1]) / 2
    above = np.concatenate(
        [np.cumsum(mass[:, ::-1], axis=1)[:, ::-1], np.zeros((len(grid0), 1))], axis=1
    )
    above += (m1.high * (share["low_high"] + share["mid_high"] * x0_if_high1(grid0)) / reach)[
        :, None
    ]
    above[:, 0] += m1.low * (share["low_low"] + share["mid_low"] * x0_if_low1(grid0)) / reach
    return Pair(joint, grid0, fine[::step], above[:, ::step])


def _bilinear(table: Floats, grid0: Floats, grid1: Floats, t0: float, t1: float) -> float:
    def place(grid: Floats, t: float) -> tuple[int, float]:
        at = (min(max(t, grid[0]), grid[-1]) - grid[0]) / max(grid[1] - grid[0], 1e-12)
        i = min(int(at), len(grid) - 2)
        return i, at - i

    (i, w0), (j, w1) = place(grid0, t0), place(grid1, t1)
    upper = (1 - w1) * table[i, j] + w1 * table[i, j + 1]
    lower = (1 - w1) * table[i + 1, j] + w1 * table[i + 1, j + 1]
    return float((1 - w0) * upper + w0 * lower)


@dataclass
class CopulaCascade:
    """The fitted peer; `chain(...)` restricts it to a sub-chain, re-using every fitted pair."""

    platt: list[Platt]
    calibrated: Floats
    costs: Floats
    marginals: list[Marginal]
    models: tuple[int, ...]
    cheapest: float
    _pairs: dict[tuple[int, int], Pair] = field(default_factory=dict)

    def chain(self, models: Sequence[int]) -> CopulaCascade:
        return CopulaCascade(
            self.platt,
            self.calibrated,
            self.costs,
            self.marginals,
            tuple(models),
            self.cheapest,
            self._pairs,
        )

    def _pair(self, i: int, j: int) -> Pair:
        if (i, j) not in self._pairs:
            self._pairs[i, j] = _fit_pair(
                self.calibrated[:, i], self.calibrated[:, j], self.marginals[i], self.marginals[j]
            )
        return self._pairs[i, j]

    def calibrate(self, confidences: Floats) -> Floats:
        """Calibrated confidences of new queries for this chain's models, last model included."""
        return np.column_stack([self.platt[m](confidences[:, m]) for m in self.models])

    def expected(self, thresholds: Floats) -> tuple[float, float]:
        """Expected correctness and cost under the fitted model."""
        paid = np.cumsum(self.costs[list(self.models)])
        first = self.marginals[self.models[0]]
        reach = float(first.below(np.asarray(thresholds[0])))
        correct = float(np.interp(thresholds[0], first.grid, first.accepted))
        cost = (1 - reach) * paid[0]
        for step in range(1, len(self.models)):
            i, j = self.models[step - 1], self.models[step]
            pair, before = self._pair(i, j), float(thresholds[step - 1])
            last = step == len(self.models) - 1
            at = self.marginals[j].low if last else float(thresholds[step])
            correct += reach * _bilinear(pair.accepted, pair.grid0, pair.grid1, before, at)
            onward = 0.0
            if not last:
                joint = float(pair.joint(np.asarray(before), np.asarray(at)))
                onward = joint / max(float(self.marginals[i].below(np.asarray(before))), 1e-9)
            cost += reach * (1 - onward) * paid[step]
            reach *= onward
        return correct, float(cost)

    def thresholds(self, lambdas: Sequence[float]) -> Floats:
        """One row of thresholds per lambda (error per USD per million queries)."""
        # With few labels a model's calibrated range may be narrower than the published margin.
        ranges = [(self.marginals[m].low, self.marginals[m].high) for m in self.models[:-1]]
        bounds = [
            (low + min(1e-3, (high - low) / 4), high - min(1e-3, (high - low) / 4))
            for low, high in ranges
        ]
        start = np.array([(low + high) / 2 for low, high in bounds])
        rows = []
        for weight in lambdas:

            def loss(t: Floats, weight: float = weight) -> float:
                correct, cost = self.expected(t)
                return 1 - correct + weight * cost

            rows.append(minimize(loss, start, method="L-BFGS-B", bounds=bounds).x)
        return np.array(rows)

    def profile(self, fill_gap: float = 0.1) -> Floats:
        """Thresholds along the whole published lambda schedule, gaps filled by midpoints."""
        rows = list(self.thresholds(START_LAMBDAS))
        weight = START_LAMBDAS[-1]
        for _ in range(24):
            if self.expected(rows[-1])[1] <= 1.25 * self.cheapest:
                break
            weight *= 2
            rows.append(self.thresholds([weight])[0])
        train = self.calibrated[:, list(self.models[:-1])]
        filled = [rows[0]]
        for row in rows[1:]:
            pending = [row]
            while pending:
                before, after = filled[-1], pending[-1]
                low, high = np.minimum(before, after), np.maximum(before, after)
                wide = ((train > low) & (train < high)).mean(axis=0).max() > fill_gap
                if wide and np.abs(after - before).max() > 1e-9:
                    pending.append((before + after) / 2)
                else:
                    filled.append(pending.pop())
        return np.array(filled)


def fit(confidences: Floats, correct: NDArray[np.bool_], costs: Floats) -> CopulaCascade:
    """Fit the peer on transformed confidences [n, k], correctness [n, k] and mean costs [k]."""
    platt = [fit_platt(confidences[:, m], correct[:, m]) for m in range(confidences.shape[1])]
    calibrated = np.column_stack([p(confidences[:, m]) for m, p in enumerate(platt)])
    marginals = [_fit_marginal(calibrated[:, m]) for m in range(calibrated.shape[1])]
    return CopulaCascade(
        platt,
        calibrated,
        np.asarray(costs, dtype=float),
        marginals,
        tuple(range(len(costs))),
        float(costs[0]),
    )
