"""What a model said, in no framework's terms, and what becomes of it: a reply for the loop.

The adapters read their framework's messages into an `Answer`; what makes an answer of no use, and
how sure its model was, is decided here for both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from frugal_core.cascade import Failure, Reply
from frugal_core.contract import ToolCall

Breach = Callable[[str, Sequence[ToolCall]], "str | None"]
"""(text, tool calls) -> how they break a contract, in words, or None: `Contract.breach`."""

CUT_SHORT = frozenset(
    {"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"}
    | {"token_limit", "time_limit", "timeout", "incomplete", "not_finished", "cancelled", "abort"}
    | {"error", "network_error", "insufficient_system_resource"}
)
"""What providers call an end that came too early: for want of tokens, or by a fault of theirs."""

WITHHELD = frozenset(
    {"content_filter", "content_filtered", "refusal", "safety", "recitation", "blocklist"}
    | {"prohibited_content", "spii", "guardrail_intervened", "sensitive", "error_toxic"}
)
"""What providers call an end for reasons of policy."""

_FINISHED = re.compile(
    r"""(?:finishreason\.)?(?:
        stop|stopped|stop_sequence|stop_before|end_turn|end_token|eos|eos_token|end_of_text
        |endoftext|complete|completed|finish|finished|done|normal|tool_use|tool_calls?
        |function_call
        |1  # Google's number for STOP
    )+""",
    re.VERBOSE,
)
"""What providers call an end where the model was done."""
_UNSAID = re.compile("finish_reason_unspecified|null|none")


@dataclass(frozen=True, slots=True)
class Bill:
    """Tokens that were paid for.

    Args:
        input, output: All of them.
        cached, written: Those of `input` read from a provider's prompt cache, and written to it.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said.

    Args:
        text: Its text, without tool calls.
        calls: Its tool calls.
        other: Whether it holds something that is neither: an image, a sound, a file.
        ended: Why it ended, in the provider's words.
        refused: Whether it says of itself that it is a refusal.
        bill: What was bought; None if the provider did not say.
        confidence: Mean log-probability of its tokens, if there are any.
    """

    text: str
    calls: tuple[ToolCall, ...] = ()
    other: bool = False
    ended: str = ""
    refused: bool = False
    bill: Bill | None = None
    confidence: float | None = None

    @property
    def finished(self) -> bool:
        """Whether the model was done, as far as its provider says."""
        # Of a stream, frameworks join what all its pieces say: "FINISH_REASON_UNSPECIFIEDSTOP".
        ended = _UNSAID.sub("", self.ended.lower())
        return not ended or _FINISHED.fullmatch(ended) is not None

    def reply(self, breach: Breach | None, payload: Any) -> Reply:
        """The answer as the loop takes it.

        Args:
            breach: Says how it breaks its contract; None if anything will do.
            payload: The adapter's own object.
        """
        written = self.text
        if self.calls:
            written = "\n".join(filter(None, [self.text, *map(str, self.calls)]))
        broken = self._broken(breach)
        ended = self.ended.lower()
        withheld = self.refused or ended in WITHHELD
        cut_short = ended in CUT_SHORT
        bill = self.bill or Bill()
        return Reply(
            text=written,
            input_tokens=bill.input,
            output_tokens=bill.output,
            cached_tokens=bill.cached,
            written_tokens=bill.written,
            confidence=self.confidence,
            defect="refused" if withheld else "cut short" if cut_short else broken,
            useless=broken is not None and not withheld,
            payload=payload,
            metered=self.bill is not None,
        )

    def _broken(self, breach: Breach | None) -> str | None:
        """What makes the answer of no use to the caller."""
        if self.calls and any(call.arguments is None for call in self.calls):
            return "a tool call is not valid JSON"
        if not (self.calls or self.other or self.text.strip()):
            return "empty"
        return None if breach is None else breach(self.text, self.calls)


def question(turns: Iterable[tuple[str, str]]) -> str:
    """What a conversation asks: the last words of the user and what tools have said since.

    Args:
        turns: Who spoke ("user", "tool", or anything else) and what, from the last to the first;
            read no further than is needed.

    Example:
        >>> question([("tool", "noon"), ("assistant", "wait"), ("user", "Time?"), ("user", "hi")])
        'Time?\\nnoon'
    """
    said: list[str] = []
    last = None
    for speaker, text in turns:
        if last is None:
            last = text
        if speaker in ("user", "tool"):
            said.append(text)
        if speaker == "user":
            break
    return "\n".join(reversed(said)) if said else last or ""


def mean_log_probability(log_probs: Iterable[Any]) -> float | None:
    """The confidence in an answer: the mean log-probability of its tokens.

    Args:
        log_probs: One number for each token; None among them, as some providers write, or no
            tokens at all, is no confidence.

    Example:
        >>> mean_log_probability([-0.1, -0.3])
        -0.2
    """
    values: Sequence[Any] = list(log_probs)
    try:
        mean = float(sum(values)) / len(values)
    except (TypeError, ZeroDivisionError):  # what a provider leaves out must not cost its answer
        return None
    return None if math.isnan(mean) else min(mean, 0.0)


def failure_of(error: Exception) -> Failure:
    """What an exception is to the loop, with what was bought before it was raised.

    OpenAI's client, for one, raises on an answer cut short in the middle of a JSON object; its
    tokens are on the bill all the same.
    """
    response = getattr(error, "response", None)
    if getattr(response, "status_code", None) != 200:
        return Failure(error)
    try:
        usage = response.json()["usage"]  # type: ignore[union-attr]  # it has a status: a response
        sent, received = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    except Exception:  # whatever a broken body does, it is not an answer with a bill
        return Failure(error)
    return Failure(error, input_tokens=sent, output_tokens=received)


def pieces(text: str) -> list[str]:
    """A finished text in pieces, as if it were streamed: words, each with the space around it.

    Example:
        >>> pieces("Paris, of course.")
        ['Paris, ', 'of ', 'course.']
    """
    return re.findall(r"\s*\S+\s*", text) or [text]
