"""A recording as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from frugal_core.errors import UnpricedModelError
from frugal_core.recording import Recording
from frugal_core.table import Table, find_labels
from tests.unit_tests.core.helpers import DIRECTIONS, PRICES, answer, closed, free

ROWS: list[dict[str, Any]] = [
    {
        "query": "one",
        "reference": "up",
        "answers": {
            "small": answer("Up.", input_tokens=1000, output_tokens=100, confidence=-0.5),
            "large": answer("down", input_tokens=1000, output_tokens=100, cached_tokens=400),
        },
    },
    {"query": "two", "reference": "down", "answers": {"large": answer("no idea at all")}},
    {"query": "three", "answers": {"small": answer("up"), "large": answer("UP")}},
    {"query": "four", "answers": {}},
]


@pytest.fixture
def table() -> Table:
    recording = Recording.from_rows(ROWS, prices=PRICES | {"large": [2, 4, 1]})
    return Table.of(recording, ["small", "large"], ["down", "up"])


def test_answers_become_labels_others_and_gaps(table: Table) -> None:
    assert table.said.tolist() == [[1, 0], [-1, 2], [1, 1], [-1, -1]]
    assert table.answered.tolist() == [[True, True], [False, True], [True, True], [False, False]]
    assert table.gold.tolist() == [1, 0, -1, -1]
    assert table.words[:, 1].tolist() == [1, 4, 1, 0]


def test_a_missing_answer_is_wrong_where_the_truth_is_known_and_unknown_elsewhere(
    table: Table,
) -> None:
    np.testing.assert_array_equal(table.correct[:2], [[1, 0], [0, 0]])
    assert np.isnan(table.correct[2:]).all()
    assert table.labelled.tolist() == [True, True, False, False]


def test_costs_and_confidences(table: Table) -> None:
    assert table.usd[0] == pytest.approx([(100 + 20) / 1e6, (1200 + 400 + 400) / 1e6])
    assert table.usd[3].tolist() == [0, 0]
    assert table.confidence[0, 0] == -0.5 and np.isnan(table.confidence[0, 1])


def test_a_blank_or_defective_answer_is_not_sound() -> None:
    said = [answer(" \n"), answer("up", defect="cut short"), answer("?")]
    models = ["small", "medium", "large"]
    row = {"query": "q", "reference": "", "answers": dict(zip(models, said, strict=True))}
    table = Table.of(Recording.from_rows([row], prices=PRICES), models)
    assert table.sound.tolist() == [[False, False, True]]
    assert table.correct.tolist() == [[True, False, True]], "right all the same"


def test_equal_answers_of_a_row_are_marked(table: Table) -> None:
    assert table.same[0, 0] != table.same[0, 1]
    assert table.same[2, 0] == table.same[2, 1] >= 0
    assert (table.same[3] == -1).all()


def test_the_students_column_comes_first_and_is_judged_by_gold_and_by_its_twins(
    table: Table,
) -> None:
    wide = table.with_student("student", np.array([0, 0, 1, 1]), np.log([0.9, 0.5, 0.6, 0.7]))
    assert wide.models == ("student", "small", "large")
    assert wide.usd[:, 0].tolist() == [0, 0, 0, 0]
    assert np.exp(wide.confidence[:, 0]).tolist() == pytest.approx([0.9, 0.5, 0.6, 0.7])
    np.testing.assert_array_equal(wide.correct[:2, 0], [0, 1])
    assert np.isnan(wide.correct[2:, 0]).all()
    assert wide.same[0, 0] == wide.same[0, 2] != wide.same[0, 1]
    assert wide.same[1, 0] not in wide.same[1, 1:]


def test_a_graders_word_about_the_same_answer_holds_for_the_student_too() -> None:
    said = {"small": answer("up", correct=True), "large": answer("down", correct=False)}
    rows = [{"query": "q", "reference": "down", "answers": said}]
    table = Table.of(Recording.from_rows(rows, prices=PRICES), ["small", "large"], ["down", "up"])
    for label, right in ((1, 1), (0, 0)):
        wide = table.with_student("student", np.array([label]), np.zeros(1))
        assert wide.correct[0, 0] == right


def test_rows_and_columns_are_cut_alike(table: Table) -> None:
    cut = table.rows(np.array([2, 0])).only(["large"])
    assert cut.texts == ("three", "one") and cut.models == ("large",)
    assert cut.said.tolist() == [[1], [0]] and cut.usd.shape == (2, 1)
    assert len(cut) == 2 and cut.column("large") == 0


def test_labels_are_found_where_answers_are_few_and_not_elsewhere() -> None:
    assert find_labels(closed(100)) == sorted(DIRECTIONS)
    assert find_labels(free(100)) == []
    assert find_labels(Recording.from_rows([])) == []


def test_a_few_stray_answers_do_not_open_the_label_set() -> None:
    rows: list[dict[str, Any]] = [
        {"query": str(i), "answers": {"small": answer(DIRECTIONS[i % 3])}} for i in range(300)
    ]
    for i in range(5):
        rows[i]["answers"]["small"] = answer(f"stray {i}")
    assert find_labels(Recording.from_rows(rows)) == sorted(DIRECTIONS)
    for i in range(60):
        rows[i]["answers"]["small"] = answer(f"stray {i}")
    assert find_labels(Recording.from_rows(rows)) == []


def test_gold_labels_that_must_not_be_looked_at_are_not() -> None:
    rows = [
        {"query": str(i), "reference": f"gold {i}", "answers": {"small": answer(DIRECTIONS[i % 3])}}
        for i in range(60)
    ]
    recording = Recording.from_rows(rows)
    assert find_labels(recording) == []
    assert find_labels(recording, without_gold_of=range(60)) == sorted(DIRECTIONS)


def test_a_model_without_a_price_is_named() -> None:
    rows = [{"query": "q", "answers": {"nobody": answer("x")}}]
    with pytest.raises(UnpricedModelError, match="nobody"):
        Table.of(Recording.from_rows(rows), ["nobody"])
