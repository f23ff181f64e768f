"""Example selection: show a model the examples that help with this query, and no more.

Source: retrieved few-shot examples (Liu et al. 2022, "What makes good in-context examples for
GPT-3?"), made diverse by maximal marginal relevance (Carbonell and Goldstein 1998).
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frugal_core.adapt.rows import Example, examples_of
from frugal_core.arrays import Floats
from frugal_core.embedding import Embedder, embedder_of
from frugal_core.errors import FrugalError, check_whole, describe, is_number
from frugal_core.grading import normalise
from frugal_core.text import Vectoriser
from frugal_core.tokens import estimate_tokens

if TYPE_CHECKING:
    from scipy import sparse

CountTokens = Callable[[str], int]
"""A text to its number of tokens."""

OVERHEAD = 8
"""Tokens assumed around the two messages of an example."""

_CANDIDATES = 40  # nearest examples among which diversity and balance choose
_SMALL = 1000  # examples for which the words are learned anew whenever one is added
_BLOCKS = 2  # of `Vectoriser`, each of length 1

logger = logging.getLogger("frugal_core")


@dataclass(frozen=True)
class _Index:
    """The examples as vectors.

    Args:
        learned: Examples from which words and weights were learned.
        features: Shape (n, terms); the product of two rows is 2 for equal texts.
        vectors: Shape (n, dimensions), or None without an embedder.
    """

    learned: int
    vectoriser: Vectoriser
    features: sparse.csr_matrix
    vectors: Floats | None

    def __len__(self) -> int:
        return int(self.features.shape[0])

    def similarity(self, text: str, vector: Floats | None) -> Floats:
        """Cosines of a text with all examples, in [0, 1]; shape (n,)."""
        lexical = self.features @ self.vectoriser.matrix([text]).T
        cosines: Floats = lexical.toarray()[:, 0] / _BLOCKS
        return self._fused(cosines, None if vector is None else (self._vectors() @ vector))

    def among(self, rows: Sequence[int], embedded: bool) -> Floats:
        """Cosines of these examples with each other; shape (len(rows), len(rows))."""
        features = self.features[list(rows)]
        cosines: Floats = (features @ features.T).toarray() / _BLOCKS
        vectors = self._vectors()[list(rows)] if embedded else None
        return self._fused(cosines, None if vectors is None else vectors @ vectors.T)

    def _vectors(self) -> Floats:
        assert self.vectors is not None
        return self.vectors

    @staticmethod
    def _fused(lexical: Floats, embedded: Floats | None) -> Floats:
        if embedded is None:
            return lexical
        mean: Floats = (lexical + np.clip(embedded, 0.0, 1.0)) / 2
        return mean


class ExamplePool:
    """Examples to choose from, and how to choose.

    Similarity is the cosine of TF-IDF word n-grams and letter triples; with an embedder, the mean
    of that and the cosine of the embeddings. Examples are picked greedily by

        (1 - diversity) * similarity to the query - diversity * similarity to those picked before

    and returned with the most similar one last, nearest to the query. May be used from several
    threads.

    Args:
        examples: See `frugal_core.adapt.rows.examples_of`.
        k: Most examples to select; None for as many as fit in `token_budget`.
        token_budget: Most tokens of the selected examples together, 8 for the frame of each
            included; an example that does not fit is passed over for the next.
        diversity: From 0 (similarity alone) to below 1.
        balance: Whether answers take turns: none is shown twice before each of those among the
            nearest examples has been shown once, and so on.
        embedder: None, or what `frugal_core.embedding.embedder_of` takes. If it fails, TF-IDF
            decides alone.
        count_tokens: A text to its tokens; by default an estimate that is rather high.
        input_key, output_key: Where mappings have question and answer.

    Raises:
        FrugalError: for an example or a setting that makes no sense.

    Example:
        >>> pool = ExamplePool([("gold goes up", "up"), ("oil goes down", "down")], k=1)
        >>> [example.answer for example in pool.select("gold climbs")]
        ['up']
    """

    def __init__(
        self,
        examples: Iterable[Any] = (),
        *,
        k: int | None = 4,
        token_budget: int | None = None,
        diversity: float = 0.0,
        balance: bool = False,
        embedder: Any = None,
        count_tokens: CountTokens | None = None,
        input_key: str | None = None,
        output_key: str | None = None,
    ) -> None:
        for name, value, least in (("k", k, 0), ("token_budget", token_budget, 1)):
            if value is not None:
                check_whole(name, value, least)
        if k is None and token_budget is None:
            raise FrugalError("examples: give k, token_budget, or both; all of them never fit")
        if not is_number(diversity) or not 0 <= diversity < 1:
            raise FrugalError(f"diversity {diversity!r}: a number in [0, 1) is expected")
        self.k = None if k is None else int(k)
        self.token_budget = token_budget
        self.diversity = float(diversity)
        self.balance = balance
        self.embedder: Embedder | None = None if embedder is None else embedder_of(embedder)
        self.count_tokens = count_tokens
        self.input_key = input_key
        self.output_key = output_key
        self.examples = examples_of(examples, input_key, output_key)
        self._index: _Index | None = None
        self._warned = False

    def add(self, example: Any) -> None:
        """Add an example; the next selection knows it.

        Raises:
            FrugalError: if it is none.
        """
        self.examples.extend(examples_of([example], self.input_key, self.output_key))

    def select(self, query: str, k: int | None = None) -> list[Example]:
        """The examples for a query, the most similar one last.

        Args:
            query: The question.
            k: Most examples, instead of the pool's own `k`.
        """
        ranked = self.ranked(query, k)
        ranked.reverse()  # of equals, too, the first comes last
        return [example for example, _ in sorted(ranked, key=lambda pair: pair[1])]

    def ranked(self, query: str, k: int | None = None) -> list[tuple[Example, float]]:
        """As `select`, but in the order of picking and with the similarities.

        What is picked for a smaller `k` is the beginning of what is picked for a larger one.
        """
        most = self.k if k is None else k
        if most == 0 or not self.examples:
            return []
        index = self._current()
        vector = self._embedded(index, query)
        similarity = index.similarity(query, vector)
        picked = self._picked(index, similarity, vector is not None, most)
        return [(self.examples[row], float(similarity[row])) for row in picked]

    def of(self, examples: Sequence[Example]) -> ExamplePool:
        """The same choice among other examples."""
        other = copy(self)
        other.examples, other._index = list(examples), None
        return other

    def tokens(self, example: Example) -> int:
        """What an example takes of the token budget: all its texts and numbers, and its frame."""
        fields = [
            value for value in example.fields.values() if isinstance(value, str | int | float)
        ]
        texts = map(str, fields or [example.text, example.answer or ""])
        return sum(map(self.count_tokens or estimate_tokens, texts)) + OVERHEAD

    def _picked(
        self, index: _Index, similarity: Floats, embedded: bool, most: int | None
    ) -> list[int]:
        """Positions of the chosen examples, in the order in which they were picked."""
        order = np.argsort(-similarity, kind="stable").tolist()
        plain = self.diversity == 0 and not self.balance
        if most is not None and not plain:
            order = self._candidates(order, max(_CANDIDATES, 4 * most))
        elif not plain:
            order = self._candidates(order, 4 * _CANDIDATES)
        alike = None if self.diversity == 0 else index.among(order, embedded)
        closest = np.zeros(len(order))
        scores = (1 - self.diversity) * similarity[order]
        shown: Counter[str] = Counter()
        left = self.token_budget
        picked: list[int] = []
        open_ = list(range(len(order)))  # positions in `order`, best first
        while open_ and (most is None or len(picked) < most):
            turn = self._in_turn(order, open_, shown)
            # Of equals the first: the more similar, then the one that was given earlier.
            best = (
                turn[0] if plain else max(turn, key=lambda i: (self._score(scores, closest, i), -i))
            )
            open_.remove(best)
            example = self.examples[order[best]]
            if left is not None:
                cost = self.tokens(example)
                if cost > left:
                    continue
                left -= cost
            picked.append(order[best])
            shown[normalise(example.answer or "")] += 1
            if alike is not None:
                closest = np.maximum(closest, alike[:, best])
        return picked

    def _score(self, scores: Floats, closest: Floats, i: int) -> float:
        return float(scores[i] - self.diversity * closest[i])

    def _candidates(self, order: list[int], most: int) -> list[int]:
        """The nearest examples; of every answer, if answers take turns."""
        if not self.balance:
            return order[:most]
        kept: defaultdict[str, int] = defaultdict(int)
        candidates: list[int] = []
        for row in order:
            label = normalise(self.examples[row].answer or "")
            if kept[label] < most and len(candidates) < 10 * most:
                kept[label] += 1
                candidates.append(row)
        return candidates

    def _in_turn(self, order: list[int], open_: list[int], shown: Counter[str]) -> list[int]:
        """Those of the open candidates whose answer was shown least."""
        if not self.balance:
            return open_
        times = [shown[normalise(self.examples[order[i]].answer or "")] for i in open_]
        least = min(times)
        return [i for i, count in zip(open_, times, strict=True) if count == least]

    def _current(self) -> _Index:
        """The index of all examples.

        Threads that find it out of date build it each for itself: the last one stays, and no one
        waits or sees half of it.
        """
        index, n = self._index, len(self.examples)
        if index is not None and len(index) == n:
            return index
        examples = self.examples[:n]
        texts = [example.text for example in examples]
        if index is None or n <= _SMALL or n > 1.5 * index.learned:
            vectoriser, learned, known = Vectoriser.fit(texts), n, 0
        else:
            vectoriser, learned, known = index.vectoriser, index.learned, len(index)
        features = vectoriser.matrix(texts[known:])
        if known:
            from scipy import sparse

            assert index is not None
            features = sparse.vstack([index.features, features], format="csr")
        vectors = self._vectors(texts, None if index is None else index.vectors)
        self._index = _Index(learned, vectoriser, features, vectors)
        return self._index

    def _vectors(self, texts: list[str], known: Floats | None) -> Floats | None:
        """Embeddings of all texts, of which the first are known; None if they cannot be made."""
        if self.embedder is None:
            return None
        known = known if known is not None and len(known) <= len(texts) else None
        new = texts if known is None else texts[len(known) :]
        try:
            made = self.embedder.embed(new) if new else np.empty((0, 0))
            return made if known is None else np.vstack([known, made]) if new else known
        except Exception as error:
            self._warn(error)
            return None

    def _embedded(self, index: _Index, query: str) -> Floats | None:
        if self.embedder is None or index.vectors is None:
            return None
        try:
            vector: Floats = self.embedder.embed([query])[0]
        except Exception as error:
            self._warn(error)
            return None
        return vector

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            logger.warning("examples: the embedder failed, TF-IDF decides: %s", describe(error))
