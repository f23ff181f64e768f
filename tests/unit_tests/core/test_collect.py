"""`frugal collect`: nothing that was paid for is lost, and nothing is paid for twice."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from frugal_core import PriceBook, Recording
from frugal_core.cascade import Failure, Reply
from frugal_core.cli import app
from frugal_core.errors import RecordingError, UnpricedModelError, describe
from frugal_core.learn.collect import Tally, collect, quote
from frugal_core.learn.collection import Collection, Question, read_questions
from frugal_core.tokens import estimate_tokens
from tests.servers import Answer, Fault, Request, ScriptedServer

BOOK = PriceBook({"small": [1.0, 2.0], "large": [10.0, 20.0]}, table=False)
QUESTIONS = [Question(f"q{i}", f"What is {i} + {i}?", str(2 * i)) for i in range(6)]


class StatusError(Exception):
    """An error with an HTTP status, as providers' clients raise them."""

    def __init__(self, status_code: int, message: str = "no") -> None:
        super().__init__(message)
        self.status_code = status_code


def echo(text: str) -> Reply:
    """A tier that repeats the question."""
    return Reply(text, input_tokens=10, output_tokens=5)


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of a recording by id."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {row["id"]: row for row in map(json.loads, lines)}


def gather(
    path: Path, concurrency: int = 3, **tiers: Callable[[str], Reply | Failure]
) -> list[Tally]:
    """Ask these tiers all questions."""
    with Collection(path, QUESTIONS) as collection:
        return collect(collection, tiers, BOOK, concurrency=concurrency)


class TestQuestions:
    def test_a_question_a_line(self, tmp_path: Path) -> None:
        path = tmp_path / "q.txt"
        path.write_text("\ufeffWhat?\n\n  Wo liegt Köln? \nWhat?\n", encoding="utf-8")
        first, second, third = read_questions(path)
        assert [first.text, second.text, third.text] == ["What?", "Wo liegt Köln?", "What?"]
        assert third.id == f"{first.id}-2"

    def test_ids_survive_a_change_of_order(self, tmp_path: Path) -> None:
        path = tmp_path / "q.txt"
        path.write_text("one\ntwo\n")
        before = {question.text: question.id for question in read_questions(path)}
        path.write_text("zero\ntwo\none\n")
        after = {question.text: question.id for question in read_questions(path)}
        assert before.items() <= after.items()

    def test_jsonl_and_csv(self, tmp_path: Path) -> None:
        wanted = [Question("7", "2 + 2", "4"), Question("b", "sea, or see?", None)]
        lines = tmp_path / "q.jsonl"
        lines.write_text(
            '{"id": 7, "query": "2 + 2", "reference": 4}\n{"query": "sea, or see?", "id": "b"}\n'
        )
        table = tmp_path / "q.csv"
        table.write_text('id,query,reference\n7,2 + 2,4\nb,"sea, or see?",\n')
        assert read_questions(lines) == wanted
        assert read_questions(table) == wanted

    def test_a_cell_may_hold_a_whole_document(self, tmp_path: Path) -> None:
        path = tmp_path / "q.csv"
        path.write_text(f"query\n{'word ' * 100_000}\n")
        assert len(read_questions(path)[0].text) == 500_000

    def test_a_compressed_recording_is_a_list_of_questions(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.jsonl.gz"
        with gzip.open(path, "wt") as file:
            file.write('{"id": "a", "query": "2 + 2", "answers": {}}\n')
        assert read_questions(path) == [Question("a", "2 + 2")]

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("q.txt", "\n\n", "q.txt: holds no question"),
            ("q.jsonl", '{"query": "a"}\n{"query": 3}\n', "q.jsonl, line 2, query"),
            ("q.jsonl", "{oops\n", "q.jsonl, line 1: not JSON"),
            ("q.jsonl", '{"id": 1, "query": "a"}\n{"id": "1", "query": "b"}\n', "line 2, id: '1'"),
            ("q.csv", "question\nwhat?\n", "q.csv, line 2, query"),
        ],
    )
    def test_refused_with_the_place(
        self, tmp_path: Path, name: str, content: str, said: str
    ) -> None:
        path = tmp_path / name
        path.write_text(content)
        with pytest.raises(RecordingError, match=re.escape(said)):
            read_questions(path)


