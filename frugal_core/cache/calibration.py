"""From judged lookups to a threshold that keeps a bound on wrong answers, with its certificate.

With probability at least `confidence` over the judged lookups, at most `error_bound` of all lookups
are served a wrong answer. That share only grows as the threshold falls, so the loosest threshold at
which its exact upper bound (Clopper and Pearson 1934) is small enough keeps the promise: risk
control of Bates, Angelopoulos, Lei, Malik and Jordan (2021, theorem 1).
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from frugal_core.arrays import Bools, Floats

_SPARED = 5
"""Who asks in other words should not pay for all those who repeat themselves."""
_FAR = 0.03
"""Cosine; so much further away than any that was served it is not worth to compare wordings."""
NEAR = 0.75
"""Cosine from which on a stored question is near. Of the judged lookups, half have one."""


@dataclass(frozen=True)
class Evidence:
    """Lookups of which it is known whether the nearest answer would have been wrong.

    Args:
        scores: Of those with a neighbour that no guard forbids; shape (n,).
        wrong: Whether that neighbour's answer is wrong; shape (n,).
        lookups: All lookups that this is a fair sample of, those without a neighbour too.
        about: What they were, in words.
        cosines: To the nearest neighbour, forbidden or not; shape (n,). None if they are not known.
    """

    scores: Floats
    wrong: Bools
    lookups: int
    about: str
    cosines: Floats | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evidence:
        """Read what `to_json` wrote."""
        cosines = data.get("cosines")
        return cls(
            np.array(data["scores"], dtype=float),
            np.isin(np.arange(len(data["scores"])), data["wrong"]),
            int(data["lookups"]),
            str(data["about"]),
            None if cosines is None else np.array(cosines, dtype=float),
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object: scores from high to low, and which of them are wrong."""
        order = np.argsort(-self.scores, kind="stable")
        # Rounded down, what is near stays near, and what is not does not become it.
        known = None if self.cosines is None else np.floor(self.cosines[order] * 100) / 100
        return ({} if known is None else {"cosines": known.tolist()}) | {
            "scores": self.scores[order].round(6).tolist(),
            "wrong": np.flatnonzero(self.wrong[order]).tolist(),
            "lookups": self.lookups,
            "about": self.about,
        }


@dataclass(frozen=True, slots=True)
class CacheCertificate:
    """How often the cache may be wrong, and the evidence.

    Args:
        error_bound: Promised largest share of lookups that are served a wrong answer.
        confidence: Probability that the promise holds, over the judged lookups.
        threshold: Score from which on an answer is served; infinite if nothing can be served.
        lookups, hits, wrong: Judged lookups; those served at this threshold; those served wrongly.
        upper: Upper confidence limit of the share of all lookups that are served wrongly.
        about: What was judged.
        date: Day on which this was computed.
        least_cosine: No judged lookup with a nearest neighbour further away was served, by far.
        share: Of all lookups, those that the judged ones stand for, at most; none of the others is
            served a wrong answer by meaning.
        misled: Whether only lookups near a stored question that means something else were judged;
            the hits are of those near one that means the same, too.
    """

    error_bound: float
    confidence: float
    threshold: float
    lookups: int
    hits: int
    wrong: int
    upper: float
    about: str
    date: str
    least_cosine: float = -1.0
    share: float = 1.0
    misled: bool = False

    @property
    def serves(self) -> bool:
        """Whether the semantic layer may serve anything at all."""
        return math.isfinite(self.threshold)

    def admits(self, score: float, cosine: float) -> bool:
        """Whether an answer is served.

        Args:
            score: Of its question; see `frugal_core.cache.decision`.
            cosine: To the nearest stored question, which may be another.
        """
        return score >= self.threshold and cosine >= self.least_cosine

    @property
    def wrong_per_lookup(self) -> float:
        """Of all lookups, those served a wrong answer by meaning, as judged; see `misled`."""
        return self.share * self.wrong / self.lookups if self.lookups else 0.0

    @property
    def wrong_per_hit(self) -> float:
        """Of the hits by meaning, those that are wrong, as judged."""
        return self.wrong / self.hits if self.hits else 0.0

    @property
    def sentence(self) -> str:
        """The certificate in words."""
        if not self.serves:
            return (
                f"nothing is served by meaning: {self.lookups:,} judged lookups ({self.about}) "
                f"cannot show that at most {100 * self.error_bound:g} % of lookups would be wrong"
            )
        like_these = f"at most {100 * self.share:.0f} % of lookups are like these; "
        misled = " near a question that means something else" if self.misled else ""
        return (
            f"with {100 * self.confidence:g} % confidence at most {100 * self.error_bound:g} % of "
            f"lookups are served a wrong answer by meaning: {self.wrong:,} wrong in "
            f"{self.lookups:,} judged lookups{misled}, {100 * self.wrong_per_hit:.1f} % of the "
            f"{self.hits:,} hits{' with the others' if self.misled else ''} ({self.about}); "
            f"{like_these if self.share < 1 else ''}holds for the same kind of traffic"
        )


def upper_limit(wrong: int, lookups: int, confidence: float) -> float:
    """Clopper and Pearson's upper limit of a share.

    Example:
        >>> round(upper_limit(0, 299, 0.95), 4)
        0.01
    """
    from scipy.special import betaincinv

    if wrong >= lookups:
        return 1.0
    return float(betaincinv(wrong + 1, lookups - wrong, confidence))


