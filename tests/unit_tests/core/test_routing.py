"""The router's searches against brute force."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from frugal_core.routing import (
    NEVER,
    Chain,
    Point,
    Router,
    backward_induction,
    pareto,
    thin,
    without_idle_tiers,
)
from frugal_core.student import STUDENT

Floats = NDArray[np.float64]
Scores = Callable[[tuple[str, ...]], Floats]
PRIOR_ROWS = 500  # by how many rows' worth the calibrated scores stand beside the labels


class World:
    """Random answers of some tiers to n queries, with scores of every stage."""

    def __init__(self, n: int, tiers: Sequence[str], seed: int, distinct: int = 6) -> None:
        self.rng = np.random.default_rng(seed)
        self.n, self.tiers, self.distinct = n, tuple(tiers), distinct
        skill = np.linspace(0.5, 0.9, len(self.tiers))
        self.correct = (self.rng.random((n, len(self.tiers))) < skill).astype(float)
        self.usd = self.rng.random((n, len(self.tiers))) * np.geomspace(0.1, 10, len(self.tiers))
        if self.tiers[0] == STUDENT:
            self.usd[:, 0] = 0.0
        self.known: dict[tuple[str, ...], Floats] = {}

    def scores(self, stage: tuple[str, ...]) -> Floats:
        if stage not in self.known:
            column = self.tiers.index(stage[-1])
            noisy = 0.5 * self.correct[:, column] + 0.5 * self.rng.random(self.n)
            self.known[stage] = np.round(noisy * self.distinct) / self.distinct
        return self.known[stage]

    def router(self, closed: bool) -> Router:
        has_student = self.tiers[0] == STUDENT
        return Router(self.tiers, has_student, closed, self.correct, self.usd, self.scores)

    def value(self) -> Floats:
        expected = np.column_stack([self.scores((tier,)) for tier in self.tiers])
        share = self.n / (self.n + PRIOR_ROWS)
        return share * self.correct + (1 - share) * expected

    def run(self, chain: Chain, value: Floats) -> tuple[float, float]:
        """Accuracy and cost of a chain, row by row."""
        right = usd = 0.0
        columns = [self.tiers.index(tier) for tier in chain.tiers]
        for i in range(self.n):
            for k, column in enumerate(columns):
                usd += self.usd[i, column]
                last = k == len(columns) - 1
                stage = chain.tiers[: k + 1]
                if last or self.scores(stage)[i] >= chain.thresholds[k]:
                    break
            if chain.best_of and last:
                rivals = [self.scores(stage)[i] for stage in chain.rivals]
                column = columns[max(range(len(columns)), key=lambda k: (rivals[k], k))]
            right += value[i, column]
        return right / self.n, usd / self.n


def brute_force(world: World, closed: bool) -> list[Point]:
    """Every chain of up to three tiers with every threshold that makes a difference."""
    value, points = world.value(), []
    models = [tier for tier in world.tiers if tier != STUDENT]
    orders = [order for k in (1, 2, 3) for order in itertools.permutations(models, k)]
    if STUDENT in world.tiers:
        orders += [(STUDENT, *o) for k in (1, 2) for o in itertools.permutations(models, k)]
    for order in orders:
        cuts = [
            [0.0, *np.unique(world.scores(order[: k + 1])), NEVER] for k in range(len(order) - 1)
        ]
        for best_of in (False, True) if closed and len(order) == 2 else (False,):
            for thresholds in itertools.product(*cuts):
                chain = Chain(order, thresholds, best_of)
                points.append(Point(chain, *world.run(chain, value)))
    return pareto(points)


def numbers(points: Sequence[Point]) -> Floats:
    return np.array([(point.usd, point.accuracy) for point in points])


@pytest.mark.parametrize(
    ("tiers", "closed"),
    [
        (("a", "b"), False),
        (("a", "b"), True),
        (("a", "b", "c"), False),
        ((STUDENT, "a", "b"), True),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_the_frontier_is_that_of_brute_force(
    tiers: tuple[str, ...], closed: bool, seed: int
) -> None:
    world = World(40, tiers, seed, distinct=4)
    found, expected = world.router(closed).frontier(), brute_force(world, closed)
    np.testing.assert_allclose(numbers(found), numbers(expected), atol=1e-9)


@pytest.mark.parametrize("closed", [False, True])
def test_every_point_costs_and_earns_what_its_chain_does(closed: bool) -> None:
    world = World(150, ("a", "b", "c", "d", "e"), seed=3, distinct=50)
    value = world.value()
    points = world.router(closed).frontier()
    assert {len(point.chain.tiers) for point in points} >= {2, 3}
    for point in points:
        assert (point.accuracy, point.usd) == pytest.approx(world.run(point.chain, value))


def test_longer_chains_reach_the_frontier_where_they_pay() -> None:
    """Five models of rising price whose scores tell exactly what they can do."""
    rng = np.random.default_rng(0)
    need = rng.integers(5, size=2000)  # which model a query needs
    correct = (np.arange(5) >= need[:, None]).astype(float)
    usd = np.tile(4.0 ** np.arange(5), (2000, 1))
    names = ("a", "b", "c", "d", "e")

    def scores(stage: tuple[str, ...]) -> Floats:
        return 0.02 + 0.96 * correct[:, names.index(stage[-1])]

    points = Router(names, False, False, correct, usd, scores).frontier()
    top = points[-1]
    assert top.chain.tiers == names
    assert top.usd == pytest.approx(np.cumsum(usd, axis=1)[np.arange(2000), need].mean())


def calibrated(n: int, seed: int) -> tuple[Floats, Floats]:
    """P(correct) of three ever better tiers whose difficulties go together, and their costs."""
    rng = np.random.default_rng(seed)
    ease = rng.normal(0.5, 1.2, n)[:, None]
    logit = ease + np.array([-0.5, 0.5, 1.6]) + rng.normal(0, 0.7, (n, 3))
    return 1 / (1 + np.exp(-logit)), np.array([1.0, 5.0, 30.0])


@pytest.mark.parametrize("seed", range(3))
def test_backward_induction_comes_close_to_the_best_thresholds(seed: int) -> None:
    p, usd = calibrated(600, seed)
    paid = np.cumsum(usd)

    def run(thresholds: Sequence[float] | Floats) -> tuple[float, float]:
        stopped = np.where(p[:, 0] >= thresholds[0], 0, np.where(p[:, 1] >= thresholds[1], 1, 2))
        return float(p[np.arange(len(p)), stopped].mean()), float(paid[stopped].mean())

    def curve(found: Sequence[tuple[float, float]], spend: Floats) -> Floats:
        kept = numbers(pareto([Point(Chain(("-",), ()), *point) for point in found]))
        return np.interp(spend, kept[:, 0], kept[:, 1])

    cuts = [[0.0, *np.quantile(p[:, k], np.linspace(0.02, 0.98, 33)), NEVER] for k in (0, 1)]
    spend = np.linspace(1.0, 25.0, 50)
    ideal = curve([run(pair) for pair in itertools.product(*cuts)], spend)
    ours = curve([run(thresholds) for thresholds in backward_induction(p, usd)], spend)
    assert (ideal - ours).mean() <= 0.002
    assert (ideal - ours).max() <= 0.008


def test_backward_induction_spans_from_the_cheapest_to_the_best() -> None:
    p, usd = calibrated(400, 7)
    sweep = backward_induction(p, usd)
    assert (sweep[0] <= p.min(axis=0)[:2] + 0.2).any()  # money is everything: accept early
    assert all(thresholds.shape == (2,) for thresholds in sweep)
    assert all(((t >= 0) & (t <= NEVER)).all() for t in sweep)


points_strategy = st.lists(
    st.builds(
        Point,
        st.just(Chain(("a",), ())),
        st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1),
        st.sampled_from([0.0, 1.0, 2.0]) | st.floats(0, 3),
    ),
    max_size=40,
)


@given(points_strategy)
def test_pareto_keeps_what_nothing_beats_and_drops_what_something_does(points: list[Point]) -> None:
    kept = pareto(points)
    assert all(a.usd < b.usd and a.accuracy < b.accuracy for a, b in itertools.pairwise(kept))
    assert all(point in points for point in kept)
    for point in points:
        assert any(k.usd <= point.usd and k.accuracy >= point.accuracy - 1e-12 for k in kept)
    assert pareto(kept) == kept


def test_of_equal_points_the_shorter_chain_stays() -> None:
    long, short = Chain(("a", "b"), (0.0,)), Chain(("a",), ())
    assert pareto([Point(long, 0.5, 1.0), Point(short, 0.5, 1.0)]) == [Point(short, 0.5, 1.0)]


@given(st.integers(0, 300), st.integers(2, 50))
def test_thinning_keeps_the_ends_and_the_order(n: int, most: int) -> None:
    points = [Point(Chain(("a",), ()), i / 300, float(i)) for i in range(n)]
    kept = thin(points, most)
    assert len(kept) == min(n, most)
    assert kept == sorted(kept, key=lambda point: point.usd)
    assert len(set(kept)) == len(kept)
    if points:
        assert (kept[0], kept[-1]) == (points[0], points[-1])


def test_tiers_that_are_never_reached_are_left_out() -> None:
    chain = Chain(("a", "b", "c"), (0.5, 0.0))
    assert without_idle_tiers(chain, "z") == Chain(("a", "b"), (0.5,))
    assert without_idle_tiers(Chain(("a", "b"), (0.0,)), "z") == Chain(("a",), ())
    assert without_idle_tiers(Chain((STUDENT, "b"), (0.0,)), "z") == Chain((STUDENT, "z"), (0.0,))
    kept = Chain(("a", "b"), (0.5,), best_of=True)
    assert without_idle_tiers(kept, "z") is kept
