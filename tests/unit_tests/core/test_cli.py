"""`frugal fit` and `frugal eval`, and what all commands share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from frugal_core import Policy, Recording
from frugal_core import fit as fit_policy
from frugal_core.cli import app
from frugal_core.cli.console import percent, saved
from tests.unit_tests.core.samples import REAL, Row, answer, real_rows, rows, write, write_prices

FRUGAL = [sys.executable, "-c", "from frugal_core.cli import main; main()"]


def run(*arguments: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result: Result) -> str:
    """The one line on stderr with which a command refused."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    write_prices(tmp_path)
    return write(tmp_path / "answers.jsonl", rows(600))


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., Result]:
    """`frugal fit RECORDING ...` with prices and without a student, to `tmp_path`/my.frugal."""

    def call(path: Path, *more: object) -> Result:
        fixed = ("--prices", tmp_path / "prices.json", "-o", tmp_path / "my.frugal")
        return run("fit", path, *fixed, "--no-student", *more)

    return call


class TestCommand:
    @pytest.mark.parametrize(
        "command", ["", "fit", "eval", "curve", "collect", "demo", "compress", "cache"]
    )
    def test_help_has_an_example(self, command: str) -> None:
        result = run(*filter(None, [command]), "--help")
        assert result.exit_code == 0
        assert f"Example:  frugal {command}" in result.stdout

    def test_version(self) -> None:
        assert run("--version").stdout.startswith("frugal-cascade ")

    def test_help_imports_nothing_heavy(self) -> None:
        program = (
            "import sys, frugal_core.cli;"
            "print([m for m in ('numpy', 'sklearn', 'langchain_core', 'matplotlib') "
            "if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.stdout.strip() == "[]"

    def test_an_error_is_one_line_and_no_traceback(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [*FRUGAL, "eval", "no.frugal", "no.jsonl"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "error: no.frugal: no such policy file; `frugal fit` writes one\n"

    def test_a_traceback_on_demand(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [*FRUGAL, "eval", "no.frugal", "no.jsonl"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "FRUGAL_TRACEBACK": "1"},
        )
        assert done.returncode != 0
        assert "Traceback" in done.stderr

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            ("fit", "missing argument 'RECORDING'; see frugal fit --help"),
            ("fit x.jsonl", "missing option '-o' / '--output'; see frugal fit --help"),
            ("fit x.jsonl -o", "option '-o' requires an argument; see frugal fit --help"),
            ("fit x.jsonl -o y --bogus", "no such option: --bogus; see frugal fit --help"),
            ("eval a b c", "got unexpected extra argument(s) (c); see frugal eval --help"),
            ("cache list --bogus", "no such option: --bogus; see frugal cache list --help"),
            ("fits", "no such command 'fits'. Did you mean 'fit'? See frugal --help"),
            (
                "cache stats a",
                "got unexpected extra argument(s) (a); see frugal cache stats --help",
            ),
            ("--bogus", "no such option: --bogus; see frugal --help"),
        ],
    )
    def test_a_wrong_command_line_is_one_line(self, typed: str, said: str) -> None:
        result = run(*typed.split())
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"frugal: {said}\n"

    @pytest.mark.parametrize(
        ("typed", "option"),
        [("fit x -o y --promise abc", "promise"), ("fit x -o y --seed -1", "seed")],
    )
    def test_a_bad_value_names_its_option(self, typed: str, option: str) -> None:
        result = run(*typed.split())
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(f"frugal: invalid value for '--{option}': ")
        assert result.stderr.endswith("; see frugal fit --help\n")
        assert result.stderr.count("\n") == 1

    def test_a_wrong_command_line_in_a_process_of_its_own(self) -> None:
        program = "import sys; sys.argv[0] = 'frugal'; from frugal_core.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", program, "fit"], capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "frugal: missing argument 'RECORDING'; see frugal fit --help\n"

    def test_nothing_typed_shows_the_help(self) -> None:
        assert "Commands" in run().output

    def test_interruption(
        self, recording: Path, fit: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("frugal_core.fitting.fit", interrupted)
        result = fit(recording)
        assert result.exit_code == 130
        assert result.stderr == "error: interrupted\n"


class TestFit:
    def test_prints_models_cascade_and_certificate(
        self, recording: Path, fit: Callable[..., Result], tmp_path: Path
    ) -> None:
        result = fit(recording, "--promise", 0.02)
        assert result.exit_code == 0
        assert result.stderr == ""  # no terminal, no progress bar
        printed = result.stdout
        assert "large" in printed
        assert "best static choice, reference, dearest" in printed
        assert "with 95 % confidence at most 2 points below large" in printed
        assert "Verdict: use the cascade small > large" in printed
        assert "promise is" not in printed
        assert Policy.load(tmp_path / "my.frugal").chain.tiers == ("small", "large")

    def test_default_promise_is_said(self, recording: Path, fit: Callable[..., Result]) -> None:
        printed = fit(recording).stdout
        assert "the promise is 0.01 at confidence 0.95" in printed
        assert "at most 1 point below large" in printed

    def test_json_is_all_there_is(self, recording: Path, fit: Callable[..., Result]) -> None:
        result = fit(recording, "--promise", 0.02, "--json")
        assert result.stderr == ""
        summary = json.loads(result.stdout)
        assert summary["reference"]["model"] == "large"
        assert [s["model"] for s in summary["singles"]] == ["small", "large"]
        first, last = summary["cascade"]["tiers"]
        assert 0 < first["threshold"] <= 1
        assert last["threshold"] is None
        assert first["share"] + last["share"] == pytest.approx(1)
        expected = 1 - summary["cascade"]["usd_per_1k"] / summary["reference"]["usd_per_1k"]
        assert summary["saving_vs_reference"] == pytest.approx(expected)
        assert summary["saving_vs_reference"] > 0.5
        assert summary["certificate"]["epsilon"] == 0.02
        assert "gained" in summary["certificate"]["sentence"]

    def test_budget(self, recording: Path, fit: Callable[..., Result]) -> None:
        summary = json.loads(fit(recording, "--budget", 0.02, "--json").stdout)
        assert summary["cascade"]["usd_per_1k"] <= 0.02
        assert summary["certificate"] is None
        assert "Certificate: none; nothing is promised" in fit(recording, "--budget", 0.02).stdout

    def test_a_refusal_is_no_error(self, tmp_path: Path, fit: Callable[..., Result]) -> None:
        write_prices(tmp_path)
        hard = write(tmp_path / "hard.jsonl", rows(120, skill=0.4))
        result = fit(hard, "--promise", 0.001, "--no-student", "--labels", "reference")
        assert result.exit_code == 0
        assert "Verdict: use large alone" in result.stdout

    def test_reference_labels_need_no_gold(
        self, tmp_path: Path, fit: Callable[..., Result]
    ) -> None:
        write_prices(tmp_path)
        bare = [{k: v for k, v in row.items() if k != "reference"} for row in rows(400)]
        result = fit(
            write(tmp_path / "bare.jsonl", bare), "--labels", "reference", "--promise", 0.15
        )
        assert result.exit_code == 0
        assert "agreement with large" in result.stdout
        assert "no gold labels" in result.stdout

    def test_hints_speak_of_options(self, tmp_path: Path, fit: Callable[..., Result]) -> None:
        write_prices(tmp_path)
        bare = [{k: v for k, v in row.items() if k != "reference"} for row in rows(60)]
        message = refused(fit(write(tmp_path / "bare.jsonl", bare)))
        assert "fit with --labels reference to promise agreement" in message
        assert "labels=" not in message

    def test_only_some_tiers(self, recording: Path, fit: Callable[..., Result]) -> None:
        summary = json.loads(fit(recording, "--tiers", "small", "--json").stdout)
        assert [single["model"] for single in summary["singles"]] == ["small"]

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            (["--tiers", "small,gpt-9"], "gpt-9"),
            (["--reference", "gpt-9"], "gpt-9"),
            (["--labels", "silver"], "'gold' or 'reference'"),
            (["--grader", "vibes"], "normalised"),
            (["--promise", 7], "epsilon 7"),
            (["--confidence", 0.1], "confidence 0.1"),
            (["--budget", 1e-9], "raise the budget"),
            (["-o", "missing/my.frugal"], "does not exist"),
            (["-o", "."], "folder"),
        ],
    )
    def test_bad_arguments(
        self, recording: Path, fit: Callable[..., Result], more: list[object], said: str
    ) -> None:
        assert said in refused(fit(recording, *more))


