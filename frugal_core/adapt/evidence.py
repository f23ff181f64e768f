"""What was measured, and whether it shows that a change keeps its quality."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from frugal_core.certifying import Certificate, Promise, keeps_promise


@dataclass(frozen=True, slots=True)
class Measured:
    """How one setting did on labelled rows.

    Args:
        size: The setting: examples shown, queries asked together.
        right: Whether each row was answered right; rows are the same, and in the same order, for
            all settings that are compared.
        tokens: Tokens per row: bought where the model said so, else estimated; 0 if none were.
    """

    size: int
    right: tuple[bool, ...]
    tokens: float = 0.0

    @property
    def accuracy(self) -> float:
        """Share of rows answered right."""
        return sum(self.right) / len(self.right) if self.right else 0.0


def discordant(candidate: Sequence[bool], reference: Sequence[bool]) -> tuple[int, int]:
    """Rows that the candidate lost to the reference, and rows that it gained on it."""
    pairs = list(zip(candidate, reference, strict=True))
    losses = sum(not mine and theirs for mine, theirs in pairs)
    gains = sum(mine and not theirs for mine, theirs in pairs)
    return losses, gains


def certify(
    candidate: Sequence[bool], reference: Sequence[bool], promise: Promise, name: str
) -> Certificate | None:
    """The certificate that a candidate keeps a promise, or None if these rows do not show it.

    Args:
        candidate, reference: Whether each row was answered right; the same rows for both.
        promise: What may be lost, and how sure that must be.
        name: What the reference is called.

    Source: Tango's score test, as `frugal_core.certifying` has it.
    """
    losses, gains = discordant(candidate, reference)
    n = len(reference)
    if not keeps_promise(losses, gains, n, promise):
        return None
    today = dt.date.today().isoformat()
    return Certificate(promise.epsilon, promise.confidence, n, losses, gains, name, "gold", today)
