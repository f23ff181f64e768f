"""The router: searches tier order and thresholds for the whole cost-accuracy frontier.

Chains of up to three tiers are searched exactly on a grid of score quantiles; longer ones by
backward induction. FrugalGPT (Chen, Zaharia, Zou 2023, section 3.3) searches the same space with
one brute-force optimisation per chain and budget; here one pass of prefix sums over a
two-dimensional histogram gives every pair of thresholds at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations

import numpy as np

from frugal_core.arrays import Floats, Ints
from frugal_core.errors import FrugalError, is_number
from frugal_core.student import STUDENT

NEVER = 2.0
"""A threshold above every probability: the tier's answer is never accepted."""

_BINS = 40
_PRIOR_ROWS = 500


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent, in USD per 1,000 queries.

    Raises:
        FrugalError: if it is no number >= 0.
    """

    usd_per_1k: float

    def __post_init__(self) -> None:
        if not is_number(self.usd_per_1k) or not self.usd_per_1k >= 0:
            raise FrugalError(
                f"budget {self.usd_per_1k!r} must be a number >= 0: USD per 1,000 queries"
            )

    @classmethod
    def of(cls, value: Budget | float) -> Budget:
        """A budget, also from its number alone."""
        return value if isinstance(value, Budget) else cls(value)


@dataclass(frozen=True, slots=True)
class Chain:
    """Tiers in order, and the P(correct) at which each but the last is accepted.

    `best_of`: see `frugal_core.cascade.Plan`.
    """

    tiers: tuple[str, ...]
    thresholds: tuple[float, ...]
    best_of: bool = False

    @property
    def stages(self) -> list[tuple[str, ...]]:
        """The stages that must be scored to run this chain."""
        stages = [self.tiers[: k + 1] for k in range(len(self.tiers) - 1)]
        return stages + self.rivals if self.best_of else stages

    @property
    def rivals(self) -> list[tuple[str, ...]]:
        """For each tier, the stage that scores its answer given those of all other tiers."""
        return [(*(o for o in self.tiers if o != tier), tier) for tier in self.tiers]


def without_idle_tiers(chain: Chain, after_student: str) -> Chain:
    """The chain without tiers that it never reaches, and without one that is asked for nothing.

    A student that is always accepted keeps one model behind it, `after_student`, for the calls that
    labels cannot answer.
    """
    if chain.thresholds == (NEVER,) and not chain.best_of:
        return Chain(chain.tiers[1:], ())
    if 0.0 not in chain.thresholds:
        return chain
    end = chain.thresholds.index(0.0) + 1
    if end == 1 and chain.tiers[0] == STUDENT:
        return Chain((STUDENT, after_student), (0.0,))
    return Chain(chain.tiers[:end], chain.thresholds[: end - 1])


@dataclass(frozen=True, slots=True)
class Point:
    """A chain with its accuracy and its cost (USD per query) on some rows."""

    chain: Chain
    accuracy: float
    usd: float


Scores = Callable[[tuple[str, ...]], Floats]
"""Stage (tiers in order) -> P(correct) of its last tier's answers, shape (n,)."""


