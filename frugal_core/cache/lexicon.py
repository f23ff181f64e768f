"""What is known about English words: how rare they are, and which mean the same or the opposite.

Synonyms, antonyms and derivations are WordNet's (Princeton University; Fellbaum 1998), rarities are
document frequencies in questions of Quora's duplicate-question pairs. Other languages lack both:
there every word counts as rare and unrelated, which makes the cache careful.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any

_SEVERAL = math.log(7)
KINSHIPS = ("forms", "misspellings", "synonyms")
_NONE: frozenset[Any] = frozenset()
_PREFIXES = ("un", "in", "im", "ir", "il", "dis", "non", "mis", "de", "anti")


@dataclass(frozen=True)
class Lexicon:
    """Words by their stems.

    Args:
        rarity: -log of the share of texts with a stem.
        unknown: Rarity of every other stem.
        meanings: Numbers of the synonym sets that a stem belongs to.
        opposites: Stems that mean the opposite of a stem, both ways round.
        derived: Stems of the same family ("decide", "decision"), both ways round.
    """

    rarity: Mapping[str, float]
    unknown: float
    meanings: Mapping[str, frozenset[int]]
    opposites: Mapping[str, frozenset[str]]
    derived: Mapping[str, frozenset[str]]

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
            _both_ways(antonyms),
            _both_ways(derived),
        )

    def rarity_of(self, word: str) -> float:
        """How much a stem says about a text."""
        return self.rarity.get(word, self.unknown)

    def rarities(self, words: Iterable[str]) -> list[float]:
        """`rarity_of` each."""
        rarity, unknown = self.rarity, self.unknown
        return [rarity.get(word, unknown) for word in words]

    def knows(self, word: str) -> bool:
        """Whether a stem is a word and no misspelling: in WordNet, or in several texts."""
        return word in self.meanings or self.rarity_of(word) <= self.unknown - _SEVERAL

    def opposites_among(self, ones: Sequence[str], others: Sequence[str]) -> int:
        """Pairs of stems that mean the opposite: "cheap" and "dear", "able" and "unable"."""
        found = 0
        for one in ones:
            known = self.opposites.get(one, _NONE)
            positives = _positives(one)
            for other in others:
                if (
                    other in known
                    or (positives and self._have_opposite(positives, _positives(other)))
                    or (one.endswith(other) and one[: -len(other)] in _PREFIXES)
                    or (other.endswith(one) and other[: -len(one)] in _PREFIXES)
                ):
                    found += 1
        return found

    def _have_opposite(self, ones: Iterable[str], others: Iterable[str]) -> bool:
        return any(not self.opposites.get(one, _NONE).isdisjoint(others) for one in ones)

    def kinship(self, one: str, other: str) -> str:
        """Which of `KINSHIPS` two stems have; empty if none.

        Forms belong to one word. Of a misspelling, one letter apart, only the other stem is known:
        two unknown ones are more likely two names. Synonyms can mean the same.
        """
        kind = self._kind(one, other)
        # Few pairs come this far, and opposites take longer to look up.
        return "" if kind and self.opposites_among((one,), (other,)) else kind

    def _kind(self, one: str, other: str) -> str:
        if other in self.derived.get(one, _NONE):
            return "forms"
        known = self.knows(one) or self.knows(other)
        # Two unknown ones with more than an ending apart are more likely two names.
        if _same_beginning(one, other) and (known or _short_endings(one, other)):
            return "forms"
        if self.knows(one) != self.knows(other) and _one_letter_apart(one, other):
            return "misspellings"
        if not self.meanings.get(one, _NONE).isdisjoint(self.meanings.get(other, _NONE)):
            return "synonyms"
        return ""


def _both_ways(pairs: Sequence[Sequence[str]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for a, b in pairs:
        found.setdefault(a, set()).add(b)
        found.setdefault(b, set()).add(a)
    return {word: frozenset(others) for word, others in found.items()}


@lru_cache(maxsize=16_384)
def _positives(word: str) -> tuple[str, ...]:
    """What a comparative may be made of: "easier" of "easy", "hotter" of "hot"."""
    for ending in ("er", "est", "r", "st"):  # a stem may have lost its "e"
        base = word.removesuffix(ending)
        if base != word and len(base) > 2:
            doubled = base[-1] == base[-2]
            return (base[:-1] + "y",) if base[-1] == "i" else (base, base[:-1])[: 1 + doubled]
    return ()


def _same_beginning(one: str, other: str) -> bool:
    if one[:3] != other[:3] or abs(len(one) - len(other)) > 4:
        return False
    shared = min(len(one), len(other)) - 1
    return shared >= 3 and one[:shared] == other[:shared]


def _short_endings(one: str, other: str) -> bool:
    kept = max(len(one), len(other)) - 2
    return kept >= 5 and one[:kept] == other[:kept]


def _one_letter_apart(one: str, other: str) -> bool:
    if min(len(one), len(other)) < 4 or abs(len(one) - len(other)) > 1:
        return False
    if one[0].isdigit() or other[0].isdigit():
        return False
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    a, b = one[start:], other[start:]
    swapped = a[:2] == b[:2][::-1] and a[2:] == b[2:]
    return a[1:] == b[1:] or a == b[1:] or a[1:] == b or swapped


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
