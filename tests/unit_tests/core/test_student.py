"""The student: a free tier for closed label sets."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from frugal_core.fitting import fit
from frugal_core.recording import Recording
from frugal_core.student import Student, fit_student, spellings
from frugal_core.table import Table
from frugal_core.text import Vectoriser
from tests.unit_tests.core.helpers import DIRECTIONS, PRICES, answer, closed, closed_rows

MODELS = ("small", "medium", "large")


def student_of(recording: Recording, gold_rows: np.ndarray) -> tuple[Student, Table]:
    table = Table.of(recording, MODELS)
    vectoriser = Vectoriser.fit(table.texts)
    features = vectoriser.matrix(table.texts)
    hidden = np.where(np.isin(np.arange(len(table)), gold_rows), table.gold, -1)
    weights, bias = fit_student(replace(table, gold=hidden), features, "large")
    return Student(vectoriser, weights, bias, table.labels), table


def share_right(student: Student, recording: Recording) -> float:
    said = [student.reply(query.text).text for query in recording]
    return float(np.mean([s == q.reference for s, q in zip(said, recording, strict=True)]))


def test_one_query_is_answered_as_among_many() -> None:
    student, table = student_of(closed(300), np.arange(300))
    said, confidence = student.predict(student.vectoriser.matrix(table.texts))
    for i, text in enumerate(table.texts):
        reply = student.reply(text)
        assert reply.text == table.labels[said[i]]
        assert reply.confidence == pytest.approx(confidence[i], abs=1e-9)


def test_confidence_is_the_log_probability_of_its_label() -> None:
    student, _ = student_of(closed(300), np.arange(300))
    for text in ("upward1 upward2 upward3", "", "nothing known"):
        columns, values = student.vectoriser.vector(text)
        logits = student.weights[:, columns] @ values + student.bias
        confidence = student.reply(text).confidence
        assert confidence is not None
        expected = logits.max() - math.log(np.exp(logits).sum())
        assert confidence == pytest.approx(expected) and confidence <= 0


def test_it_learns_the_gold_labels_where_the_models_are_wrong() -> None:
    rows = closed_rows(600, signal=0.8)
    for row in rows:
        for fields in row["answers"].values():
            fields["text"] = "up"
    for model in MODELS:  # every label must be said now and then to be one
        for i, label in enumerate(DIRECTIONS * 6):
            rows[i]["answers"][model]["text"] = label
    student, _ = student_of(Recording.from_rows(rows, prices=PRICES), np.arange(600))
    assert share_right(student, closed(300, seed=4, signal=0.8)) > 0.9


def test_without_gold_it_learns_what_the_reference_says() -> None:
    rows = closed_rows(600, signal=0.8)
    for row in rows:  # the reference says the label after the right one
        after = DIRECTIONS[(DIRECTIONS.index(row["reference"]) + 1) % 3]
        row["answers"]["large"]["text"] = after
    student, _ = student_of(Recording.from_rows(rows, prices=PRICES), np.arange(0))
    fresh = closed(300, seed=4, signal=0.8)
    said = [DIRECTIONS.index(student.reply(query.text).text) for query in fresh]
    gold = [DIRECTIONS.index(query.reference or "") for query in fresh]
    assert np.mean([(g + 1) % 3 == s for s, g in zip(said, gold, strict=True)]) > 0.9


def test_answers_outside_the_label_set_are_not_learned() -> None:
    rows = closed_rows(300, signal=0.8)
    for row in rows[::15]:
        row["answers"]["large"]["text"] = f"I would rather not say {row['id']}"
    recording = Recording.from_rows(rows, prices=PRICES)
    student, table = student_of(recording, np.arange(0))
    assert set(table.labels) == set(DIRECTIONS)
    assert share_right(student, closed(200, seed=4, signal=0.8)) > 0.8


def test_a_label_that_was_never_seen_is_never_said() -> None:
    recording = closed(200)
    table = Table.of(recording, MODELS, labels=[*DIRECTIONS, "never"])
    vectoriser = Vectoriser.fit(table.texts)
    weights, bias = fit_student(table, vectoriser.matrix(table.texts), "large")
    student = Student(vectoriser, weights, bias, table.labels)
    said, _ = student.predict(vectoriser.matrix(table.texts))
    assert set(said) <= {0, 1, 2} and len(set(said)) > 1


@pytest.mark.parametrize("kinds", [1, 2])
def test_one_or_two_labels_are_enough(kinds: int) -> None:
    rows = [row for row in closed_rows(400) if row["reference"] in DIRECTIONS[:kinds]]
    for row in rows:
        for fields in row["answers"].values():
            fields["text"] = row["reference"]
    recording = Recording.from_rows(rows, prices=PRICES)
    table = Table.of(recording, MODELS, labels=DIRECTIONS[:2])
    vectoriser = Vectoriser.fit(table.texts)
    weights, bias = fit_student(table, vectoriser.matrix(table.texts), "large")
    student = Student(vectoriser, weights, bias, table.labels)
    assert share_right(student, recording) > 0.9
    assert np.isfinite(weights).all() and np.isfinite(bias).all()


def test_it_spells_labels_as_the_reference_does() -> None:
    answers = {"small": answer("UP!"), "large": answer(" Up.")}
    rows = [{"query": "a", "answers": answers}] * 3
    rows += [{"query": "b", "answers": {"small": answer("Down")}}]
    recording = Recording.from_rows(rows, prices=PRICES)
    assert spellings(recording, ("down", "flat", "up"), "large") == ("Down", "flat", "Up.")


def test_a_gold_label_that_no_model_was_asked_about_teaches_too() -> None:
    asked = closed_rows(60, seed=1)
    unasked = [
        {**row, "id": f"unasked {i}", "answers": {}} for i, row in enumerate(closed_rows(800))
    ]
    fresh = closed(400, seed=9)
    alone = fit(Recording.from_rows(asked, prices=PRICES), budget=100)
    helped = fit(Recording.from_rows([*asked, *unasked], prices=PRICES), budget=100)
    assert alone.student is not None and helped.student is not None
    assert helped.fitted == {"fit": 60, "test": 0, "taught": 800}
    assert share_right(helped.student, fresh) > share_right(alone.student, fresh) + 0.05