@pytest.mark.parametrize(
    ("text", "tokens"),  # as the o200k tokenizer counts them
    [
        ("What is the capital of France?", 7),
        ("你好,世界", 3),
        ("Wo liegt Köln am Rhein?", 7),
        ("", 0),
    ],
)
def test_the_estimate_is_on_the_high_side(text: str, tokens: int) -> None:
    assert tokens <= estimate_tokens(text) <= 4 * tokens


class TestCollect:
    def test_every_tier_is_asked_every_question(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        small, large = gather(path, small=echo, large=echo)
        assert (small.answered, large.answered) == (6, 6)
        assert small.usd == pytest.approx(6 * (10 * 1 + 5 * 2) / 1e6)
        assert large.usd == pytest.approx(6 * (10 * 10 + 5 * 20) / 1e6)
        recording = Recording.load(path, prices=BOOK)
        assert [query.id for query in recording] == [question.id for question in QUESTIONS]
        assert recording.queries[1].answers["large"].text == "What is 1 + 1?"
        assert recording.queries[1].reference == "2"
        assert not list(tmp_path.glob("*.journal"))

    def test_compressed(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl.gz"
        gather(path, small=echo)
        gather(path, large=echo)
        assert Recording.load(path, prices=BOOK).models == ["small", "large"]

    def test_what_was_answered_is_not_asked_again(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        gather(path, small=echo)

        def never(text: str) -> Reply:
            raise AssertionError("asked again")

        small, large = gather(path, small=never, large=echo)
        assert (small.answered, small.failed, large.answered) == (0, 0, 6)

    def test_all_fields_are_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        reply = Reply("x", 10, 5, 4, 2, confidence=-0.25, defect="cut short")
        (tally,) = gather(path, small=lambda text: reply)
        assert read(path)["q0"]["answers"]["small"] == {
            "text": "x",
            "input_tokens": 10,
            "output_tokens": 5,
            "cached_tokens": 4,
            "written_tokens": 2,
            "confidence": -0.25,
            "defect": "cut short",
        }
        assert tally.defects == {"cut short": 6}

    def test_whether_an_answer_is_right_is_left_to_the_grader(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        gather(path, small=lambda text: Reply("the answer is 2", 1, 1))
        gather(path, large=echo)
        assert "correct" not in read(path)["q1"]["answers"]["small"]
        assert Recording.load(path, BOOK, grader="number").queries[1].answers["small"].correct

    def test_a_failure_is_recorded_and_asked_again(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"

        def flaky(text: str) -> Reply:
            if "3" in text:
                raise TimeoutError("took too long")
            return echo(text)

        (tally,) = gather(path, small=flaky)
        assert (tally.answered, tally.failed) == (5, 1)
        assert read(path)["q3"]["failures"] == {"small": "TimeoutError: took too long"}
        (tally,) = gather(path, small=echo)
        assert (tally.answered, tally.failed) == (1, 0)
        assert "failures" not in read(path)["q3"]

    def test_a_failure_that_was_billed_is_counted(self, tmp_path: Path) -> None:
        failure = Failure(ValueError("unreadable"), input_tokens=10, output_tokens=5)
        (tally,) = gather(tmp_path / "a.jsonl", small=lambda text: failure)
        assert tally.usd == pytest.approx(6 * 20 / 1e6)

    def test_a_wrong_key_stops_its_tier_only(self, tmp_path: Path) -> None:
        asked = []

        def locked(text: str) -> Reply:
            asked.append(text)
            time.sleep(0.05)
            raise StatusError(401, "Incorrect API key")

        small, large = gather(tmp_path / "a.jsonl", concurrency=1, small=locked, large=echo)
        assert len(asked) <= 3  # one may be under way when the first comes back
        assert small.stopped is not None
        assert "Incorrect API key" in small.stopped
        assert (large.answered, large.stopped) == (6, None)

    def test_a_tier_that_has_answered_is_not_stopped(self, tmp_path: Path) -> None:
        def moody(text: str) -> Reply:
            if "0" in text:
                return echo(text)
            raise StatusError(401)

        (tally,) = gather(tmp_path / "a.jsonl", concurrency=1, small=moody)
        assert (tally.failed, tally.stopped) == (5, None)

    def test_usage_that_is_not_reported_is_estimated(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        (tally,) = gather(path, small=lambda text: Reply("a word", metered=False))
        assert tally.estimated == 6
        assert tally.usd > 0
        said = read(path)["q0"]["answers"]["small"]
        assert said["estimated"] is True
        assert said["input_tokens"] >= 7
        assert said["output_tokens"] >= 2

    def test_an_unpriced_tier_is_refused_before_it_is_asked(self, tmp_path: Path) -> None:
        with Collection(tmp_path / "a.jsonl", QUESTIONS) as collection:
            with pytest.raises(UnpricedModelError, match="mystery"):
                quote(collection, ["mystery"], BOOK, 100)
            with pytest.raises(UnpricedModelError, match="mystery"):
                collect(collection, {"mystery": echo}, BOOK)
        assert not (tmp_path / "a.jsonl").exists()

    def test_calls_run_at_the_same_time(self, tmp_path: Path) -> None:
        together = threading.Barrier(3, timeout=10)

        def waits(text: str) -> Reply:
            together.wait()
            return echo(text)

        (tally,) = gather(tmp_path / "a.jsonl", concurrency=3, small=waits)
        assert tally.answered == 6

    def test_a_full_disk_stops_the_spending(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def counted(text: str) -> Reply:
            asked.append(text)
            time.sleep(0.05)
            return echo(text)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with Collection(tmp_path / "a.jsonl", QUESTIONS) as collection:
            monkeypatch.setattr(collection, "add", full)
            with pytest.raises(OSError, match="No space"):
                collect(collection, {"small": counted}, BOOK, concurrency=1)
            so_far = len(asked)
            time.sleep(0.3)
            assert len(asked) <= so_far + 1


class TestCollection:
    def test_a_torn_journal_is_repaired(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        collection = Collection(path, QUESTIONS)
        collection.add(QUESTIONS[0], "small", echo("über"))
        collection.add(QUESTIONS[1], "small", echo("über"))
        journal = tmp_path / "a.jsonl.journal"
        collection._journal.close()  # as kill -9 leaves it
        whole = journal.read_bytes()
        for cut in (len(whole) - 1, len(whole) - 40, whole.rindex("ü".encode()) + 1):
            journal.write_bytes(whole[:cut])
            with Collection(path, QUESTIONS) as again:
                assert (QUESTIONS[0], "small") not in again.missing(["small"])
                assert (QUESTIONS[1], "small") in again.missing(["small"])
            assert list(read(path)) == ["q0"]

    def test_a_journal_outlives_its_questions(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        collection = Collection(path, QUESTIONS)
        collection.add(QUESTIONS[0], "small", echo("x"))
        collection._journal.close()
        with Collection(path, QUESTIONS[1:]):
            pass
        assert list(read(path)) == ["q0"]

    def test_gold_answers_may_come_later(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        bare = [Question(question.id, question.text) for question in QUESTIONS]
        with Collection(path, bare) as collection:
            collection.add(bare[1], "small", echo("2"))
        with Collection(path, QUESTIONS):
            pass
        assert read(path)["q1"]["reference"] == "2"

    def test_two_processes_cannot_write_one_recording(self, tmp_path: Path) -> None:
        pytest.importorskip("fcntl")
        with (
            Collection(tmp_path / "a.jsonl", QUESTIONS),
            pytest.raises(RecordingError, match="another `frugal collect`"),
        ):
            Collection(tmp_path / "a.jsonl", QUESTIONS)

    def test_other_prompts_are_not_mixed_in(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        gather(path, small=echo)
        before = path.read_bytes()
        with pytest.raises(RecordingError, match="another system prompt"):
            Collection(path, QUESTIONS, "Be brief.")
        with pytest.raises(RecordingError, match="its query is not the one"):
            Collection(path, [Question("q0", "Something else?")])
        assert path.read_bytes() == before

    def test_other_files_are_not_overwritten(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text('{"prompt": "mine"}\n')
        with pytest.raises(RecordingError, match="line 1: not a row of a recording"):
            Collection(path, QUESTIONS)
        assert path.read_text() == '{"prompt": "mine"}\n'
        assert list(tmp_path.iterdir()) == [path]

    def test_half_a_character_is_kept_as_far_as_it_goes(self, tmp_path: Path) -> None:
        gather(tmp_path / "a.jsonl", small=lambda text: Reply("cut \ud83d", 1, 1))
        assert read(tmp_path / "a.jsonl")["q0"]["answers"]["small"]["text"] == "cut ?"

    def test_nothing_answered_nothing_written(self, tmp_path: Path) -> None:
        with Collection(tmp_path / "a.jsonl", QUESTIONS):
            pass
        assert list(tmp_path.iterdir()) == []


def test_a_quote_covers_what_is_left(tmp_path: Path) -> None:
    with Collection(tmp_path / "a.jsonl", QUESTIONS, "Be brief.") as collection:
        collection.add(QUESTIONS[0], "small", echo("x"))
        small, large = quote(collection, ["small", "large"], BOOK, 100)
    assert (small.calls, large.calls) == (5, 6)
    assert small.output_tokens == 500
    assert small.usd == pytest.approx((small.input_tokens * 1 + 500 * 2) / 1e6)


def test_no_key_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOUSE_API_KEY", "hunter2-hunter2")
    assert "hunter2" not in describe(ValueError("bad key provided: hunter2-hunter2"))
    assert "abcdef" not in describe(ValueError("Incorrect API key provided: sk-abcdef"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs: twelve questions and prices."""
    (tmp_path / "q.txt").write_text("".join(f"What is {i} + {i}?\n" for i in range(12)))
    prices = {"openai:cheap": [1, 2], "openai:strong": [10, 20], "openai:gpt-4o-mini": [1, 2]}
    (tmp_path / "p.json").write_text(json.dumps(prices))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return tmp_path


def arguments(server: ScriptedServer | None, *tiers: str) -> list[str]:
    named = [part for tier in tiers for part in ("--tier", f"openai:{tier}")]
    url = ["--base-url", server.base_url] if server else []
    return ["collect", "q.txt", *named, *url, "--prices", "p.json", "-o", "a.jsonl"]


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


class TestCommand:
    def test_collects_through_a_real_client(self, folder: Path) -> None:
        def strong(request: Request) -> str:
            return f"{request.messages[0]['content']} {request.prompt}"

        with ScriptedServer({"cheap": "4", "strong": strong}) as server:
            result = run(*arguments(server, "cheap", "strong"), "--system", "Be brief.", "--yes")
        assert result.exit_code == 0, result.output
        assert "Written to a.jsonl" in result.stdout
        row = next(row for row in read(Path("a.jsonl")).values() if "3 + 3" in row["query"])
        assert row["answers"]["openai:strong"]["text"] == "Be brief. What is 3 + 3?"
        tokens = server.tokens["cheap"]
        spent = (tokens.input * 1 + tokens.output * 2) / 1e6
        assert re.search(rf"openai:cheap +12 +0 +{re.escape(f'{spent:.4g}')}", result.stdout)
        assert len(Recording.load("a.jsonl", prices="p.json")) == 12

    def test_log_probabilities_as_at_run_time(self, folder: Path) -> None:
        said = Answer("two words", logprob=[-0.1, -0.3])
        with ScriptedServer({"gpt-4o-mini": said, "cheap": said}) as server:
            run(*arguments(server, "gpt-4o-mini", "cheap"), "--yes")
        answers = next(iter(read(Path("a.jsonl")).values()))["answers"]
        assert answers["openai:gpt-4o-mini"]["confidence"] == pytest.approx(-0.2)
        assert "confidence" not in answers["openai:cheap"]  # a cascade would not ask it either

    def test_options_reach_the_model(self, folder: Path) -> None:
        with ScriptedServer("4") as server:
            run(*arguments(server, "cheap"), "--max-output-tokens", "7", "--temperature", "0", "-y")
        body = server.requests[0].body
        assert body.get("max_completion_tokens", body.get("max_tokens")) == 7
        assert body["temperature"] == 0

    def test_the_price_is_quoted_and_nobody_pays_unasked(self, folder: Path) -> None:
        with ScriptedServer("4") as server:
            result = run(*arguments(server, "cheap"), "--max-output-tokens", "10")
        assert result.exit_code == 2
        assert "error: nobody is there to accept the price: add --yes" in result.stderr
        assert re.search(r"openai:cheap +12 +\d+ +120 ", result.stdout)
        assert not server.requests
        assert not Path("a.jsonl").exists()

    @pytest.mark.parametrize(("typed", "calls"), [("y\n", 12), ("n\n", 0)])
    def test_the_price_is_asked(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, typed: str, calls: int
    ) -> None:
        monkeypatch.setattr("frugal_core.cli.console.someone_is_there", lambda: True)
        with ScriptedServer("4") as server:
            result = CliRunner().invoke(app, arguments(server, "cheap"), input=typed)
        assert len(server.requests) == calls
        assert result.exit_code == (0 if calls else 1)

    def test_nothing_left_to_ask(self, folder: Path) -> None:
        with ScriptedServer("4") as server:
            run(*arguments(server, "cheap"), "--yes")
            result = run(*arguments(server, "cheap"))
        assert result.exit_code == 0
        assert "a.jsonl has every answer" in result.stdout
        assert len(server.requests) == 12

    def test_failures_do_not_stop_it(self, folder: Path) -> None:
        def flaky(request: Request) -> Answer | Fault:
            return Fault.bad_request() if "3 + 3" in request.prompt else Answer("4")

        with ScriptedServer({"cheap": flaky}) as server:
            result = run(*arguments(server, "cheap"), "--yes")
        assert result.exit_code == 0
        assert re.search(r"openai:cheap +11 +1 ", result.stdout)
        assert "openai:cheap: 1 of 12 calls failed, the first with " in result.stderr
        assert "again" in result.stderr
        failed = [row for row in read(Path("a.jsonl")).values() if "failures" in row]
        assert len(failed) == 1
        with ScriptedServer("4") as server:
            run(*arguments(server, "cheap"), "--yes")
        assert len(server.requests) == 1

    def test_a_tier_that_never_answers(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "a-most-secret-value")
        broken = Fault.bad_request("no, a-most-secret-value")
        with ScriptedServer({"cheap": broken, "strong": "4"}) as server:
            result = run(*arguments(server, "cheap", "strong"), "--yes")
        assert result.exit_code == 2
        (complaint,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert complaint.startswith("error: openai:cheap: all 12 calls failed, the first with ")
        assert "a-most-secret-value" not in result.output
        assert "Run the same command again" in result.stderr
        rows = read(Path("a.jsonl")).values()
        assert all("openai:cheap" in row["failures"] for row in rows)
        assert all("openai:strong" in row["answers"] for row in rows)

    def test_a_dead_server(self, folder: Path) -> None:
        with ScriptedServer("4") as server:
            pass
        result = run(*arguments(server, "cheap"), "--yes", "--concurrency", "12")
        assert result.exit_code == 2
        assert "error: openai:cheap: all 12 calls failed, the first with " in result.stderr
        assert "that the server can be reached" in result.stderr
        assert len(read(Path("a.jsonl"))) == 12
        with ScriptedServer("4") as server:
            assert run(*arguments(server, "cheap"), "--yes").exit_code == 0
        assert len(server.requests) == 12

    def test_a_wrong_key(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "a-most-secret-value")
        with ScriptedServer({"cheap": Fault.wrong_key(), "strong": "4"}) as server:
            result = run(*arguments(server, "cheap", "strong"), "--yes", "--concurrency", "2")
        assert result.exit_code == 2
        assert result.stderr.count("error: ") == 1
        assert "error: openai:cheap was given up" in result.stderr
        assert server.calls["cheap"] < 5
        assert server.calls["strong"] == 12
        assert "a-most-secret-value" not in result.output + Path("a.jsonl").read_text()

    def test_a_missing_key(self, folder: Path) -> None:
        result = run(*arguments(None, "gpt-4o-mini"), "--yes")
        assert result.exit_code == 2
        assert result.stderr.startswith("error: tier 'openai:gpt-4o-mini': ")
        assert "OPENAI_API_KEY" in result.stderr

    def test_langchain_is_not_installed(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "langchain_frugal.asking", None)
        result = run(*arguments(None, "gpt-4o-mini"), "--yes")
        assert result.exit_code == 2
        assert "pip install 'frugal-cascade[langchain]'" in result.stderr

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            (["-o", "a.csv"], ".jsonl or .jsonl.gz"),
            (["--prices", "no.json"], "cannot read no.json"),
        ],
    )
    def test_bad_arguments(self, folder: Path, more: list[str], said: str) -> None:
        result = run(*arguments(None, "cheap"), *more)
        assert result.exit_code == 2
        assert said in result.stderr


class TestInterruption:
    """True processes, truly interrupted."""

    @staticmethod
    def start(server: ScriptedServer) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "from frugal_core.cli import main; main()"]
        return subprocess.Popen(
            [*command, *arguments(server, "cheap"), "--yes", "--concurrency", "2"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    @staticmethod
    def wait_for(condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 40
        while not condition():
            assert time.monotonic() < until, "nothing happened"
            time.sleep(0.01)

    def test_kill_9(self, folder: Path) -> None:
        journal = Path("a.jsonl.journal")
        with ScriptedServer({"cheap": lambda request: Answer("4", delay=0.1)}) as server:
            process = self.start(server)
            self.wait_for(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 3)
            process.kill()
            process.communicate()
            kept = journal.read_bytes().count(b"\n")
            with journal.open("ab") as file:
                file.write(b'{"id": "torn", "query": "Wh')
            asked = len(server.requests)
            result = run(*arguments(server, "cheap"), "--yes")
            assert result.exit_code == 0, result.output
        assert 3 <= kept < 12
        assert len(server.requests) - asked == 12 - kept
        rows = read(Path("a.jsonl"))
        assert len(rows) == 12
        assert all(row["answers"]["openai:cheap"]["text"] == "4" for row in rows.values())

    def test_ctrl_c_keeps_what_is_under_way(self, folder: Path) -> None:
        with ScriptedServer({"cheap": lambda request: Answer("4", delay=0.3)}) as server:
            process = self.start(server)
            self.wait_for(lambda: len(server.requests) >= 4)
            process.send_signal(signal.SIGINT)
            _, complaint = process.communicate(timeout=40)
        assert process.returncode == 130
        assert complaint.startswith("error: interrupted; a.jsonl has what was paid for")
        assert len(read(Path("a.jsonl"))) == len(server.requests) < 12
        assert not Path("a.jsonl.journal").exists()

    def test_a_second_ctrl_c_does_not_wait(self, folder: Path) -> None:
        with ScriptedServer({"cheap": ["4", "4", Fault.hang()]}) as server:
            process = self.start(server)
            self.wait_for(lambda: len(server.requests) >= 4)
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
        assert process.returncode == 130
        assert len(read(Path("a.jsonl"))) == 2
