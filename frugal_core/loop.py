"""The accept-or-escalate loop, without I/O.

`cascade` is a generator: it yields what to ask, is sent the reply or the failure, and returns the
outcome. Whoever drives it does the I/O, in whatever way its framework likes; every decision is
taken here, once. The driver of a synchronous framework is

    loop = cascade(plan, query)
    try:
        ask = next(loop)
        while True:
            try:
                reply = model_of(ask.tier).call(...)
            except Exception as error:
                reply = Failure(error)
            ask = loop.send(reply)
    except StopIteration as stop:
        outcome = stop.value
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field

from frugal_core.cascade import Ask, Failure, OnFailure, Outcome, Plan, Reply, Step, Tier
from frugal_core.errors import describe
from frugal_core.judging import CheckedJudge, checked_judge


@dataclass
class _Run:
    """What has happened in one call so far."""

    steps: list[Step] = field(default_factory=list)
    replies: list[tuple[str, Reply]] = field(default_factory=list)
    drafts: list[tuple[float, int, Reply]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    unscored: bool = False


def cascade(
    plan: Plan, query: str, *, plain: bool = True, on_failure: OnFailure = "best_draft"
) -> Generator[Ask, Reply | Failure, Outcome]:
    """Ask the tiers in turn until an answer is accepted.

    Args:
        plan: Tiers, thresholds and scorer.
        query: What the scorer reads: the question, without what is the same in every prompt.
        plain: False where question or answer is more than text (images, tools, a response format):
            the student is passed over and nothing is promised, since only plain text was tested.
        on_failure: What happens if the last tier fails, or leaves the caller nothing to use:
            "best_draft" returns the best answer that was rejected for its score alone, flagged;
            "raise" raises, or returns what the last tier said. Where there is a certificate, what
            the last tier says of plain text is returned in any case, as it was in the test: nothing
            can be the right answer.

    Returns:
        The outcome, as the generator's return value.

    Raises:
        Exception: the error of a tier at once where asking another tier cannot help (wrong key, bad
            request); the last tier's error, with those of the others as its cause, when all failed.
    """
    judge = checked_judge(plan.scorer, query)
    run = _Run()
    last = len(plan.tiers) - 1
    tested = plain and plan.certificate is not None
    for k, tier in enumerate(plan.tiers):
        started = time.perf_counter()
        if plan.student is not None and k == 0:
            if not plain and last > 0:
                run.steps.append(Step(tier.model, "skipped", "answers in plain labels only"))
                continue
            answer: Reply | Failure = plan.student.reply(query)
        else:
            answer = yield Ask(k, live=k == last and not (plan.best_of and plain))
        seconds = time.perf_counter() - started
        if isinstance(answer, Failure):
            run.errors.append(answer.error)
            run.steps.append(_step(tier, answer, "failed", describe(answer.error), seconds=seconds))
            if answer.emitted or is_callers_fault(answer.error):
                raise answer.error
            continue
        run.replies.append((tier.model, answer))
        if k == last:
            if answer.useless and run.drafts and on_failure == "best_draft" and not tested:
                why = answer.defect or "nothing to use"
                run.steps.append(_step(tier, answer, "rejected", why, seconds=seconds))
                return _best_draft(plan, run, f"the last tier's answer is no use: {why}", plain)
            return _finish(plan, run, judge, answer, seconds, plain)
        threshold = plan.thresholds[k]
        score, fault, verified = None, None, None
        if answer.defect is None:
            score, fault = judge(tier.model, answer, run.replies[:-1])
            if fault is not None:
                run.unscored = True
            elif score is None:
                score, verified = yield from _verify(tier, k, answer)
        accepted = score is not None and score >= threshold
        decision = "accepted" if accepted else "rejected"
        why = _why(answer, score, threshold, fault)
        run.steps.append(_step(tier, answer, decision, why, score, threshold, seconds))
        if verified is not None:
            run.steps.append(verified)
        if accepted:
            return _outcome(plan, run, answer, k, plain)
        if answer.defect is None:
            run.drafts.append((-1.0 if score is None else score, k, answer))
    if run.drafts and on_failure == "best_draft":
        return _best_draft(plan, run, "the last tier failed", plain)
    error = run.errors[-1]
    if len(run.errors) > 1:
        raise error from ExceptionGroup("every tier failed", run.errors[:-1])
    raise error


def _best_draft(plan: Plan, run: _Run, why: str, plain: bool) -> Outcome:
    """Return the likeliest of the answers that were rejected for their scores alone."""
    _, k, draft = max(run.drafts, key=lambda draft: draft[:2])
    run.steps.append(Step(plan.tiers[k].model, "returned", f"best draft: {why}"))
    return _outcome(plan, run, draft, k, plain, degraded=True)


def _finish(
    plan: Plan, run: _Run, judge: CheckedJudge, answer: Reply, seconds: float, plain: bool
) -> Outcome:
    """Return the last tier's answer, or the best of all where the plan says so."""
    last = len(plan.tiers) - 1
    tier = plan.tiers[last]
    best, score = last, None
    why = "last tier" if answer.defect is None else f"last tier, though {answer.defect}"
    if plan.best_of and plain and answer.defect is None and len(run.replies) == len(plan.tiers):
        judged = [
            judge(name, reply, run.replies[:k] + run.replies[k + 1 :])
            for k, (name, reply) in enumerate(run.replies)
        ]
        scores = [score for score, _ in judged if score is not None]
        if len(scores) == len(judged):
            score = scores[last]
            # Of equals, the later tier is the better model.
            best = max(range(last + 1), key=lambda k: (scores[k], k))
        elif faults := [fault for _, fault in judged if fault is not None]:
            run.unscored = True
            why = f"last tier; no score: {faults[0]}"
    if best == last:
        run.steps.append(_step(tier, answer, "accepted", why, score, None, seconds))
        return _outcome(plan, run, answer, last, plain)
    run.steps.append(_step(tier, answer, "rejected", "less likely right", score, None, seconds))
    why = "likeliest right of all answers"
    run.steps.append(Step(plan.tiers[best].model, "accepted", why, scores[best]))
    return _outcome(plan, run, run.replies[best][1], best, plain)