class TestEval:
    KEYS = (
        "queries accuracy accuracy_ci usd_per_1k reference dearest saving_vs_reference "
        "saving_vs_dearest accuracy_gain tier_share certificate"
    )

    def test_json(self, recording: Path, fit: Callable[..., Result], tmp_path: Path) -> None:
        fit(recording, "--promise", 0.02)
        later = write(tmp_path / "later.jsonl", rows(300, seed=1))
        result = run("eval", tmp_path / "my.frugal", later, "--json")
        assert result.exit_code == 0
        assert result.stderr == ""
        evaluation = json.loads(result.stdout)
        assert set(self.KEYS.split()) == set(evaluation)
        assert evaluation["queries"] == 300
        for role in ("reference", "dearest"):
            assert set(evaluation[role]) == {"model", "accuracy", "usd_per_1k"}
        assert {"epsilon", "confidence", "n", "holds", "reference"} <= set(
            evaluation["certificate"]
        )
        low, high = evaluation["accuracy_ci"]
        assert low < evaluation["accuracy"] <= high
        assert sum(evaluation["tier_share"].values()) == pytest.approx(1)
        gain = evaluation["accuracy"] - evaluation["reference"]["accuracy"]
        assert evaluation["accuracy_gain"] == pytest.approx(gain)

    def test_without_certificate(
        self, recording: Path, fit: Callable[..., Result], tmp_path: Path
    ) -> None:
        fit(recording, "--budget", 0.02)
        assert (
            json.loads(run("eval", tmp_path / "my.frugal", recording, "--json").stdout)[
                "certificate"
            ]
            is None
        )

    def test_in_words(self, recording: Path, fit: Callable[..., Result], tmp_path: Path) -> None:
        fit(recording, "--promise", 0.02)
        printed = run("eval", tmp_path / "my.frugal", recording).stdout
        assert "large (reference)" in printed
        assert "held on these 600 labelled queries" in printed
        worse = [
            {**row, "answers": {**row["answers"], "small": answer("mauve", confidence=-0.05)}}
            for row in rows(300)
        ]
        broken = write(tmp_path / "worse.jsonl", worse)
        assert "DID NOT HOLD" in run("eval", tmp_path / "my.frugal", broken).stdout

    def test_hints_speak_of_options(
        self, recording: Path, fit: Callable[..., Result], tmp_path: Path
    ) -> None:
        fit(recording, "--promise", 0.02)
        bare = [{k: v for k, v in row.items() if k != "reference"} for row in rows(60)]
        result = run("eval", tmp_path / "my.frugal", write(tmp_path / "bare.jsonl", bare))
        assert "fit with --labels reference to measure agreement" in refused(result)

    def test_a_policy_whose_grader_was_a_function(self, tmp_path: Path) -> None:
        """What is recorded as right needs no grader; what is not, asks for one."""
        write_prices(tmp_path)
        path = write(tmp_path / "answers.jsonl", rows(600))
        graded = Recording.load(path, tmp_path / "prices.json", lambda said, gold: said == gold)
        policy = tmp_path / "my.frugal"
        fit_policy(graded, budget=0.02, student=False).save(policy)
        graded.save(tmp_path / "with_correct.jsonl")
        assert run("eval", policy, tmp_path / "with_correct.jsonl").exit_code == 0
        said = refused(run("eval", policy, path))
        assert "record `correct`, or name a grader (exact, " in said
        assert run("eval", policy, path, "--grader", "exact").exit_code == 0

    def test_missing_model(
        self, recording: Path, fit: Callable[..., Result], tmp_path: Path
    ) -> None:
        fit(recording, "--promise", 0.02)
        only = [{**row, "answers": {"large": row["answers"]["large"]}} for row in rows(20)]
        result = run("eval", tmp_path / "my.frugal", write(tmp_path / "only.jsonl", only))
        assert "no answers of small" in refused(result)


