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
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from frugal_core.errors import describe
from frugal_core.pricing import Price

if TYPE_CHECKING:
    from frugal_core.certifying import Certificate
    from frugal_core.student import Student

OnFailure = Literal["best_draft", "raise"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a tier said.

    Args:
        text: The answer; for a tool call, its name and arguments as JSON.
        input_tokens, output_tokens: What was bought.
        cached_tokens: The part of `input_tokens` read from the provider's prompt cache.
        confidence: Log of the tier's own confidence in the answer (<= 0), if it gives one.
        defect: Why this answer cannot be accepted whatever its score (empty, truncated, refused,
            schema or tool arguments violated), or None.
        payload: The adapter's own object; handed back untouched in the outcome.
        metered: False if the provider did not say what was bought; the cost is then unknown, not 0.
    """

    text: str
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    confidence: float | None = None
    defect: str | None = None
    payload: Any = None
    metered: bool = True


@dataclass(frozen=True, slots=True)
class Failure:
    """A tier that gave no answer.

    Args:
        error: What was raised.
        emitted: Whether a part of the answer has already reached the caller (live streaming), so
            that no other tier can take over.
        input_tokens, output_tokens, cached_tokens: What was bought all the same, where an answer
            came that the client could not read.
    """

    error: Exception
    emitted: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of the loop to its driver.

    Args:
        tier: Position in `plan.tiers`.
        live: The answer will be returned whatever it is, so it may be streamed as it comes.
        verify: None to ask the caller's question; else a draft of this tier, to be judged by the
            tier itself (ask `VERIFICATION` after it).
    """

    tier: int
    live: bool
    verify: Reply | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of the trail: what one tier was asked and what came of it.

    Args:
        model: The tier's name.
        decision: "accepted", "rejected", "failed", "verified", "skipped" or "returned" (a rejected
            draft that was returned because every later tier failed).
        why: The reason in words.
        score, threshold: P(correct) of the answer and what it had to reach; None where not scored.
        input_tokens, output_tokens: What was bought.
        usd: What it cost; None if the tier has no known price.
        seconds: How long the driver took.
    """

    model: str
    decision: str
    why: str
    score: float | None = None
    threshold: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON object without the fields that say nothing."""
        names = ("score", "threshold", "usd", "seconds")
        digits = {"score": 4, "threshold": 4, "usd": 10, "seconds": 4}
        values: dict[str, Any] = {"model": self.model, "decision": self.decision, "why": self.why}
        values |= {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}
        for name in names:
            value = getattr(self, name)
            values[name] = None if value is None else round(value, digits[name])
        return values


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the cascade returns.

    Args:
        reply: The answer.
        tier: Position of the tier that gave it.
        steps: The trail, in the order in which the tiers were asked.
        degraded: The answer is a rejected draft, since every later tier failed.
        promise: What is claimed for this answer, in words.
    """

    reply: Reply
    tier: int
    steps: tuple[Step, ...]
    degraded: bool
    promise: str

    @property
    def usd(self) -> float | None:
        """What the call cost; None if a tier that was asked has no known price."""
        costs = [step.usd for step in self.steps]
        return None if None in costs else sum(usd for usd in costs if usd is not None)

    @property
    def input_tokens(self) -> int:
        """Input tokens bought from all tiers together."""
        return sum(step.input_tokens for step in self.steps)

    @property
    def output_tokens(self) -> int:
        """Output tokens bought from all tiers together."""
        return sum(step.output_tokens for step in self.steps)

    @property
    def cached_tokens(self) -> int:
        """Input tokens read from prompt caches, over all tiers."""
        return sum(step.cached_tokens for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """The trail as a JSON object, as the adapters show it to the caller."""
        usd = self.usd
        return {
            "accepted": self.steps[-1].model if not self.degraded else None,
            "degraded": self.degraded,
            "promise": self.promise,
            "usd": None if usd is None else round(usd, 10),
            "trail": [step.to_json() for step in self.steps],
        }


Judge = Callable[[str, Reply, Sequence[tuple[str, Reply]]], "float | None"]
"""(tier, its reply, earlier (tier, reply) pairs) -> P(correct), or None if it cannot tell."""


class Scorer(Protocol):
    """A generation scoring function: says how likely an answer is right.

    `id` identifies the scorer and its parameters; it enters cache keys.
    """

    @property
    def id(self) -> str:
        """Names the scorer and its parameters."""
        ...

    def judge(self, query: str) -> Judge:
        """Prepare a query once, to score several tiers' answers to it."""
        ...


@dataclass(frozen=True)
class Tier:
    """A model in the cascade with its price (None: not known)."""

    model: str
    price: Price | None = None


@dataclass(frozen=True)
class Plan:
    """What the loop needs to know: tiers in order, when to accept, and what may be claimed.

    Args:
        tiers: From the first asked to the last.
        thresholds: P(correct) that an answer must reach, one for each tier but the last.
        scorer: Scores the answers.
        best_of: When the last tier has answered: return the answer that is likeliest right, given
            all that were bought, instead of always the last tier's.
        student: The distilled model, if it is the first tier.
        certificate: The evidence for the promise, if there is any.
        no_promise: Why nothing is promised, where nothing is.
        needs_confidence: Tiers whose scores were tested with their own confidence: an answer
            without it is scored all the same, but nothing is promised.
    """

    tiers: tuple[Tier, ...]
    thresholds: tuple[float, ...]
    scorer: Scorer
    best_of: bool = False
    student: Student | None = None
    certificate: Certificate | None = None
    no_promise: str = "no promise: no policy was fitted"
    needs_confidence: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.tiers:
            raise ValueError("a cascade needs at least one tier")
        if len(self.thresholds) != len(self.tiers) - 1:
            raise ValueError(
                f"{len(self.tiers)} tiers need {len(self.tiers) - 1} thresholds, "
                f"not {len(self.thresholds)}"
            )


@dataclass
class _Run:
    """What has happened in one call so far."""

    steps: list[Step] = field(default_factory=list)
    replies: list[tuple[str, Reply]] = field(default_factory=list)
    drafts: list[tuple[float, int, Reply]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)


def cascade(
    plan: Plan, query: str, *, plain: bool = True, on_failure: OnFailure = "best_draft"
) -> Generator[Ask, Reply | Failure, Outcome]:
    """Ask the tiers in turn until an answer is accepted.

    Args:
        plan: Tiers, thresholds and scorer.
        query: What the scorer reads: the question, without what is the same in every prompt.
        plain: False where question or answer is more than text (images, tools, a response format):
            the student is passed over and nothing is promised, since only plain text was tested.
        on_failure: What happens if the last tier fails: "best_draft" returns the best answer that
            was rejected for its score alone, flagged; "raise" raises.

    Returns:
        The outcome, as the generator's return value.

    Raises:
        Exception: the error of a tier at once where asking another tier cannot help (wrong key, bad
            request); the last tier's error, with those of the others as its cause, when all failed.
    """
    judge = plan.scorer.judge(query)
    run = _Run()
    last = len(plan.tiers) - 1
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
            return _finish(plan, run, judge, answer, seconds, plain)
        threshold = plan.thresholds[k]
        score, verified = None, None
        if answer.defect is None:
            score = judge(tier.model, answer, run.replies[:-1])
            if score is None:
                score, verified = yield from _verify(tier, k, answer)
        accepted = score is not None and score >= threshold
        decision = "accepted" if accepted else "rejected"
        why = _why(answer, score, threshold)
        run.steps.append(_step(tier, answer, decision, why, score, threshold, seconds))
        if verified is not None:
            run.steps.append(verified)
        if accepted:
            return _outcome(plan, run, answer, k, plain)
        if answer.defect is None:
            run.drafts.append((-1.0 if score is None else score, k, answer))
    if run.drafts and on_failure == "best_draft":
        _, k, answer = max(run.drafts, key=lambda draft: draft[:2])
        run.steps.append(Step(plan.tiers[k].model, "returned", "best draft: the last tier failed"))
        return _outcome(plan, run, answer, k, plain, degraded=True)
    error = run.errors[-1]
    if len(run.errors) > 1:
        raise error from ExceptionGroup("every tier failed", run.errors[:-1])
    raise error


def _finish(
    plan: Plan, run: _Run, judge: Judge, answer: Reply, seconds: float, plain: bool
) -> Outcome:
    """Return the last tier's answer, or the best of all where the plan says so."""
    last = len(plan.tiers) - 1
    tier = plan.tiers[last]
    best, score = last, None
    if plan.best_of and plain and answer.defect is None and len(run.replies) == len(plan.tiers):
        scores = [
            judge(name, reply, run.replies[:k] + run.replies[k + 1 :])
            for k, (name, reply) in enumerate(run.replies)
        ]
        if None not in scores:
            score = scores[last]
            # Of equals, the later tier is the better model.
            best = max(range(last + 1), key=lambda k: (scores[k], k))
    if best == last:
        run.steps.append(_step(tier, answer, "accepted", "last tier", score, None, seconds))
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


def _why(answer: Reply, score: float | None, threshold: float) -> str:
    if answer.defect is not None:
        return answer.defect
    if score is None:
        return "no score"
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
    bought = answer.input_tokens, answer.output_tokens, answer.cached_tokens
    if isinstance(answer, Failure) and not any(bought):
        usd: float | None = 0.0
    elif tier.price is None or (isinstance(answer, Reply) and not answer.metered):
        usd = None
    else:
        usd = tier.price.cost(*bought)
    return Step(tier.model, decision, why, score, threshold, *bought, usd, seconds)


def _outcome(
    plan: Plan, run: _Run, reply: Reply, tier: int, plain: bool, degraded: bool = False
) -> Outcome:
    if plan.certificate is None:
        promise = plan.no_promise
    elif degraded or run.errors:
        promise = "no promise: a tier failed in this call"
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
