"""What a cache is given, looked at before it is used: one error that says how to mend it."""

from __future__ import annotations

import json
import math
from typing import Any

from frugal_core.errors import FrugalError


def check_settings(
    error_bound: float,
    ttl: float | None,
    confidence: float,
    max_entries: int | None,
    judge_rate: float,
) -> None:
    """Refuse settings of `SemanticCache` that make no sense, each by its name."""
    if not 0 <= error_bound < 1:
        raise FrugalError(f"error_bound {error_bound!r}: a share from 0 to below 1; 0.01 is 1 %")
    if not 0.5 <= confidence < 1:
        raise FrugalError(f"confidence {confidence!r}: must be in [0.5, 1)")
    if ttl is not None and not 0 < ttl < math.inf:
        raise FrugalError(f"ttl {ttl!r}: seconds above 0, or None for ever")
    if max_entries is not None and max_entries < 1:
        raise FrugalError(f"max_entries {max_entries!r}: at least 1, or None for no limit")
    if not 0 <= judge_rate <= 1:
        raise FrugalError(f"judge_rate {judge_rate!r}: a share from 0 to 1")


def check_question(question: object) -> None:
    """Refuse what is no text."""
    if not isinstance(question, str):
        raise FrugalError(f"question is {type(question).__name__}: give a string")


def check_answer(answer: Any) -> None:
    """Refuse what JSON cannot hold."""
    try:
        json.dumps(answer, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise FrugalError(f"store: the answer cannot be kept as JSON ({error})") from None
