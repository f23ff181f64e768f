"""Text features: word n-grams of a query, weighted by TF-IDF.

Fitting and run time share this code, so that the score of one answer costs microseconds and equals
what was fitted.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

# CJK scripts write no spaces: every character is a word there, and bigrams give the words back.
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[$%]")
_LONGEST = 600  # tokens; of a longer text the beginning and the end are read
_SCAFFOLD_SHARE = 0.5


def ngrams(text: str) -> list[str]:
    """Words and pairs of neighbouring words, case folded.

    Example:
        >>> ngrams("Gold up 2%")
        ['gold', 'up', '2', '%', 'gold up', 'up 2', '2 %']
    """
    words = _TOKEN.findall(text.casefold())
    if len(words) > _LONGEST:
        words = words[: _LONGEST // 2] + words[-_LONGEST // 2 :]
    return words + [f"{a} {b}" for a, b in zip(words, words[1:], strict=False)]


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
    """TF-IDF of word n-grams with sublinear term frequency, rows of length 1.

    Args:
        terms: The n-grams, in column order.
        idf: Their inverse document frequencies, shape (len(terms),).
        scaffold: Lines left out of every query.
    """

    terms: tuple[str, ...]
    idf: np.ndarray
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
            counts.update(set(ngrams(strip_scaffold(text, scaffold))))
        least = 2 if len(texts) >= 500 else 1
        common = sorted((-n, term) for term, n in counts.items() if n >= least)[:most_terms]
        terms = tuple(sorted(term for _, term in common))
        idf = np.array([math.log((1 + len(texts)) / (1 + counts[t])) + 1 for t in terms])
        return cls(terms, idf, scaffold)

    def vector(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Columns and values of one text's non-zero features."""
        counts: dict[int, int] = {}
        column = self._column
        for term in ngrams(strip_scaffold(text, self.scaffold)):
            index = column.get(term)
            if index is not None:
                counts[index] = counts.get(index, 0) + 1
        if not counts:
            return np.empty(0, dtype=np.intp), np.empty(0)
        columns = np.fromiter(counts.keys(), dtype=np.intp, count=len(counts))
        values = np.fromiter(counts.values(), dtype=float, count=len(counts))
        values = (1 + np.log(values)) * self.idf[columns]
        return columns, values / math.sqrt(float(values @ values))

    def matrix(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Features of many texts, shape (len(texts), len(terms))."""
        rows = [self.vector(text) for text in texts]
        ends = np.cumsum([0, *(len(columns) for columns, _ in rows)])
        columns = np.concatenate([c for c, _ in rows]) if rows else np.empty(0, dtype=np.intp)
        values = np.concatenate([v for _, v in rows]) if rows else np.empty(0)
        return sparse.csr_matrix((values, columns, ends), shape=(len(rows), len(self.terms)))