def lower_limit(wrong: int, lookups: int, confidence: float) -> float:
    """Clopper and Pearson's lower limit of a share."""
    return 1.0 - upper_limit(lookups - wrong, lookups, confidence) if lookups else 0.0


def certify(
    evidence: Evidence,
    error_bound: float,
    confidence: float = 0.95,
    at_least: float = -math.inf,
) -> CacheCertificate:
    """The loosest threshold that keeps the bound.

    Args:
        evidence: Judged lookups that nothing was fitted on.
        error_bound: Largest share of lookups with a wrong answer.
        confidence: Probability with which it must hold.
        at_least: What the threshold may not be below.
    """
    lookups = evidence.lookups
    most_wrong = -1
    while upper_limit(most_wrong + 1, lookups, confidence) <= error_bound:
        most_wrong += 1
    threshold = math.inf
    if most_wrong >= 0 and len(evidence.scores):
        failing = np.sort(evidence.scores[evidence.wrong])[::-1]
        # Everything above the first wrong answer that is one too many; equal scores go together.
        floor = failing[most_wrong] if len(failing) > most_wrong else -math.inf
        served = evidence.scores[evidence.scores > floor]
        threshold = float(served.min()) if len(served) else math.inf
    threshold = max(threshold, at_least)
    hits = evidence.scores >= threshold
    wrong = int(evidence.wrong[hits].sum())
    near = evidence.cosines[hits] if evidence.cosines is not None else np.zeros(0)
    return CacheCertificate(
        error_bound,
        confidence,
        threshold,
        lookups,
        int(hits.sum()),
        wrong,
        upper_limit(wrong, lookups, confidence),
        evidence.about,
        dt.date.today().isoformat(),
        float(near.min()) - _FAR if len(near) else -1.0,
    )


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is known of lookups without judging them.

    Args:
        lookups: All of them.
        exact: Those that the exact layer answered.
        far: Others without a stored question as near as `NEAR`.
    """

    lookups: int
    exact: int
    far: int


def share_at_most(part: int, lookups: int, confidence: float) -> float:
    """Upper limit of the share of some lookups among all, which leaves room for others' limits."""
    part = max(part, 0)
    return upper_limit(part, lookups, 1 - (1 - confidence) / 20) if part < lookups else 1.0


def certify_in(
    traffic: Traffic,
    evidence: Evidence,
    error_bound: float,
    confidence: float = 0.95,
    at_least: float = -math.inf,
) -> CacheCertificate:
    """As `certify`, in traffic of which a part cannot be served a wrong answer by meaning.

    The others may be wrong the more often for it, up to the threshold for `_SPARED` times the
    bound. There are two ways to say how often, and the one is taken that serves more; which one
    that is does not depend on what was judged wrong. Either what the exact layer answers is taken
    as right, and the others are like the evidence. Or what is far from every stored question is not
    served either, and the others are like the evidence near a stored question; as nobody knows how
    many of them have their right answer there, as if none had. The shares of the traffic are upper
    limits, and hold together with the bound at the confidence.

    Args:
        traffic: The latest lookups.
        evidence: Judged lookups, all of them such as the exact layer does not answer.
        error_bound, confidence, at_least: See `certify`; the bound is one on all lookups.

    Example:
        >>> evidence = Evidence(np.array([0.9, 0.8]), np.array([False, True]), 1000, "mine")
        >>> certify_in(Traffic(0, 0, 0), evidence, 0.004).hits  # one wrong answer is too much
        1
        >>> certify_in(Traffic(10_000, 5_000, 0), evidence, 0.004).hits
        2
    """
    asked = share_at_most(traffic.lookups - traffic.exact, traffic.lookups, confidence)
    judged, share = evidence, max(asked, 1 / _SPARED)
    hard = _without_right_answers(evidence)
    if hard.lookups and evidence.lookups:
        left = traffic.lookups - traffic.exact - traffic.far
        near = share_at_most(left, traffic.lookups, confidence)
        near = max(near, hard.lookups / evidence.lookups / _SPARED)
        # The simpler, if it is a tie.
        if near * evidence.lookups < 0.99 * share * hard.lookups:
            judged, share = hard, near
    misled = judged is hard
    if share > 0.99 and not misled:  # too little to gain, and less confidence to pay for it
        return certify(evidence, error_bound, confidence, at_least)
    # Both shares are limits, each of which fails in a twentieth of the doubt.
    surer = confidence + (1 - confidence) / 10
    found = certify(judged, min(error_bound / share, 0.999), surer, at_least)
    return replace(
        found,
        error_bound=error_bound,
        confidence=confidence,
        upper=found.upper * share,
        share=share,
        misled=misled,
        least_cosine=max(found.least_cosine, NEAR) if misled else found.least_cosine,
    )


def _without_right_answers(evidence: Evidence) -> Evidence:
    """Judged lookups near a stored question, counted as if the right ones had not been asked."""
    if evidence.cosines is None:
        return Evidence(np.zeros(0), np.zeros(0, dtype=bool), 0, evidence.about)
    near = evidence.cosines >= NEAR
    wrong = evidence.wrong[near]
    lookups = int(wrong.sum())
    return Evidence(evidence.scores[near], wrong, lookups, evidence.about, evidence.cosines[near])


@cache
def shipped() -> Mapping[str, Evidence]:
    """Judged lookups that ship with the package, by embedder id."""
    packed = resources.files("frugal_core").joinpath("data/decision.json.gz").read_bytes()
    data = json.loads(gzip.decompress(packed))
    return {name: Evidence.from_json(value) for name, value in data["evidence"].items()}
