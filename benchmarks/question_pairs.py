"""Lookups made of labelled question pairs: one question is stored, the other is asked."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from frugal_core.arrays import Bools, Floats, Ints
from frugal_core.embedding import MiniLM

DUPLICATES = Path(__file__).resolve().parents[2] / "shared" / "data" / "duplicates"
NEIGHBOURS = 5
_QUOTES = str.maketrans("‘’“”", "''\"\"")


@dataclass(frozen=True)
class Pair:
    """Two questions, and whether one answer serves both."""

    stored: str
    asked: str
    duplicate: bool

    @property
    def turned(self) -> Pair:
        """The stored question asked, and the asked one stored."""
        return Pair(self.asked, self.stored, self.duplicate)


@dataclass(frozen=True)
class Lookup:
    """A question that is asked of a cache.

    Args:
        asked: The question.
        neighbours: Stored questions near it, nearest first; never the question itself.
        cosines: To each neighbour.
        right: Whether each neighbour's answer would be right.
        possible: Whether a right answer is stored.
        part: Number of the fold it belongs to.
    """

    asked: str
    neighbours: tuple[str, ...]
    cosines: tuple[float, ...]
    right: tuple[bool, ...]
    possible: bool
    part: int


def load(name: str = "quora_pairs_dev") -> list[Pair]:
    """The pairs of one file."""
    with gzip.open(DUPLICATES / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Pair(row["a"], row["b"], row["duplicate"]) for row in rows]


class Texts:
    """All questions of some pairs, their vectors and their groups.

    Args:
        pairs: The pairs.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.texts = sorted({text for pair in pairs for text in (pair.stored, pair.asked)})
        self.row = {text: row for row, text in enumerate(self.texts)}
        self.vectors = MiniLM().embed(self.texts)
        self.meaning = self._groups(pairs, lambda pair: pair.duplicate)
        """Number of the group of duplicates that each text belongs to."""
        self.linked = self._groups(pairs, lambda pair: True)
        """Number of the group of texts that are in pairs together."""

    def _groups(self, pairs: Sequence[Pair], joins: Callable[[Pair], bool]) -> Ints:
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        ends = [(self.row[p.stored], self.row[p.asked]) for p in pairs if joins(p)]
        # Capitals and the shape of quotation marks make no other question.
        spelled: dict[str, int] = {}
        spellings = [text.casefold().translate(_QUOTES) for text in self.texts]
        ends += [(spelled.setdefault(spelling, row), row) for row, spelling in enumerate(spellings)]
        one, other = np.array(ends).T
        n = len(self.texts)
        links = coo_matrix((np.ones(len(one)), (one, other)), shape=(n, n))
        return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)

    def parts(self, pairs: Sequence[Pair], count: int, seed: int = 0) -> Ints:
        """Cut pairs in parts that share no text, not even through others; shape (pairs,)."""
        drawn = np.random.default_rng(seed).integers(0, count, self.linked.max() + 1)
        return np.array([drawn[self.linked[self.row[pair.stored]]] for pair in pairs])

    def lookups(self, pairs: Sequence[Pair], parts: Ints) -> list[Lookup]:
        """Ask one side of each pair of a cache that holds the other side of all."""
        stored = np.array(sorted({self.row[pair.stored] for pair in pairs}))
        asked = [self.row[pair.asked] for pair in pairs]
        rows = neighbours(self.vectors[asked], self.vectors[stored], NEIGHBOURS + 1)
        found = []
        for pair, part, question, (columns, cosines) in zip(pairs, parts, asked, rows, strict=True):
            near = [
                (int(stored[column]), float(cosine))
                for column, cosine in zip(columns, cosines, strict=True)
                if stored[column] != question
            ][:NEIGHBOURS]
            found.append(
                Lookup(
                    pair.asked,
                    tuple(self.texts[row] for row, _ in near),
                    tuple(cosine for _, cosine in near),
                    tuple(bool(self.meaning[row] == self.meaning[question]) for row, _ in near),
                    pair.duplicate,
                    int(part),
                )
            )
        return found


def neighbours(asked: Floats, stored: Floats, count: int) -> list[tuple[Ints, Floats]]:
    """Columns and cosines of the nearest stored vectors, for each asked one."""
    found = []
    for start in range(0, len(asked), 500):
        for row in asked[start : start + 500] @ stored.T:
            near = np.argpartition(-row, count - 1)[:count]
            near = near[np.argsort(-row[near], kind="stable")]
            found.append((near, row[near]))
    return found


def served(scores: Floats, right: Bools, possible: Bools, threshold: float) -> dict[str, float]:
    """What a threshold does: hits and wrong answers.

    Returns:
        `hits`: right hits among the questions with a right answer in the cache; `wrong_per_lookup`;
        `wrong_per_hit`.
    """
    hit = scores >= threshold
    wrong = (hit & ~right).sum()
    return {
        "hits": float((hit & right & possible).sum() / possible.sum()),
        "wrong_per_lookup": float(wrong / len(hit)),
        "wrong_per_hit": float(wrong / max(1, hit.sum())),
    }
