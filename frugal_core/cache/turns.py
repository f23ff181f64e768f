"""Turns: of equal questions at the same time, one is answered by the model and the rest wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from frugal_core.cache.flight import Lane
    from frugal_core.cache.hit import Hit
    from frugal_core.cache.semantic import SemanticCache

POLL = 0.02
"""Seconds between two looks at whether another process has stored an answer."""


class Turn:
    """The turn to answer a question; whoever else asks it waits.

    Use it as a context manager: leaving it lets the others go on, also without an answer.
    """

    def __init__(
        self, cache: SemanticCache, question: str, partition: str, lane: Lane, leads: bool
    ) -> None:
        self._cache = cache
        self._question = question
        self._partition = partition
        self._lane = lane
        self._leads = leads
        self._leased = False

    def store(
        self, answer: Any, tags: str | Sequence[str] | None = (), *, semantic: bool = True
    ) -> None:
        """Keep the answer, and let the others have it."""
        self._cache.store(self._question, answer, self._partition, tags, semantic=semantic)
        self.release()

    def release(self) -> None:
        """Let the others go on; one of them gets the turn if there is no answer."""
        if self._leads:
            self._leads = False
            key = self._cache.key(self._question, self._partition)
            self._cache._guard(
                "release", lambda: self._cache._flights.land(self._lane, key, leased=self._leased)
            )

    def __del__(self) -> None:
        # A turn that is lost, in a cancelled call, must not keep the others waiting.
        self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class Waiting:
    """The wait for an answer or for the turn."""

    def __init__(
        self, cache: SemanticCache, question: str, partition: str, lane: Lane, wait: float
    ) -> None:
        self._cache = cache
        self._question = question
        self._partition = partition
        self._lane = lane
        self._key = cache.key(question, partition)
        self._until = time.monotonic() + wait
        self._leader: threading.Event | None = None
        self._turn: Turn | None = None

    def look(self) -> Hit | Turn | None:
        """What there is now; None if it is still another's turn."""
        flights = self._cache._flights
        if self._turn is None:
            if self._leader is not None and not self._leader.is_set():
                return self._late()
            self._leader = flights.lead(self._lane, self._key)
            if self._leader is not None:
                return self._late()
            self._turn = self._new_turn(leads=True)
        leased = self._cache._guard("lease", lambda: flights.lease(self._key))
        self._turn._leased = bool(leased)
        # Looked up under the lease: somebody may have stored the answer and given the lease back.
        if (hit := self._cache._exact(self._question, self._partition)) is not None:
            self._turn.release()
            return hit
        if leased or leased is None:  # without a store there is nobody to wait for
            return self._turn
        return self._late()

    def sleep(self) -> None:
        """Wait until it may be worth to look again."""
        if self._leader is not None and self._turn is None:
            self._leader.wait(max(0.0, self._until - time.monotonic()))
        else:
            time.sleep(POLL)

    def _late(self) -> Turn | None:
        if time.monotonic() < self._until:
            return None
        return self._turn or self._new_turn(leads=False)

    def _new_turn(self, leads: bool) -> Turn:
        return Turn(self._cache, self._question, self._partition, self._lane, leads)
