"""Scorers that need no fitting: the tier's own log-probabilities, agreement, or a function.

The learned scorer is in `learned_scorer.py`; all follow the protocol `frugal_core.cascade.Scorer`.
"""

from __future__ import annotations

import hashlib
import marshal
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pprint import pformat
from typing import Any

from frugal_core.cascade import Judge, Reply
from frugal_core.grading import normalise


@dataclass(frozen=True)
class LogProbScorer:
    """The tier's own confidence: the geometric mean probability of its answer's tokens.

    A tier that gives no log-probabilities gets no score; the cascade then asks it to verify its own
    answer. Raw confidences are not calibrated: no promise can rest on them.

    Example:
        >>> judge = LogProbScorer().judge("2 + 2")
        >>> judge("small", Reply("4", confidence=0.0), [])
        1.0
    """

    id: str = "logprob"

    def judge(self, query: str) -> Judge:
        """See `frugal_core.cascade.Scorer`."""
        return _own_confidence


def _own_confidence(tier: str, reply: Reply, earlier: Sequence[tuple[str, Reply]]) -> float | None:
    return None if reply.confidence is None else math.exp(min(reply.confidence, 0.0))


@dataclass(frozen=True)
class AgreementScorer:
    """The share of earlier tiers that gave the same answer, case and punctuation aside.

    The first tier has nobody to agree with and scores 0.

    Example:
        >>> judge = AgreementScorer().judge("Capital of France?")
        >>> judge("b", Reply("paris"), [("a", Reply("Paris."))])
        1.0
    """

    id: str = "agreement"

    def judge(self, query: str) -> Judge:
        """See `frugal_core.cascade.Scorer`."""
        return _agreement


def _agreement(tier: str, reply: Reply, earlier: Sequence[tuple[str, Reply]]) -> float:
    if not earlier:
        return 0.0
    said = normalise(reply.text)
    return sum(normalise(other.text) == said for _, other in earlier) / len(earlier)


@dataclass(frozen=True)
class FunctionScorer:
    """The user's own function.

    Args:
        function: (query, answer) -> P(correct) in [0, 1], or None to let the tier verify itself.
        id: Names the function and its parameters in cache keys; by default its qualified name and
            a digest of its code, defaults and closure.

    Example:
        >>> scorer = FunctionScorer(lambda query, answer: float(answer.isdigit()), id="digits")
        >>> scorer.judge("2 + 2")("small", Reply("4"), [])
        1.0
    """

    function: Callable[[str, str], float | None]
    id: str = field(default="")

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", _function_id(self.function))

    def judge(self, query: str) -> Judge:
        """See `frugal_core.cascade.Scorer`."""

        def score(tier: str, reply: Reply, earlier: Sequence[tuple[str, Reply]]) -> float | None:
            return self.function(query, reply.text)

        return score


def _function_id(function: Callable[..., Any]) -> str:
    """A name that two functions share only if they compute the same."""
    code = getattr(function, "__code__", None)
    if code is None:  # an object with __call__: its repr says what it is, or where it is
        return repr(function)
    cells = [_written(cell.cell_contents) for cell in getattr(function, "__closure__", None) or ()]
    defaults = _written(
        (getattr(function, "__defaults__", None), getattr(function, "__kwdefaults__", None))
    )
    owner = repr(getattr(function, "__self__", None))
    # The second version: later ones write down how often a constant is referred to at the moment.
    seen = marshal.dumps(code, 2) + repr((cells, defaults, owner)).encode()
    digest = hashlib.sha256(seen).hexdigest()[:16]
    return f"{function.__module__}.{function.__qualname__}#{digest}"


def _written(value: Any) -> str:
    """A value in words, the same in every process: the order of a set is not."""
    return pformat(value, width=1)  # sorts the sets that do not fit into a line
