"""Guards: differences in wording that forbid a hit, however alike two questions are to an embedder.

Embeddings see "with" and "without", "2015" and "2016", "A to B" and "B to A" as nearly the same.
"""

from __future__ import annotations

from frugal_core.cache.wording import Difference, Wording

_PASSING = frozenset(
    "today tonight yesterday tomorrow now currently latest recent recently nowadays".split()
)


def objection(new: Wording, old: Wording, difference: Difference) -> str | None:
    """Why the answer to an old question may not serve a new one, or None.

    Example:
        >>> from frugal_core.cache.lexicon import english
        >>> from frugal_core.cache.wording import compare, read
        >>> one, other = read("Is 5 a prime number?"), read("Is 6 a prime number?")
        >>> objection(one, other, compare(one, other, english()))
        'numbers'
    """
    if new.numbers != old.numbers:
        return "numbers"
    if len(new.negations) != len(old.negations):
        return "negation"
    if difference.opposites:
        return "opposites"
    if difference.reordered:
        return "order"
    if new.names != old.names and difference.pairing.rest_new and difference.pairing.rest_old:
        return "names"
    return None


def passes_away(new: Wording) -> bool:
    """Whether the answer depends on the moment: "today", "latest"."""
    return not _PASSING.isdisjoint(new.words)
