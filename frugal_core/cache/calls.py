"""Calls that go through a cache: look up, let one of equal calls ask the model, keep its answer.

`SemanticCache.claim` gives the turn to one of all processes. Within a process the followers wait
here instead, because here they learn that the leader's answer could not be kept (it called a tool,
it was cut short, it failed): then all of them go on at once and not one after the other. Threads
wait for threads and tasks for tasks, see `frugal_core.cache.flight`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from frugal_core.cache.admission import Layers
from frugal_core.cache.answers import TEXT, holds_json
from frugal_core.cache.checking import tags_of
from frugal_core.cache.flight import Lane
from frugal_core.cache.forking import renew_in_children
from frugal_core.cache.hit import Hit
from frugal_core.cache.judging import JUDGING
from frugal_core.cache.semantic import SemanticCache
from frugal_core.cache.store.late import LateStore
from frugal_core.cache.threads import runs_loop
from frugal_core.cache.turns import Turn

PATIENCE = 60.0
"""Seconds to wait for another's answer to the same prompt."""
SHORT_PATIENCE = 15.0
"""The same where nobody tells that the other has failed."""

_MANY = 100
_BARREN = 60.0
"""Seconds for which nobody waits for the answer to a prompt whose last one was not to be kept."""


T = TypeVar("T")
_Key = tuple[Lane, str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as the cache sees it.

    Args:
        question: What the user said last.
        partition: A digest of everything else that shapes the answer.
        by_meaning: Whether another wording's answer may be served.
        as_json: Whether the answer must hold JSON: a parser that fails would fail again each time.
    """

    question: str
    partition: str
    by_meaning: bool
    as_json: bool = False


class Codec(Protocol[T]):
    """How a framework's answers are kept."""

    def pack(self, answer: T) -> tuple[Any, Layers]:
        """An answer as JSON, and where it may be kept; (None, "none") if nowhere."""

    def unpack(self, hit: Hit) -> T | None:
        """A fresh answer that says where it comes from; None if it may not be served."""


@dataclass(eq=False, slots=True)
class _Flight:
    """A prompt on its way to the model."""

    key: _Key
    owner: object
    until: float
    done: Future[None] = field(default_factory=Future)
    turn: Turn | None = None
    task: asyncio.Task[Any] | None = None
    at_end: Callable[[Any], None] | None = None


class Calls(Generic[T]):
    """Calls of models through one cache. What goes wrong in the cache is logged, never raised.

    Args:
        cache: Where answers are kept.
        store: The cache's store, if it is still to be opened.
        codec: How answers are kept.
        tags: Of every entry.
    """

    def __init__(
        self,
        cache: SemanticCache,
        store: LateStore | None,
        codec: Codec[T],
        tags: str | Sequence[str] | None,
    ) -> None:
        self.cache = cache
        self._store = store
        self._codec = codec
        self._tags = tags_of(tags)
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Wait for nobody; in a child of a fork the parent's calls do not end."""
        self._flights: dict[_Key, _Flight] = {}
        self._lock = threading.Lock()
        self._barren: dict[Asked, float] = {}

    def lookup(self, asked: Asked, patience: float = PATIENCE) -> T | None:
        """The stored answer; None if the model must be asked.

        Who gets None should call `update` or `give_up`; until then, equal calls wait for it.

        Args:
            asked: The prompt.
            patience: Seconds to wait for another's answer, and for others to wait for ours.
        """
        owner = _here()
        flight = None
        try:
            if not self._ready():
                return None
            if self._is_barren(asked):
                return self._stored(asked)
            flight, leads = self._join("threads", asked, patience, owner)
            wait = 0.0 if self._may_not_wait(flight, owner) else patience
            if leads:
                found = self.cache.claim(
                    asked.question, asked.partition, semantic=asked.by_meaning, wait=wait
                )
                return self._claimed(flight, found)
            wait_for([flight.done], timeout=wait)
            return self._stored(asked)
        except Exception as error:
            self._failed(flight, owner, error)
            return None
        except BaseException:
            self._failed(flight, owner)
            raise

    async def alookup(
        self,
        asked: Asked,
        patience: float = PATIENCE,
        abandoned: Callable[[], None] | None = None,
    ) -> T | None:
        """See `lookup`. A task that ends without `aupdate` gives up.

        Args:
            asked, patience: See `lookup`.
            abandoned: Called if the task ends so: a cancelled call tells nobody else.
        """
        owner = _here()
        flight = None
        try:
            if not await self.cache.threads.run(self._ready):
                return None
            if self._is_barren(asked):
                return await self.cache.threads.run(self._stored, asked)
            flight, leads = self._join("tasks", asked, patience, owner)
            wait = 0.0 if self._holds_another(flight, owner) else patience
            if leads:
                found = await self._aclaim(asked, wait)
                answer = self._claimed(flight, found)
                if answer is None:
                    self._watch(flight, abandoned)
                return answer
            await asyncio.wait([asyncio.wrap_future(flight.done)], timeout=wait)
            return await self.cache.threads.run(self._stored, asked)
        except Exception as error:
            self._failed(flight, owner, error)
            return None
        except BaseException:  # cancelled
            self._failed(flight, owner)
            raise

    def update(self, asked: Asked, answer: T) -> None:
        """Keep an answer if it may be kept, and let the others go on."""
        flying = self._flying(asked)
        try:
            packed, layers = self._codec.pack(answer)
            if packed is None or (asked.as_json and not holds_json(packed.get(TEXT))):
                self._note_barren(asked)
            elif self._ready():
                by_meaning = asked.by_meaning and layers == "semantic"
                self.cache.store(
                    asked.question, packed, asked.partition, self._tags, semantic=by_meaning
                )
        except Exception as error:
            self.cache.faults.tell("call", error)
        finally:
            for flight in flying:
                self._finish(flight)

    async def aupdate(self, asked: Asked, answer: T) -> None:
        """See `update`."""
        await self.cache.threads.run(self.update, asked, answer)

    def give_up(self, asked: Asked) -> None:
        """Let the others go on: there will be no answer. Does not block."""
        for flight in self._flying(asked):
            self.cache.threads.aside(partial(self._finish, flight))

    # Inside

    def _ready(self) -> bool:
        # What a judge asks is about other prompts: it would be judged by its own answers.
        return not JUDGING.get() and (self._store is None or self._store.ready())

    def _flying(self, asked: Asked) -> list[_Flight]:
        """A prompt's flights, whoever asks: what ends one of them ends the wait for the other."""
        keys = _key("threads", asked), _key("tasks", asked)
        return [flight for key in keys if (flight := self._flights.get(key)) is not None]

    def _join(
        self, lane: Lane, asked: Asked, patience: float, owner: object
    ) -> tuple[_Flight, bool]:
        """The flight of a prompt, and whether it is ours to lead."""
        now = time.monotonic()
        key = _key(lane, asked)
        with self._lock:
            over = [self._flights[key]] if key in self._flights else []
            # One of our own is over, too: the call failed without a word.
            if over and over[0].until > now and over[0].owner != owner:
                return over[0], False
            if len(self._flights) > _MANY:
                over += [f for f in self._flights.values() if f.until <= now and f not in over]
            flight = _Flight(key, owner, now + patience)
            flight.done.set_running_or_notify_cancel()  # whoever waits cannot cancel it
            self._flights[key] = flight
        for ended in over:
            self._finish(ended)
        return flight, True

    def _holds_another(self, flight: _Flight, owner: object) -> bool:
        # Who holds one turn and waits for another may wait for somebody who waits for him: of
        # several prompts in one call, and of a model within a model, only the first waits.
        with self._lock:
            return any(f.owner == owner and f is not flight for f in self._flights.values())

    def _may_not_wait(self, flight: _Flight, owner: object) -> bool:
        # In a thread that runs an event loop, the leader may need that loop.
        return runs_loop() or self._holds_another(flight, owner)

    async def _aclaim(self, asked: Asked, wait: float) -> Hit | Turn:
        claim = self.cache.aclaim(
            asked.question, asked.partition, semantic=asked.by_meaning, wait=wait
        )
        claiming = asyncio.ensure_future(claim)
        try:
            return await asyncio.shield(claiming)
        except BaseException:
            # A turn that arrives after we were cancelled would never be given back.
            claiming.add_done_callback(self._let_go)
            raise

    def _let_go(self, claiming: asyncio.Future[Hit | Turn]) -> None:
        if not claiming.cancelled() and claiming.exception() is None:
            found = claiming.result()
            if isinstance(found, Turn):
                self.cache.threads.aside(found.release)

    def _claimed(self, flight: _Flight, found: Hit | Turn) -> T | None:
        if isinstance(found, Turn):
            flight.turn = found
            return None
        answer = self._codec.unpack(found)
        if answer is not None:
            self._finish(flight)
        return answer

    def _stored(self, asked: Asked) -> T | None:
        hit = self.cache.lookup(asked.question, asked.partition, semantic=asked.by_meaning)
        return None if hit is None else self._codec.unpack(hit)

    # An agent's question that is always answered by a tool call would otherwise make every second
    # caller wait for an answer that he cannot use.

    def _is_barren(self, asked: Asked) -> bool:
        return self._barren.get(asked, 0.0) > time.monotonic()

    def _note_barren(self, asked: Asked) -> None:
        now = time.monotonic()
        with self._lock:
            if len(self._barren) >= _MANY:
                self._barren = {key: until for key, until in self._barren.items() if until > now}
            if len(self._barren) < 10 * _MANY:
                self._barren[asked] = now + _BARREN

    def _watch(self, flight: _Flight, abandoned: Callable[[], None] | None) -> None:
        """Give up when the task that asked ends."""
        task = asyncio.current_task()
        if task is None:
            return

        def at_end(_: Any) -> None:
            flight.task = None
            self.cache.threads.aside(lambda: self._finish(flight))
            if abandoned is not None:
                abandoned()

        flight.task, flight.at_end = task, at_end
        task.add_done_callback(at_end)

    def _finish(self, flight: _Flight | None) -> None:
        """End a flight; once is enough, more often does no harm."""
        if flight is None:
            return
        with self._lock:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
            turn, flight.turn = flight.turn, None
            task, flight.task = flight.task, None
        if task is not None and flight.at_end is not None:
            with suppress(RuntimeError):  # the loop has been closed
                task.get_loop().call_soon_threadsafe(task.remove_done_callback, flight.at_end)
        if turn is not None:
            turn.release()
        with self._lock:
            if not flight.done.done():
                flight.done.set_result(None)

    def _failed(
        self, flight: _Flight | None, owner: object, error: Exception | None = None
    ) -> None:
        if flight is not None and flight.owner == owner:
            self.cache.threads.aside(lambda: self._finish(flight))
        if error is not None:
            self.cache.faults.tell("call", error)


def _key(lane: Lane, asked: Asked) -> _Key:
    return lane, asked.question, asked.partition


def _here() -> tuple[int, asyncio.Task[Any] | None]:
    """Who is calling: the thread and, in an event loop, the task."""
    return threading.get_ident(), asyncio.current_task() if runs_loop() else None
