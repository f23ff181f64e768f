"""Prompt rewriting: what is proposed, what it may cost, and what counts as proof."""

from __future__ import annotations

import random
from typing import Any

import pytest

from frugal_core.adapt import numbered
from frugal_core.adapt.proposing import ask_for_prompts, placeholders, read_prompts
from frugal_core.adapt.rewrite import Rewritten, rewrite
from frugal_core.adapt.rows import Example
from frugal_core.adapt.spending import Propose, Request, Spend, Try
from frugal_core.cascade import Failure, Reply
from frugal_core.errors import FrugalError
from frugal_core.pricing import Price
from tests.unit_tests.core.adapt.driving import drive

ORIGINAL = "Please read the following carefully, and then answer yes or no."
SMALL, LARGE = Price(0.1, 0.4), Price(2.5, 10.0)


def rows(n: int) -> list[Example]:
    return [Example(f"question {i}", "yes") for i in range(n)]


class Models:
    """A large model that proposes `accuracy`'s prompts, and a small one that is so often right.

    Whether it is right on a row under a prompt is drawn once; tokens are the prompt's words.
    """

    def __init__(self, accuracy: dict[str, float], seed: int = 0) -> None:
        self.accuracy = accuracy
        self.draw = random.Random(seed)
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Reply | Failure:
        self.requests.append(request)
        if isinstance(request, Propose):
            proposals = [prompt for prompt in self.accuracy if prompt != ORIGINAL]
            return Reply(numbered.reply(proposals), 400, 100)
        right = self.draw.random() < self.accuracy[request.prompt]
        return Reply("yes" if right else "no", 10 * len(request.prompt.split()), 1)

    @property
    def tried(self) -> list[Try]:
        return [request for request in self.requests if isinstance(request, Try)]


def search(models: Any, n: int = 600, **options: Any) -> Rewritten:
    options = {"spend": Spend(calls=2000), "candidates": 8, **options}
    return drive(rewrite(ORIGINAL, rows(n), **options), models)


def test_a_shorter_prompt_that_does_as_well_is_certified() -> None:
    found = search(Models({ORIGINAL: 0.9, "Yes or no?": 0.95, "Say it.": 0.2}), promise=0.02)
    assert found.improved and found.prompt == "Yes or no?"
    assert found.certificate is not None and found.certificate.epsilon == 0.02
    assert found.certificate.n == 300, "half of the rows, and none that sifted"
    assert "% cheaper per row" in found.verdict and "the original prompt" in found.verdict


def test_a_longer_prompt_must_be_more_accurate() -> None:
    longer = f"{ORIGINAL} Think of what is true, and say it in one word."
    better = search(Models({ORIGINAL: 0.6, longer: 0.9}))
    equal = search(Models({ORIGINAL: 0.9, longer: 0.9}, seed=3))
    assert better.prompt == longer
    assert better.certificate is not None and better.certificate.epsilon == 0.0
    assert "more accurate" in better.verdict
    assert not equal.improved and equal.prompt == ORIGINAL


def test_a_worse_prompt_is_not_even_tested() -> None:
    models = Models({ORIGINAL: 0.9, "Hm?": 0.5})
    found = search(models)
    assert found.prompt == ORIGINAL and "no proposal looked better" in found.verdict
    assert len(models.tried) <= 2 * 300


def test_without_enough_rows_the_original_stays_and_the_verdict_says_what_is_missing() -> None:
    found = search(Models({ORIGINAL: 0.9, "Yes or no?": 0.93}, seed=2), n=60)
    assert found.prompt == ORIGINAL and found.certificate is None
    assert "keep the original" in found.verdict


