"""Replays a chain over recorded answers: what it would have returned and paid, query by query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from frugal_core.arrays import Floats, Ints
from frugal_core.learned_scorer import LearnedScorer
from frugal_core.routing import Chain, Scores
from frugal_core.student import STUDENT, Student, knows
from frugal_core.table import Table


@dataclass(frozen=True)
class Replay:
    """What a chain does with each of n queries.

    Args:
        tier: Position in the chain of the tier whose answer is returned; shape (n,).
        right: 1, 0, or NaN where unknown; shape (n,).
        usd: What was paid, rejected drafts included; shape (n,).
    """

    tier: Ints
    right: Floats
    usd: Floats


def scores_of(scorer: LearnedScorer, table: Table, features: sparse.csr_matrix) -> Scores:
    """A function from a stage to the scores of its last tier's answers, each computed once."""
    pooled = scorer.pooled(features)
    known: dict[tuple[str, ...], Floats] = {}

    def scores(stage: tuple[str, ...]) -> Floats:
        if stage not in known:
            known[stage] = scorer.scores(table, pooled, stage)
        return known[stage]

    return scores


def with_student(student: Student | None, table: Table, features: sparse.csr_matrix) -> Table:
    """The table with the student's column, if there is a student."""
    if student is None:
        return table
    return table.with_student(STUDENT, *student.predict(features), knows(features.getnnz(axis=1)))


def replay(chain: Chain, table: Table, scores: Scores) -> Replay:
    """Run a chain over a table; takes the decisions of `frugal_core.loop.cascade`.

    A missing answer is a failed call: the next tier is asked, and where the last tier failed the
    best draft is returned.
    """
    columns = np.array([table.column(tier) for tier in chain.tiers])
    rows, last = np.arange(len(table)), len(columns) - 1
    answered = table.answered[:, columns]
    score = np.column_stack(
        [scores(chain.tiers[: k + 1]) for k in range(last)] + [np.ones(len(table))]
    )
    sound = table.sound[:, columns]
    acceptable = sound & (score >= [*chain.thresholds, 0.0])
    accepted = np.column_stack([acceptable[:, :-1], answered[:, -1:]])
    stopped = np.where(accepted.any(axis=1), accepted.argmax(axis=1), last)
    paid = np.cumsum(table.usd[:, columns], axis=1)[rows, stopped]
    tier = stopped.copy()
    failed = ~answered[rows, stopped]
    # Of equals, the later tier is the better model.
    tier[failed] = last - np.where(sound, score, -1.0)[failed, ::-1].argmax(axis=1)
    if chain.best_of and last > 0:
        rivals = np.column_stack([scores(stage) for stage in chain.rivals])
        best = last - rivals[:, ::-1].argmax(axis=1)
        complete = (stopped == last) & answered.all(axis=1) & sound[:, -1]
        tier = np.where(complete, best, tier)
    right = table.correct[rows, columns[tier]]
    right = np.where(answered[rows, tier] | np.isnan(right), right, 0.0)
    return Replay(tier, right, paid)
