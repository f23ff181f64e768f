"""FrugalGPT's kind of chain, to draw beside ours.

After Chen, Zaharia and Zou (2023), section 3.3, and its published code: every model has a scorer
of its own that reads query and answer side by side, and order and thresholds are chosen on the very
rows that the scorers were trained on. A linear model on n-grams stands in for the original's
DistilBERT; the chains are found by our own router, which searches more of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy import sparse

from frugal_core.arrays import Floats
from frugal_core.policy import Policy
from frugal_core.recording import Recording
from frugal_core.replay import replay
from frugal_core.routing import Point, Router, thin
from frugal_core.table import Table
from frugal_core.text import Vectoriser

_MOST_POINTS = 80


def frugalgpt_chain(policy: Policy, train: Recording, test: Recording) -> list[Point]:
    """The frontier of FrugalGPT's kind of chain.

    Args:
        policy: Says which models there are, their prices, and what quality means.
        train: Rows to fit scorers and thresholds on.
        test: Rows to measure it on.

    Returns:
        Points from cheap to dear, measured on `test`; USD per query.
    """
    fitted, measured = _table(policy, train), _table(policy, test)
    known = np.flatnonzero(fitted.labelled)
    train, fitted = train.select(known), fitted.rows(known)
    train_scores, test_scores = _scores(fitted, train, measured, test)
    router = Router(
        tiers=fitted.models,
        student=False,
        closed=False,  # the original returns the last answer, never the best of several
        correct=fitted.correct,
        usd=fitted.usd,
        scores=lambda stage: train_scores[stage[-1]],
    )
    known = np.flatnonzero(measured.labelled)
    points = []
    for point in thin(router.frontier(), _MOST_POINTS):
        done = replay(point.chain, measured, lambda stage: test_scores[stage[-1]])
        accuracy, usd = float(done.right[known].mean()), float(done.usd.mean())
        points.append(replace(point, accuracy=accuracy, usd=usd))
    return points


def _table(policy: Policy, recording: Recording) -> Table:
    if policy.labels == "reference":
        recording = recording.agreeing_with(policy.reference)
    return policy.table(recording)


def _scores(
    fitted: Table, train: Recording, measured: Table, test: Recording
) -> tuple[Mapping[str, Floats], Mapping[str, Floats]]:
    """P(correct) of each model's answers, on the rows of the fit (in sample) and on the others."""
    from sklearn.linear_model import LogisticRegression

    queries = Vectoriser.fit(fitted.texts)
    answers = Vectoriser.fit([a.text for query in train for a in query.answers.values()])

    def features(recording: Recording, model: str) -> sparse.csr_matrix:
        said = [query.answers.get(model) for query in recording]
        texts = [answer.text if answer else "" for answer in said]
        asked = queries.matrix([query.text for query in recording])
        return sparse.hstack([asked, answers.matrix(texts)]).tocsr()

    on_train, on_test = {}, {}
    for column, model in enumerate(fitted.models):
        target = fitted.correct[:, column]
        x, x_test = features(train, model), features(test, model)
        if len(np.unique(target)) < 2:  # always right, or always wrong: nothing to learn
            p, p_test = np.full(len(fitted), target[0]), np.full(len(measured), target[0])
        else:
            scorer = LogisticRegression(solver="liblinear").fit(x, target)
            p, p_test = scorer.predict_proba(x)[:, 1], scorer.predict_proba(x_test)[:, 1]
        on_train[model] = p * fitted.answered[:, column]
        on_test[model] = p_test * measured.answered[:, column]
    return on_train, on_test