def test_luck_is_certified_no_oftener_than_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight shorter prompts that truly lose epsilon: at most one search in twenty is fooled."""
    # Only words for the verdict, which take longer than all the rest.
    monkeypatch.setattr("frugal_core.adapt.rewrite.rows_needed", lambda *rates: None)
    fooled = 0
    for seed in range(100):
        accuracy = {ORIGINAL: 0.85} | {f"Short {i}": 0.80 for i in range(8)}
        fooled += search(Models(accuracy, seed), n=200, promise=0.05).improved
    assert fooled <= 11  # 5 % of 100, and three standard errors


@pytest.mark.parametrize("calls", [40, 100, 333])
def test_never_makes_more_calls_than_stated(calls: int) -> None:
    models = Models({ORIGINAL: 0.8} | {f"Prompt {i}": 0.8 for i in range(8)})
    found = search(models, spend=Spend(calls=calls))
    assert found.calls == len(models.requests) <= calls
    assert found.usd is None


@pytest.mark.parametrize("usd", [0.012, 0.03])
def test_never_spends_more_than_stated(usd: float) -> None:
    models = Models({ORIGINAL: 0.8} | {f"Prompt {i}": 0.85 for i in range(8)})
    found = search(models, spend=Spend(usd=usd), price=SMALL, proposer_price=LARGE, n=4000)
    paid = LARGE.cost(400, 100) + sum(
        SMALL.cost(10 * len(trial.prompt.split()), 1) for trial in models.tried
    )
    assert found.usd == pytest.approx(paid)
    assert usd / 3 < paid <= usd


@pytest.mark.parametrize("seed", range(10))
def test_rows_of_very_different_lengths_cost_what_they_cost(seed: int) -> None:
    draw = random.Random(seed)
    uneven = [
        Example(f"question {i} " + "word " * int(draw.paretovariate(1.2)), "yes")
        for i in range(2000)
    ]
    models = Models({ORIGINAL: 0.8} | {f"Prompt {i}": 0.85 for i in range(4)}, seed)

    def by_length(request: Request) -> Reply:
        reply = models(request)
        assert isinstance(reply, Reply)
        if isinstance(request, Propose):
            return reply
        return Reply(reply.text, 2 * len(request.row.text.split()) + 9, 1)

    usd = 0.03
    loop = rewrite(ORIGINAL, uneven, spend=Spend(usd=usd), price=SMALL, proposer_price=LARGE)
    found = drive(loop, by_length)
    assert found.usd is not None
    assert usd / 3 < found.usd <= usd


@pytest.mark.parametrize("usd", [0.5, 2.0])
def test_half_is_kept_for_the_test_however_long_the_answers_are(usd: float) -> None:
    models = Models({ORIGINAL: 0.8} | {f"Prompt {i}": 0.85 for i in range(8)})

    def chatty(request: Request) -> Reply:
        reply = models(request)
        assert isinstance(reply, Reply)
        return reply if isinstance(request, Propose) else Reply(reply.text, 50, 1000)

    spend = Spend(usd=usd)
    found = search(chatty, spend=spend, price=SMALL, proposer_price=LARGE, n=4000)
    assert found.usd is not None and found.usd <= usd
    said = found.verdict
    tested = (
        found.certificate.n if found.certificate else int(said.split("tested on ")[1].split()[0])
    )
    assert 2 * tested * SMALL.cost(50, 1000) > usd / 4


def test_halving_spends_more_on_better_prompts() -> None:
    accuracy = {ORIGINAL: 0.7} | {f"Prompt {i}": 0.3 + 0.08 * i for i in range(8)}
    found = search(Models(accuracy), spend=Spend(calls=800))
    rows_of = {tried.prompt: tried.rows for tried in found.tried}
    assert rows_of["Prompt 7"] > 2 * rows_of["Prompt 0"] > 0
    assert "given up in round 1" in {tried.why for tried in found.tried}


def test_rows_for_the_test_are_seen_by_nothing_before() -> None:
    models = Models({ORIGINAL: 0.5, "Yes or no?": 0.9})
    found = search(models, n=100)
    assert found.certificate is not None
    sifted = [trial.row.text for trial in models.tried][: -2 * found.certificate.n]
    tested = {trial.row.text for trial in models.tried[-2 * found.certificate.n :]}
    assert not tested & set(sifted)
    (asked,) = [request.text for request in models.requests if isinstance(request, Propose)]
    assert not any(f"{text}\n" in asked for text in tested)


def test_recorded_answers_of_the_original_are_not_bought_again() -> None:
    models = Models({"Yes or no?": 0.95})
    given = rows(400)
    recorded = [Reply("yes" if i % 10 else "no", 110, 1) for i in range(400)]
    loop = rewrite(ORIGINAL, given, spend=Spend(calls=900), promise=0.02, recorded=recorded)
    found = drive(loop, models)
    assert found.prompt == "Yes or no?"
    assert ORIGINAL not in {trial.prompt for trial in models.tried}


def test_unmetered_answers_are_paid_for_by_estimate() -> None:
    models = Models({ORIGINAL: 0.8, "Yes or no?": 0.9})

    def unmetered(request: Request) -> Reply:
        reply = models(request)
        assert isinstance(reply, Reply)
        return Reply(reply.text, metered=False)

    spend = Spend(usd=0.01)
    found = search(unmetered, spend=spend, price=SMALL, proposer_price=LARGE)
    assert found.usd is not None and 0.001 < found.usd <= 0.01


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"n": 10}, "10 rows with a right answer"),
        ({"spend": Spend(usd=1.0)}, "needs the prices of both models"),
        (
            {"spend": Spend(usd=1e-6), "price": SMALL, "proposer_price": LARGE},
            "1e-06 USD does not even pay",
        ),
        ({"spend": Spend(calls=3)}, "3 calls does not pay for trying"),
        ({"candidates": 0}, "candidates 0"),
    ],
)
def test_says_why_nothing_can_be_searched(options: dict[str, Any], complaint: str) -> None:
    models = Models({ORIGINAL: 0.8} | {f"Prompt {i}": 0.8 for i in range(8)})
    with pytest.raises(FrugalError, match=complaint):
        search(models, **options)


@pytest.mark.parametrize("given", [{}, {"usd": 0}, {"calls": -1}, {"usd": float("nan")}])
def test_a_spend_must_be_stated(given: dict[str, Any]) -> None:
    with pytest.raises(FrugalError, match="spend"):
        Spend(**given)


def test_failures_are_errors_and_not_results() -> None:
    def no_large(request: Request) -> Failure:
        return Failure(PermissionError("no"))

    good = Models({ORIGINAL: 0.8, "Yes or no?": 0.9})

    def no_small(request: Request) -> Reply | Failure:
        return good(request) if isinstance(request, Propose) else Failure(TimeoutError("slow"))

    with pytest.raises(FrugalError, match="large model proposed nothing: PermissionError: no"):
        search(no_large)
    with pytest.raises(FrugalError, match="small model failed on"):
        search(no_small)


@pytest.mark.parametrize("said", ["I cannot do that.", numbered.reply([ORIGINAL]), "{}"])
def test_without_proposals_the_original_stays(said: str) -> None:
    found = search(lambda request: Reply(said, 10, 10))
    assert found.prompt == ORIGINAL and found.calls == 1
    assert "proposed nothing that can be tried" in found.verdict


@pytest.mark.parametrize(
    ("proposal", "why"),
    [
        ("Answer {question} now.", None),
        ("Answer the question.", "its placeholders are [], not ['question']"),
        ("{question} {mood}", "its placeholders are ['question', 'mood'], not ['question']"),
        ("{question", "its braces are not those of a template"),
        ("Answer   this: {question}", "proposed twice, or today's prompt"),
    ],
)
def test_proposals_must_hold_the_placeholders(proposal: str, why: str | None) -> None:
    usable, refused = read_prompts(
        numbered.reply([proposal]), "Answer this: {question}", 1, ["question"]
    )
    assert (usable, refused) == (([proposal], []) if why is None else ([], [(proposal, why)]))


def test_placeholders_and_the_request() -> None:
    assert placeholders("{a} and {b}, {a} {{no}}") == ["a", "b"]
    assert placeholders('JSON: {"a": 1}') == [] and placeholders("{0}") == []
    asked = ask_for_prompts("Do {x}.", [Example("q", "a")], 3, ["x"])
    assert "Do {x}." in asked and "{x}" in asked.split("<prompt>")[0] and '"3"' in asked