@dataclass(frozen=True)
class Router:
    """Searches chains of the given tiers.

    Args:
        tiers: Names; a student, if any, is first and only ever stands first in a chain.
        student: Whether the first of `tiers` is one.
        closed: Whether answers are labels, so that the best of two can be chosen by their scores.
        correct: 1 where a tier's answer is right, else 0; shape (n, tiers).
        usd: What each answer cost; shape (n, tiers).
        scores: P(correct) by stage, out of fold.
    """

    tiers: tuple[str, ...]
    student: bool
    closed: bool
    correct: Floats
    usd: Floats
    scores: Scores

    def frontier(self) -> list[Point]:
        """The Pareto-optimal points over all chains, from cheap to dear."""
        points = [point for chain in self._short_chains() for point in self._grid(chain)]
        for order in self._long_chains():
            points += self._induction(order)
        return pareto(points)

    @cached_property
    def _value(self) -> Floats:
        """What each answer is worth: between its label and its P(correct); shape (n, tiers).

        Labels are unbiased and noisy, calibrated scores smooth: with few rows, choosing among
        thousands of thresholds by labels alone finds luck.
        """
        share = len(self.correct) / (len(self.correct) + _PRIOR_ROWS)
        expected = np.column_stack([self.scores((tier,)) for tier in self.tiers])
        return share * self.correct + (1 - share) * expected

    def _models(self) -> list[int]:
        return list(range(1 if self.student else 0, len(self.tiers)))

    def _short_chains(self) -> list[tuple[int, ...]]:
        """Every order of one to three tiers; after a student there is always a model."""
        models = self._models()
        chains = [order for size in (1, 2, 3) for order in permutations(models, size)]
        if self.student:
            chains += [(0, *order) for size in (1, 2) for order in permutations(models, size)]
        return chains

    def _long_chains(self) -> list[tuple[int, ...]]:
        """The Pareto-optimal single models from cheap to dear, where they are more than three."""
        singles = [
            Point(Chain((self.tiers[j],), ()), self._value[:, j].mean(), self.usd[:, j].mean())
            for j in self._models()
        ]
        order = tuple(self.tiers.index(point.chain.tiers[0]) for point in pareto(singles))
        if self.student:
            return [(0, *order)] if len(order) > 2 else []
        return [order] if len(order) > 3 else []

    def _grid(self, order: tuple[int, ...]) -> list[Point]:
        """Pareto-optimal thresholds of a chain of at most three tiers, tier by position."""
        names = tuple(self.tiers[j] for j in order)
        right, usd = self._value[:, order], self.usd[:, order]
        if len(order) == 1:
            return [Point(Chain(names, ()), float(right.mean()), float(usd.mean()))]
        if len(order) == 3:
            return self._grid_of_three(names, right, usd)
        points = self._grid_of_two(Chain(names, (), False), right, usd)
        if self.closed:
            chain = Chain(names, (), True)
            best = np.column_stack([self.scores(stage) for stage in chain.rivals])
            # Of equals, the later tier is the better model.
            picked = right.shape[1] - 1 - best[:, ::-1].argmax(axis=1)
            chosen = right[np.arange(len(right)), picked]
            points += self._grid_of_two(chain, np.column_stack([right[:, 0], chosen]), usd)
        return points

    def _grid_of_two(self, chain: Chain, right: Floats, usd: Floats) -> list[Point]:
        edges, bins = _binned(self.scores(chain.tiers[:1]))
        size = len(edges) + 1
        accuracy = _from(_sums(bins, right[:, 0], size)) + _below(_sums(bins, right[:, 1], size))
        paid = usd[:, 0].sum() + _below(_sums(bins, usd[:, 1], size))
        n = len(right)
        return [
            Point(replace(chain, thresholds=(_threshold(edges, i),)), accuracy[i] / n, paid[i] / n)
            for i in _pareto_positions(paid, accuracy)
        ]

    def _grid_of_three(self, names: tuple[str, ...], right: Floats, usd: Floats) -> list[Point]:
        edges1, bins1 = _binned(self.scores(names[:1]))
        edges2, bins2 = _binned(self.scores(names[:2]))
        size1, size2 = len(edges1) + 1, len(edges2) + 1
        cell = bins1 * size2 + bins2

        def square(weights: Floats) -> Floats:
            """Sums over the queries that pass on from the first tier, by bin of the second."""
            return _below(_sums(cell, weights, size1 * size2).reshape(size1, size2)).T

        first = _from(_sums(bins1, right[:, 0], size1))[:, None]
        accuracy = first + _from(square(right[:, 1])).T + _below(square(right[:, 2])).T
        second = _below(_sums(bins1, usd[:, 1], size1))[:, None]
        paid = usd[:, 0].sum() + second + _below(square(usd[:, 2])).T
        n = len(right)
        points = []
        for flat in _pareto_positions(paid.ravel(), accuracy.ravel()):
            i, j = divmod(int(flat), accuracy.shape[1])
            chain = Chain(names, (_threshold(edges1, i), _threshold(edges2, j)))
            points.append(Point(chain, accuracy[i, j] / n, paid[i, j] / n))
        return points

    def _induction(self, order: tuple[int, ...]) -> list[Point]:
        """Thresholds of a chain of any length, for a sweep of cost weights."""
        names = tuple(self.tiers[j] for j in order)
        right, usd = self._value[:, order], self.usd[:, order]
        p = np.column_stack(
            [self.scores(names[: k + 1]) for k in range(len(order) - 1)] + [right[:, -1]]
        )
        rows, paid = np.arange(len(p)), np.cumsum(usd, axis=1)
        points = []
        for thresholds in backward_induction(p, usd.mean(axis=0)):
            accepted = np.column_stack([p[:, :-1] >= thresholds, np.ones(len(p), dtype=bool)])
            stopped = accepted.argmax(axis=1)
            points.append(
                Point(
                    Chain(names, tuple(float(t) for t in thresholds)),
                    float(right[rows, stopped].mean()),
                    float(paid[rows, stopped].mean()),
                )
            )
        return points


