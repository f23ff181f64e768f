"""Text features: word n-grams and letter triples of a query, weighted by TF-IDF.

Fitting and run time share this code, so that the score of one answer costs microseconds and equals
what was fitted.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from frugal_core.arrays import Floats

if TYPE_CHECKING:
    from scipy import sparse

Columns = NDArray[np.int64]

# CJK scripts write no spaces: every character is a word there, and bigrams give the words back.
_CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|[$%]")
_LONGEST = 600  # tokens; of a longer text the beginning and the end are read
_SCAFFOLD_SHARE = 0.5


def words_of(text: str) -> list[str]:
    """The words of a text, case folded; of a very long one its beginning and its end.

    Example:
        >>> words_of("Gold up 2%")
        ['gold', 'up', '2', '%']
    """
    words = _TOKEN.findall(text.casefold())
    if len(words) > _LONGEST:
        words = words[: _LONGEST // 2] + words[-_LONGEST // 2 :]
    return words


def word_grams(words: Sequence[str]) -> list[str]:
    """Words and pairs of neighbouring words.

    Example:
        >>> word_grams(["gold", "up"])
        ['gold', 'up', 'gold up']
    """
    return [*words, *(f"{a} {b}" for a, b in pairwise(words))]


def letter_grams(words: Sequence[str]) -> list[str]:
    """Triples of letters inside each word, its ends marked: forms of one word share most of them.

    Example:
        >>> letter_grams(["up"])
        ['#<up', '#up>']
    """
    marked = (f"<{word}>" for word in words if len(word) > 1)
    return [f"#{word[i : i + 3]}" for word in marked for i in range(len(word) - 2)]


def find_scaffold(texts: Sequence[str]) -> frozenset[str]:
    """The lines that most queries share: instructions and fixed examples of a prompt.

    They say nothing about the single query, but would dominate its features.
    """
    if len(texts) < 10:
        return frozenset()
    counts = Counter(line for text in texts for line in set(text.splitlines()))
    most = _SCAFFOLD_SHARE * len(texts)
    return frozenset(line for line, count in counts.items() if count > most)


def strip_scaffold(text: str, scaffold: frozenset[str]) -> str:
    """The lines of `text` that are its own; the whole text if there are none."""
    if not scaffold:
        return text
    own = [line for line in text.splitlines() if line not in scaffold]
    return "\n".join(own) if any(line.strip() for line in own) else text


@dataclass(frozen=True)
class Vectoriser:
    """TF-IDF of word n-grams and of letter triples, each block scaled to length 1.

    Term frequencies are sublinear: 1 + log(count).

    Args:
        terms: The n-grams, in column order.
        idf: Their inverse document frequencies, shape (len(terms),).
        scaffold: Lines left out of every query.
    """

    terms: tuple[str, ...]
    idf: Floats
    scaffold: frozenset[str] = frozenset()
    _column: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_column", {term: i for i, term in enumerate(self.terms)})

    @classmethod
    def fit(cls, texts: Sequence[str], most_terms: int = 50_000) -> Vectoriser:
        """Learn scaffold, n-grams and weights.

        Terms that stand in one query only are left out, but for recordings under 500 queries.
        """
        scaffold = find_scaffold(texts)
        counts: Counter[str] = Counter()
        for text in texts:
            words = words_of(strip_scaffold(text, scaffold))
            counts.update({*word_grams(words), *letter_grams(words)})
        least = 2 if len(texts) >= 500 else 1
        common = sorted((-n, term) for term, n in counts.items() if n >= least)[:most_terms]
        # Without any word one term that stands in no text: solvers insist on a column.
        terms = tuple(sorted(term for _, term in common)) or ("",)
        idf = np.array([math.log((1 + len(texts)) / (1 + counts[t])) + 1 for t in terms])
        return cls(terms, idf, scaffold)

    def vector(self, text: str) -> tuple[Columns, Floats]:
        """Columns and values of one text's non-zero features."""
        words = words_of(strip_scaffold(text, self.scaffold))
        blocks = [self._block(word_grams(words)), self._block(letter_grams(words))]
        columns, values = zip(*blocks, strict=True)
        return np.concatenate(columns), np.concatenate(values)

    def _block(self, grams: Sequence[str]) -> tuple[Columns, Floats]:
        column = self._column
        counts: dict[int, int] = {}
        for gram in grams:
            index = column.get(gram)
            if index is not None:
                counts[index] = counts.get(index, 0) + 1
        columns = np.fromiter(counts.keys(), dtype=np.int64, count=len(counts))
        values = np.fromiter(counts.values(), dtype=float, count=len(counts))
        values = (1 + np.log(values)) * self.idf[columns]
        return columns, values / max(math.sqrt(float(values @ values)), 1e-12)

    def matrix(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Features of many texts, shape (len(texts), len(terms))."""
        from scipy import sparse

        rows = [self.vector(text) for text in texts]
        ends = np.cumsum([0, *(len(columns) for columns, _ in rows)])
        columns = np.concatenate([c for c, _ in rows]) if rows else np.empty(0, dtype=np.int64)
        values = np.concatenate([v for _, v in rows]) if rows else np.empty(0)
        return sparse.csr_matrix((values, columns, ends), shape=(len(rows), len(self.terms)))
