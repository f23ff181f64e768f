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

Grader = Literal["exact", "normalised", "number", "contains", "embedding"] | Grade
"""A grader by its name, or a function: one of the user's, an `EmbeddingGrader`, a `JudgeGrader`."""

GRADERS = "exact, normalised, number, contains, embedding or embedding:THRESHOLD"
"""The names that `grade_of` knows."""

_USERS = "a function of the user's"
"""What a policy remembers of a grader without a name."""

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


def numbers_of(text: str) -> list[float]:
    """The numbers in a text, in their order.

    Example:
        >>> numbers_of("from -4 to 1,234.50")
        [-4.0, 1234.5]
    """
    return [float(number) for number in _NUMBER.findall(text.replace(",", ""))]


def _same_number(answer: str, gold: str) -> bool:
    said, wanted = numbers_of(answer), numbers_of(gold)
    return bool(said and wanted) and math.isclose(said[-1], wanted[-1], rel_tol=1e-9)


_GRADERS: dict[str, Grade] = {
    "exact": lambda answer, gold: answer == gold,
    "normalised": means_the_same,
    "number": _same_number,
    "contains": lambda answer, gold: normalise(gold) in normalise(answer),
}


def grade_of(grader: Grader | str) -> Grade:
    """The function that a grader names or is.

    Raises:
        RecordingError: if no grader is called so; it names those there are.
    """
    if callable(grader):
        return grader
    if grader in _GRADERS:
        return _GRADERS[grader]
    if grader == _USERS:
        return _missing
    kind, colon, threshold = grader.partition(":")
    if kind == "embedding":
        from frugal_core.semantic_grading import EmbeddingGrader

        return EmbeddingGrader.named(threshold) if colon else EmbeddingGrader()
    hint = "in Python, a function too"
    if kind == "judge":
        hint = "in Python, a judge is frugal_core.semantic_grading.JudgeGrader(ask)"
    raise RecordingError(f"grader {grader!r}: choose one of {GRADERS}; {hint}")


def name_of(grader: Grader | str) -> str:
    """How a policy remembers a grader."""
    if isinstance(grader, str):
        return grader
    name = getattr(grader, "name", None)
    return name if isinstance(name, str) else _USERS


def _missing(answer: str, gold: str) -> bool:
    raise RecordingError(
        f"`correct` is not recorded for every answer, and they were graded by {_USERS}, which a "
        f"policy does not keep: record `correct`, or name a grader ({GRADERS})"
    )
