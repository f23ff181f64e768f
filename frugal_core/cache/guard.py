"""Guards: differences in wording that forbid a hit, however alike two questions are to an embedder.

Embeddings see "with" and "without", "2015" and "2016", "A to B" and "B to A" as nearly the same.
"""

from __future__ import annotations

from frugal_core.cache.wording import Difference, Wording

_PASSING = frozenset(
    "today tonight yesterday tomorrow now currently latest recent recently nowadays".split()
)

_SIGNS = frozenset("$€£%+-#=<>^")
"""Signs that change what is meant even where the other question has none: "C", "C++", "C#"."""


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
    if (only_new and only_old) or not _SIGNS.isdisjoint(only_new | only_old):
        return "numbers"
    if len(new.negations) != len(old.negations):
        return "negation"
    if difference.opposites:
        return "opposites"
    if difference.turned:
        return "order"
    if difference.names_new and difference.names_old:
        rest_new, rest_old = difference.pairing.rest_new, difference.pairing.rest_old
        if not (
            difference.names_new.isdisjoint(rest_new) or difference.names_old.isdisjoint(rest_old)
        ):
            return "names"
    return None


def passes_away(new: Wording) -> bool:
    """Whether the answer depends on the moment: "today", "latest"."""
    return not _PASSING.isdisjoint(new.words)
