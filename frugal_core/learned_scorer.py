"""The learned scorer: g(query, answer) -> P(correct), from the user's own recording.

Two stages, both logistic regressions. The *pooled* stage learns from every model's answers together
how likely an answer is right for a query: on the n-grams of the query, and for closed label sets on
their interaction with the answer (the same words speak for one answer and against another). The
*calibrators*, one per tier and set of earlier tiers, turn that logit, the tier's own confidence,
the form of the answer and the agreement with earlier tiers into a probability (Platt scaling).

This is FrugalGPT's generation scoring function (Chen, Zaharia, Zou 2023, section 3.3) with a linear
model in the place of DistilBERT.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from frugal_core.arrays import Floats, Ints, Rows
from frugal_core.cascade import Judge, Reply
from frugal_core.recording import normalise
from frugal_core.table import Table
from frugal_core.text import Vectoriser

Stage = tuple[str, ...]
"""Tiers in the order they are asked; a calibrator of a stage scores the last of them."""


@dataclass(frozen=True)
class LearnedScorer:
    """The fitted scorer; see the module's text and `frugal_core.cascade.Scorer`.

    Args:
        vectoriser: Turns a query into features.
        labels: The closed label set; empty for free text.
        weights: Pooled stage, one row per label and one for any other answer; shape (labels + 1,
            features). A single row for free text.
        bias: Shape (labels + 1,).
        calibrators: By stage: the weights of `_solo_features`, then of `_agreement_features` for
            each earlier tier, then the constant.
    """

    vectoriser: Vectoriser
    labels: tuple[str, ...]
    weights: Floats
    bias: Floats
    calibrators: Mapping[Stage, Floats]
    _label_index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {label: i for i, label in enumerate(self.labels)}
        object.__setattr__(self, "_label_index", index)

    @cached_property
    def id(self) -> str:
        """Identifies the fitted weights in cache keys."""
        digest = hashlib.sha256(self.weights.tobytes() + self.bias.tobytes())
        for stage, weights in self.calibrators.items():
            digest.update(repr(stage).encode() + weights.tobytes())
        return f"learned-{digest.hexdigest()[:16]}"

    def needs_confidence(self, tier: str) -> bool:
        """Whether every answer of this tier that was fitted on came with its own confidence."""
        # What never varied has the weight 0; see `_solo_features` for the order.
        own, missing = self.calibrators[(tier,)][2:4]
        return bool(own) and not missing

    def judge(self, query: str) -> Judge:
        """See `frugal_core.cascade.Scorer`; a tier without a calibrator gets no score."""
        columns, values = self.vectoriser.vector(query)
        pooled = self.weights[:, columns] @ values + self.bias

        def solo(tier: str, reply: Reply, text: str) -> Floats:
            label = self._label_index.get(text, len(self.labels)) if self.labels else -1
            return _solo_features(
                pooled[[label]],
                np.array([math.nan if reply.confidence is None else reply.confidence]),
                np.array([label]),
                np.array([text.count(" ") + bool(text)]),
                len(self.labels),
            )

        def score(tier: str, reply: Reply, earlier: Sequence[tuple[str, Reply]]) -> float | None:
            if (tier,) not in self.calibrators:
                return None
            text = normalise(reply.text)
            features = solo(tier, reply, text)
            stage = (*(name for name, _ in earlier), tier)
            if stage not in self.calibrators:  # a tier of the policy failed in this call
                stage = (tier,)
            else:
                for name, other in earlier:
                    said = normalise(other.text)
                    logit = solo(name, other, said) @ self.calibrators[(name,)]
                    agrees = np.array([said == text])
                    features = np.hstack([features, _agreement_features(agrees, logit)])
            return float(_sigmoid(features @ self.calibrators[stage])[0])

        return score

    def pooled(self, features: sparse.csr_matrix) -> Floats:
        """Logits of the pooled stage for every label; shape (n, labels + 1)."""
        return np.asarray(features @ self.weights.T + self.bias)

    def scores(self, table: Table, pooled: Floats, stage: Stage) -> Floats:
        """P(correct) of the answers of a stage's last tier, 0 where it gave none; shape (n,).

        Where an earlier tier gave no answer, the stage without it counts, as in `judge`.
        """
        columns = [table.column(model) for model in stage]
        logits = [
            _solo_matrix(table, pooled, j) @ self.calibrators[(model,)]
            for j, model in zip(columns[:-1], stage[:-1], strict=True)
        ]
        matrix = _stage_matrix(table, pooled, columns, logits)
        scores = _sigmoid(matrix @ self.calibrators[stage]) * table.answered[:, columns[-1]]
        earlier = table.answered[:, columns[:-1]]
        for there in np.unique(earlier[~earlier.all(axis=1)], axis=0):
            rows = np.flatnonzero((earlier == there).all(axis=1))
            rest = tuple(model for model, has in zip(stage[:-1], there, strict=True) if has)
            stage_left = (
                (*rest, stage[-1]) if (*rest, stage[-1]) in self.calibrators else stage[-1:]
            )
            scores[rows] = self.scores(table.rows(rows), pooled[rows], stage_left)
        return scores


@dataclass
class ScorerFit:
    """Fits a scorer on labelled rows, with out-of-fold scores for the search of thresholds.

    Args:
        table: The labelled rows, the student's column included; n rows.
        features: Their queries, shape (n, features).
        folds: Fold of each row; rows with the same query share one. Shape (n,).
    """

    table: Table
    features: sparse.csr_matrix
    folds: Ints
    _weights: tuple[Floats, Floats] = field(init=False)
    _pooled: Floats = field(init=False)
    _out_of_fold: dict[Stage, Floats] = field(init=False, default_factory=dict)
    _calibrators: dict[Stage, Floats] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        everything = np.arange(len(self.table))
        self._weights = _fit_pooled(self.table, self.features, everything)
        self._pooled = np.zeros((len(self.table), len(self.table.labels) + 1))
        for fold in np.unique(self.folds):
            out = np.flatnonzero(self.folds == fold)
            weights, bias = _fit_pooled(
                self.table, self.features, np.flatnonzero(self.folds != fold)
            )
            self._pooled[out] = self.features[out] @ weights.T + bias

    def out_of_fold(self, stage: Stage) -> Floats:
        """P(correct) of the last tier's answers, each from a fit without its fold; shape (n,)."""
        if stage not in self._out_of_fold:
            columns = [self.table.column(model) for model in stage]
            logits = [_logit(self.out_of_fold((model,))) for model in stage[:-1]]
            matrix = _stage_matrix(self.table, self._pooled, columns, logits)
            answered = self.table.answered[:, columns].all(axis=1)
            target = self.table.correct[:, columns[-1]]
            scores = np.zeros(len(self.table))
            for fold in np.unique(self.folds):
                inside = self.folds == fold
                weights = _fit_logistic(matrix[~inside & answered], target[~inside & answered])
                scores[inside] = _sigmoid(matrix[inside] @ weights)
            alone = self.out_of_fold(stage[-1:]) if len(stage) > 1 else 0.0
            self._out_of_fold[stage] = np.where(answered, scores, alone)
            self._calibrators[stage] = _fit_logistic(matrix[answered], target[answered])
        return self._out_of_fold[stage]

    def scorer(self, vectoriser: Vectoriser, stages: Sequence[Stage]) -> LearnedScorer:
        """The scorer of new queries, fitted on all rows, able to score these stages."""
        needed = {(model,) for stage in stages for model in stage} | set(stages)
        for stage in needed:
            self.out_of_fold(stage)
        calibrators = {stage: self._calibrators[stage] for stage in sorted(needed)}
        return LearnedScorer(vectoriser, self.table.labels, *self._weights, calibrators)


