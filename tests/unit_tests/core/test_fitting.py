"""fit: what it learns from, what it never looks at, and what it says."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frugal_core.certifying import Promise
from frugal_core.errors import FitError, FrugalError, UnpricedModelError
from frugal_core.fitting import _Data, fit
from frugal_core.policy import Policy
from frugal_core.recording import Recording
from frugal_core.student import STUDENT
from frugal_core.table import Table
from tests.unit_tests.core.helpers import (
    DIRECTIONS,
    PRICES,
    answer,
    closed,
    closed_rows,
    decisions,
    free,
    free_rows,
    real_recording,
    with_gaps,
)

Row = dict[str, Any]


def recording_of(rows: list[Row]) -> Recording:
    return Recording.from_rows(rows, prices=PRICES)


def test_the_same_recording_and_seed_give_the_same_policy() -> None:
    once, again = fit(closed(250), promise=0.05, seed=3), fit(closed(250), promise=0.05, seed=3)
    assert once.digest == again.digest
    other = fit(closed(250), promise=0.05, seed=4)
    assert other.scorer.id != once.scorer.id


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("answers.jsonl", "is a str: give Recording.load('answers.jsonl', prices=...)"),
        (Path("answers.jsonl"), "Path: give Recording.load('answers.jsonl', prices=...)"),
        ([], "is a list: give Recording.load(..., prices=...)"),
    ],
)
def test_what_is_no_recording_is_refused_with_the_remedy(wrong: Any, says: str) -> None:
    with pytest.raises(FitError, match=re.escape(says)):
        fit(wrong, promise=0.05)


def test_rows_are_shared_out_by_their_use() -> None:
    rows = closed_rows(400)
    for row in rows[300:]:
        del row["reference"]
    policy = fit(recording_of(rows), promise=0.05)
    assert policy.fitted["taught"] == 100
    assert policy.fitted["fit"] + policy.fitted["test"] == 300
    assert policy.fitted["test"] >= 150
    without = fit(recording_of(rows), budget=100)
    assert without.fitted == {"fit": 300, "test": 0, "taught": 100}
    assert without.certificate is None and "nothing is promised" in without.verdict


def data_of(recording: Recording, seed: int = 0) -> _Data:
    return _Data.of(recording, "large", "gold", None, Promise(0.05), True, seed)


def with_other_gold(rows: list[Row], positions: set[int], gold: Callable[[str], str]) -> Recording:
    """The rows with these rows' gold labels changed."""
    changed = [
        row | {"reference": gold(row["reference"])} if i in positions else row
        for i, row in enumerate(rows)
    ]
    return recording_of(changed)


def turned(gold: str) -> str:
    return DIRECTIONS[(DIRECTIONS.index(gold) + 1) % 3]


@pytest.mark.parametrize("gold", [turned, lambda gold: "no label at all"])
@pytest.mark.parametrize("reference", ["large", "best"])
def test_gold_labels_of_the_test_rows_change_nothing_but_the_test(
    gold: Callable[[str], str], reference: str
) -> None:
    rows = closed_rows(400)
    whole = recording_of(rows)
    test = {int(row) for row in data_of(whole).test}
    assert len(test) >= 200
    honest = fit(whole, promise=0.05, reference=reference)
    corrupt = fit(with_other_gold(rows, test, gold), promise=0.05, reference=reference)
    assert honest.frontier == corrupt.frontier
    assert honest.singles == corrupt.singles
    assert honest.scorer.labels == corrupt.scorer.labels
    a, b = decisions(honest), decisions(corrupt)
    assert a["weights"] == b["weights"]
    assert honest.student is not None and corrupt.student is not None
    assert np.array_equal(honest.student.weights, corrupt.student.weights)
    shared = set(a["calibrators"]) & set(b["calibrators"])
    assert shared and all(a["calibrators"][s] == b["calibrators"][s] for s in shared)
    others = set(range(400)) - test  # and the same change elsewhere does change what is learned
    elsewhere = fit(with_other_gold(rows, others, gold), promise=0.05, reference=reference)
    assert decisions(elsewhere)["weights"] != a["weights"]


