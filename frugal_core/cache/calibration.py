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
        known = {} if self.cosines is None else {"cosines": self.cosines[order].round(2).tolist()}
        return known | {
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
        exact: Share of all lookups that the exact layer answers at least, and never wrongly; the
            judged ones are such as it does not answer.
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
    exact: float = 0.0

    @property
    def serves(self) -> bool:
        """Whether the semantic layer may serve anything at all."""
        return math.isfinite(self.threshold)

    @property
    def sentence(self) -> str:
        """The certificate in words."""
        if not self.serves:
            return (
                f"nothing is served by meaning: {self.lookups:,} judged lookups ({self.about}) "
                f"cannot show that at most {100 * self.error_bound:g} % of lookups would be wrong"
            )
        per_hit = 100 * self.wrong / self.hits if self.hits else 0.0
        exact = f"{100 * self.exact:.0f} % are answered from the exact layer; of the others "
        return (
            f"with {100 * self.confidence:g} % confidence at most {100 * self.error_bound:g} % of "
            f"lookups are served a wrong answer by meaning: {exact if self.exact else ''}"
            f"{self.wrong:,} wrong in {self.lookups:,} judged lookups, {per_hit:.1f} % of the "
            f"{self.hits:,} hits ({self.about}); holds for the same kind of traffic"
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


def certify(evidence: Evidence, error_bound: float, confidence: float = 0.95) -> CacheCertificate:
    """The loosest threshold that keeps the bound.

    Args:
        evidence: Judged lookups that nothing was fitted on.
        error_bound: Largest share of lookups with a wrong answer.
        confidence: Probability with which it must hold.
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


def certify_behind(
    evidence: Evidence, lookups: int, exact: int, error_bound: float, confidence: float = 0.95
) -> CacheCertificate:
    """As `certify`, behind an exact layer that answers some lookups, and never wrongly.

    The others may be wrong the more often for it, though at most `_SPARED` times the bound. Both
    limits, that of their share and that of the wrong answers, hold together with the confidence.

    Args:
        evidence: Judged lookups, all of them such as the exact layer does not answer.
        lookups: Lookups so far.
        exact: How many of them the exact layer answered.
        error_bound, confidence: See `certify`; the bound is one on all lookups.

    Example:
        >>> evidence = Evidence(np.array([0.9, 0.8]), np.array([False, True]), 1000, "mine")
        >>> certify_behind(evidence, 0, 0, 0.004).hits  # one wrong answer would be too much
        1
        >>> certify_behind(evidence, 10_000, 5_000, 0.004).hits
        2
    """
    doubt = (1 - confidence) / 10
    rest = upper_limit(lookups - exact, lookups, 1 - doubt) if 0 < exact <= lookups else 1.0
    if rest > 0.99:  # too little to gain, and less confidence to pay for it
        return certify(evidence, error_bound, confidence)
    rest = max(rest, 1 / _SPARED)
    found = certify(evidence, error_bound / rest, confidence + doubt)
    return replace(
        found,
        error_bound=error_bound,
        confidence=confidence,
        upper=found.upper * rest,
        exact=1 - rest,
    )


@cache
def shipped() -> Mapping[str, Evidence]:
    """Judged lookups that ship with the package, by embedder id."""
    packed = resources.files("frugal_core").joinpath("data/decision.json.gz").read_bytes()
    data = json.loads(gzip.decompress(packed))
    return {name: Evidence.from_json(value) for name, value in data["evidence"].items()}
