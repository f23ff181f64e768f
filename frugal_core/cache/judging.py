"""Labels for decisions: a judge that is shown a sample of lookups, and labelled pairs."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from frugal_core.cache.decision import Decision, Neighbour
from frugal_core.cache.store.base import Entry
from frugal_core.embedding import Embedder

Judge = Callable[[str, str, Any], bool]
"""(new question, stored question, stored answer) -> whether that answer is right for the new one"""


class Sample:
    """The lookups that a judge is shown, one after another in a thread of their own.

    Args:
        judge: See `Judge`; None for none.
        rate: Share of lookups, drawn by chance, so that they speak for all.
    """

    def __init__(self, judge: Judge | None, rate: float) -> None:
        self.rate = rate if judge else 0.0
        self._judge = judge
        self._lock = threading.Lock()
        self._thread: ThreadPoolExecutor | None = None

    def draws(self) -> bool:
        """Whether the next lookup is judged."""
        return self.rate > 0 and random.random() < self.rate

    def judge(self, question: str, entry: Entry) -> bool:
        """Whether the entry's answer is right for the question."""
        assert self._judge is not None
        return bool(self._judge(question, entry.question, entry.answer))

    def submit(self, act: Callable[[], None]) -> None:
        """Do something in the background; nobody waits for a judge."""
        with self._lock:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="frugal-judge")
            self._thread.submit(act)

    def close(self) -> None:
        """Wait for what was submitted."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)


def judged_pairs(
    pairs: Sequence[tuple[str, str, bool]], embedder: Embedder, decision: Decision, neighbours: int
) -> list[tuple[float, bool]]:
    """What the decision says of labelled pairs, were all their first questions stored.

    Args:
        pairs: (stored question, new question, whether one answer serves both).
        embedder: Of both.
        decision: The decision.
        neighbours: Stored questions that are looked at for each new one.

    Returns:
        (score, whether the answer would be wrong) of each new question that may be served.
    """
    rows = {text: row for row, text in enumerate(dict.fromkeys(stored for stored, _, _ in pairs))}
    texts = list(rows)
    vectors = embedder.embed(texts)
    asked = embedder.embed([question for _, question, _ in pairs])
    decisions = []
    for (stored, question, same), vector in zip(pairs, asked, strict=True):
        cosines = vectors @ vector
        near = [int(row) for row in np.argsort(-cosines)[: neighbours + 1]]
        near = [row for row in near if texts[row] != question][:neighbours]
        verdict = decision.judge(
            question, [Neighbour(texts[row], float(cosines[row])) for row in near]
        )
        if verdict.position is not None:
            right = same and near[verdict.position] == rows[stored]
            decisions.append((verdict.score, not right))
    return decisions
