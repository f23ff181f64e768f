"""fit: from a recording to a policy.

The labelled rows are cut in two. On the first part student and scorer are fitted and the router
searches, with out-of-fold scores; that gives candidates in a fixed order. The second part is used
for nothing but the certificate.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
from threadpoolctl import threadpool_limits

from frugal_core.arrays import Rows
from frugal_core.certifying import (
    Labels,
    Promise,
    rows_needed,
)
from frugal_core.choosing import MOST_CANDIDATES, Choice, Sample, certified, within_budget
from frugal_core.errors import FitError
from frugal_core.grading import name_of
from frugal_core.learned_scorer import ScorerFit
from frugal_core.policy import Expected, Policy, Single
from frugal_core.recording import Recording, text_groups
from frugal_core.replay import replay, scores_of, with_student
from frugal_core.routing import Budget, Chain, Point, Router, pareto, thin, without_idle_tiers
from frugal_core.student import STUDENT, Student, fit_student, spellings
from frugal_core.table import Table, find_labels
from frugal_core.text import Vectoriser

Progress = Callable[[str, float], None]
"""(what is being done, share of all work that is done)"""

_FOLDS = 4
_MOST_MODELS = 12
_MOST_TEST_ROWS = 2000
_LEAST_ROWS = 8


def fit(
    recording: Recording,
    *,
    promise: Promise | float | None = None,
    budget: Budget | float | None = None,
    reference: str = "best",
    student: bool = True,
    labels: Labels = "gold",
    tiers: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Policy:
    """Learn a cascade from recorded answers.

    Args:
        recording: Queries with the answers of every model. Rows whose right answers are known serve
            scorer, thresholds and certificate; the others teach the student.
        promise: The quality to keep; the cheapest policy that provably keeps it is returned, and
            the reference alone where none does.
        budget: USD per 1,000 queries; the most accurate policy within it is returned (among the
            provably good ones, if there is a promise too).
        reference: The model whose quality is promised; "best" is the most accurate one.
        student: Whether to distil a free first tier, where the answers are labels of a small set.
        labels: "gold": quality is accuracy. "reference": quality is agreement with the reference,
            and no gold label is used or needed.
        tiers: The models that may be used; all by default.
        seed: Decides every split; the same recording and seed give the same policy.
        progress: Called with what is being done and the share that is done.

    Returns:
        The policy, with its certificate, the whole frontier and a verdict in words.

    Raises:
        FrugalError: if promise or budget is no sensible number.
        FitError: if the recording cannot be fitted, saying what is missing.
        UnpricedModelError: if a model has no price.

    Source: the LLM cascade of FrugalGPT (Chen, Zaharia, Zou 2023, section 3.3); the certificate is
    Learn-then-Test (Angelopoulos et al. 2021) with Tango's score test (1998).

    Example:
        >>> policy = fit(recording, promise=0.01)  # doctest: +SKIP
        >>> print(policy.verdict)  # doctest: +SKIP
    """
    if not isinstance(recording, Recording):
        # Its prices belong to it, so a path alone would not do.
        given = repr(os.fspath(recording)) if isinstance(recording, str | os.PathLike) else "..."
        raise FitError(
            f"recording is a {type(recording).__name__}: give Recording.load({given}, prices=...)"
        )
    if promise is None and budget is None:
        raise FitError(
            "fit needs an aim: promise=Promise(0.01), budget=USD per 1,000 queries, or both"
        )
    if labels not in ("gold", "reference"):
        raise FitError(f"labels {labels!r}: choose 'gold' or 'reference'")
    if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
        raise FitError(f"seed {seed!r}: a whole number >= 0 is expected")
    promise = None if promise is None else Promise.of(promise)
    spend = None if budget is None else Budget.of(budget).usd_per_1k
    report = progress or (lambda what, share: None)
    # The matrices are small: more threads only wait for each other, and burn CPU while they do.
    with threadpool_limits(1):
        report("reading", 0.0)
        data = _Data.of(recording, reference, labels, tiers, promise, student, seed)
        report("student and scorer", 0.05)
        model = _Model.fit(data, report)
        report("searching chains", 0.75)
        points = model.frontier()
        report("certifying", 0.95)
        alone = _single(data.table, data.reference, data.fit)
        fitted = Sample(model.fitted.table, model.fitted.out_of_fold)
        if promise is not None:
            choice = certified(points, alone, fitted, model.test, promise, spend, labels)
        else:
            assert spend is not None
            choice = within_budget(points, alone, fitted, spend)
        policy = _policy(recording, data, model, points, choice, labels)
    report("done", 1.0)
    return policy


@dataclass(frozen=True)
class _Data:
    """The rows by their use.

    `fit` and `test` say which answers are right. `taught` teach the student alone: by the models'
    answers, or by a gold label that no model was asked about.
    """

    table: Table
    fit: Rows
    test: Rows
    taught: Rows
    reference: str
    student: bool
    notes: tuple[str, ...]
    seed: int

    @classmethod
    def of(
        cls,
        recording: Recording,
        reference: str,
        labels: Labels,
        tiers: Sequence[str] | None,
        promise: Promise | None,
        student: bool,
        seed: int,
    ) -> _Data:
        models = recording.models if tiers is None else _named(tiers, recording.models)
        if unknown := [str(model) for model in models if model not in recording.models]:
            there = ", ".join(recording.models)
            raise FitError(f"tiers: {', '.join(unknown)} not in the recording, which has {there}")
        if not models:
            raise FitError("the recording holds no answer of any model")
        if STUDENT in models:
            raise FitError(f"a model may not be called {STUDENT!r}; rename it in the recording")
        if reference != "best" and reference not in models:
            raise FitError(f"reference {reference!r} is none of the models: {', '.join(models)}")
        if labels == "reference" and reference == "best":
            reference = _dearest(recording, models)
        said = recording  # where the labels are looked for
        if labels == "reference":
            said, recording = recording.unlabelled(), recording.agreeing_with(reference)
        table = Table.of(recording, models, labels=[])
        labelled = np.flatnonzero(table.labelled)
        if len(labelled) < _LEAST_ROWS:
            raise FitError(_too_few_labels(len(labelled), len(table), labels))
        test, fit_rows = _cut(labelled, promise, seed)
        if len({table.texts[row] for row in fit_rows}) < 2:
            raise FitError(
                f"all {len(labelled)} labelled rows ask the same query; different ones are needed"
            )
        # From here on the gold labels of the test rows have no say in anything.
        table = Table.of(recording, models, find_labels(said, without_gold_of=test))
        table, notes = _without_rare_models(table, fit_rows, keep=reference)
        if reference == "best":
            accuracy, usd = table.correct[fit_rows].mean(axis=0), table.usd[fit_rows].mean(axis=0)
            reference = table.models[int(np.lexsort((usd, -accuracy))[0])]
        served = table.answered[:, table.column(reference)]
        if dropped := int((~served[labelled]).sum()):
            notes.append(f"{dropped} labelled rows without an answer of {reference} were left out")
        unasked = (table.gold >= 0) & ~table.answered.any(axis=1)
        taught = np.flatnonzero(~table.labelled & (served | unasked))
        test, fit_rows = test[served[test]], fit_rows[served[fit_rows]]
        tested = {table.texts[row] for row in test}
        taught = np.array([r for r in taught if table.texts[r] not in tested], dtype=np.int64)
        if len(fit_rows) < _LEAST_ROWS // 2:
            raise FitError(_too_few_labels(len(fit_rows), len(table), labels))
        with_student = student and table.closed
        return cls(table, fit_rows, test, taught, reference, with_student, tuple(notes), seed)


def _named(tiers: Sequence[str], models: Sequence[str]) -> list[str]:
    """The models that may be used, each once."""
    if isinstance(tiers, str) or not tiers:
        given = f"tiers is one name, {tiers!r}" if tiers else "tiers is empty"
        raise FitError(f"{given}: give a list of the recording's models: {', '.join(models)}")
    return list(dict.fromkeys(tiers))


def _too_few_labels(labelled: int, rows: int, labels: Labels) -> str:
    if labels == "reference":
        return (
            f"the reference answered {labelled} of {rows} queries; "
            f"at least {_LEAST_ROWS} are needed"
        )
    return (
        f"{labelled} of {rows} rows say of every answer if it is right; at least {_LEAST_ROWS} "
        f"must. Give `reference` (the gold answer) or `correct` for more rows, or fit with "
        f"labels='reference' to promise agreement with the reference instead"
    )


def _dearest(recording: Recording, models: Sequence[str]) -> str:
    table = Table.of(recording, models, labels=[])
    return table.models[int(table.usd.sum(axis=0).argmax())]


def _without_rare_models(table: Table, labelled: Rows, keep: str) -> tuple[Table, list[str]]:
    """Leave out models that answered fewer than half of the queries, or are too many to search."""
    share = table.answered[labelled].mean(axis=0)
    rare = [m for m, s in zip(table.models, share, strict=True) if s < 0.5 and m != keep]
    notes = [f"{model} was left out: it answered fewer than half of the queries" for model in rare]
    models = [model for model in table.models if model not in rare]
    if not models:
        raise FitError("every model answered fewer than half of the labelled queries")
    if len(models) > _MOST_MODELS:
        singles = [_single(table, model, labelled) for model in models]
        efficient = {p.chain.tiers[0] for p in pareto(singles)} | {keep}
        ranked = sorted(singles, key=lambda p: (p.chain.tiers[0] not in efficient, -p.accuracy))
        dropped = {point.chain.tiers[0] for point in ranked[_MOST_MODELS:]}
        notes += [f"{m} was left out: another is better or cheaper" for m in sorted(dropped)]
        models = [model for model in models if model not in dropped]
    return table.only(models), notes


def _single(table: Table, model: str, rows: Rows) -> Point:
    column = table.column(model)
    right, usd = table.correct[rows, column].mean(), table.usd[rows, column].mean()
    return Point(Chain((model,), ()), float(right), float(usd))


def _cut(labelled: Rows, promise: Promise | None, seed: int) -> tuple[Rows, Rows]:
    """Labelled rows for the certificate and for fitting.

    Half of the rows test, but enough to certify anything at all where there are enough, and no more
    than are of use. Rows are drawn singly, also where queries repeat: only so are the test rows a
    fair draw from the traffic, which repeats its queries too.
    """
    if promise is None:
        return labelled[:0], labelled
    least = rows_needed(promise) or 0
    share = max(0.5, min(0.65, 1.3 * least / len(labelled)))
    wanted = min(int(share * len(labelled)), _MOST_TEST_ROWS, len(labelled) - _LEAST_ROWS // 2)
    shuffled = np.random.default_rng(seed).permutation(labelled)
    return shuffled[:wanted], shuffled[wanted:]


@dataclass(frozen=True)
class _Model:
    """Everything fitted on the fit rows, and the scores to test it with."""

    data: _Data
    vectoriser: Vectoriser
    student: Student | None
    fitted: ScorerFit

    @classmethod
    def fit(cls, data: _Data, report: Progress) -> _Model:
        n = len(data.fit)
        learned = data.table.rows(np.concatenate([data.fit, data.taught]))
        vectoriser = Vectoriser.fit(learned.texts)
        features = vectoriser.matrix(learned.texts)
        groups = text_groups(learned.texts[:n])
        folds = np.random.default_rng(data.seed).permutation(groups.max() + 1)[groups] % _FOLDS
        table, student = learned.rows(np.arange(n)), None
        if data.student:
            said, confidence = np.zeros(n, dtype=np.int64), np.zeros(n)
            for fold in range(_FOLDS):
                report("student", 0.05 + 0.08 * fold)
                inside = folds == fold
                kept = np.concatenate([np.flatnonzero(~inside), np.arange(n, len(learned))])
                weights, bias = fit_student(learned.rows(kept), features[kept], data.reference)
                apart = Student(vectoriser, weights, bias, ())
                said[inside], confidence[inside] = apart.predict(features[:n][inside])
            weights, bias = fit_student(learned, features, data.reference)
            student = Student(vectoriser, weights, bias, ())
            table = table.with_student(STUDENT, said, confidence)
        report("scorer", 0.45)
        return cls(data, vectoriser, student, ScorerFit(table, features[:n], folds))

    def frontier(self) -> list[Point]:
        """Every worthwhile chain on the fit rows, from cheap to dear."""
        table = self.fitted.table
        router = Router(
            table.models,
            self.student is not None,
            table.closed,
            table.correct,
            table.usd,
            self.fitted.out_of_fold,
        )
        return [
            replace(point, chain=without_idle_tiers(point.chain, self.data.reference))
            for point in router.frontier()
        ]

    def test(self, points: Sequence[Point]) -> Sample:
        """The test rows as the fitted parts see them."""
        table = self.data.table.rows(self.data.test)
        features = self.vectoriser.matrix(table.texts)
        stages = [stage for point in points for stage in point.chain.stages]
        scorer = self.fitted.scorer(self.vectoriser, stages)
        table = with_student(self.student, table, features)
        return Sample(table, scores_of(scorer, table, features))


def _expected(choice: Choice) -> Expected:
    """What the policy did on the rows of the choice."""
    tiers = choice.point.chain.tiers
    done = replay(choice.point.chain, choice.sample.table, choice.sample.scores)
    counts = np.bincount(done.tier, minlength=len(tiers))
    shares = dict(zip(tiers, (counts / len(done.tier)).tolist(), strict=True))
    return Expected(float(done.right.mean()), 1000 * float(done.usd.mean()), shares)


def _policy(
    recording: Recording,
    data: _Data,
    model: _Model,
    points: Sequence[Point],
    choice: Choice,
    labels: Labels,
) -> Policy:
    frontier = thin(points, MOST_CANDIDATES)
    table = data.table
    stages = [stage for point in [*frontier, choice.point] for stage in point.chain.stages]
    student = model.student
    if student is not None:
        student = replace(student, says=spellings(recording, table.labels, data.reference))
    right, usd = table.correct[data.fit].mean(axis=0), choice.sample.table.usd.mean(axis=0)
    verdict = choice.verdict
    if labels == "reference":
        verdict += f" (quality here is agreement with {data.reference}: no gold label was used)"
    return Policy(
        chain=choice.point.chain,
        scorer=model.fitted.scorer(model.vectoriser, stages),
        student=student,
        reference=data.reference,
        certificate=choice.certificate,
        verdict=verdict,
        labels=labels,
        frontier=tuple(frontier),
        singles=tuple(
            Single(name, float(right[j]), 1000 * float(usd[choice.sample.table.column(name)]))
            for j, name in enumerate(table.models)
        ),
        prices={name: recording.prices.price(name) for name in table.models},
        priced=recording.prices.source,
        notes=data.notes,
        expected=_expected(choice),
        grader=name_of(recording.grader),
        fitted={"fit": len(data.fit), "test": len(data.test), "taught": len(data.taught)},
        created=dt.date.today().isoformat(),
    )
