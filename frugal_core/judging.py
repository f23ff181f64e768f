"""Asking a scorer in such a way that no fault of it, the user's or ours, costs an answer."""

from __future__ import annotations

import logging
import math
import reprlib
from collections.abc import Callable, Sequence

from frugal_core.cascade import Judge, Reply, Scorer
from frugal_core.errors import describe

logger = logging.getLogger("frugal_core")

CheckedJudge = Callable[
    [str, Reply, Sequence[tuple[str, Reply]]], "tuple[float | None, str | None]"
]
"""As `Judge`; returns P(correct) in [0, 1] or None, and what was wrong with the scorer, if anything
was."""


def checked_judge(scorer: Scorer, query: str) -> CheckedJudge:
    """Prepare a query once, to score several tiers' answers to it.

    What the scorer raises, and what it returns that is no finite number, becomes "no score" with
    the reason; a number outside [0, 1] counts as the nearer end. Either is logged once per scorer.
    """
    try:
        judge = scorer.judge(query)
    except Exception as error:
        judge = _raising(error)

    def score(
        tier: str, reply: Reply, earlier: Sequence[tuple[str, Reply]]
    ) -> tuple[float | None, str | None]:
        try:
            value = judge(tier, reply, earlier)
        except Exception as error:
            fault = f"the scorer raised {describe(error)}"
        else:
            if value is None:
                return None, None
            number = _number(value)
            if 0.0 <= number <= 1.0:
                return number, None
            if math.isfinite(number):
                nearest = 0.0 if number < 0.0 else 1.0
                said = f"returned {number!r}, which is no probability: it counts as {nearest:g}"
                _warn_once(scorer.id, "range", said)
                return nearest, None
            fault = f"the scorer returned {reprlib.repr(value)}, not a number"
        _warn_once(scorer.id, "fault", f"gives no score, so the next tier is asked: {fault}")
        return None, fault

    return score


def _raising(error: Exception) -> Judge:
    def judge(tier: str, reply: Reply, earlier: Sequence[tuple[str, Reply]]) -> float | None:
        raise error

    return judge


def _number(value: object) -> float:
    """A score as a float, since NumPy's numbers are not JSON; NaN if it is no number."""
    try:
        return float(value)  # type: ignore[arg-type]  # what it is is up to the user's function
    except Exception:  # a user's object may fail in any way
        return math.nan


_warned: set[tuple[str, str]] = set()


def _warn_once(scorer: str, kind: str, message: str) -> None:
    if (scorer, kind) not in _warned:
        _warned.add((scorer, kind))
        logger.warning("scorer %s %s (said once)", scorer, message)
