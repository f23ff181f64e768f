"""Labels for decisions: a judge that is shown a sample of lookups, and labelled pairs."""

from __future__ import annotations

import asyncio
import inspect
import queue
import random
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import numpy as np

from frugal_core.cache.checking import label_of
from frugal_core.cache.decision import Decision, Neighbour
from frugal_core.cache.forking import renew_in_children
from frugal_core.cache.store.base import Entry
from frugal_core.embedding import Embedder

Judge = Callable[[str, str, Any], bool | Awaitable[bool]]
"""(new question, stored question, stored answer) -> whether that answer is right for the new one

It may be async: it is then run to its end in an event loop of its own.
"""


JUDGING: ContextVar[bool] = ContextVar("frugal_judging", default=False)
"""Whether a judge is asked here: what it asks a model is neither served nor kept."""

_MOST = 1000  # lookups that wait to be judged
_PATIENCE = 10.0  # seconds that the end of a cache waits for its judge


class Sample:
    """The lookups that a judge is shown, one after another in a thread of their own.

    Args:
        judge: See `Judge`; None for none.
        rate: Share of lookups, drawn by chance, so that they speak for all.
    """

    def __init__(self, judge: Judge | None, rate: float) -> None:
        self.rate = 0.0 if judge is None else rate
        self._judge = judge
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Without a thread: that of a parent does not run in its child."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._waiting: queue.Queue[Callable[[], None]] = queue.Queue(_MOST)

    def draws(self) -> bool:
        """Whether the next lookup is judged."""
        return self.rate > 0 and random.random() < self.rate

    def judge(self, question: str, entry: Entry) -> bool:
        """Whether the entry's answer is right for the question; not in a thread with a loop.

        Raises:
            FrugalError: The judge says neither that it is nor that it is not.
        """
        assert self._judge is not None
        before = JUDGING.set(True)
        try:
            said = self._judge(question, entry.question, entry.answer)
            said = asyncio.run(_end_of(said)) if inspect.isawaitable(said) else said
        finally:
            JUDGING.reset(before)
        return label_of("judge", said)

    def submit(self, act: Callable[[], None]) -> None:
        """Do something in the background; nobody waits for a judge, not even the end of Python.

        Of a judge that is slower than the questions come, what is too much is left out.
        """
        with self._lock:
            with suppress(queue.Full):
                self._waiting.put_nowait(act)
            if self._thread is None or not self._thread.is_alive():  # a judge may end it
                self._thread = threading.Thread(target=self._work, name="frugal-judge", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                try:
                    act = self._waiting.get_nowait()
                except queue.Empty:
                    self._thread = None
                    return
            act()

    def close(self) -> None:
        """Wait for what was submitted, unless the judge hangs."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(_PATIENCE)


async def _end_of(said: Awaitable[bool]) -> bool:
    return await said


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
        (score, whether the answer would be wrong) of each new question that may be served, in no
        order: a part of them is a fair sample however the pairs were sorted.
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
    random.Random(0).shuffle(decisions)
    return decisions
