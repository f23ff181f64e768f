"""Requests that repeat and paraphrase each other, behind an exact layer: hits and wrong answers.

Popular questions come often (Zipf), each time in one of its wordings. Ours are the cache itself,
with a decision and a certificate that saw none of the questions.

Labels of question pairs are never complete: two groups of wordings that nobody compared count as
two questions, and a popular one of them makes a large share of the "wrong answers". `errors_of`
lists them, to be read. Of streams A this was done: `pairs_read.json` holds the 393 pairs of
wordings that a certified threshold, a score from .4 on, or a cosine from .85 on, served there
against the labels, with what a reader said who knew neither scores nor policies: whether one good
answer serves both. No label says of any that they differ. Pairs that were not read count as
labelled.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.question_pairs import Lookup, Texts
from frugal_core.arrays import Floats
from frugal_core.cache import SemanticCache, feedback
from frugal_core.cache.calibration import Evidence
from frugal_core.cache.decision import Decision

REQUESTS = 4000
SECONDS = 0.25
"""Between them."""
STREAMS = {
    "A: clusters of 4 and more, Zipf 1.0": (4, 1.0),
    "B: all clusters, Zipf .8": (1, 0.8),
}
"""Fewest wordings of a question, and the power with which its popularity falls."""

Replayed = Iterator[tuple[int, int | None]]
"""Each request with the stored question whose answer it is served; None where it is asked."""
Same = Callable[[int, int], bool]
"""Whether one answer serves two texts."""
Policy = Callable[[Sequence[int], Same], Replayed]
"""Answers requests; what it does not serve is answered rightly and stored."""


def as_labelled(texts: Texts) -> Same:
    """What the labels say; pairs that nobody compared are two questions."""
    return lambda one, other: bool(texts.meaning[one] == texts.meaning[other])


def as_read(texts: Texts) -> Same:
    """What the labels say, or who read the pair; where that one was unsure it is two questions."""
    lines = json.loads(Path(__file__).with_name("pairs_read.json").read_text(encoding="utf-8"))
    same = {frozenset((one, other)) for one, other, verdict in lines if verdict == "same"}
    labelled = as_labelled(texts)
    return lambda one, other: (
        labelled(one, other) or frozenset((texts.texts[one], texts.texts[other])) in same
    )


def requests(
    texts: Texts, lookups: Sequence[Lookup], least: int, power: float, seed: int
) -> list[int]:
    """Rows of the texts that are asked, one after the other."""
    own = {lookup.asked for lookup in lookups}
    own |= {question for lookup in lookups for question in lookup.neighbours}
    rows = np.array([texts.row[text] for text in sorted(own)])
    meaning = texts.meaning[rows]
    groups, sizes = np.unique(meaning, return_counts=True)
    chance = np.random.default_rng(seed)
    kept = chance.permutation(groups[sizes >= least])
    weights = 1 / np.arange(1, len(kept) + 1) ** power
    members = {group: rows[meaning == group] for group in kept}
    drawn = chance.choice(kept, REQUESTS, p=weights / weights.sum())
    return [int(chance.choice(members[group])) for group in drawn]


class Vectors:
    """Of the default embedder, computed once.

    Args:
        texts: All that is embedded.
    """

    id = "MiniLM, computed once"

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    def embed(self, texts: Sequence[str]) -> Floats:
        return self._texts.vectors[[self._texts.row[text] for text in texts]]


class Fitted(SemanticCache):
    """The cache, with another decision than the package's, and a judge who answers at once.

    Args:
        decide: Fitted without the questions that are asked.
        ...: See `SemanticCache`.
    """

    def __init__(self, decide: Decision, **settings: Any) -> None:
        super().__init__(":memory:", **settings)
        self._decide = decide
        self._sample.submit = lambda act: act()  # type: ignore[method-assign]  # not in a thread

    @property
    def decision(self) -> Decision:
        return self._decide


class Clock:
    """Time that passes with requests alone, so that every run is the same."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


def by_cache(
    texts: Texts, decide: Decision, evidence: Evidence, judged: bool, error_bound: float
) -> Policy:
    """The cache itself.

    Args:
        texts: All questions.
        decide: Scores and guards, and
        evidence: what it is certified on as it is shipped; both from other questions.
        judged: Whether a judge, who is never mistaken, is shown all that is scored.
        error_bound: What is promised.
    """

    def replay(asked: Sequence[int], same: Same) -> Replayed:
        def judge(question: str, _: str, answer: int) -> bool:
            return same(texts.row[question], answer)

        clock = Clock()
        with (
            patch.object(feedback, "shipped", lambda: {Vectors.id: evidence}),
            patch.object(feedback, "time", clock),
            patch.object(feedback, "random", Random(0)),
            Fitted(
                decide,
                error_bound=error_bound,
                embed=Vectors(texts),
                judge=judge if judged else None,
                judge_rate=1.0,
            ) as cache,
        ):
            for row in asked:
                clock.seconds += SECONDS
                hit = cache.lookup(texts.texts[row])
                if hit is None:
                    cache.store(texts.texts[row], row)
                yield row, None if hit is None else hit.answer

    return replay


def by_cosine(texts: Texts, threshold: float) -> Policy:
    """The nearest stored question, if it is near enough."""

    def replay(asked: Sequence[int], _: Same) -> Replayed:
        held: list[int] = []
        stored: set[int] = set()
        for row in asked:
            served: int | None = None
            if row in stored:
                served = row
            elif held:
                cosines = texts.vectors[held] @ texts.vectors[row]
                if cosines.max() >= threshold:
                    served = held[int(cosines.argmax())]
            if served is None:
                held.append(row)
                stored.add(row)
            yield row, served

    return replay


def figures(replayed: Sequence[tuple[int, int | None]], same: Same) -> dict[str, float]:
    """Shares of all requests that were hits, and that were wrong; and of the hits."""
    served = [(row, by) for row, by in replayed if by is not None]
    errors = sum(not same(row, by) for row, by in served)
    return {
        "hits": len(served) / len(replayed),
        "errors": errors / len(replayed),
        "per_hit": errors / max(1, len(served)),
    }


def errors_of(
    texts: Texts, replayed: Sequence[tuple[int, int | None]], same: Same
) -> Counter[tuple[str, str]]:
    """How often each question was served the answer of which other one, wrongly."""
    return Counter(
        (texts.texts[row], texts.texts[by])
        for row, by in replayed
        if by is not None and not same(row, by)
    )
