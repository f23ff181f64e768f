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
from functools import cache, cached_property
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from frugal_core.arrays import Floats, Ints
from frugal_core.cache.guard import is_same_wording, objection, passes_away
from frugal_core.cache.lexicon import Lexicon, english
from frugal_core.cache.wording import (
    DEGREES,
    MODALS,
    PREPOSITIONS,
    TIMES,
    Difference,
    Wording,
    compare,
    read,
)

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
    "numbers only in the new",
    "numbers only in the old",
    "names apart",
    "names only in the new",
    "names only in the old",
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


class Neighbour(NamedTuple):
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

    All trees are evaluated in one pass (QuickScorer, Lucchese et al. 2015): every test that fails
    rules out the leaves on its left, and the leftmost leaf that remains is the one reached.

    Args:
        roots: First node of each tree; shape (trees,).
        feature: Column that a node looks at; shape (nodes,).
        threshold: Values up to it go left; shape (nodes,).
        left, right: Nodes that follow; a leaf leads to itself; shape (nodes,).
        value: What a leaf adds to the score; shape (nodes,).
        base: Score before any tree.
    """

    roots: Ints
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    value: Floats
    base: float

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trees:
        """Read what `to_json` wrote."""
        whole = {name: np.array(data[name]) for name in ("roots", "feature", "left", "right")}
        real = {name: np.array(data[name], dtype=float) for name in ("threshold", "value")}
        return cls(**whole, **real, base=float(data["base"]))

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        arrays = ("roots", "feature", "threshold", "left", "right", "value")
        lists = {name: getattr(self, name).tolist() for name in arrays}
        return {**lists, "base": self.base}

    def score(self, features: Floats) -> float:
        """The score of one row of features, in (0, 1); shape (features,)."""
        tests = self._tests
        failed = features.take(tests.feature) > tests.threshold
        left = ~np.bitwise_or.reduce(tests.ruled_out * failed, axis=0)
        lowest = np.frexp(left & -left)[1]  # place of the lowest bit, from 1
        reached = tests.value.take(lowest * left.size + tests.tree)
        return 1 / (1 + math.exp(-self.base - float(reached.sum())))

    @cached_property
    def _tests(self) -> _Tests:
        trees = [self._tree(int(root)) for root in self.roots]
        most = max(len(nodes) for nodes, _, _ in trees)
        bits = next(bits for bits in (8, 16, 32, 64) if bits > most)
        feature = np.zeros((most, len(trees)), dtype=np.intp)
        threshold = np.full((most, len(trees)), np.inf)
        ruled_out = np.zeros((most, len(trees)), dtype=f"uint{bits}")
        value = np.zeros((bits + 1, len(trees)))
        for tree, (nodes, masks, leaves) in enumerate(trees):
            rows = len(nodes)
            feature[:rows, tree] = self.feature[nodes]
            threshold[:rows, tree] = self.threshold[nodes]
            ruled_out[:rows, tree] = masks
            value[1 : len(leaves) + 1, tree] = self.value[leaves]
        return _Tests(feature, threshold, ruled_out, value, np.arange(len(trees)))

    def _tree(self, root: int) -> tuple[list[int], list[int], list[int]]:
        """Inner nodes of a tree, the leaves that each rules out, as bits, and all leaves."""
        nodes: list[int] = []
        masks: list[int] = []
        leaves: list[int] = []

        def walk(node: int) -> None:
            if self.left[node] == node:
                leaves.append(node)
                return
            first = len(leaves)
            walk(int(self.left[node]))
            nodes.append(node)
            masks.append((1 << len(leaves)) - (1 << first))
            walk(int(self.right[node]))

        walk(root)
        return nodes, masks, leaves


@dataclass(frozen=True, slots=True)
class _Tests:
    """The inner nodes of all trees, a column for each tree.

    Args:
        feature, threshold: See `Trees`; shape (most tests of a tree, trees).
        ruled_out: Leaves that a failed test rules out, one bit for each.
        value: Of each leaf, from row 1 on; shape (leaves + 1, trees).
        tree: Numbers of the trees.
    """

    feature: Ints
    threshold: Floats
    ruled_out: Ints
    value: Floats
    tree: Ints


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
            if is_same_wording(new, old):
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
    pairing = difference.pairing
    shared = new.content & old.content
    # Sets have no order: their sums are exact, that each process finds the same score.
    common = math.fsum(lexicon.rarities(shared))
    all_new = math.fsum(lexicon.rarities(new.content))
    all_old = math.fsum(lexicon.rarities(old.content))
    only_new = lexicon.rarities(difference.only_new)
    only_old = lexicon.rarities(difference.only_old)
    rest_new = lexicon.rarities(pairing.rest_new)
    rest_old = lexicon.rarities(pairing.rest_old)
    detail, other = new.detail, old.detail
    apart = new.word_set ^ old.word_set
    lengths = len(new.words), len(old.words)
    others = cosines[1:]
    following = others[0] if others else 0.0
    values = (
        cosines[0],
        cosines[0] - following,
        following,
        sum(others) / len(others) if others else 0.0,
        _jaccard(new.content, old.content),
        _jaccard(new.stem_set, old.stem_set),
        _jaccard(detail.triples, other.triples),
        _jaccard(detail.pairs, other.pairs),
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
        len(new.numbers - old.numbers),
        len(old.numbers - new.numbers),
        new.names != old.names,
        len(difference.names_new),
        len(difference.names_old),
        _jaccard(new.names, old.names),
        abs(len(new.negations) - len(old.negations)),
        new.negations != old.negations,
        detail.asks == other.asks,
        bool(detail.asks and other.asks),
        len(apart & PREPOSITIONS),
        len(detail.persons ^ other.persons),
        len(apart & MODALS),
        len(apart & DEGREES),
        len(apart & TIMES),
        abs(math.log((lengths[0] + 1) / (lengths[1] + 1))),
        min(lengths),
        max(lengths),
        new.words[:2] == old.words[:2],
        difference.reordered,
        difference.inversions,
        pairing.synonyms,
        pairing.forms,
        pairing.misspellings,
        difference.opposites,
        len(only_new) == len(only_old) == 1,
        len(shared),
        sum(not lexicon.knows(word) for word in pairing.rest_new),
        sum(not lexicon.knows(word) for word in pairing.rest_old),
    )
    return np.array(values, dtype=float)


def _jaccard(one: frozenset[Any], other: frozenset[Any]) -> float:
    both = len(one & other)
    either = len(one) + len(other) - both
    return both / either if either else 1.0


@cache
def shipped() -> Decision:
    """The decision that ships with the package."""
    packed = resources.files("frugal_core").joinpath("data/decision.json.gz").read_bytes()
    return Decision(Trees.from_json(json.loads(gzip.decompress(packed))["trees"]), english())
