"""The choice among the policies that the router found, its certificate, the verdict in words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from frugal_core.certifying import (
    Certificate,
    Labels,
    Promise,
    last_passing,
    rows_needed,
    tango_z,
)
from frugal_core.errors import FitError
from frugal_core.replay import replay
from frugal_core.routing import Chain, Point, Scores, thin
from frugal_core.table import Table

MOST_CANDIDATES = 80


@dataclass(frozen=True)
class Sample:
    """Rows with the scores of their answers."""

    table: Table
    scores: Scores

    def discordant(self, chain: Chain, reference: str) -> tuple[int, int]:
        """Rows that a chain loses to the reference, and rows that it gains on it."""
        right = self.table.correct[:, self.table.column(reference)]
        difference = replay(chain, self.table, self.scores).right - right
        return int((difference < 0).sum()), int((difference > 0).sum())

    def usd(self, chain: Chain) -> float:
        """Mean cost of a query."""
        return float(replay(chain, self.table, self.scores).usd.mean())


@dataclass(frozen=True)
class Choice:
    """The policy to use, its evidence, why in words, and the rows that show what it does."""

    point: Point
    certificate: Certificate | None
    verdict: str
    sample: Sample


def within_budget(points: Sequence[Point], alone: Point, fitted: Sample, budget: float) -> Choice:
    """The most accurate policy within a budget; nothing is promised.

    Args:
        points: The frontier, from cheap to dear.
        alone: The reference by itself.
        fitted: The rows that were fitted on, with out-of-fold scores.
        budget: USD per 1,000 queries.

    Raises:
        FitError: if every policy costs more.
    """
    affordable = [point for point in points if 1000 * point.usd <= budget]
    if not affordable:
        raise FitError(
            f"budget {budget:g}: the cheapest policy costs {1000 * points[0].usd:.4g} USD per "
            f"1,000 queries; raise the budget or add a cheaper model"
        )
    return Choice(affordable[-1], None, _praise(affordable[-1], alone, None), fitted)


def certified(
    points: Sequence[Point],
    alone: Point,
    fitted: Sample,
    tested: Callable[[Sequence[Point]], Sample],
    promise: Promise,
    budget: float | None,
    labels: Labels,
) -> Choice:
    """The cheapest policy that keeps a promise; with a budget the best within it that does.

    Args:
        points: The frontier, from cheap to dear.
        alone: The reference by itself; what is used where nothing cheaper can be certified.
        fitted: The rows that were fitted on, with out-of-fold scores.
        tested: The rows kept for the test, with scores for the given policies.
        promise: What must hold.
        budget: USD per 1,000 queries, or None.
        labels: What the quality is measured by.
    """
    reference = alone.chain.tiers[0]
    candidates = _candidates(points, alone, fitted, promise)
    sample = tested([*candidates, alone])
    n = len(sample.table)
    pairs = [sample.discordant(point.chain, reference) for point in candidates]
    position = last_passing(pairs, n, promise)
    over = f". It costs more than the budget of {budget or 0:g} USD per 1,000 queries"
    dear = over if budget is not None and 1000 * alone.usd > budget else ""
    if position is None:
        why = _refusal(candidates, pairs, alone, fitted, n, promise)
        return Choice(alone, None, f"use {reference} alone: {why}{dear}", sample)
    note = ""
    if budget is not None:
        within = [i for i in range(position + 1) if 1000 * candidates[i].usd <= budget]
        position = within[0] if within else position
        note = "" if within else f"{over}: no cheaper policy keeps the promise"
    point, (losses, gains) = candidates[position], pairs[position]
    # Like for like: the savings that are told are of the same rows.
    point = replace(point, usd=sample.usd(point.chain))
    alone = replace(alone, usd=sample.usd(alone.chain))
    if point.usd >= alone.usd:
        why = f"a cascade does not pay: on {n} test rows none that keeps the promise was cheaper"
        return Choice(alone, None, f"use {reference} alone: {why}{dear}", sample)
    today = dt.date.today().isoformat()
    certificate = Certificate(
        promise.epsilon, promise.confidence, n, losses, gains, reference, labels, today
    )
    verdict = _praise(point, alone, certificate) + note
    return Choice(point, certificate, verdict, sample)


def _candidates(
    points: Sequence[Point], alone: Point, fitted: Sample, promise: Promise
) -> list[Point]:
    """What is tested, in an order that is fixed before the test rows are looked at.

    From dear to cheap, beginning where the fit rows promise the clearest pass: a dearer candidate
    that is not clearly good would end the sequence before it has begun.
    """
    cheaper = thin([point for point in points if point.usd < alone.usd], MOST_CANDIDATES)
    if not cheaper:
        return []
    reference, n = alone.chain.tiers[0], len(fitted.table)
    pairs = [fitted.discordant(point.chain, reference) for point in cheaper]
    z = [tango_z(losses, gains, n, promise.epsilon) for losses, gains in pairs]
    return cheaper[: int(np.argmin(z)) + 1][::-1]


def _praise(point: Point, alone: Point, certificate: Certificate | None) -> str:
    """The verdict on a policy that was chosen."""
    reference = alone.chain.tiers[0]
    if point.chain.tiers == alone.chain.tiers:
        return f"use {reference} alone: no cascade does better for its price"
    saved = 100 * (1 - point.usd / alone.usd) if alone.usd else 0.0
    if len(point.chain.tiers) == 1:
        what = f"use {point.chain.tiers[0]} alone: a cascade does not pay, this model by itself"
    else:
        what = f"use the cascade {' > '.join(point.chain.tiers)}: it"
    claim = f"; {certificate.sentence}" if certificate else "; nothing is promised"
    change = f"{abs(saved):.1f} % {'less' if saved >= 0 else 'more'}"
    return f"{what} is expected to cost {change} than {reference}{claim}"


def _refusal(
    candidates: Sequence[Point],
    pairs: Sequence[tuple[int, int]],
    alone: Point,
    fitted: Sample,
    n: int,
    promise: Promise,
) -> str:
    """Why the reference alone must be used, and how many rows more might help.

    The guess pools fit and test rows: either part alone is too small for the rates.
    """
    reference = alone.chain.tiers[0]
    if not candidates:
        return "no cascade is cheaper than it"
    every = n + len(fitted.table)
    more = []
    for i in range(0, len(candidates), max(1, len(candidates) // 8)):
        losses, gains = fitted.discordant(candidates[i].chain, reference)
        rates = (losses + pairs[i][0]) / every, (gains + pairs[i][1]) / every
        if (rows := rows_needed(promise, *rates)) is not None:
            more.append(max(round(rows * every / n) - every, every // 10))
    why = f"no cheaper policy could be shown to keep the promise on {n} test rows"
    if not more:
        return f"{why}; what is cheaper is not good enough for it"
    return f"{why}; about {_rounded(min(more)):,} more labelled rows would be needed"


def _rounded(rows: int) -> int:
    step = 10 ** max(1, len(str(rows)) - 2)
    return -(-rows // step) * step