def test_with_too_many_models_the_test_rows_do_not_choose_among_them() -> None:
    rng = np.random.default_rng(0)
    names = [f"m{i}" for i in range(15)]
    prices = {name: [1.0 + i, 1.0] for i, name in enumerate(names)}
    rows: list[Row] = []
    for i in range(200):
        said = {m: answer(DIRECTIONS[int(rng.random() > 0.7)]) for m in names}
        rows.append({"query": f"case {i}", "reference": DIRECTIONS[0], "answers": said})
    whole = Recording.from_rows(rows, prices=prices)
    data = _Data.of(whole, "m0", "gold", None, Promise(0.05), False, 0)
    for i in data.test:  # on the test rows, the models that were left out are the only right ones
        for name in set(names) - set(data.table.models):
            rows[i]["answers"][name] = answer(DIRECTIONS[0])
        for name in data.table.models:
            rows[i]["answers"][name] = answer(DIRECTIONS[1])
    turned_round = Recording.from_rows(rows, prices=prices)
    again = _Data.of(turned_round, "m0", "gold", None, Promise(0.05), False, 0)
    assert again.table.models == data.table.models
    assert len(data.table.models) == 12
    assert sum("was left out" in note for note in data.notes) == 3


@pytest.mark.parametrize("seed", [0, 1])
def test_the_choice_of_test_rows_does_not_depend_on_labels(seed: int) -> None:
    rows = closed_rows(300)
    test = data_of(recording_of(rows), seed).test
    relabelled = with_other_gold(rows, set(range(300)), turned)
    assert np.array_equal(data_of(relabelled, seed).test, test)


def test_the_promise_is_kept_where_queries_repeat() -> None:
    distinct = closed_rows(40)
    traffic = np.random.default_rng(5)
    broken = 0
    for _ in range(30):
        drawn = traffic.integers(len(distinct), size=300)
        rows = [{**distinct[k], "id": str(i)} for i, k in enumerate(drawn)]
        policy = fit(recording_of(rows), promise=0.02, student=False)
        if policy.certificate is not None:
            broken += policy.evaluate(recording_of(distinct)).accuracy_gain < -0.02
    assert broken / 30 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 30)


def student_accuracy(policy: Policy, recording: Recording) -> float:
    assert policy.student is not None
    said = [policy.student.reply(query.text).text for query in recording]
    return float(np.mean([s == q.reference for s, q in zip(said, recording, strict=True)]))


def rows_of_many_words(n: int, seed: int) -> list[Row]:
    """Rows whose label hangs on words of which there are far more than a few rows can show."""
    letters = np.random.default_rng(99).integers(97, 123, (600, 7), dtype=np.uint8)
    words = [bytes(word).decode() for word in letters]  # word i speaks for label i % 3
    rng = np.random.default_rng(seed)
    rows = closed_rows(n, seed)
    for row in rows:
        kind = DIRECTIONS.index(row["reference"])
        chosen = np.where(rng.random(6) < 0.6, kind, rng.integers(3, size=6))
        row["query"] = " ".join(words[3 * int(rng.integers(200)) + k] for k in chosen)
    return rows


def test_rows_without_gold_labels_make_the_student_better() -> None:
    rows = rows_of_many_words(1500, seed=0)
    blind = [{k: v for k, v in row.items() if k != "reference"} for row in rows[150:]]
    fresh = recording_of(rows_of_many_words(600, seed=8))
    few = student_accuracy(fit(recording_of(rows[:150]), budget=100), fresh)
    more = student_accuracy(fit(recording_of([*rows[:150], *blind]), budget=100), fresh)
    assert more >= few + 0.1


def test_without_any_gold_label_the_error_says_what_to_do() -> None:
    with pytest.raises(FitError) as caught:
        fit(closed(50).unlabelled(), promise=0.01)
    for words in ("0 of 50 rows", "reference", "correct", "labels='reference'"):
        assert words in str(caught.value)


def test_agreement_with_the_reference_needs_no_gold_and_looks_at_none() -> None:
    rows = closed_rows(700)
    blind = fit(recording_of(rows).unlabelled(), promise=0.1, labels="reference")
    seeing = fit(recording_of(rows), promise=0.1, labels="reference")
    assert blind.digest == seeing.digest
    assert blind.reference == "large"  # the dearest


