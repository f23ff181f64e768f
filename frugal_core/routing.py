"""The router: searches tier order and thresholds for the whole cost-accuracy frontier.

Chains of up to three tiers are searched exactly on a grid of score quantiles; longer ones by
coordinate ascent. FrugalGPT (Chen, Zaharia, Zou 2023, section 3.3) searches the same space with one
brute-force optimisation per chain and budget; here one pass of prefix sums over a two-dimensional
histogram gives every pair of thresholds at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from frugal_core.table import Floats, Ints

NEVER = 2.0
"""A threshold above every probability: the tier's answer is never accepted."""

_BINS = 40


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


@dataclass(frozen=True, slots=True)
class Point:
    """A chain with its accuracy and its cost (USD per query) on the rows it was searched on."""

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
            points += self._ascent(order)
        return pareto(points)

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
            Point(Chain((self.tiers[j],), ()), self.correct[:, j].mean(), self.usd[:, j].mean())
            for j in self._models()
        ]
        order = tuple(self.tiers.index(point.chain.tiers[0]) for point in pareto(singles))
        if self.student:
            return [(0, *order)] if len(order) > 2 else []
        return [order] if len(order) > 3 else []

    def _grid(self, order: tuple[int, ...]) -> list[Point]:
        """Pareto-optimal thresholds of a chain of at most three tiers, tier by position."""
        names = tuple(self.tiers[j] for j in order)
        right, usd = self.correct[:, order], self.usd[:, order]
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
        accuracy = _from(np.bincount(bins, right[:, 0], size)) + _below(
            np.bincount(bins, right[:, 1], size)
        )
        paid = usd[:, 0].sum() + _below(np.bincount(bins, usd[:, 1], size))
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
            return _below(np.bincount(cell, weights, size1 * size2).reshape(size1, size2)).T

        first = _from(np.bincount(bins1, right[:, 0], size1))[:, None]
        accuracy = first + _from(square(right[:, 1])).T + _below(square(right[:, 2])).T
        second = _below(np.bincount(bins1, usd[:, 1], size1))[:, None]
        paid = usd[:, 0].sum() + second + _below(square(usd[:, 2])).T
        n = len(right)
        points = []
        for flat in _pareto_positions(paid.ravel(), accuracy.ravel()):
            i, j = divmod(int(flat), accuracy.shape[1])
            chain = Chain(names, (_threshold(edges1, i), _threshold(edges2, j)))
            points.append(Point(chain, accuracy[i, j] / n, paid[i, j] / n))
        return points

    def _ascent(self, chain: tuple[int, ...]) -> list[Point]:
        """Thresholds of a chain of any length, by coordinate ascent over a sweep of cost weights."""
        names = tuple(self.tiers[j] for j in chain)
        y, c = self.correct[:, chain], self.usd[:, chain]
        p = np.column_stack(
            [self.scores(names[: k + 1]) for k in range(len(chain) - 1)] + [y[:, -1]]
        )
        points = []
        for thresholds in coordinate_ascent(p, c.mean(axis=0)):
            accepted = np.argmax(
                np.column_stack([p[:, :-1] >= thresholds, np.ones(len(p), dtype=bool)]), axis=1
            )
            paid = np.cumsum(c, axis=1)[np.arange(len(c)), accepted]
            right = y[np.arange(len(y)), accepted]
            chain_found = Chain(names, tuple(float(t) for t in thresholds))
            points.append(Point(chain_found, float(right.mean()), float(paid.mean())))
        return points


def coordinate_ascent(p: Floats, usd: Floats, sweeps: int = 4, weights: int = 48) -> list[Floats]:
    """Thresholds that maximise mean(P(correct) - weight * cost), for a sweep of cost weights.

    Each threshold in turn is set to its best value given the others, which a sort and a prefix sum
    find exactly; the sweep goes from cost-only to quality-only and starts each from the last.

    Args:
        p: P(correct) of each tier's answer; shape (n, tiers).
        usd: Mean cost of each tier; shape (tiers,).
        sweeps: Most passes over the thresholds for one weight.
        weights: Cost weights in the sweep, 0 the last.

    Returns:
        Arrays of shape (tiers - 1,).
    """
    last = p.shape[1] - 1
    top = max(float(usd[0]), float(usd.mean()) / 1000, 1e-12)
    thresholds = np.full(last, NEVER)
    found = []
    for weight in [*np.geomspace(1.0 / top, 1e-3 / max(float(usd[-1]), 1e-12), weights - 1), 0.0]:
        for _ in range(sweeps):
            before = thresholds.copy()
            for k in reversed(range(last)):
                value = p[:, last] - weight * usd[last]
                for j in range(last - 1, k, -1):
                    value = np.where(p[:, j] >= thresholds[j], p[:, j], value) - weight * usd[j]
                reached = (p[:, :k] < thresholds[:k]).all(axis=1)
                if reached.sum() < 5:
                    reached[:] = True
                thresholds[k] = _best_threshold(p[reached, k], value[reached])
            if np.array_equal(before, thresholds):
                break
        found.append(thresholds.copy())
    return found


def _best_threshold(score: Floats, otherwise: Floats) -> float:
    """The threshold that maximises sum(score where accepted, else `otherwise`)."""
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    gain = np.concatenate([[0.0], np.cumsum(ranked - otherwise[order])])
    accepted = int(np.argmax(gain))
    if accepted == 0:
        return NEVER
    if accepted == len(ranked):
        return 0.0
    return float((ranked[accepted - 1] + ranked[accepted]) / 2)


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
