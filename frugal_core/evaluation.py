"""What a policy does on a recording: quality, cost, savings, and whether the certificate held."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from frugal_core.arrays import Bools, Floats
from frugal_core.errors import RecordingError
from frugal_core.policy import Policy, Single
from frugal_core.recording import Recording
from frugal_core.replay import Replay, replay, scores_of, with_student
from frugal_core.routing import Chain, Point, Scores
from frugal_core.table import Table


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate against a recording.

    Args:
        epsilon, confidence, reference: The promise.
        n: Rows of the recording that say something about it.
        holds: Whether the loss seen on them is at most epsilon.
    """

    epsilon: float
    confidence: float
    n: int
    holds: bool
    reference: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A policy on a recording.

    Accuracies are over the rows whose right answers are known, costs over all rows.

    Args:
        queries: Rows of the recording in which the reference answered; the others are left out.
        accuracy: Share of right answers (of agreement with the reference where the policy was
            fitted without gold labels).
        accuracy_ci: Its 95 % interval (Wilson).
        usd_per_1k: USD per 1,000 queries.
        reference, dearest: The model whose quality is promised, and the one that costs most.
        saving_vs_reference, saving_vs_dearest: 1 - cost / their cost.
        accuracy_gain: Accuracy minus the reference's.
        tier_share: Share of queries answered by each tier.
        certificate: Whether the promise held here; None without one.
        labels: "gold" or "reference": what accuracy means.
    """

    queries: int
    accuracy: float
    accuracy_ci: tuple[float, float]
    usd_per_1k: float
    reference: Single
    dearest: Single
    saving_vs_reference: float
    saving_vs_dearest: float
    accuracy_gain: float
    tier_share: dict[str, float]
    certificate: Held | None
    labels: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object of these fields; `labels` is there where accuracy means agreement."""
        value = asdict(self)
        if self.labels == "gold":
            del value["labels"]
        return value


@dataclass(frozen=True)
class Curve:
    """Accuracy against cost on one recording; all points have USD per query.

    Args:
        singles: Every model alone.
        frontier: The policies that the router found, in its order from cheap to dear.
        policy: The policy itself.
        oracle: The cheapest right answer for every query: what a perfect router would reach.
    """

    singles: tuple[Point, ...]
    frontier: tuple[Point, ...]
    policy: Point
    oracle: Point


def evaluate(policy: Policy, recording: Recording) -> Evaluation:
    """Run a policy over a recording.

    Raises:
        RecordingError: if a model of the policy is missing, or no right answer is known.
    """
    table, scores, known = _prepare(policy, recording)
    done = replay(policy.chain, table, scores)
    right = done.right[known]
    singles = {model: _single(table, model, known) for model in table.models}
    reference = singles[policy.reference]
    dearest = max(
        (s for m, s in singles.items() if m in recording.models), key=lambda s: s.usd_per_1k
    )
    usd = 1000 * float(done.usd.mean())
    gain = float(right.mean()) - reference.accuracy
    held = None
    if policy.certificate is not None:
        promised = policy.certificate
        holds = gain >= -promised.epsilon - 1e-12
        held = Held(promised.epsilon, promised.confidence, len(right), holds, promised.reference)
    shares = np.bincount(done.tier, minlength=len(policy.chain.tiers)) / len(table)
    return Evaluation(
        queries=len(table),
        accuracy=float(right.mean()),
        accuracy_ci=wilson(float(right.sum()), len(right)),
        usd_per_1k=usd,
        reference=reference,
        dearest=dearest,
        saving_vs_reference=saving(usd, reference.usd_per_1k),
        saving_vs_dearest=saving(usd, dearest.usd_per_1k),
        accuracy_gain=gain,
        tier_share=dict(zip(policy.chain.tiers, shares.tolist(), strict=True)),
        certificate=held,
        labels=policy.labels,
    )


def curve(policy: Policy, recording: Recording) -> Curve:
    """Run every policy of the frontier over a recording.

    Raises:
        RecordingError: if a model of the frontier is missing, or no right answer is known.
    """
    table, scores, known = _prepare(policy, recording)

    def point(chain: Chain, done: Replay) -> Point:
        return Point(chain, float(done.right[known].mean()), float(done.usd.mean()))

    there = set(table.models)
    frontier = tuple(
        point(p.chain, replay(p.chain, table, scores))
        for p in policy.frontier
        if there.issuperset(p.chain.tiers)
    )
    models = [model for model in table.models if model in recording.models]
    singles = tuple(
        Point(Chain((s.model,), ()), s.accuracy, s.usd_per_1k / 1000)
        for s in (_single(table, model, known) for model in models)
    )
    columns = [table.column(model) for model in models]
    return Curve(
        singles,
        frontier,
        point(policy.chain, replay(policy.chain, table, scores)),
        _oracle(table.correct[known][:, columns], table.usd[known][:, columns]),
    )


def wilson(successes: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    p, z2 = successes / n, z * z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def saving(usd: float, instead_of: float) -> float:
    """The share of a cost that is saved; 0 where there was no cost."""
    return 1 - usd / instead_of if instead_of > 0 else 0.0


def _prepare(policy: Policy, recording: Recording) -> tuple[Table, Scores, Bools]:
    if policy.labels == "reference":
        recording = recording.agreeing_with(policy.reference)
    table = policy.table(recording)
    served = table.answered[:, table.column(policy.reference)]
    if not served.any():
        raise RecordingError(f"the recording holds no answer of the reference {policy.reference}")
    table = table.rows(np.flatnonzero(served))  # without its answer there is nothing to compare
    features = policy.scorer.vectoriser.matrix(table.texts)
    table = with_student(policy.student, table, features)
    known = table.labelled
    if not known.any():
        raise RecordingError(
            "the recording says of no query which answers are right: give `reference` or `correct` "
            "for some rows, or fit with labels='reference' to measure agreement"
        )
    return table, scores_of(policy.scorer, table, features), known


def _single(table: Table, model: str, known: Bools) -> Single:
    column = table.column(model)
    accuracy = float(table.correct[known, column].mean())
    paid = table.usd[table.answered[:, column], column]
    return Single(model, accuracy, 1000 * float(paid.mean()) if len(paid) else 0.0)


def _oracle(correct: Floats, usd: Floats) -> Point:
    """The cheapest right answer of every query; the cheapest answer where none is right."""
    right = correct > 0
    cheapest = np.where(right.any(axis=1, keepdims=True) & ~right, np.inf, usd).min(axis=1)
    return Point(Chain(("oracle",), ()), float(right.any(axis=1).mean()), float(cheapest.mean()))
