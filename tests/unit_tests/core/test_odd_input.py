"""Input that users do have and that once ended in a traceback."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from frugal_core import Policy, Promise, Recording, fit
from frugal_core.cli import app
from frugal_core.cli.console import console, percent, saved
from frugal_core.errors import FitError, FrugalError, PolicyError, RecordingError, describe
from frugal_core.learn.collection import read_questions
from tests.unit_tests.core.helpers import PRICES, closed, closed_rows


def test_queries_without_a_word() -> None:
    rows = [row | {"query": ["!", "?", "...", ""][i % 4]} for i, row in enumerate(closed_rows(200))]
    policy = fit(Recording.from_rows(rows, prices=PRICES), promise=0.05)
    assert policy.explain("?")["known_terms"] == 0


def test_a_negative_seed() -> None:
    with pytest.raises(FitError, match="seed -1"):
        fit(closed(50), promise=0.1, seed=-1)
    arguments = ["fit", "x.jsonl", "-o", "x.frugal", "--seed", "-1"]
    assert CliRunner().invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"promise": "abc"}, "promise: epsilon 'abc' must be a number"),
        ({"promise": True}, "promise: epsilon True must be a number"),
        ({"promise": float("nan")}, "promise: epsilon nan must be a number"),
        ({"promise": [0.01]}, r"promise: epsilon \[0.01\] must be a number"),
        ({"budget": "x"}, "budget 'x' must be a number >= 0: USD per 1,000 queries"),
        ({"budget": True}, "budget True must be a number"),
        ({"budget": float("nan")}, "budget nan must be a number"),
        ({"budget": -1}, "budget -1 must be a number >= 0"),
        ({"budget": 0, "student": False}, "budget 0: the cheapest policy costs"),
        ({"promise": 0.1, "tiers": []}, "tiers is empty: give a list .*: small, medium, large"),
        ({"promise": 0.1, "tiers": "small"}, "tiers is one name, 'small': give a list"),
        ({"promise": 0.1, "tiers": [3, "tiny"]}, "tiers: 3, tiny not in the recording, which has"),
        ({"promise": 0.1, "seed": "x"}, "seed 'x': a whole number"),
    ],
)
def test_aims_and_tiers_that_are_none(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(FrugalError, match=message):
        fit(closed(50), **wrong)


def test_a_recording_without_an_answer() -> None:
    rows = [row | {"answers": {}} for row in closed_rows(20)]
    with pytest.raises(FitError, match="the recording holds no answer of any model"):
        fit(Recording.from_rows(rows, prices=PRICES), promise=0.1)


def test_a_confidence_that_is_none() -> None:
    for wrong in ("high", True, 95, float("nan")):
        with pytest.raises(FrugalError, match=f"promise: confidence {wrong!r} must be a number"):
            Promise(0.01, wrong)  # type: ignore[arg-type]


def test_a_promise_given_as_a_numpy_number_can_be_written_down(tmp_path: Path) -> None:
    policy = fit(closed(600, signal=0.9), promise=np.float32(0.1))  # type: ignore[arg-type]
    assert policy.certificate is not None
    policy.save(tmp_path / "p.frugal")


@pytest.mark.parametrize("tokens", [10**400, 1e300, float("inf"), float("nan")])
def test_token_counts_beyond_reason(tokens: float) -> None:
    rows = closed_rows(1)
    rows[0]["answers"]["small"]["input_tokens"] = tokens
    with pytest.raises(RecordingError, match=r"input_tokens: expected a whole number"):
        Recording.from_rows(rows, prices=PRICES)


def test_a_question_with_half_a_character(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"query": "\\ud800 alone"}\n')
    with pytest.raises(RecordingError, match=r"line 1, query: .* half a character"):
        read_questions(path)


def test_names_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("agreement with openai:b: no [gold] label")
    assert capsys.readouterr().out == "agreement with openai:b: no [gold] label\n"


def test_what_sums_of_floats_leave_behind_is_not_printed() -> None:
    assert percent(1e-16) == "0.0 %"
    assert saved(-1e-16, "small", "the reference") == "0.0 % less than small (the reference)"


def test_a_key_is_masked_before_a_long_message_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "abcdefghijklmnop")
    assert "abc" not in describe(ValueError("x" * 190 + "abcdefghijklmnop"))


def test_agreement_is_not_called_accuracy(tmp_path: Path) -> None:
    recording = closed(600, signal=0.9).unlabelled()
    rows, policy = tmp_path / "rows.jsonl", tmp_path / "p.frugal"
    recording.save(rows)
    fit(recording, promise=0.2, labels="reference", reference="large").save(policy)
    said = CliRunner().invoke(app, ["eval", str(policy), str(rows)]).output
    assert "points of disagreement with large" in said
    assert "labelled queries" not in said


def test_a_gold_label_that_pandas_left_out() -> None:
    rows = closed_rows(1)
    rows[0]["reference"] = float("nan")
    query = Recording.from_rows(rows, prices=PRICES).queries[0]
    assert query.reference is None
    assert query.answers["small"].correct is None


@pytest.mark.parametrize(
    "change",
    [{"epsilon": -5}, {"confidence": "a"}, {"n": "x"}, {"losses": 10**9}, {"reference": "other"}],
)
def test_a_certificate_that_says_what_none_can_say(
    change: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "p.frugal"
    fit(closed(600, signal=0.9), promise=0.1).save(path)
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    header = json.loads(parts["policy.json"])
    header["certificate"] |= change
    with zipfile.ZipFile(path, "w") as file:
        for name, part in (parts | {"policy.json": json.dumps(header).encode()}).items():
            file.writestr(name, part)
    with pytest.raises(PolicyError, match=r"p.frugal: .*; fit it again"):
        Policy.load(path)
