"""Requests that repeat and paraphrase each other, behind an exact layer: hits and wrong answers.

Popular questions come often (Zipf), each time in one of its wordings. Labels of question pairs are
never complete: two groups of wordings that nobody compared count as two questions, and a popular
one of them makes a large share of the "wrong answers". `errors_of` lists them, to be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.question_pairs import NEIGHBOURS, Lookup, Texts
from frugal_core.arrays import Ints
from frugal_core.cache.calibration import Evidence, certify, certify_behind
from frugal_core.cache.decision import Decision, Neighbour

REQUESTS = 4000
LEARNED = 1000
"""Requests after which a judge's threshold counts."""
RECERTIFIED = 250
"""Requests after which the threshold is computed again."""
STREAMS = {
    "A: clusters of 4 and more, Zipf 1.0": (4, 1.0),
    "B: all clusters, Zipf .8": (1, 0.8),
}
"""Fewest wordings of a question, and the power with which its popularity falls."""


@dataclass(frozen=True, slots=True)
class Found:
    """The stored question that a policy would serve.

    Args:
        row: Of the texts.
        score: Higher is more alike.
    """

    row: int
    score: float


@dataclass
class Traffic:
    """What has happened so far.

    Args:
        lookups, exact: All, and those that the exact layer answered.
        judged: (score, whether it is wrong) of each stored question that was found.
    """

    lookups: int
    exact: int
    judged: list[tuple[float, bool]]


Find = Callable[[int, Ints], Found]
Threshold = Callable[[Traffic], float]


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


def by_decision(texts: Texts, decide: Decision) -> Find:
    """The nearest stored question that no guard forbids, with its score."""

    def find(row: int, held: Ints) -> Found:
        cosines = texts.vectors[held] @ texts.vectors[row]
        order = np.argsort(-cosines, kind="stable")[:NEIGHBOURS]
        near = [Neighbour(texts.texts[held[n]], float(cosines[n])) for n in order]
        verdict = decide.judge(texts.texts[row], near)
        return Found(int(held[order[verdict.position or 0]]), verdict.score)

    return find


def by_cosine(texts: Texts) -> Find:
    """The nearest stored question."""

    def find(row: int, held: Ints) -> Found:
        cosines = texts.vectors[held] @ texts.vectors[row]
        return Found(int(held[cosines.argmax()]), float(cosines.max()))

    return find


def fixed(threshold: float) -> Threshold:
    """The same threshold throughout."""
    return lambda traffic: threshold


def as_shipped(evidence: Evidence, error_bound: float) -> Threshold:
    """Certified on pairs, and by how much the exact layer answers."""
    return _now_and_then(
        lambda traffic: (
            certify_behind(evidence, traffic.lookups, traffic.exact, error_bound).threshold
        )
    )


def judged(evidence: Evidence, error_bound: float) -> Threshold:
    """As shipped at first; then certified on what was judged of these very requests."""

    def certified(traffic: Traffic) -> float:
        if traffic.lookups < LEARNED:
            return shipped(traffic)
        scores, wrong = zip(*traffic.judged, strict=True)
        own = Evidence(np.array(scores), np.array(wrong), traffic.lookups, "these requests")
        return certify(own, error_bound).threshold

    shipped = as_shipped(evidence, error_bound)
    return _now_and_then(certified)


def _now_and_then(threshold: Threshold) -> Threshold:
    known: dict[int, float] = {}

    def latest(traffic: Traffic) -> float:
        turn = traffic.lookups // RECERTIFIED
        if turn not in known:
            known.clear()
            known[turn] = threshold(traffic)
        return known[turn]

    return latest


def replay(
    texts: Texts, asked: Sequence[int], find: Find, threshold: Threshold
) -> Iterator[tuple[int, int | None]]:
    """Each request with the stored question whose answer it is served; None where it is asked.

    What is not served is answered rightly and stored.
    """
    held: list[int] = []
    stored: set[int] = set()
    traffic = Traffic(0, 0, [])
    for row in asked:
        if row in stored:
            traffic.exact += 1
            served: int | None = row
        else:
            served = None
            if held:
                found = find(row, np.array(held))
                if np.isfinite(found.score):
                    wrong = bool(texts.meaning[found.row] != texts.meaning[row])
                    if found.score >= threshold(traffic):
                        served = found.row
                    traffic.judged.append((found.score, wrong))
            if served is None:
                held.append(row)
                stored.add(row)
        traffic.lookups += 1
        yield row, served


def figures(texts: Texts, replayed: Sequence[tuple[int, int | None]]) -> dict[str, float]:
    """Shares of all requests that were hits, and that were wrong; and of the hits."""
    served = [(row, by) for row, by in replayed if by is not None]
    errors = sum(texts.meaning[row] != texts.meaning[by] for row, by in served)
    return {
        "hits": len(served) / len(replayed),
        "errors": errors / len(replayed),
        "per_hit": errors / max(1, len(served)),
    }


def errors_of(texts: Texts, replayed: Sequence[tuple[int, int | None]]) -> Counter[tuple[str, str]]:
    """How often each question was served the answer of which other one, wrongly as labelled."""
    return Counter(
        (texts.texts[row], texts.texts[by])
        for row, by in replayed
        if by is not None and texts.meaning[row] != texts.meaning[by]
    )
