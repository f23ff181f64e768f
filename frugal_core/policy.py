"""The policy: what `fit` returns, what a file holds, and what the adapters run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frugal_core.cascade import Plan, Tier
from frugal_core.certifying import Certificate, Labels, Promise
from frugal_core.errors import RecordingError
from frugal_core.learned_scorer import LearnedScorer
from frugal_core.pricing import Price, PriceBook
from frugal_core.recording import Recording
from frugal_core.routing import Chain, Point
from frugal_core.student import STUDENT, Student
from frugal_core.table import Table

if TYPE_CHECKING:
    from frugal_core.evaluation import Curve, Evaluation


@dataclass(frozen=True, slots=True)
class Single:
    """One model used alone: its accuracy and USD per 1,000 queries."""

    model: str
    accuracy: float
    usd_per_1k: float


@dataclass(frozen=True, slots=True)
class Expected:
    """What a policy is expected to do, from rows that were not fitted on.

    Args:
        accuracy: Share of right answers.
        usd_per_1k: USD per 1,000 queries.
        tier_share: Share of queries answered by each tier.
    """

    accuracy: float
    usd_per_1k: float
    tier_share: Mapping[str, float]


@dataclass(frozen=True)
class Policy:
    """A fitted cascade with its evidence.

    Args:
        chain: Tiers and thresholds.
        scorer: The learned scorer.
        student: The distilled model, where one was fitted, whether `chain` uses it or not.
        reference: The model whose quality is promised.
        certificate: Evidence for the promise; None if none was asked for or none could be given.
        verdict: In words: what to use, and why.
        labels: "gold" (quality is accuracy) or "reference" (quality is agreement).
        frontier: Every policy that the router found worthwhile, from cheap to dear, with accuracy
            and USD per query on the rows that were fitted on, out of fold.
        singles: Every model alone: its accuracy on the same rows, its cost on those of `expected`.
        prices: Price of each model.
        priced: Where the prices come from and when they were read.
        expected: What the policy did on the test rows; out of fold where there were none.
        grader: How answers were compared with gold labels.
        notes: What a user should know: models left out, rows left out.
        fitted: Rows used for fitting, by kind.
        created: Date of fitting.
    """

    chain: Chain
    scorer: LearnedScorer
    student: Student | None
    reference: str
    certificate: Certificate | None
    verdict: str
    labels: Labels
    frontier: tuple[Point, ...]
    singles: tuple[Single, ...]
    prices: Mapping[str, Price]
    priced: str
    expected: Expected
    grader: str
    notes: tuple[str, ...]
    fitted: Mapping[str, int]
    created: str

    @cached_property
    def plan(self) -> Plan:
        """What the loop needs, for the adapters."""
        tiers = tuple(Tier(model, self.prices.get(model, _FREE)) for model in self.chain.tiers)
        no_promise = "no promise: none was certified" if self.certificate is None else ""
        scored = self.chain.tiers if self.chain.best_of else self.chain.tiers[:-1]
        return Plan(
            tiers,
            self.chain.thresholds,
            self.scorer,
            best_of=self.chain.best_of,
            student=self.student if self.chain.tiers[0] == STUDENT else None,
            certificate=self.certificate,
            no_promise=no_promise,
            needs_confidence=frozenset(filter(self.scorer.needs_confidence, scored)),
        )

    @property
    def promise(self) -> Promise | None:
        """The promise that is certified, if any."""
        if self.certificate is None:
            return None
        return Promise(self.certificate.epsilon, self.certificate.confidence)

    @property
    def best_static(self) -> Single:
        """The most accurate single model; of equals, the cheapest."""
        return max(self.singles, key=lambda single: (single.accuracy, -single.usd_per_1k))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that decides; enters cache keys."""
        from frugal_core.policy_file import digest

        return digest(self)

    def explain(self, query: str) -> dict[str, Any]:
        """What would happen to a query before any model is asked.

        Returns:
            A JSON object: the tiers in order with the score each must reach, the student's answer
            with its score if there is one, and the n-grams that speak most for and against an
            answer being right.
        """
        columns, values = self.scorer.vectoriser.vector(query)
        weights = self.scorer.weights[:, columns].mean(axis=0) * values
        order = np.argsort(weights)
        terms = [self.scorer.vectoriser.terms[i] for i in columns]
        explanation: dict[str, Any] = {
            "tiers": [
                {"model": tier, "accepted_at": threshold}
                for tier, threshold in zip(
                    self.chain.tiers, [*self.chain.thresholds, None], strict=True
                )
            ],
            "known_terms": len(terms),
            "harder": [terms[i] for i in order[:5] if weights[i] < 0],
            "easier": [terms[i] for i in order[::-1][:5] if weights[i] > 0],
            "promise": self.certificate.sentence if self.certificate else self.plan.no_promise,
        }
        if self.plan.student is not None:
            reply = self.plan.student.reply(query)
            score = self.scorer.judge(query)(STUDENT, reply, [])
            explanation["student"] = {"says": reply.text, "score": score}
        return explanation

    def table(self, recording: Recording) -> Table:
        """A recording's columns of this policy's models.

        Prices are the recording's own where its user gave any, else the policy's.

        Raises:
            RecordingError: if the recording lacks a model of the policy.
        """
        models = [single.model for single in self.singles]
        there = set(recording.models)
        needed = {self.reference, *self.chain.tiers} - {STUDENT}
        if missing := sorted(needed - there):
            raise RecordingError(
                f"the recording has no answers of {', '.join(missing)}, which the policy uses; "
                f"it has {', '.join(sorted(there))}"
            )
        prices = PriceBook({**self.prices, **recording.prices.prices}, table=False)
        priced = replace(recording, prices=prices)
        return Table.of(priced, [m for m in models if m in there], self.scorer.labels)

    def evaluate(self, recording: Recording) -> Evaluation:
        """Accuracy, cost and savings on a recording; see `frugal_core.evaluation`."""
        from frugal_core.evaluation import evaluate

        return evaluate(self, recording)

    def curve(self, recording: Recording) -> Curve:
        """Accuracy against cost on a recording; see `frugal_core.evaluation`."""
        from frugal_core.evaluation import curve

        return curve(self, recording)

    def save(self, path: str | Path) -> None:
        """Write the policy; the file appears whole or not at all."""
        from frugal_core.policy_file import write

        write(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Read a policy.

        Raises:
            PolicyError: if the file is missing, broken, hostile or of another format.
        """
        from frugal_core.policy_file import read

        return read(Path(path))


_FREE = Price(0.0, 0.0)  # the student's
