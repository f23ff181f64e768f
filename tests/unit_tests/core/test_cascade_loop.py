"""The accept-or-escalate loop, driven by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from frugal_core.cascade import (
    Ask,
    Failure,
    Judge,
    OnFailure,
    Outcome,
    Plan,
    Reply,
    Tier,
)
from frugal_core.certifying import Certificate
from frugal_core.loop import cascade, is_callers_fault
from frugal_core.pricing import Price
from frugal_core.scoring import FunctionScorer, LogProbScorer
from frugal_core.student import STUDENT, Student
from frugal_core.text import Vectoriser
from tests.unit_tests.core.helpers import drive

CERTIFICATE = Certificate(0.01, 0.95, 800, 3, 9, "c", "gold", "2026-01-31")
TIERS = (Tier("a", Price(1, 1)), Tier("b", Price(10, 10)), Tier("c", Price(100, 100)))


@dataclass(frozen=True)
class ByText:
    """A scorer that reads the score of an answer from a table: of the stage, else of the text."""

    scores: Mapping[object, float | None]
    id: str = "by-text"

    def judge(self, query: str) -> Judge:
        def score(tier: str, reply: Reply, earlier: Sequence[tuple[str, Reply]]) -> float | None:
            stage = (*(name for name, _ in earlier), tier)
            return self.scores.get(stage, self.scores.get(reply.text))

        return score


def plan_of(
    scores: Mapping[object, float | None],
    thresholds: tuple[float, ...] = (0.5, 0.5),
    **more: object,
) -> Plan:
    plan = Plan(TIERS[: len(thresholds) + 1], thresholds, ByText(scores), certificate=CERTIFICATE)
    return replace(plan, **more)  # type: ignore[arg-type]


@dataclass
class Script:
    """Answers for each tier, and a note of everything that was asked."""

    answers: Mapping[int, Reply | Failure | Exception]
    verdicts: Mapping[int, Reply | Failure] = field(default_factory=dict)
    asked: list[Ask] = field(default_factory=list)

    def __call__(self, ask: Ask) -> Reply | Failure:
        self.asked.append(ask)
        if ask.verify is not None:
            return self.verdicts[ask.tier]
        given = self.answers[ask.tier]
        return Failure(given) if isinstance(given, Exception) else given


def run(
    plan: Plan,
    *answers: Reply | Failure | Exception,
    verdicts: Mapping[int, Reply | Failure] | None = None,
    plain: bool = True,
    on_failure: OnFailure = "best_draft",
) -> tuple[Outcome, Script]:
    script = Script(dict(enumerate(answers)), verdicts or {})
    return drive(cascade(plan, "query", plain=plain, on_failure=on_failure), script), script


def said(text: str, **more: object) -> Reply:
    return replace(Reply(text, input_tokens=100, output_tokens=10), **more)  # type: ignore[arg-type]


class StatusError(Exception):
    """What the providers' clients raise: an error with a status."""

    def __init__(self, status_code: int, message: str = "no", code: str | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.code = code


def decisions(outcome: Outcome) -> list[tuple[str, str]]:
    return [(step.model, step.decision) for step in outcome.steps]


def test_a_good_answer_of_the_first_tier_ends_the_call() -> None:
    outcome, script = run(plan_of({"good": 0.9}), said("good"))
    assert outcome.reply.text == "good" and outcome.tier == 0 and not outcome.degraded
    assert [ask.tier for ask in script.asked] == [0]
    assert decisions(outcome) == [("a", "accepted")]
    assert outcome.usd == pytest.approx(110e-6)
    assert outcome.promise == CERTIFICATE.sentence


def test_a_score_equal_to_the_threshold_is_accepted() -> None:
    outcome, _ = run(plan_of({"edge": 0.5}), said("edge"))
    assert outcome.tier == 0


def test_weak_answers_are_passed_on_and_all_tiers_are_paid() -> None:
    outcome, script = run(plan_of({"weak": 0.2}), said("weak"), said("weak"), said("last"))
    assert outcome.reply.text == "last" and outcome.tier == 2
    assert decisions(outcome) == [("a", "rejected"), ("b", "rejected"), ("c", "accepted")]
    assert outcome.usd == pytest.approx(110e-6 * 111)
    assert (outcome.input_tokens, outcome.output_tokens) == (300, 30)
    assert [ask.live for ask in script.asked] == [False, False, True]


def test_the_scorer_sees_what_earlier_tiers_said() -> None:
    outcome, _ = run(plan_of({("a",): 0.1, ("a", "b"): 0.8}), said("x"), said("x"))
    assert outcome.tier == 1
    assert outcome.steps[1].score == 0.8


def test_a_defective_answer_is_rejected_whatever_its_score() -> None:
    plan = plan_of({"good": 1.0}, thresholds=(0.0, 0.0))
    outcome, _ = run(plan, said("good", defect="empty answer"), said("good"))
    assert outcome.tier == 1
    assert outcome.steps[0].decision == "rejected" and outcome.steps[0].why == "empty answer"
    assert outcome.steps[0].score is None


@pytest.mark.parametrize(
    "error",
    [TimeoutError("slow"), ConnectionError("gone"), StatusError(429), StatusError(500), OSError()],
)
def test_a_failed_tier_is_passed_over_and_kept_in_the_trail(error: Exception) -> None:
    outcome, _ = run(plan_of({"good": 0.9}), error, said("good"))
    assert outcome.tier == 1
    assert decisions(outcome) == [("a", "failed"), ("b", "accepted")]
    assert type(error).__name__ in outcome.steps[0].why
    assert outcome.steps[0].usd == 0.0
    assert outcome.promise == "no promise: a tier failed in this call"


def test_tokens_of_a_failed_call_are_paid() -> None:
    failed = Failure(TimeoutError("cut off"), input_tokens=50, output_tokens=5)
    outcome, _ = run(plan_of({"good": 0.9}), failed, said("good"))
    assert outcome.usd == pytest.approx(55e-6 + 1100e-6)
    assert outcome.input_tokens == 150


@pytest.mark.parametrize(
    "error",
    [
        *[StatusError(status) for status in (400, 401, 403, 404, 405, 422)],
        NameError("typo"),
        NotImplementedError(),
    ],
)
def test_the_callers_fault_raises_at_once(error: Exception) -> None:
    loop = cascade(plan_of({}), "query")
    next(loop)
    with pytest.raises(type(error)) as caught:
        loop.send(Failure(error))
    assert caught.value is error


def test_status_is_also_read_from_the_errors_response() -> None:
    class Response:
        status_code = 401

    error = RuntimeError("denied")
    error.response = Response()  # type: ignore[attr-defined]
    assert is_callers_fault(error)
    Response.status_code = 503
    assert not is_callers_fault(error)


def test_a_prompt_too_long_for_one_tier_goes_to_the_next() -> None:
    error = StatusError(400, "maximum context length is 8192 tokens", "context_length_exceeded")
    outcome, _ = run(plan_of({"good": 0.9}), error, said("good"))
    assert outcome.tier == 1


def test_when_all_tiers_fail_the_last_error_is_raised_with_the_others_as_its_cause() -> None:
    errors = TimeoutError("one"), ConnectionError("two"), StatusError(503)
    with pytest.raises(StatusError) as caught:
        run(plan_of({}), *errors)
    assert caught.value is errors[2]
    cause = caught.value.__cause__
    assert isinstance(cause, ExceptionGroup)
    assert cause.exceptions == errors[:2]


def test_a_dead_last_tier_returns_the_best_draft_flagged() -> None:
    plan = plan_of({"poor": 0.2, "fair": 0.4})
    outcome, _ = run(plan, said("fair"), said("poor"), TimeoutError("down"))
    assert outcome.reply.text == "fair" and outcome.tier == 0 and outcome.degraded
    assert decisions(outcome)[-2:] == [("c", "failed"), ("a", "returned")]
    assert outcome.promise.startswith("no promise")
    assert outcome.to_json()["accepted"] is None
    assert outcome.usd == pytest.approx(110e-6 * 11)


def test_of_equally_good_drafts_the_later_is_returned() -> None:
    outcome, _ = run(plan_of({"even": 0.4}), said("even"), said("even"), TimeoutError())
    assert outcome.tier == 1


def test_a_dead_last_tier_raises_if_the_user_wants_that() -> None:
    error = TimeoutError("down")
    with pytest.raises(TimeoutError) as caught:
        run(plan_of({"fair": 0.4}), said("fair"), said("fair"), error, on_failure="raise")
    assert caught.value is error and caught.value.__cause__ is None


def test_a_defective_draft_is_never_returned_as_the_best() -> None:
    with pytest.raises(TimeoutError):
        run(plan_of({}), said("", defect="empty"), said("", defect="empty"), TimeoutError("down"))


EMPTY = said("", defect="empty", useless=True)


def test_a_last_answer_of_no_use_gives_way_to_the_best_sound_draft() -> None:
    plan = plan_of({"poor": 0.2, "fair": 0.4}, certificate=None)
    outcome, _ = run(plan, said("fair"), said("poor"), EMPTY)
    assert outcome.reply.text == "fair" and outcome.tier == 0 and outcome.degraded
    assert decisions(outcome)[-2:] == [("c", "rejected"), ("a", "returned")]
    assert outcome.steps[-2].why == "empty"
    assert outcome.steps[-1].why == "best draft: the last tier's answer is no use: empty"
    assert outcome.promise.startswith("no promise")
    assert outcome.usd == pytest.approx(110e-6 * 111), "it was bought all the same"


@pytest.mark.parametrize(
    ("draft", "last", "on_failure"),
    [
        (said("fair"), said("I won't", defect="refused"), "best_draft"),
        (said("fair"), said("half of", defect="cut short"), "best_draft"),
        (said("fair"), EMPTY, "raise"),
        (EMPTY, EMPTY, None),
        (TimeoutError("down"), EMPTY, None),
    ],
)
def test_a_last_answer_stays_if_it_is_of_use_or_nothing_better_is_there(
    draft: Reply | Exception, last: Reply, on_failure: OnFailure | None
) -> None:
    plan = plan_of({"fair": 0.4}, thresholds=(0.5,), certificate=None)
    outcome, _ = run(plan, draft, last, on_failure=on_failure or "best_draft")
    assert outcome.reply is last and not outcome.degraded
    assert outcome.steps[-1].why == f"last tier, though {last.defect}"


def test_under_a_certificate_the_last_word_is_the_last_tiers_as_it_was_in_the_test() -> None:
    plan = plan_of({"fair": 0.4}, thresholds=(0.5,))
    outcome, _ = run(plan, said("fair"), EMPTY)
    assert outcome.reply is EMPTY and outcome.promise == CERTIFICATE.sentence
    other, _ = run(plan, said("fair"), EMPTY, plain=False)
    assert other.reply.text == "fair" and other.degraded, "only plain text was tested"


def test_a_failure_in_the_middle_of_a_live_stream_raises() -> None:
    error = ConnectionError("cut")
    with pytest.raises(ConnectionError) as caught:
        run(plan_of({"fair": 0.4}), said("fair"), said("fair"), Failure(error, emitted=True))
    assert caught.value is error


@pytest.mark.parametrize(("verdict", "tier"), [("Yes.", 0), ("yes", 0), ("No", 1), ("", 1)])
def test_a_tier_without_a_score_judges_its_own_answer(verdict: str, tier: int) -> None:
    plan = replace(plan_of({"good": 0.9}), scorer=LogProbScorer())
    verdicts = {0: Reply(verdict, input_tokens=40, output_tokens=1)}
    answers = said("draft"), said("sure", confidence=0.0)
    outcome, script = run(plan, *answers, verdicts=verdicts)
    assert outcome.tier == tier
    assert script.asked[1] == Ask(0, live=False, verify=answers[0])
    verified = outcome.steps[1]
    assert (verified.model, verified.decision) == ("a", "verified")
    assert verified.usd == pytest.approx(41e-6)
    assert outcome.input_tokens == (140 if tier == 0 else 240)
    assert outcome.to_json()["accepted"] == "ab"[tier]


def test_a_failed_self_check_rejects_the_draft_but_keeps_it() -> None:
    plan = replace(plan_of({}, thresholds=(0.5,)), scorer=LogProbScorer())
    verdicts = {0: Failure(TimeoutError("slow"))}
    outcome, _ = run(plan, said("draft"), TimeoutError("down"), verdicts=verdicts)
    assert outcome.degraded and outcome.reply.text == "draft"
    assert "could not judge" in outcome.steps[1].why


def small_student() -> Student:
    vectoriser = Vectoriser.fit(["gold rises", "gold falls"])
    weights = np.zeros((2, len(vectoriser.terms)))
    for label, word in enumerate(("falls", "rises")):
        weights[label, vectoriser.terms.index(word)] = 5.0
    return Student(vectoriser, weights, np.zeros(2), ("down", "up"))


def student_plan() -> Plan:
    tiers = (Tier(STUDENT, Price(0, 0)), *TIERS[:2])
    scorer = ByText({"up": 0.9, "down": 0.1, "other": 0.9})
    return Plan(tiers, (0.5, 0.5), scorer, student=small_student(), certificate=CERTIFICATE)


def test_the_student_answers_without_any_call() -> None:
    script = Script({})
    outcome = drive(cascade(student_plan(), "gold rises"), script)
    assert outcome.reply.text == "up" and outcome.usd == 0.0 and script.asked == []


def test_an_unsure_student_passes_the_query_on() -> None:
    script = Script({1: said("other")})
    outcome = drive(cascade(student_plan(), "gold falls"), script)
    assert outcome.tier == 1 and outcome.steps[0].decision == "rejected"


def test_a_student_that_knows_nothing_of_the_query_passes_it_on() -> None:
    script = Script({1: said("other")})
    outcome = drive(cascade(replace(student_plan(), thresholds=(0.0, 0.5)), "Ж Ж"), script)
    assert outcome.tier == 1 and outcome.promise == CERTIFICATE.sentence
    assert decisions(outcome)[0] == (STUDENT, "rejected")
    assert outcome.steps[0].why == "nothing in the query is known"


def test_the_student_is_passed_over_where_labels_cannot_answer() -> None:
    script = Script({1: said("other")})
    outcome = drive(cascade(student_plan(), "gold rises", plain=False), script)
    assert outcome.tier == 1
    assert decisions(outcome)[0] == (STUDENT, "skipped")
    assert outcome.promise.startswith("no promise")


def best_of_plan() -> Plan:
    scores: dict[object, float | None] = {("a",): 0.1, ("b", "a"): 0.8, ("a", "b"): 0.6}
    return plan_of(scores, thresholds=(0.5,), best_of=True)


def test_best_of_returns_the_answer_that_is_likeliest_right_given_all() -> None:
    outcome, script = run(best_of_plan(), said("first"), said("second"))
    assert outcome.reply.text == "first" and outcome.tier == 0
    assert not outcome.degraded
    assert outcome.usd == pytest.approx(110e-6 * 11)
    assert not script.asked[1].live
    assert outcome.to_json()["accepted"] == "a"


def test_best_of_prefers_the_last_tier_among_equals() -> None:
    plan = plan_of({("a",): 0.1, "x": 0.6}, thresholds=(0.5,), best_of=True)
    outcome, _ = run(plan, said("x"), said("x"))
    assert outcome.tier == 1


@pytest.mark.parametrize(
    "answers",
    [(TimeoutError(), said("second")), (said("first"), said("second", defect="truncated"))],
)
def test_best_of_chooses_only_among_sound_answers_of_every_tier(
    answers: tuple[Reply | Exception, Reply],
) -> None:
    outcome, _ = run(best_of_plan(), *answers)
    assert outcome.tier == 1


def test_the_cost_of_an_unpriced_tier_is_unknown_not_zero() -> None:
    plan = replace(plan_of({"weak": 0.1, "good": 0.9}), tiers=(Tier("a"), *TIERS[1:]))
    outcome, _ = run(plan, said("weak"), said("good"))
    assert outcome.usd is None
    assert outcome.to_json()["usd"] is None
    assert outcome.steps[1].usd == pytest.approx(1100e-6)


def test_the_cost_of_an_unmetered_answer_is_unknown_not_zero() -> None:
    outcome, _ = run(plan_of({"good": 0.9}), Reply("good", metered=False))
    assert outcome.usd is None


def test_tokens_of_a_providers_cache_are_priced_as_such() -> None:
    price = Price(10, 0, cached_input=1, cache_write=20)
    plan = replace(plan_of({"good": 0.9}), tiers=(Tier("a", price), *TIERS[1:]))
    outcome, _ = run(plan, said("good", cached_tokens=60, written_tokens=30))
    assert outcome.usd == pytest.approx((10 * 10 + 60 * 1 + 30 * 20) / 1e6)
    assert outcome.cached_tokens == 60


def test_the_trail_is_json() -> None:
    outcome, _ = run(plan_of({"weak": 0.123456}), said("weak"), TimeoutError("slow"), said("last"))
    shown = json.loads(json.dumps(outcome.to_json(), allow_nan=False))
    assert [step["decision"] for step in shown["trail"]] == ["rejected", "failed", "accepted"]
    assert shown["trail"][0]["score"] == 0.1235 and shown["trail"][0]["threshold"] == 0.5
    assert shown["trail"][2]["score"] is None
    assert shown["usd"] == pytest.approx(110e-6 * 101)


SECRET = "aB3dE5gH7jK9mN1pQ3"


@pytest.mark.parametrize(
    "message",
    [
        f"Incorrect API key provided: sk-proj-{SECRET}. Find it in your account.",
        f"401 for header Authorization: Bearer {SECRET}",
        f"GET https://host/v1/models?key={SECRET}&alt=sse failed",
        f"GET https://host/v1/models?api_key={SECRET} failed",
        f"x-api-key: {SECRET} was refused",
        f'{{"api_key": "{SECRET}"}} was refused',
        f"Incorrect API key provided: {SECRET}",
    ],
)
def test_keys_in_errors_do_not_reach_the_trail(message: str) -> None:
    outcome, _ = run(plan_of({"good": 0.9}), ConnectionError(message), said("good"))
    shown = json.dumps(outcome.to_json())
    assert SECRET not in shown
    assert "***" in shown


def test_a_long_error_is_cut_to_its_first_line() -> None:
    error = ConnectionError("first line " + "x" * 500 + "\nsecond line")
    outcome, _ = run(plan_of({"good": 0.9}), error, said("good"))
    assert len(outcome.steps[0].why) < 250 and "second" not in outcome.steps[0].why


def test_an_error_without_a_message_is_named() -> None:
    outcome, _ = run(plan_of({"good": 0.9}), TimeoutError(), said("good"))
    assert outcome.steps[0].why == "TimeoutError: no message"


def test_without_a_certificate_the_trail_says_that_nothing_is_promised() -> None:
    outcome, _ = run(plan_of({"good": 0.9}, certificate=None), said("good"))
    assert outcome.promise == "no promise: no policy was fitted"


def test_no_promise_is_made_for_calls_that_are_not_plain_text() -> None:
    outcome, _ = run(plan_of({"good": 0.9}), said("good"), plain=False)
    assert outcome.promise.startswith("no promise")


@pytest.mark.parametrize(("tiers", "thresholds"), [((), ()), (TIERS, (0.5,)), (TIERS[:1], (0.5,))])
def test_a_plan_needs_a_threshold_for_every_tier_but_the_last(
    tiers: tuple[Tier, ...], thresholds: tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match="tier"):
        Plan(tiers, thresholds, LogProbScorer())


def test_the_users_function_scores_query_and_answer() -> None:
    scorer = FunctionScorer(lambda query, text: 1.0 if text == query else None)
    plan = replace(plan_of({}, thresholds=(0.5,)), scorer=scorer)
    outcome, _ = run(plan, said("query"))
    assert outcome.tier == 0