def _changed(change: Callable[[list[Row]], None]) -> str:
    made = rows(30)
    change(made)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made)


def _without_text(made: list[Row]) -> None:
    del made[4]["answers"]["small"]["text"]


def _same_id(made: list[Row]) -> None:
    made[7]["id"] = "q3"


def _unpriced(made: list[Row]) -> None:
    made[0]["answers"]["house-model"] = answer("red")


class TestDegenerateRecordings:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", ["in.jsonl: holds no query"]),
            (_changed(lambda made: None) + '{"id": \n', ["in.jsonl, line 31", "not JSON"]),
            (_changed(_without_text), ["in.jsonl, line 5", "answers.small.text"]),
            (_changed(_same_id), ["in.jsonl, line 8", "'q3' was already used"]),
            (_changed(_unpriced), ["unpriced model 'house-model'", "--prices"]),
        ],
    )
    def test_refused_with_the_place(
        self, tmp_path: Path, fit: Callable[..., Result], content: str, said: list[str]
    ) -> None:
        write_prices(tmp_path)
        path = tmp_path / "in.jsonl"
        path.write_text(content, encoding="utf-8")
        message = refused(fit(path))
        for part in said:
            assert part in message

    def test_broken_prices(self, recording: Path, fit: Callable[..., Result]) -> None:
        prices = recording.with_name("prices.json")
        prices.write_text('{"small": "cheap"}')
        assert "price of 'small'" in refused(fit(recording))
        prices.write_text("not json")
        assert "prices.json is not JSON" in refused(fit(recording))

    def test_twenty_rows(self, tmp_path: Path, fit: Callable[..., Result]) -> None:
        write_prices(tmp_path)
        result = fit(write(tmp_path / "in.jsonl", rows(20)), "--labels", "reference")
        assert result.exit_code == 0
        assert "Verdict: use large alone: no cheaper policy could be shown" in result.stdout

    def test_one_model(self, tmp_path: Path, fit: Callable[..., Result]) -> None:
        write_prices(tmp_path)
        one = [{**row, "answers": {"large": row["answers"]["large"]}} for row in rows(60)]
        result = fit(write(tmp_path / "in.jsonl", one))
        assert result.exit_code == 0
        assert "Verdict: use large alone: no cascade is cheaper" in result.stdout

    def test_all_answers_equal(self, tmp_path: Path, fit: Callable[..., Result]) -> None:
        write_prices(tmp_path)
        same = [
            {**row, "reference": "red", "answers": {"small": answer("red"), "large": answer("red")}}
            for row in rows(600)
        ]
        result = fit(write(tmp_path / "in.jsonl", same), "--json")
        assert result.exit_code == 0
        summary = json.loads(result.stdout)
        assert summary["cascade"]["accuracy"] == 1
        assert summary["reference"]["model"] == "small"  # of equals, the cheaper one

    def test_unicode_and_nan_confidence(self, tmp_path: Path, fit: Callable[..., Result]) -> None:
        write_prices(tmp_path, {"小型模型": [0.1, 0.1], "größer": [2, 6]})
        made: list[dict[str, Any]] = [
            {
                **row,
                "query": f"🎨 {row['query']} 是什么颜色",
                "answers": {
                    "小型模型": {**row["answers"]["small"], "confidence": float("nan")},
                    "größer": row["answers"]["large"],
                },
            }
            for row in rows(300)
        ]
        result = fit(write(tmp_path / "in.jsonl", made), "--promise", 0.05)
        assert result.exit_code == 0, result.stderr
        assert "小型模型" in result.stdout
        printed = run("eval", tmp_path / "my.frugal", tmp_path / "in.jsonl", "--json").stdout
        assert "NaN" not in printed

    def test_real_headlines(self, tmp_path: Path, fit: Callable[..., Result]) -> None:
        real = real_rows("headlines_train.jsonl.gz", 800)
        prices = json.loads((REAL / "prices_labels.json").read_text())
        write_prices(tmp_path, prices)
        names = "gpt-4o,gemini-1.5-flash-002,Phi-3-mini-4k-instruct,llama-3-8B"
        path = write(tmp_path / "in.jsonl", real)
        result = fit(path, "--promise", 0.02, "--tiers", names, "--json")
        summary = json.loads(result.stdout)
        assert len(summary["singles"]) == 4
        assert summary["dearest"]["model"] == "gpt-4o"
        assert summary["saving_vs_dearest"] > 0.9


def test_a_saving_never_reads_as_all_unless_it_is() -> None:
    assert percent(0.999999) == "99.9999 %"
    assert percent(0.9996) == "99.96 %"
    assert percent(1.0) == "100.0 %"
    assert percent(0.00004) == "0.004 %"
    assert saved(-0.25, "small", "the reference") == "25.0 % more than small (the reference)"
