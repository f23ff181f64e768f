"""Graders: whether an answer says the same as the gold answer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Literal

from frugal_core.errors import RecordingError

Grade = Callable[[str, str], bool]
"""(answer, gold answer) -> whether the answer is right"""

Grader = Literal["exact", "normalised", "number", "contains"] | Grade
"""A grader by its name, or a function of the user's."""

_AROUND = " \t.,;:!?\"'`*()[]"


def normalise(text: str) -> str:
    """Case, white space, surrounding punctuation and quotes removed: for comparing short answers.

    Example:
        >>> normalise('  "Up." ')
        'up'
    """
    return " ".join(text.casefold().split()).strip(_AROUND)


def means_the_same(answer: str, gold: str) -> bool:
    """The default grader, "normalised": equal once normalised; two numbers, if they are equal.

    A text is a number where it holds nothing else but what `normalise` removes: a sign, digits, a
    decimal point, a dollar sign before or a percent sign after, which the other must have too.

    Args:
        answer: What a model said.
        gold: The right answer.

    Returns:
        Whether the answer is right.

    Example:
        >>> means_the_same("4", "4.0"), means_the_same("4 %", "4"), means_the_same("4 apples", "4")
        (True, False, False)
    """
    said, wanted = _numeral(answer), _numeral(gold)
    if said is not None and wanted is not None:
        return said == wanted
    return normalise(answer) == normalise(gold)


# From the text as it is: without the point that `normalise` removes, ".5" would be five.
_NUMERAL = re.compile(
    r"[\s,;:!?\"'`*()\[\]]*(\$?)\s?([+-]?(?:\d+(?:\.\d+)?|\.\d+))\s?(%?)[\s.,;:!?\"'`*()\[\]]*"
)


def _numeral(text: str) -> tuple[Decimal, str] | None:
    """A text that is a number, as that number and its unit."""
    found = _NUMERAL.fullmatch(text)
    return None if found is None else (Decimal(found[2]), found[1] + found[3])


_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def _last_number(text: str) -> float | None:
    found = _NUMBER.findall(text.replace(",", ""))
    return float(found[-1]) if found else None


def _same_number(answer: str, gold: str) -> bool:
    said, wanted = _last_number(answer), _last_number(gold)
    return said is not None and wanted is not None and math.isclose(said, wanted, rel_tol=1e-9)


_GRADERS: dict[str, Grade] = {
    "exact": lambda answer, gold: answer == gold,
    "normalised": means_the_same,
    "number": _same_number,
    "contains": lambda answer, gold: normalise(gold) in normalise(answer),
}


def grade_of(grader: Grader) -> Grade:
    """The function that a grader names or is.

    Raises:
        RecordingError: if no grader is called so; it names those there are.
    """
    if callable(grader):
        return grader
    if grader not in _GRADERS:
        raise RecordingError(
            f"grader {grader!r}: choose one of {', '.join(_GRADERS)}; in Python, a function too"
        )
    return _GRADERS[grader]


def name_of(grader: Grader) -> str:
    """How a policy remembers a grader."""
    return grader if isinstance(grader, str) else "a function of the user's"