def agreeing(n: int, share: float = 0.99) -> Recording:
    """Models that nearly always say the same."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        kind = int(rng.integers(3))
        other = DIRECTIONS[kind if rng.random() < share else (kind + 1) % 3]
        answers = {"small": answer(other), "large": answer(DIRECTIONS[kind])}
        rows.append({"query": f"{DIRECTIONS[kind]}ward {i}", "answers": answers})
    return recording_of(rows)


def test_every_sentence_about_agreement_says_so() -> None:
    certified = fit(agreeing(600), promise=0.05, labels="reference", student=False)
    assert certified.certificate is not None
    assert "disagreement with large" in certified.certificate.sentence
    assert certified.certificate.labels == "reference"
    refused = fit(closed(80).unlabelled(), promise=0.01, labels="reference")
    assert refused.certificate is None
    cheap = fit(agreeing(100), budget=1e9, labels="reference")
    for policy in (certified, refused, cheap):
        assert "agreement with large" in policy.verdict
        assert policy.labels == "reference"
    assert certified.evaluate(agreeing(100)).to_json()["labels"] == "reference"
    assert certified.evaluate(agreeing(100)).reference.accuracy == 1.0


def test_one_model_only_is_used_alone() -> None:
    policy = fit(closed(60).only(["large"]), promise=0.05, student=False)
    assert policy.chain.tiers == ("large",)
    assert "use large alone" in policy.verdict and "no cascade is cheaper" in policy.verdict


def test_all_answers_equal_gives_the_cheapest() -> None:
    rows: list[Row] = [
        {
            "query": f"question {i}",
            "reference": "yes",
            "answers": {m: answer("yes") for m in ("small", "large")},
        }
        for i in range(700)
    ]
    policy = fit(recording_of(rows), promise=0.01)
    evaluation = policy.evaluate(recording_of(rows))
    assert evaluation.accuracy == 1.0
    assert policy.chain.tiers[0] in ("small", STUDENT)
    assert evaluation.saving_vs_dearest > 0.9


def test_a_label_seen_once_does_no_harm() -> None:
    rows = closed_rows(200)
    rows[5]["reference"] = "sideways"
    rows[6]["answers"]["large"]["text"] = "sideways"
    policy = fit(recording_of(rows), promise=0.05)
    assert policy.student is not None
    assert not (set(policy.student.says) - {*DIRECTIONS, "sideways"})
    assert 0 < policy.evaluate(recording_of(rows)).accuracy < 1


def test_a_model_that_is_always_right_and_one_that_never_is() -> None:
    rows = closed_rows(200, models=("small", "large"))
    for row in rows:
        row["answers"]["large"]["text"] = row["reference"]
        row["answers"]["small"]["text"] = turned(row["reference"])
    policy = fit(recording_of(rows), promise=0.05, student=False)
    assert policy.evaluate(recording_of(rows)).accuracy == 1.0
    assert policy.chain.tiers == ("large",)


@pytest.mark.parametrize("make", [closed_rows, free_rows])
def test_missing_answers_count_as_failed_calls(make: Callable[..., list[Row]]) -> None:
    rows = with_gaps(make(300), 0.15)
    policy = fit(recording_of(rows), promise=0.05)
    assert any("without an answer of" in note for note in policy.notes)
    assert sum(policy.fitted.values()) < 300
    assert 0.4 < policy.evaluate(recording_of(rows)).accuracy <= 1


def test_a_model_that_rarely_answered_is_left_out_with_a_note() -> None:
    rows = closed_rows(200)
    for row in rows[60:]:
        del row["answers"]["small"]
    policy = fit(recording_of(rows), promise=0.05)
    assert any("small was left out" in note for note in policy.notes)
    assert "small" not in {single.model for single in policy.singles}


@pytest.mark.parametrize("n", [8, 9, 12, 20])
@pytest.mark.parametrize("make", [closed, free])
def test_a_handful_of_rows_gives_the_reference_and_says_why(
    n: int, make: Callable[..., Recording]
) -> None:
    policy = fit(make(n), promise=0.01)
    assert policy.chain.tiers == (policy.reference,)
    assert "alone" in policy.verdict
    assert policy.certificate is None


def test_fewer_rows_are_refused() -> None:
    with pytest.raises(FitError, match="7 of 7 rows"):
        fit(closed(7), promise=0.01)


def test_one_query_asked_over_and_over_is_refused_in_words() -> None:
    rows = closed_rows(40)
    for row in rows:
        row["query"] = "always the same"
    with pytest.raises(FitError, match="the same query"):
        fit(recording_of(rows), promise=0.01)


def test_odd_texts_and_confidences_are_taken() -> None:
    rows = free_rows(120)
    odd = ["", " ", "\n", "Größe 金が上がる", "🪙" * 50, "a" * 20_000, "\ud83d", "\x00", "٣ نعم"]
    for i, row in enumerate(rows):
        row["query"] = odd[i % len(odd)] + ("" if i < 20 else str(i))
        row["answers"]["small"]["text"] = odd[(i + 3) % len(odd)]
        row["answers"]["medium"]["confidence"] = (math.nan, None, -math.inf, 0.0)[i % 4]
    recording = recording_of(rows)
    policy = fit(recording, promise=0.05)
    assert np.isfinite(policy.scorer.weights).all()
    assert 0 < policy.evaluate(recording).accuracy < 1
    assert fit(recording, budget=1e9).evaluate(recording).usd_per_1k > 0


def test_a_budget_is_kept_and_the_best_within_it_is_chosen() -> None:
    recording = closed(500)
    whole = fit(recording, budget=1e9)
    budgets = [0.002, 0.01, 0.03]
    policies = [fit(recording, budget=budget) for budget in budgets]
    for budget, policy in zip(budgets, policies, strict=True):
        assert policy.expected.usd_per_1k <= budget
        better = [p for p in whole.frontier if p.accuracy > policy.expected.accuracy + 1e-9]
        assert all(1000 * p.usd > budget for p in better)
        assert policy.evaluate(closed(500, seed=1)).usd_per_1k <= 1.25 * budget


def test_a_budget_too_small_names_the_cheapest() -> None:
    with pytest.raises(FitError) as caught:
        fit(closed(100), budget=1e-6, student=False)
    cheapest = fit(closed(100), budget=1e9, student=False).frontier[0]
    assert f"{1000 * cheapest.usd:.4g} USD per 1,000" in str(caught.value)


def test_a_budget_beside_a_promise_chooses_among_what_is_certified() -> None:
    recording = closed(1200, signal=0.5)
    promised = fit(recording, promise=0.05)
    assert promised.certificate is not None
    dear = next(single for single in promised.singles if single.model == promised.reference)
    both = fit(recording, promise=0.05, budget=dear.usd_per_1k)
    assert both.certificate is not None
    point = next(p for p in both.frontier if p.chain == both.chain)
    cheap = next(p for p in promised.frontier if p.chain == promised.chain)
    assert cheap.usd <= point.usd and 1000 * point.usd <= dear.usd_per_1k
    assert point.accuracy >= cheap.accuracy


def test_a_budget_that_no_certified_policy_meets_is_said() -> None:
    certified = fit(agreeing(600), promise=0.05, budget=1e-7, labels="reference", student=False)
    assert certified.certificate is not None and "more than the budget" in certified.verdict
    aims: dict[str, Any] = {"promise": 0.02, "budget": 1e-7, "labels": "reference"}
    refused = fit(agreeing(100, 1.0), student=False, **aims)
    assert refused.certificate is None and "more than the budget" in refused.verdict


def test_with_as_many_rows_as_a_refusal_asks_for_a_good_policy_is_certified() -> None:
    policy = fit(agreeing(100, 1.0), promise=0.02, labels="reference", student=False)
    assert policy.certificate is None
    assert "more labelled rows would be needed" in policy.verdict
    words = policy.verdict.replace(",", "").split()
    more = int(words[words.index("about") + 1])
    assert 50 <= more <= 300
    helped = fit(agreeing(100 + more, 1.0), promise=0.02, labels="reference", student=False)
    assert helped.certificate is not None


def test_a_good_policy_with_bad_luck_is_not_called_bad() -> None:
    policy = fit(agreeing(360), promise=0.02, labels="reference", student=False)
    assert "not good enough" not in policy.verdict
    assert policy.certificate is not None or "more labelled rows" in policy.verdict


def test_a_refusal_says_when_no_number_of_rows_would_help() -> None:
    rows = closed_rows(300, models=("small", "large"))
    for row in rows:
        row["answers"]["large"]["text"] = row["reference"]
        row["query"] = f"nothing to learn from {row['id']}"
        row["answers"]["small"]["text"] = DIRECTIONS[row["id"] % 3]
    policy = fit(recording_of(rows), promise=0.01, student=False)
    assert "not good enough" in policy.verdict or "no cascade is cheaper" in policy.verdict


@pytest.mark.parametrize("seed", range(3))
def test_a_cascade_that_saves_nothing_is_refused_in_words(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for _ in range(600):  # nothing in a query tells its answer, and the cheap model is the best
        gold = DIRECTIONS[rng.integers(2)]
        other = "down" if gold == "flat" else "flat"
        answers = {
            model: answer(gold if rng.random() < skill else other, input_tokens=int(tokens))
            for model, skill, tokens in zip(
                ("small", "large"), (0.9, 0.8), rng.integers(20, 120, size=2), strict=True
            )
        }
        query = f"claim {rng.integers(10**6)} about topic {rng.integers(50)}"
        rows.append({"query": query, "reference": gold, "answers": answers})
    policy = fit(recording_of(rows), promise=0.01, seed=seed)
    reference = next(s for s in policy.singles if s.model == policy.reference)
    if policy.certificate is None:
        assert policy.verdict.startswith("use small alone: ")
    else:
        assert policy.expected.usd_per_1k < reference.usd_per_1k
    assert "more than" not in policy.verdict


def test_only_the_named_tiers_are_used() -> None:
    policy = fit(closed(200), budget=1e9, tiers=["small", "medium"])
    assert {single.model for single in policy.singles} == {"small", "medium"}
    assert {t for p in policy.frontier for t in p.chain.tiers} <= {"small", "medium", STUDENT}


@pytest.mark.parametrize("reference", ["small", "large"])
def test_the_reference_is_the_users_choice(reference: str) -> None:
    policy = fit(closed(200), promise=0.05, reference=reference)
    assert policy.reference == reference and reference in policy.verdict


def test_the_best_model_is_the_reference_by_default() -> None:
    assert fit(closed(300), promise=0.05).reference == "large"


def test_a_student_is_only_fitted_where_it_can_answer() -> None:
    assert fit(closed(200), budget=1e9).student is not None
    without = fit(closed(200), budget=1e9, student=False)
    assert without.student is None
    assert all(STUDENT not in point.chain.tiers for point in without.frontier)
    assert fit(free(200), budget=1e9).student is None


def test_an_unpriced_model_is_named_and_may_be_left_out() -> None:
    rows = closed_rows(60)
    prices = {name: PRICES[name] for name in ("small", "large")}
    recording = Recording.from_rows(rows, prices=prices)
    with pytest.raises(UnpricedModelError, match="'medium'"):
        fit(recording, promise=0.05)
    assert fit(recording, promise=0.05, tiers=["small", "large"]).prices.keys() == prices.keys()


def test_the_prices_and_their_date_are_kept() -> None:
    policy = fit(closed(60), promise=0.05)
    recording = closed(60)
    assert policy.prices == {m: recording.prices.price(m) for m in recording.models}
    assert recording.prices.date in policy.priced


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "promise=Promise"),
        ({"budget": -1}, "budget -1"),
        ({"budget": math.nan}, "budget nan"),
        ({"promise": 1.5}, "epsilon 1.5"),
        ({"promise": 0.01, "labels": "silver"}, "'silver'"),
        ({"promise": 0.01, "reference": "other"}, "'other' is none of the models"),
        ({"promise": 0.01, "tiers": ["other", "small"]}, "other not in the recording"),
        ({"promise": 0.01, "tiers": []}, "tiers is empty"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(FrugalError) as caught:
        fit(closed(20), **arguments)
    assert says in str(caught.value)


def test_a_model_may_not_be_called_like_the_student() -> None:
    row = {"query": "q", "answers": {STUDENT: answer("x")}}
    with pytest.raises(FitError, match="rename"):
        fit(Recording.from_rows([row] * 1, prices={STUDENT: [1, 1]}), promise=0.01)


def test_progress_grows_to_the_end() -> None:
    seen: list[tuple[str, float]] = []
    fit(closed(60), promise=0.05, progress=lambda what, share: seen.append((what, share)))
    shares = [share for _, share in seen]
    assert shares[0] == 0.0 and shares[-1] == 1.0 and len(seen) >= 5
    assert all(a <= b for a, b in itertools.pairwise(shares))


def test_headlines_are_certified_hold_their_promise_and_save() -> None:
    recording = real_recording("headlines").select(range(2500))
    fitted, fresh = recording.split(0.6, 0.4, seed=1)
    policy = fit(fitted, promise=Promise(0.02))
    assert policy.certificate is not None
    evaluation = policy.evaluate(fresh)
    assert evaluation.certificate is not None and evaluation.certificate.holds
    assert evaluation.saving_vs_reference > 0.2
    assert evaluation.saving_vs_dearest > 0.9


def test_llama_chain_on_trivia_within_a_budget_beats_every_model_of_its_price() -> None:
    fitted, fresh = real_recording("triviaqa_llama").split(0.6, 0.4)
    singles = fit(fitted, budget=1e9).singles
    middle = sorted(single.usd_per_1k for single in singles)[-2]
    policy = fit(fitted, budget=middle)
    evaluation = policy.evaluate(fresh)
    table = Table.of(fresh, fresh.models)
    affordable = [
        table.correct[:, j].mean()
        for j in range(len(table.models))
        if 1000 * table.usd[:, j].mean() <= 1.05 * middle
    ]
    assert evaluation.accuracy >= max(affordable) - 0.02
    assert evaluation.usd_per_1k <= 1.15 * middle