def backward_induction(p: Floats, usd: Floats, weights: int = 60) -> list[Floats]:
    """Thresholds that maximise mean(P(correct) - weight * cost), for a sweep of cost weights.

    From the last tier to the first, the value of going on is regressed on the tier's own P(correct)
    (Longstaff and Schwartz 2001 price options so), and the tier accepts where P exceeds that line.
    The values are probabilities, not labels: few rows give a smooth answer.

    Args:
        p: P(correct) of each tier's answer; shape (n, tiers).
        usd: Mean cost of each tier; shape (tiers,).
        weights: Cost weights in the sweep, from "the cheapest at any loss" down to 0.

    Returns:
        Arrays of shape (tiers - 1,).
    """
    n, tiers = p.shape
    dear, cheap = max(float(usd.max()), 1e-12), max(float(np.sort(usd)[min(1, tiers - 1)]), 1e-12)
    hats = []
    for k in range(tiers - 1):
        design = np.column_stack([np.ones(n), p[:, k]])
        hats.append(np.linalg.solve(design.T @ design + np.diag([1e-9, 1.0]), design.T))
    found = []
    for weight in [*np.geomspace(1 / cheap, 2e-4 / dear, weights - 1), 0.0]:
        thresholds = np.empty(tiers - 1)
        value = p[:, -1] - weight * usd[-1]
        for k in reversed(range(tiers - 1)):
            start, slope = hats[k] @ value
            if slope < 1:
                thresholds[k] = np.clip(start / (1 - slope), 0.0, NEVER)
            else:  # the line outruns P: it is accepted everywhere or nowhere
                thresholds[k] = NEVER if start + slope / 2 > 0.5 else 0.0
            value = np.where(p[:, k] >= thresholds[k], p[:, k], value) - weight * usd[k]
        found.append(thresholds)
    return found


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats at lower or equal cost, from cheap to dear.

    Of equals, the shorter chain stays.
    """
    ordered = sorted(points, key=lambda p: (p.usd, -p.accuracy, len(p.chain.tiers)))
    kept: list[Point] = []
    for point in ordered:
        if not kept or point.accuracy > kept[-1].accuracy + 1e-12:
            kept.append(point)
    return kept


def thin(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` of the points, evenly spaced, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[round(i)] for i in np.linspace(0, len(points) - 1, most)]


def _binned(scores: Floats) -> tuple[Floats, Ints]:
    """Distinct quantiles of scores, and for each score how many of them it reaches."""
    edges = np.unique(np.quantile(scores, np.arange(1, _BINS) / _BINS))
    return edges, np.searchsorted(edges, scores, side="right")


def _threshold(edges: Floats, i: int) -> float:
    """The score that reaches bin i: all are accepted from bin 0 on, none from the last on."""
    if i == 0:
        return 0.0
    return float(edges[i - 1]) if i <= len(edges) else NEVER


def _sums(bins: Ints, weights: Floats, size: int) -> Floats:
    return np.asarray(np.bincount(bins, weights, size), dtype=np.float64)


def _from(histogram: Floats) -> Floats:
    """Sums over bins >= i along the first axis, for i = 0 .. number of bins."""
    zero = np.zeros_like(histogram[:1])
    return np.concatenate([np.cumsum(histogram[::-1], axis=0)[::-1], zero])


def _below(histogram: Floats) -> Floats:
    """Sums over bins < i along the first axis, for i = 0 .. number of bins."""
    return np.concatenate([np.zeros_like(histogram[:1]), np.cumsum(histogram, axis=0)])


def _pareto_positions(usd: Floats, accuracy: Floats) -> Ints:
    """Positions of the Pareto-optimal entries, from cheap to dear."""
    order = np.lexsort((-accuracy, usd))
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(accuracy[order])[:-1]])
    return np.asarray(order[accuracy[order] > best_before + 1e-9])
