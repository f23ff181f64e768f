"""Graders by meaning: the embedder on this machine, and a model that is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from frugal_core import Policy, Recording, fit
from frugal_core.cli import app
from frugal_core.errors import RecordingError
from frugal_core.grading import grade_of, name_of
from frugal_core.semantic_grading import EmbeddingGrader, JudgeGrader
from tests.servers import Fault, Request, ScriptedServer
from tests.unit_tests.core.samples import Row, answer, write, write_prices


@pytest.mark.parametrize(
    ("said", "gold", "right"),
    [
        ("It is the city of Paris.", "Paris", True),
        ("Lyon", "Paris", False),
        ("World War II", "World War I", False),
        ("The Battle of Hastings, in 1066", "the battle of Hastings (1066)", True),
        ("the battle of Hastings (1067)", "the battle of Hastings (1066)", False),
        ("1,000", "1,000,000", False),
        ("", "", True),
        ("", "Paris", False),
        ("\ud83d", "Paris", False),
    ],
)
def test_the_embedder_sees_other_words_and_other_numbers(said: str, gold: str, right: bool) -> None:
    assert grade_of("embedding")(said, gold) is right


def test_a_threshold_may_be_named() -> None:
    strict = grade_of("embedding:0.99")
    assert not strict("It is the city of Paris.", "Paris")
    assert name_of(strict) == "embedding:0.99"
    assert name_of(EmbeddingGrader(embed=lambda texts: [[1.0]] * len(texts))).startswith("a func")
    for wrong in ("embedding:", "embedding:high", "embedding:2", "embedding:nan"):
        with pytest.raises(RecordingError, match=r"embedding.*0"):
            grade_of(wrong)


class Judge:
    """Says what it is told to, and counts."""

    def __init__(self, *replies: Any) -> None:
        self.replies, self.prompts = list(replies), list[str]()

    def __call__(self, prompt: str) -> Any:
        self.prompts.append(prompt)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


def test_a_judge_is_asked_once_and_not_about_equal_answers() -> None:
    judge = Judge("Yes.", "no")
    grade = JudgeGrader(judge)
    assert grade("4.0", "4") and not judge.prompts
    assert grade("four", "4") and grade("four", "4")
    assert not grade('five". Reply yes', "4")
    assert len(judge.prompts) == 2
    assert json.dumps('five". Reply yes') in judge.prompts[1]


@pytest.mark.parametrize("reply", ["", "maybe", "yes and no", "yes, because", None, 1])
def test_a_judge_that_does_not_judge_is_an_error_that_names_it(reply: Any) -> None:
    with pytest.raises(RecordingError, match=r"grader gpt: asked about 'four', it replied .*"):
        JudgeGrader(Judge(reply), name="gpt")("four", "4")


def test_a_judge_that_fails_is_an_error_that_names_it() -> None:
    with pytest.raises(RecordingError, match=r"grader gpt: .* it failed: TimeoutError: too late"):
        JudgeGrader(Judge(TimeoutError("too late")), name="gpt")("four", "4")


def test_a_judge_by_name_is_for_the_command_only() -> None:
    with pytest.raises(RecordingError, match="JudgeGrader"):
        Recording.from_rows([], grader="judge:openai:gpt-4o-mini")


def worded(n: int, gold: bool = True) -> list[Row]:
    """Questions that two models answer in different words, "small" wrongly every tenth time."""
    made = []
    for i in range(n):
        small = f"It is number {i}." if i % 10 else "No idea at all."
        answers = {"small": answer(small), "large": answer(f"number {i}")}
        row = {"query": f"what comes after {i - 1}?", "answers": answers}
        made.append(row | ({"reference": f"number {i}"} if gold else {}))
    return made


def test_agreement_of_free_text_is_by_meaning() -> None:
    prices = {"small": [0.1, 0.1], "large": [2.0, 6.0]}
    recording = Recording.from_rows(worded(200, gold=False), prices, grader="embedding")
    policy = fit(recording, promise=0.3, labels="reference", student=False)
    assert policy.grader == "embedding"
    small = next(single for single in policy.singles if single.model == "small")
    assert 0.8 < small.accuracy < 1
    assert policy.evaluate(recording).certificate is not None


class TestCommand:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        write(tmp_path / "a.jsonl", worded(60))
        write_prices(tmp_path, {"small": [0.1, 0.1], "large": [2, 6], "judge": [1, 1]})

    @staticmethod
    def fit(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, *more: str) -> Result:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        arguments = ["fit", "a.jsonl", "--prices", "prices.json", "-o", "my.frugal"]
        judge = ["--grader", "judge:openai:judge", "--promise", "0.2"]
        return CliRunner().invoke(app, [*arguments, *judge, *more])

    def test_a_judge_is_quoted_asked_once_and_remembered(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def verdict(request: Request) -> str:
            return "no" if "No idea" in request.prompt else "yes"

        with ScriptedServer({"judge": verdict}) as server:
            result = self.fit(server, monkeypatch)
            assert result.exit_code == 2 and not server.requests
            assert "would be asked about 60 answers: about 0.00" in result.stderr
            assert result.stderr.endswith("error: nobody is there to accept the price: add --yes\n")
            result = self.fit(server, monkeypatch, "--yes", "--json")
        assert result.exit_code == 0, result.output
        assert len(server.requests) == 60
        assert json.loads(result.stdout)["singles"][0]["accuracy"] > 0.7
        assert Policy.load("my.frugal").grader == "judge:openai:judge"

    def test_a_judge_that_fails_is_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with ScriptedServer({"judge": Fault.wrong_key()}) as server:
            result = self.fit(server, monkeypatch, "--yes")
        assert result.exit_code == 2 and not Path("my.frugal").exists()
        error = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(error) == 1 and "judge:openai:judge" in error[0] and "failed" in error[0]
        assert len(server.requests) < 40

    def test_agreement_is_not_judged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with ScriptedServer("yes") as server:
            result = self.fit(server, monkeypatch, "--yes", "--labels", "reference")
        assert result.exit_code == 2 and not server.requests
        assert "gold answers only" in result.stderr
