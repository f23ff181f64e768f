"""Whether the answer to one question serves another: a score from both wordings and their cosine.

The score is a boosted ensemble of small trees (Friedman 2001) fitted on labelled question pairs and
on questions changed by rules; this module only evaluates it. It is a ranking, not a probability:
the threshold comes from `frugal_core.cache.calibration`.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from frugal_core.arrays import Floats, Ints
from frugal_core.cache.guard import objection, passes_away
from frugal_core.cache.lexicon import Lexicon, english
from frugal_core.cache.wording import Difference, Wording, compare, read

FEATURES = (
    "cosine",
    "lead over the next",
    "cosine of the next",
    "mean cosine of the others",
    "shared content",
    "shared words",
    "shared letter triples",
    "shared word pairs",
    "rarity shared, of the new",
    "rarity shared, of the old",
    "rarest only in the new",
    "rarity only in the new",
    "rarest only in the old",
    "rarity only in the old",
    "rarest left of the new",
    "rarity left of the new",
    "words left of the new",
    "rarest left of the old",
    "rarity left of the old",
    "words left of the old",
    "words only in the new",
    "words only in the old",
    "numbers apart",
    "names apart",
    "names unmatched",
    "shared names",
    "negations apart",
    "other negations",
    "same question word",
    "both ask by a word",
    "prepositions apart",
    "persons apart",
    "modals apart",
    "degrees apart",
    "times apart",
    "length ratio",
    "words of the shorter",
    "words of the longer",
    "same beginning",
    "reordered",
    "inversions",
    "synonyms",
    "forms",
    "misspellings",
    "opposites",
    "one word for another",
    "content in common",
    "unknown words left of the new",
    "unknown words left of the old",
)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A stored question near a new one.

    Args:
        question: Its text.
        cosine: To the new question.
    """

    question: str
    cosine: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the decision says of the first neighbour that no guard forbids.

    Args:
        position: Which neighbour; None if all are forbidden.
        score: In (0, 1), higher is more alike; -inf if all are forbidden.
        objections: Why each neighbour before it is forbidden.
    """

    position: int | None
    score: float
    objections: tuple[str, ...]


@dataclass(frozen=True)
class Trees:
    """A boosted ensemble; node arrays of all trees one after another.

    Args:
        roots: First node of each tree; shape (trees,).
        feature: Column that a node looks at; shape (nodes,).
        threshold: Values up to it go left; infinite in leaves, which lead to themselves.
        left, right: Nodes that follow; shape (nodes,).
        value: What a leaf adds to the score; shape (nodes,).
        depth: Of the deepest tree.
        base: Score before any tree.
    """

    roots: Ints
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    value: Floats
    depth: int
    base: float

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trees:
        """Read what `to_json` wrote."""
        whole = {name: np.array(data[name]) for name in ("roots", "feature", "left", "right")}
        real = {name: np.array(data[name], dtype=float) for name in ("threshold", "value")}
        return cls(**whole, **real, depth=int(data["depth"]), base=float(data["base"]))

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        arrays = ("roots", "feature", "threshold", "left", "right", "value")
        lists = {name: getattr(self, name).tolist() for name in arrays}
        return {**lists, "depth": self.depth, "base": self.base}

    def score(self, features: Floats) -> float:
        """The score of one row of features, in (0, 1); shape (features,)."""
        node = self.roots
        for _ in range(self.depth):
            goes_left = features[self.feature[node]] <= self.threshold[node]
            node = np.where(goes_left, self.left[node], self.right[node])
        return 1 / (1 + math.exp(-self.base - float(self.value[node].sum())))


@dataclass(frozen=True)
class Decision:
    """Guards and score.

    Args:
        trees: The score.
        lexicon: What is known about words.
    """

    trees: Trees
    lexicon: Lexicon

    def judge(self, question: str, neighbours: Sequence[Neighbour]) -> Verdict:
        """Score the nearest neighbour that no guard forbids.

        Args:
            question: The new one.
            neighbours: Nearest first.
        """
        new = read(question)
        if passes_away(new):
            return Verdict(None, -math.inf, ("the answer passes away",))
        if not new.content:
            return Verdict(None, -math.inf, ("it has no words to compare",))
        objections: list[str] = []
        for position, neighbour in enumerate(neighbours):
            old = read(neighbour.question)
            if new.words == old.words:  # written otherwise at most: "What's", "WHAT IS"
                return Verdict(position, 1.0, tuple(objections))
            difference = compare(new, old, self.lexicon)
            if (why := objection(new, old, difference)) is None:
                cosines = [other.cosine for other in neighbours[position:]]
                row = features(new, old, difference, cosines, self.lexicon)
                return Verdict(position, self.trees.score(row), tuple(objections))
            objections.append(why)
        return Verdict(None, -math.inf, tuple(objections))


def features(
    new: Wording,
    old: Wording,
    difference: Difference,
    cosines: Sequence[float],
    lexicon: Lexicon,
) -> Floats:
    """What the score is computed from; shape (len(FEATURES),).

    Args:
        new, old: The wordings.
        difference: Between them.
        cosines: To the old question, and to its neighbours further away.
        lexicon: What is known about words.
    """
    rarity = lexicon.rarity_of
    shared = new.content & old.content
    common = sum(map(rarity, shared))
    all_new, all_old = sum(map(rarity, new.content)), sum(map(rarity, old.content))
    only_new, only_old = (
        _rarities(difference.only_new, lexicon),
        _rarities(difference.only_old, lexicon),
    )
    rest_new, rest_old = (
        _rarities(difference.rest_new, lexicon),
        _rarities(difference.rest_old, lexicon),
    )
    lengths = len(new.words), len(old.words)
    others = cosines[1:]
    following = others[0] if others else 0.0
    values = (
        cosines[0],
        cosines[0] - following,
        following,
        sum(others) / len(others) if others else 0.0,
        _jaccard(new.content, old.content),
        _jaccard(frozenset(new.stems), frozenset(old.stems)),
        _jaccard(new.triples, old.triples),
        _jaccard(new.pairs, old.pairs),
        common / all_new if all_new else 1.0,
        common / all_old if all_old else 1.0,
        max(only_new, default=0.0),
        sum(only_new),
        max(only_old, default=0.0),
        sum(only_old),
        max(rest_new, default=0.0),
        sum(rest_new),
        len(rest_new),
        max(rest_old, default=0.0),
        sum(rest_old),
        len(rest_old),
        len(only_new),
        len(only_old),
        len(new.numbers ^ old.numbers),
        new.names != old.names,
        len(new.names - old.content) + len(old.names - new.content),
        _jaccard(new.names, old.names),
        abs(len(new.negations) - len(old.negations)),
        new.negations != old.negations,
        new.asks == old.asks,
        bool(new.asks and old.asks),
        len(new.prepositions ^ old.prepositions),
        len(new.persons ^ old.persons),
        len(new.modals ^ old.modals),
        len(new.degrees ^ old.degrees),
        len(new.times ^ old.times),
        abs(math.log((lengths[0] + 1) / (lengths[1] + 1))),
        min(lengths),
        max(lengths),
        new.words[:2] == old.words[:2],
        difference.reordered,
        difference.inversions,
        difference.synonyms,
        difference.forms,
        difference.misspellings,
        difference.opposites,
        len(only_new) == len(only_old) == 1,
        len(shared),
        sum(not lexicon.knows(word) for word in difference.rest_new),
        sum(not lexicon.knows(word) for word in difference.rest_old),
    )
    return np.array(values, dtype=float)


def _rarities(words: Sequence[str], lexicon: Lexicon) -> list[float]:
    return [lexicon.rarity_of(word) for word in words]


def _jaccard(one: frozenset[Any], other: frozenset[Any]) -> float:
    both = len(one & other)
    either = len(one) + len(other) - both
    return both / either if either else 1.0


@cache
def shipped() -> Decision:
    """The decision that ships with the package."""
    packed = resources.files("frugal_core").joinpath("data/decision.json.gz").read_bytes()
    return Decision(Trees.from_json(json.loads(gzip.decompress(packed))["trees"]), english())
