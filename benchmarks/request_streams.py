"""Requests that repeat and paraphrase each other, behind an exact layer: hits and wrong answers.

Popular questions come often (Zipf), each time in one of its wordings. Labels of question pairs are
never complete: two groups of wordings that nobody compared count as two questions, and a popular
one of them makes a large share of the "wrong answers". `errors_of` lists them, to be read.

Of streams A this was done: `pairs_read.json` holds all 162 pairs of wordings that the score of that
time from .4 on, or a cosine from .85 on, served there against the labels, with what a reader said
who knew neither scores nor policies: whether one good answer serves both. No label says of any that
they differ. Pairs that were not read count as labelled.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.question_pairs import NEIGHBOURS, Lookup, Texts
from frugal_core.arrays import Ints
from frugal_core.cache.calibration import (
    NEAR,
    CacheCertificate,
    Evidence,
    Traffic,
    certify,
    certify_in,
)
from frugal_core.cache.decision import Decision, Neighbour
from frugal_core.cache.feedback import ENOUGH, latest_judged, sample_of

REQUESTS = 4000
LATEST = 750
"""Requests that tell how much of the traffic is far from everything; 500 to 1,000 in the cache."""
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
        cosine: To the nearest stored question, which may be another.
    """

    row: int
    score: float
    cosine: float


@dataclass
class Seen:
    """What has happened so far.

    Args:
        lookups: All.
        latest: "exact", "far" or "near", as the cache counts its latest lookups.
        scored: Whether each of the latest was scored.
        judged: (score, whether it is wrong) of each stored question that a judge was shown.
        wrong: Rows of the stored questions whose answer was served, and judged wrong: they are not
            served to other questions again.
    """

    lookups: int = 0
    latest: deque[str] = field(default_factory=partial(deque, maxlen=LATEST))
    scored: deque[bool] = field(default_factory=partial(deque, maxlen=LATEST))
    judged: list[tuple[float, bool]] = field(default_factory=list)
    wrong: set[int] = field(default_factory=set)

    @property
    def traffic(self) -> Traffic:
        """What is known without judging."""
        return Traffic(len(self.latest), self.latest.count("exact"), self.latest.count("far"))


Find = Callable[[int, Ints, Collection[int]], Found]
"""The rows of a question, of what is stored, and of what is not served -> what would be served."""
Threshold = Callable[[Seen], tuple[float, float]]
"""Least score and least cosine of what is served."""
Same = Callable[[int, int], bool]
"""Whether one answer serves two texts."""


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


def by_decision(texts: Texts, decide: Decision) -> Find:
    """The nearest stored question that no guard forbids, with its score."""

    def find(row: int, held: Ints, wrong: Collection[int]) -> Found:
        cosines = texts.vectors[held] @ texts.vectors[row]
        order = np.argsort(-cosines, kind="stable")[:NEIGHBOURS]
        near = [(int(held[n]), float(cosines[n])) for n in order]
        trusted = [(stored, cosine) for stored, cosine in near if stored not in wrong]
        verdict = decide.judge(
            texts.texts[row], [Neighbour(texts.texts[stored], cosine) for stored, cosine in trusted]
        )
        chosen = row if verdict.position is None else trusted[verdict.position][0]
        return Found(chosen, verdict.score, near[0][1])

    return find


def by_cosine(texts: Texts) -> Find:
    """The nearest stored question."""

    def find(row: int, held: Ints, _: Collection[int]) -> Found:
        cosines = texts.vectors[held] @ texts.vectors[row]
        return Found(int(held[cosines.argmax()]), float(cosines.max()), float(cosines.max()))

    return find


def fixed(threshold: float) -> Threshold:
    """The same threshold throughout."""
    return lambda seen: (threshold, -1.0)


def as_shipped(evidence: Evidence, error_bound: float) -> Threshold:
    """Certified on pairs, and by how much of the traffic can be served a wrong answer at all."""
    return _now_and_then(lambda seen: certify_in(seen.traffic, evidence, error_bound))


def judged(evidence: Evidence, error_bound: float) -> Threshold:
    """As shipped at first; then certified on the later half of what was judged of these requests.

    That is what the cache does where its judge is shown all that is scored; see `Policy.judge`.
    """

    def certified(seen: Seen) -> CacheCertificate:
        if seen.lookups < ENOUGH:
            return certify_in(seen.traffic, evidence, error_bound)
        known = latest_judged((), seen.judged)
        counts = sum(seen.scored), len(seen.scored)
        return certify(sample_of(known, *counts, 0.95, "these requests"), error_bound)

    return _now_and_then(certified)


def _now_and_then(certified: Callable[[Seen], CacheCertificate]) -> Threshold:
    known: dict[int, tuple[float, float]] = {}

    def latest(seen: Seen) -> tuple[float, float]:
        turn = seen.lookups // RECERTIFIED
        if turn not in known:
            known.clear()
            certificate = certified(seen)
            known[turn] = certificate.threshold, certificate.least_cosine
        return known[turn]

    return latest


@dataclass(frozen=True)
class Policy:
    """A way to answer requests.

    Args:
        find: What would be served.
        threshold: Makes what says whether it is; anew for each stream.
        judge: Whether a judge, who is never mistaken, is shown all that is scored, served or not.
    """

    find: Find
    threshold: Callable[[], Threshold]
    judge: bool = False


def replay(asked: Sequence[int], policy: Policy, same: Same) -> Iterator[tuple[int, int | None]]:
    """Each request with the stored question whose answer it is served; None where it is asked.

    What is not served is answered rightly and stored.
    """
    held: list[int] = []
    stored: set[int] = set()
    seen = Seen()
    threshold = policy.threshold()
    for row in asked:
        served: int | None = None
        kind, scored = "exact", False
        if row in stored:
            served = row
        else:
            found = Found(row, -np.inf, -1.0)
            if held:
                found = policy.find(row, np.array(held), seen.wrong)
            kind = "far" if found.cosine < NEAR else "near"
            if scored := bool(np.isfinite(found.score)):
                score, cosine = threshold(seen)
                if found.score >= score and found.cosine >= cosine:
                    served = found.row
                if policy.judge:
                    wrong = not same(found.row, row)
                    seen.judged.append((found.score, wrong))
                    if served is not None and wrong:
                        seen.wrong.add(served)
            if served is None:
                held.append(row)
                stored.add(row)
        seen.lookups += 1
        seen.latest.append(kind)
        seen.scored.append(scored)
        yield row, served


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