def _fit_pooled(table: Table, features: sparse.csr_matrix, rows: Rows) -> tuple[Floats, Floats]:
    """Weights (labels + 1, features) and bias (labels + 1,) of the pooled stage.

    Each distinct (query, answer) is one example: many models saying the same do not make it more
    certain. With free text, all answers share one row of weights.
    """
    labels = len(table.labels)
    answered, correct = table.answered[rows], table.correct[rows]
    if not table.closed:
        queries, models = np.nonzero(answered)
        target = correct[queries, models]
        label = np.zeros(len(queries), dtype=np.int64)
    else:
        right = np.full((len(rows), labels + 1), np.nan)
        for j in range(len(table.models)):
            has = answered[:, j]
            said = table.said[rows, j][has]
            right[has, said] = np.fmax(right[has, said], correct[has, j])
        queries, label = np.nonzero(~np.isnan(right))
        target = right[queries, label]
    shape = (labels + 1, features.shape[1])
    if len(np.unique(target)) < 2:
        return np.zeros(shape), np.zeros(labels + 1)
    x = features[rows][queries]
    if not table.closed:
        weights = _fit_sparse(x, target, strength=1.0)
        return weights[None, :-1], weights[-1:]
    # [x ; x where the answer is label c, for every c ; one-hot label]
    n = len(target)
    interaction = sparse.csr_matrix(
        (x.data, x.indices + np.repeat(label, np.diff(x.indptr)) * shape[1], x.indptr),
        shape=(n, shape[0] * shape[1]),
    )
    one_hot = sparse.csr_matrix((np.ones(n), (np.arange(n), label)), shape=(n, labels + 1))
    fitted = _fit_sparse(sparse.hstack([x, interaction, one_hot]).tocsr(), target, strength=6.0)
    shared, own = fitted[: shape[1]], fitted[shape[1] : shape[1] * (labels + 2)]
    return shared + own.reshape(shape), fitted[shape[1] * (labels + 2) : -1] + fitted[-1]


