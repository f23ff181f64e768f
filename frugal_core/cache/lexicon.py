"""What is known about English words: how rare they are, and which mean the same or the opposite.

Synonyms, antonyms and derivations are WordNet's (Princeton University; Fellbaum 1998), rarities are
document frequencies in questions of Quora's duplicate-question pairs. Other languages lack both:
there every word counts as rare and unrelated, which makes the cache careful.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

_SEVERAL = math.log(7)
_PREFIXES = ("un", "in", "im", "ir", "il", "dis", "non", "mis", "de", "anti")


@dataclass(frozen=True)
class Lexicon:
    """Words by their stems.

    Args:
        rarity: -log of the share of texts with a stem.
        unknown: Rarity of every other stem.
        meanings: Numbers of the synonym sets that a stem belongs to.
        opposites: Pairs of stems, both ways round.
        derived: Pairs of stems of one family ("decide", "decision"), both ways round.
    """

    rarity: Mapping[str, float]
    unknown: float
    meanings: Mapping[str, frozenset[int]]
    opposites: frozenset[tuple[str, str]]
    derived: frozenset[tuple[str, str]]

    @classmethod
    def of(
        cls,
        rarity: Mapping[str, float],
        unknown: float,
        synonyms: Sequence[Sequence[str]],
        antonyms: Sequence[Sequence[str]],
        derived: Sequence[Sequence[str]],
    ) -> Lexicon:
        """A lexicon from groups of stems that mean the same, and pairs."""
        meanings: dict[str, set[int]] = {}
        for number, group in enumerate(synonyms):
            for word in group:
                meanings.setdefault(word, set()).add(number)
        return cls(
            rarity,
            unknown,
            {word: frozenset(numbers) for word, numbers in meanings.items()},
            frozenset(_both_ways(antonyms)),
            frozenset(_both_ways(derived)),
        )

    def rarity_of(self, word: str) -> float:
        """How much a stem says about a text."""
        return self.rarity.get(word, self.unknown)

    def knows(self, word: str) -> bool:
        """Whether a stem is a word and no misspelling: in WordNet, or in several texts."""
        return word in self.meanings or self.rarity_of(word) <= self.unknown - _SEVERAL

    def opposite(self, one: str, other: str) -> bool:
        """Whether two stems mean the opposite: "cheap" and "dear", "able" and "unable"."""
        if (one, other) in self.opposites:
            return True
        longer, shorter = (one, other) if len(one) > len(other) else (other, one)
        return longer.endswith(shorter) and longer[: -len(shorter)] in _PREFIXES

    def related(self, one: str, other: str) -> bool:
        """Whether two stems are forms of one word."""
        if (one, other) in self.derived:
            return True
        shared = min(len(one), len(other)) - 1
        return shared >= 3 and one[:shared] == other[:shared] and abs(len(one) - len(other)) <= 4

    def same_meaning(self, one: str, other: str) -> bool:
        """Whether two stems can mean the same."""
        nothing: frozenset[int] = frozenset()
        return not self.meanings.get(one, nothing).isdisjoint(self.meanings.get(other, nothing))

    def misspelt(self, one: str, other: str) -> bool:
        """Whether one stem is likely a misspelling of the other: one letter apart, one unknown.

        Two unknown ones are more likely two names.
        """
        if one[0].isdigit() or other[0].isdigit() or self.knows(one) == self.knows(other):
            return False
        return _one_letter_apart(one, other)


def _both_ways(pairs: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    return [(a, b) for a, b in pairs] + [(b, a) for a, b in pairs]


def _one_letter_apart(one: str, other: str) -> bool:
    if min(len(one), len(other)) < 4 or abs(len(one) - len(other)) > 1:
        return False
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    a, b = one[start:], other[start:]
    swapped = a[:2] == b[:2][::-1] and a[2:] == b[2:]
    return a[1:] == b[1:] or a == b[1:] or a[1:] == b or swapped


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """A lower-case word without its commonest English endings."""
    if len(word) <= 3:
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            base = word[: -len(ending)]
            if len(base) > 3 and base[-1] == base[-2] and base[-1] not in "sl":
                base = base[:-1]
            return base.rstrip("e")
    if word.endswith("es") and len(word) > 4 and word[-3] in "sxzh":
        return word[:-2].rstrip("e")
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return word.rstrip("e") if len(word) > 4 else word


@cache
def english() -> Lexicon:
    """The lexicon that ships with the package."""
    packed = resources.files("frugal_core").joinpath("data/lexicon.json.gz").read_bytes()
    data = json.loads(gzip.decompress(packed))
    texts = data["texts"]
    rarity = {
        word: math.log((texts + 1) / (count + 1)) for word, count in data["frequencies"].items()
    }
    return Lexicon.of(
        rarity, math.log(texts + 1), data["synonyms"], data["antonyms"], data["derived"]
    )