VERIFICATION = (
    "Check the answer above. Is it correct and complete? Reply with one word only: yes or no."
)
"""What a tier is asked about its own draft, as the user turn after it."""


def _verify(
    tier: Tier, k: int, draft: Reply
) -> Generator[Ask, Reply | Failure, tuple[float | None, Step]]:
    """Ask a tier whether its own draft is right; no verdict means no acceptance."""
    started = time.perf_counter()
    verdict = yield Ask(k, live=False, verify=draft)
    seconds = time.perf_counter() - started
    if isinstance(verdict, Failure):
        why = f"could not judge its own answer: {type(verdict.error).__name__}"
        return None, _step(tier, verdict, "verified", why, seconds=seconds)
    said = verdict.text.strip().casefold()
    score = 1.0 if said.startswith("yes") else 0.0
    why = f"judged its own answer: {'right' if score else 'not right'}"
    return score, _step(tier, verdict, "verified", why, score, None, seconds)


def is_callers_fault(error: Exception) -> bool:
    """Whether asking another tier cannot help: wrong key, bad request, a fault in the program.

    Rate limits, time-outs, lost connections, server errors and answers that cannot be read are the
    provider's. So is a prompt that is too long: a larger tier may take it. Clients raise even
    TypeError and AttributeError on an answer without the fields they expect.
    """
    if isinstance(error, NameError | NotImplementedError):
        return True
    status = getattr(error, "status_code", None)
    if status is None:
        status = getattr(getattr(error, "response", None), "status_code", None)
    too_long = "context_length" in str(getattr(error, "code", "")) or "context length" in str(error)
    return status in {400, 401, 403, 404, 405, 422} and not too_long


STALE_CONNECTIONS = 100
"""How often a call may be tried again because `is_stale`; clients keep no more connections."""


def is_stale(error: BaseException | None) -> bool:
    """Whether a call met a connection of an event loop that has ended, and may be tried again.

    An asynchronous client that outlives its loop (`asyncio.run` twice, or a synchronous method that
    runs an asynchronous one) fails on each connection it has kept. That is no failure of the
    provider, and no reason to ask a dearer tier.
    """
    while error is not None:
        if isinstance(error, RuntimeError) and "loop is closed" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _why(answer: Reply, score: float | None, threshold: float, fault: str | None) -> str:
    if answer.defect is not None:
        return answer.defect
    if score is None:
        return "no score" if fault is None else f"no score: {fault}"
    return f"score {score:.3f} {'>=' if score >= threshold else '<'} {threshold:.3f}"


def _step(
    tier: Tier,
    answer: Reply | Failure,
    decision: str,
    why: str,
    score: float | None = None,
    threshold: float | None = None,
    seconds: float = 0.0,
) -> Step:
    sent, received = answer.input_tokens, answer.output_tokens
    if isinstance(answer, Failure) and not (sent or received):
        usd: float | None = 0.0
    elif tier.price is None or (isinstance(answer, Reply) and not answer.metered):
        usd = None
    else:
        usd = tier.price.cost_of(answer)
    return Step(
        tier.model,
        decision,
        why,
        score,
        threshold,
        sent,
        received,
        answer.cached_tokens,
        answer.written_tokens,
        usd,
        seconds,
    )


def _outcome(
    plan: Plan, run: _Run, reply: Reply, tier: int, plain: bool, degraded: bool = False
) -> Outcome:
    if plan.certificate is None:
        promise = plan.no_promise
    elif degraded or run.errors:
        promise = "no promise: a tier failed in this call"
    elif run.unscored:
        promise = "no promise: the scorer failed in this call"
    elif not plain:
        promise = "no promise: it was tested for plain text"
    elif silent := _without_confidence(plan, run):
        promise = f"no promise: {silent} gave no log-probabilities, and it was tested with them"
    else:
        promise = plan.certificate.sentence
    return Outcome(reply, tier, tuple(run.steps), degraded, promise)


def _without_confidence(plan: Plan, run: _Run) -> str | None:
    """A tier that was scored without the confidence that its scores rest on, or None."""
    for name, reply in run.replies:
        if name in plan.needs_confidence and reply.confidence is None and reply.defect is None:
            return name
    return None
