"""Guards: differences in wording that forbid a hit, however alike two questions are to an embedder.

Embeddings see "with" and "without", "2015" and "2016", "A to B" and "B to A" as nearly the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from frugal_core.cache.rivals import are_rivals
from frugal_core.cache.wording import Difference, Wording

_PASSING = frozenset(
    "today tonight yesterday tomorrow now currently latest recent recently nowadays".split()
)

_WEAK_SIGNS = frozenset("*/")
"""All other signs change what is meant even where the other question has none: "C", "C++", "C#"."""


def objection(new: Wording, old: Wording, difference: Difference) -> str | None:
    """Why the answer to an old question may not serve a new one, or None.

    Example:
        >>> from frugal_core.cache.lexicon import english
        >>> from frugal_core.cache.wording import compare, read
        >>> one, other = read("Is 5 a prime number?"), read("Is 6 a prime number?")
        >>> objection(one, other, compare(one, other, english()))
        'numbers'
    """
    only_new, only_old = new.numbers - old.numbers, old.numbers - new.numbers
    if (only_new and only_old) or any(map(_is_sign, only_new | only_old)):
        return "numbers"
    if new.words == old.words and new.marks != old.marks:
        return "signs"
    if new.quotations and old.quotations and new.quotations != old.quotations:
        return "quotation"
    if len(new.negations) != len(old.negations):
        return "negation"
    if difference.opposites or are_rivals(new, old):
        return "opposites"
    if difference.turned or _turned(new.persons, old.persons):
        return "order"
    if difference.names_new and difference.names_old:
        rest_new, rest_old = difference.pairing.rest_new, difference.pairing.rest_old
        if not (
            difference.names_new.isdisjoint(rest_new) or difference.names_old.isdisjoint(rest_old)
        ):
            return "names"
    if difference.strange:
        return "unknown words"
    return None


def passes_away(new: Wording) -> bool:
    """Whether the answer depends on the moment: "today", "latest"."""
    return not _PASSING.isdisjoint(new.words)


def is_same_wording(new: Wording, old: Wording) -> bool:
    """Whether two questions differ in nothing but how they are written: "What's", "WHAT IS".

    Example:
        >>> from frugal_core.cache.wording import read
        >>> is_same_wording(read("what's C?"), read("What is C"))
        True
        >>> is_same_wording(read("2 - 3"), read("2 + 3"))
        False
    """
    return (
        new.words == old.words
        and new.marks == old.marks
        and new.quotations == old.quotations
        # Who writes no name in capitals may mean one all the same.
        and (new.names == old.names or not new.names or not old.names)
    )


def _is_sign(number: str) -> bool:
    return not number[0].isalnum() and number not in _WEAK_SIGNS


def _turned(new: Sequence[str], old: Sequence[str]) -> bool:
    """Whether the same persons change places: "Did I lend you", "Did you lend me"."""
    return new != old and len(new) > 1 and sorted(new) == sorted(old)