def _fit_sparse(x: sparse.csr_matrix, target: Floats, strength: float) -> Floats:
    """Weights and, last, the constant of a logistic regression on sparse features."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, solver="liblinear").fit(x, target)
    return np.append(model.coef_[0], model.intercept_[0])


def _fit_logistic(x: Floats, target: Floats) -> Floats:
    """Weights of a logistic regression whose last solo feature is the constant 1."""
    from sklearn.linear_model import LogisticRegression

    rate = (target.sum() + 0.5) / (len(target) + 1)
    constant = np.zeros(x.shape[1])
    constant[0] = math.log(rate / (1 - rate))
    if len(np.unique(target)) < 2:
        return constant
    model = LogisticRegression(C=0.3, solver="newton-cholesky").fit(x[:, 1:], target)
    return np.append(model.intercept_, model.coef_[0])


def _solo_features(
    pooled: Floats, confidence: Floats, label: Ints, words: Floats, labels: int
) -> Floats:
    """What the calibrator of a single tier reads; arrays of shape (n,) to (n, features).

    The confidence p enters as -ln(1 - p) for closed label sets and two-sided for free text, where
    it is far more often near 0 (Zellinger and Thomson 2025, section 3): a logistic curve fits then.
    """
    missing = np.isnan(confidence)
    p = np.clip(np.exp(np.where(missing, 0.0, confidence)), 1e-9, 1 - 1e-9)
    doubt = -np.log1p(-p)
    if labels:
        own = doubt
        form = (label[:, None] == np.arange(labels + 1)).astype(float)
    else:
        own = np.where(p >= 0.5, doubt - math.log(2), math.log(2) + np.log(p))
        form = np.log1p(words)[:, None]
    own = np.where(missing, 0.0, own)
    return np.column_stack([np.ones(len(p)), pooled, own, missing, form])


def _agreement_features(agrees: NDArray[np.bool_], logit: Floats) -> Floats:
    """What a stage's calibrator reads of one earlier tier; arrays of shape (n,) to (n, 3)."""
    logit = np.clip(logit, -9.0, 9.0)
    return np.column_stack([agrees, logit, agrees * logit])


def _solo_matrix(table: Table, pooled: Floats, column: int) -> Floats:
    said = table.said[:, column] if table.closed else np.full(len(table), -1)
    logit = pooled[np.arange(len(table)), said]
    return _solo_features(
        logit, table.confidence[:, column], said, table.words[:, column], len(table.labels)
    )


def _stage_matrix(
    table: Table, pooled: Floats, columns: Sequence[int], logits: Sequence[Floats]
) -> Floats:
    blocks = [_solo_matrix(table, pooled, columns[-1])]
    for column, logit in zip(columns[:-1], logits, strict=True):
        agrees = table.same[:, column] == table.same[:, columns[-1]]
        blocks.append(_agreement_features(agrees, logit))
    return np.hstack(blocks)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))))


def _logit(p: Floats) -> Floats:
    p = np.clip(p, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p / (1 - p)))
