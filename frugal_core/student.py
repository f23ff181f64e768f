"""The student: a distilled model for closed label sets, a tier that costs nothing.

Multinomial logistic regression on TF-IDF n-grams of the query. It learns from gold labels where
there are any. Elsewhere it learns from a teacher: the label that all models' answers together make
likeliest, fitted on the rows with gold labels (stacking: Wolpert 1992). The teacher also softens
the gold labels, which are noisy (distillation: Hinton, Vinyals, Dean 2015, section 2). Where there
is nothing to fit a teacher on, the student learns the reference's own answers.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from frugal_core.arrays import Floats, Ints
from frugal_core.cascade import Reply
from frugal_core.recording import Recording, normalise
from frugal_core.table import Table
from frugal_core.text import Vectoriser

STUDENT = "student"
"""The student's name as a tier; no model of the user's may be called so."""

_TEACHER_SHARE = 0.5
_LEAST_FOR_TEACHER = 50


@dataclass(frozen=True)
class Student:
    """A label for every query, at no cost.

    Args:
        vectoriser: Turns a query into features.
        weights: Shape (labels, features).
        bias: Shape (labels,).
        says: What it answers for each label, as the models write it.
    """

    vectoriser: Vectoriser
    weights: Floats
    bias: Floats
    says: tuple[str, ...]

    def reply(self, query: str) -> Reply:
        """Answer a query; the confidence is the log-probability of the label.

        Of a query without a known term it can only say the commonest label, however sure: that is
        never accepted.
        """
        columns, values = self.vectoriser.vector(query)
        logits = self.weights[:, columns] @ values + self.bias
        best = int(logits.argmax())
        log_sum = float(np.log(np.exp(logits - logits[best]).sum()))
        defect = None if knows(len(columns)) else "nothing in the query is known"
        return Reply(self.says[best], confidence=-log_sum, defect=defect)

    def predict(self, features: sparse.csr_matrix) -> tuple[Ints, Floats]:
        """Labels of many queries and their log-probabilities; shapes (n,); see `knows`."""
        logs = _log_probabilities(self.weights, self.bias, features)
        return np.asarray(logs.argmax(axis=1)), np.asarray(logs.max(axis=1))


def knows(terms: Any) -> Any:
    """Whether a student may answer a query with so many known terms; of one query or of many."""
    return terms > 0


def _log_probabilities(weights: Floats, bias: Floats, features: sparse.csr_matrix) -> Floats:
    logits = np.asarray(features @ weights.T + bias)
    logits -= logits.max(axis=1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))


def fit_student(table: Table, features: sparse.csr_matrix, reference: str) -> tuple[Floats, Floats]:
    """Weights (labels, features) and bias (labels,) of a student.

    Args:
        table: All rows that may be learned from; those with a gold label teach it, the others
            what the models answered.
        features: Their queries, shape (n, features).
        reference: Whose answers are learned where there is neither a gold label nor a teacher.
    """
    labels = len(table.labels)
    one_hot = np.vstack([np.eye(labels), np.zeros((2, labels))])  # another answer, no answer: none
    target = one_hot[table.said[:, table.column(reference)]]
    gold_rows = np.flatnonzero(table.gold >= 0)
    target[gold_rows] = one_hot[table.gold[gold_rows]]
    votes = _votes(table)
    complete = np.asarray(table.answered.all(axis=1))
    taught = np.setdiff1d(np.flatnonzero(complete), gold_rows)
    with_gold = gold_rows[complete[gold_rows]]
    own_answers = np.array_equal(
        table.said[gold_rows, table.column(reference)], table.gold[gold_rows]
    )
    if len(with_gold) >= _LEAST_FOR_TEACHER and not own_answers:
        gold_target = target[with_gold]
        first = _cross_fit(features[with_gold], gold_target, 10.0, features[taught])
        seen = [
            sparse.hstack([votes[rows], np.maximum(logs, math.log(1e-4))]).tocsr()
            for rows, logs in zip((with_gold, taught), first, strict=True)
        ]
        second = _cross_fit(seen[0], gold_target, 1.0, seen[1])
        target[with_gold] += _TEACHER_SHARE * (np.exp(second[0]) - gold_target)
        target[taught] = np.exp(second[1])
    return _linear(features, target, strength=10.0)


def _votes(table: Table) -> sparse.csr_matrix:
    """Every model's answer one-hot, shape (n, models * (labels + 2))."""
    n, m = table.said.shape
    width = len(table.labels) + 2
    columns = table.said % width + width * np.arange(m)
    ends = np.arange(0, n * m + 1, m)
    return sparse.csr_matrix((np.ones(n * m), columns.ravel(), ends), shape=(n, m * width))


def _cross_fit(
    features: sparse.csr_matrix, target: Floats, strength: float, others: sparse.csr_matrix
) -> tuple[Floats, Floats]:
    """Log-probabilities out of fold for the fitted rows, and for other rows; shape (n, labels)."""
    out = np.zeros_like(target)
    folds = np.arange(len(target)) % 4
    for fold in range(4):
        inside = folds == fold
        model = _linear(features[~inside], target[~inside], strength)
        out[inside] = _log_probabilities(*model, features[inside])
    if not others.shape[0]:
        return out, np.zeros((0, target.shape[1]))
    return out, _log_probabilities(*_linear(features, target, strength), others)


def _linear(features: sparse.csr_matrix, target: Floats, strength: float) -> tuple[Floats, Floats]:
    """Multinomial logistic regression on soft targets; a label that was never seen is never said.

    Args:
        features: Shape (n, features).
        target: Probability of each label, or all 0 for a row to leave out; shape (n, labels).
        strength: Inverse of the L2 penalty.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    labels = target.shape[1]
    rows, label = np.nonzero(target > 0.01)  # a row stands once for each label it may have
    weights, bias = np.zeros((labels, features.shape[1])), np.full(labels, -30.0)
    seen = np.unique(label)
    if len(seen) < 2:
        bias[seen] = 0.0
        return weights, bias
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=strength, max_iter=200)
        model.fit(features[rows], label, sample_weight=target[rows, label])
    if len(seen) == 2:  # one row of weights stands for two classes
        coefficients, constants = (
            np.vstack([-model.coef_, model.coef_]) / 2,
            (np.concatenate([-model.intercept_, model.intercept_]) / 2),
        )
    else:
        coefficients, constants = model.coef_, model.intercept_
    weights[seen], bias[seen] = coefficients, constants
    return weights, bias


def spellings(recording: Recording, labels: tuple[str, ...], reference: str) -> tuple[str, ...]:
    """How the reference writes each label; how any model does, if it never said it."""
    theirs: dict[str, Counter[str]] = {label: Counter() for label in labels}
    for query in recording:
        for model, answer in query.answers.items():
            counter = theirs.get(normalise(answer.text))
            if counter is not None:
                counter[answer.text.strip()] += len(recording) if model == reference else 1
    return tuple(max(c, key=c.__getitem__) if c else label for label, c in theirs.items())
