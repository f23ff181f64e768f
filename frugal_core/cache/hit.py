"""What a lookup finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Hit:
    """A stored answer.

    Args:
        answer: As it was stored; a fresh copy.
        layer: "exact": the same question; "semantic": another wording.
        score: 1 for the exact layer; else how sure the decision is, in (0, 1).
        question: The stored question.
        age_s: Seconds since it was stored.
        id: Of the entry, for `report_wrong` and `report_right`.
    """

    answer: Any
    layer: str
    score: float
    question: str
    age_s: float
    id: int
