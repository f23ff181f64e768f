"""What a cache is given, looked at before it is used: one error that says how to mend it."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from frugal_core.errors import FrugalError, is_number


def check_settings(
    error_bound: float,
    ttl: float | None,
    confidence: float,
    max_entries: int | None,
    judge: object,
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
    if judge is not None and not callable(judge):
        raise FrugalError(
            f"judge {judge!r}: a function of (new question, stored question, stored answer), or "
            f"None for none"
        )
    if not 0 <= judge_rate <= 1:
        raise FrugalError(f"judge_rate {judge_rate!r}: a share from 0 to 1")


def check_question(question: object) -> None:
    """Refuse what is no text."""
    if not isinstance(question, str):
        raise FrugalError(f"question is {type(question).__name__}: give a string")


def label_of(where: str, value: object) -> bool:
    """What a judge, or a file, says of a decision; texts such as "no" and "0" would count as true.

    Args:
        where: It was said, for the error.
        value: A bool, NumPy's included, or 0 or 1.

    Raises:
        FrugalError: It is something else.

    Example:
        >>> label_of("judge", 0)
        False
    """
    if isinstance(value, bool | np.bool_) or (is_number(value) and value in (0, 1)):
        return bool(value)
    raise FrugalError(f"{where}: {reprlib.repr(value)} is no label, give True or False")


def labelled(pairs: Iterable[tuple[str, str, object]]) -> list[tuple[str, str, bool]]:
    """Labelled pairs of questions, looked at one by one."""
    found = []
    for number, pair in enumerate(pairs):
        where = f"pair {number}"
        try:
            stored, asked, same = pair
        except (TypeError, ValueError):
            raise FrugalError(
                f"{where}: {reprlib.repr(pair)} is no (stored question, new question, label)"
            ) from None
        check_question(stored)
        check_question(asked)
        found.append((stored, asked, label_of(where, same)))
    return found


def check_answer(answer: Any) -> None:
    """Refuse what JSON cannot hold."""
    try:
        json.dumps(answer, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise FrugalError(f"store: the answer cannot be kept as JSON ({error})") from None
