"""What a cascade is made of: its plan, what is asked and answered, and what comes of a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

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
        written_tokens: The part of `input_tokens` written to it.
        confidence: Log of the tier's own confidence in the answer (<= 0), if it gives one.
        defect: Why this answer cannot be accepted whatever its score (empty, truncated, refused,
            schema or tool arguments violated), or None.
        useless: The defect leaves the caller nothing to use, so that even as the last tier's the
            answer may give way to a sound draft, if nothing was tested that says otherwise. A
            refusal or a text cut short is of use.
        payload: The adapter's own object; handed back untouched in the outcome.
        metered: False if the provider did not say what was bought; the cost is then unknown, not 0.
    """

    text: str
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    written_tokens: int = 0
    confidence: float | None = None
    defect: str | None = None
    useless: bool = False
    payload: Any = None
    metered: bool = True


@dataclass(frozen=True, slots=True)
class Failure:
    """A tier that gave no answer.

    Args:
        error: What was raised.
        emitted: Whether a part of the answer has already reached the caller (live streaming), so
            that no other tier can take over.
        input_tokens, output_tokens, cached_tokens, written_tokens: What was bought all the same,
            where an answer came that the client could not read.
    """

    error: Exception
    emitted: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    written_tokens: int = 0


# These three are made in every call, and named tuples are made faster than frozen dataclasses.


class Ask(NamedTuple):
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


class Step(NamedTuple):
    """One entry of the trail: what one tier was asked and what came of it.

    Args:
        model: The tier's name.
        decision: "accepted", "rejected", "failed", "verified", "skipped" or "returned" (a rejected
            draft that was returned because no later tier gave anything to use).
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
    written_tokens: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The step as a JSON object, its numbers rounded for people."""
        return {
            "model": self.model,
            "decision": self.decision,
            "why": self.why,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "score": _rounded(self.score, 4),
            "threshold": _rounded(self.threshold, 4),
            "usd": _rounded(self.usd, 10),
            "seconds": round(self.seconds, 4),
        }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


class Outcome(NamedTuple):
    """What the cascade returns.

    Args:
        reply: The answer.
        tier: Position of the tier that gave it.
        steps: The trail, in the order in which the tiers were asked.
        degraded: The answer is a rejected draft, since no later tier gave anything to use.
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
        total = 0.0
        for step in self.steps:
            if step.usd is None:
                return None
            total += step.usd
        return total

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
        return {
            "accepted": self.steps[-1].model if not self.degraded else None,
            "degraded": self.degraded,
            "promise": self.promise,
            "usd": _rounded(self.usd, 10),
            "trail": [step.to_json() for step in self.steps],
        }


Judge = Callable[[str, Reply, Sequence[tuple[str, Reply]]], "float | None"]
"""(tier, its reply, earlier (tier, reply) pairs) -> P(correct), or None if it cannot tell: the tier
is then asked to judge its own answer."""


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
