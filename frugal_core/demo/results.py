"""What a run of the demo works on, and what it comes to."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugal_core.local_model import Headline
from frugal_core.recording import normalise

if TYPE_CHECKING:
    from frugal_core.policy import Policy

TAUGHT = 3000
"""Headlines whose right label the student is told, although no model was asked."""


@dataclass(frozen=True)
class Draw:
    """Headlines by their use; no headline has two."""

    seed: int
    live: list[Headline]
    recorded: list[Headline]
    labelled: list[Headline]

    @property
    def taught(self) -> list[Headline]:
        """The labelled headlines that go into the recording."""
        return self.labelled[:TAUGHT]

    @classmethod
    def of(cls, headlines: list[Headline], seed: int, questions: int) -> Draw:
        """Shuffle the headlines, and keep a fifth of the questions for the live part."""
        drawn = random.Random(seed).sample(headlines, len(headlines))
        live = questions // 5
        return cls(seed, drawn[:live], drawn[live:questions], drawn[questions:])


def id_of(headline: Headline) -> str:
    """An id that is the same in every run."""
    return hashlib.sha256(headline.text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Live:
    """One headline answered live.

    Args:
        headline: With its right label.
        said: The answer.
        input_tokens, output_tokens: What was bought for it, from all tiers together.
        usd: What that cost.
        seconds: How long the caller waited.
        confidence: Log of the model's own confidence in the answer, if it gives one.
        steps: The trail; empty without a cascade.
    """

    headline: Headline
    said: str
    input_tokens: int
    output_tokens: int
    usd: float
    seconds: float
    confidence: float | None
    steps: Sequence[Mapping[str, Any]] = ()

    @property
    def right(self) -> bool:
        """Whether the answer is the right label."""
        return normalise(self.said) == self.headline.label


@dataclass(frozen=True)
class Report:
    """What a run of the demo came to.

    Args:
        seed: Decided which headlines were drawn.
        policy: Fitted on the recording.
        promised: Whether `policy` is certified; if not, it is what the budget alone buys.
        before, after: The same headlines, answered by the reference alone and by the cascade.
        folder: Where recordings and policy are kept.
        fixed: The same headlines, answered by the reference with the same examples for all of them;
            empty where the prompt has no examples.
    """

    seed: int
    policy: Policy
    promised: bool
    before: list[Live]
    after: list[Live]
    folder: Path
    fixed: Sequence[Live] = ()
