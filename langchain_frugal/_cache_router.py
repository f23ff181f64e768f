"""How a callback serves answers: runs that it opens, and a process-wide cache that finds them.

A callback is told that a run starts, but cannot answer it; a cache can answer, but is not told
which run asks. The callback therefore notes its runs in a context variable, and LangChain's global
cache, which is the router, asks the run that is alive, has not looked up yet, and whose model this
is. What belongs to no run goes to the global cache that was there before.
"""

from __future__ import annotations

import json
import logging
import threading
from abc import abstractmethod
from contextvars import ContextVar
from functools import cache
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.messages import BaseMessage

from frugal_core.cache.calls import Asked, Calls
from langchain_frugal._cache_messages import asked

_LOG = logging.getLogger("frugal_core")


class StreamCache(BaseCache):
    """A cache that `FrugalCascadeLLM` asks before it streams; LangChain's own models never do."""

    @abstractmethod
    def serves(self, llm_string: str) -> bool:
        """Whether a stream of this model, in this context, goes through the cache."""

    @abstractmethod
    def give_up(self, prompt: str, llm_string: str) -> None:
        """Let equal calls go on: a lookup that missed will not be followed by an update."""


class Run:
    """A run of a chat model that a callback listens to.

    Args:
        run_id: LangChain's.
        calls: The callback's.
        serialized: The model as LangChain writes it down. It is changed in place until the lookup,
            so it is kept, not copied.
        params: All parameters of the call.
        options: Those given with the call.
        messages: As LangChain shows them to tracers: as they are, if they are text.
        batch_size: How many prompts the call has; each is a run.
    """

    def __init__(
        self,
        run_id: UUID,
        calls: Calls[Any],
        serialized: dict[str, Any],
        params: dict[str, Any],
        options: dict[str, Any],
        messages: list[BaseMessage],
        batch_size: int,
    ) -> None:
        self.run_id = run_id
        self.calls = calls
        self.serialized = serialized
        self.params = params
        self.options = options
        self.messages = messages
        self.batch_size = batch_size
        self.batch: list[Run] = [self]
        self.alive = True
        self.streams = False
        self.settled = False
        self.prompt: tuple[str, str] | None = None
        self.asked: Asked | None = None

    @property
    def will_look_up(self) -> bool:
        """Whether a lookup can still be the run's: who speaks without one has none."""
        return self.alive and self.prompt is None and not self.streams

    def owns(self, llm_string: str) -> bool:
        """Whether a lookup for this model and these parameters can be the run's."""
        if self.serialized.get("type") != "constructor":
            return llm_string == str(sorted(self.params.items()))
        try:
            return llm_string.startswith(json.dumps(self.serialized, sort_keys=True) + "---")
        except (TypeError, ValueError):
            return False

    def claim(self, prompt: str, llm_string: str) -> Asked:
        """Take a lookup."""
        self.prompt = (prompt, llm_string)
        self.asked = asked(prompt, llm_string)
        return self.asked

    def close(self) -> None:
        """The run is over; nobody waits for its answer any more."""
        self.alive = False
        self.messages = []  # the context may live on
        if self.asked is not None and not self.settled:
            self.settled = True
            self.calls.give_up(self.asked)

    def close_batch(self) -> None:
        """A call of several prompts ends with its first error; the other runs are told nothing."""
        for run in list(self.batch):
            run.close()


_RUNS: ContextVar[tuple[Run, ...]] = ContextVar("frugal_cache_runs", default=())
# Weak: a cancelled call ends without a word.
_OPEN: WeakValueDictionary[tuple[Calls[Any], UUID], Run] = WeakValueDictionary()


def open_run(run: Run) -> None:
    """Make a run known to what happens next in this context."""
    before = tuple(r for r in _RUNS.get() if r.alive or r.run_id == run.run_id)
    for earlier in reversed(before):
        if earlier.run_id == run.run_id:
            # Two callbacks on one run: the last one wins. Which one that is, nobody sees, so that
            # of two scopes none is served.
            earlier.alive = False
            if earlier.calls.cache.scope != run.calls.cache.scope:
                run.alive = False
                _tell_of_scopes()
        elif run.batch_size > 1 and earlier.calls is run.calls and _takes(earlier, run):
            run.batch = earlier.batch
            run.batch.append(run)
            break
    _RUNS.set((*before, run))
    _OPEN[run.calls, run.run_id] = run


@cache
def _tell_of_scopes() -> None:
    _LOG.warning(
        "a call has two semantic caches as callbacks, of different scopes: it is not cached; give "
        "each call one of them"
    )


def ended_run(calls: Calls[Any], run_id: UUID) -> Run | None:
    """The run of a callback that ends now, if it is known."""
    return _OPEN.pop((calls, run_id), None)


def speaking_run(calls: Calls[Any], run_id: UUID) -> None:
    """A run has begun to speak: what is asked now, while its caller reads, is not its lookup."""
    run = _OPEN.get((calls, run_id))
    if run is not None:
        run.streams = True


def _takes(earlier: Run, run: Run) -> bool:
    """Whether two runs are prompts of one call: all of them start before the first looks up."""
    same = earlier.batch_size == run.batch_size and len(earlier.batch) < run.batch_size
    return same and all(other.prompt is None for other in earlier.batch)


def _asking(llm_string: str) -> Run | None:
    """The run that looks up now: of the newest call, the first that has not yet."""
    for run in reversed(_RUNS.get()):
        if run.will_look_up and run.owns(llm_string):
            return next(r for r in run.batch if r.will_look_up)
    return None


def _answered(prompt: str, llm_string: str) -> Run | None:
    """The run whose lookup this is the answer to."""
    for run in reversed(_RUNS.get()):
        if run.alive and not run.settled and run.prompt == (prompt, llm_string):
            return run
    return None


class Router(StreamCache):
    """LangChain's global cache while there are callbacks.

    Args:
        fallback: The global cache before it; answers for all runs without a callback.
    """

    def __init__(self, fallback: BaseCache | None) -> None:
        self.fallback = fallback

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The answer of the run's cache; of the former global cache outside of runs."""
        run = _asking(llm_string)
        if run is None:
            return None if self.fallback is None else self.fallback.lookup(prompt, llm_string)
        found = run.calls.lookup(run.claim(prompt, llm_string))
        run.settled = found is not None
        return found

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """See `lookup`."""
        run = _asking(llm_string)
        if run is None:
            if self.fallback is None:
                return None
            return await self.fallback.alookup(prompt, llm_string)
        try:
            found = await run.calls.alookup(run.claim(prompt, llm_string), abandoned=run.close)
        except BaseException:  # cancelled, of which no callback is told
            run.alive = False
            raise
        run.settled = found is not None
        return found

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Keep an answer where it was looked up."""
        run = _answered(prompt, llm_string)
        if run is not None and run.asked is not None:
            run.settled = True
            run.calls.update(run.asked, return_val)
        elif self.fallback is not None:
            self.fallback.update(prompt, llm_string, return_val)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """See `update`."""
        run = _answered(prompt, llm_string)
        if run is not None and run.asked is not None:
            run.settled = True
            await run.calls.aupdate(run.asked, return_val)
        elif self.fallback is not None:
            await self.fallback.aupdate(prompt, llm_string, return_val)

    def clear(self, **kwargs: Any) -> None:
        """Clear the former global cache; a callback's own is cleared by its `invalidate`."""
        if self.fallback is not None:
            self.fallback.clear(**kwargs)

    async def aclear(self, **kwargs: Any) -> None:
        """See `clear`."""
        if self.fallback is not None:
            await self.fallback.aclear(**kwargs)

    def serves(self, llm_string: str) -> bool:
        """Whether there is a run, or a former global cache that serves streams."""
        fallback = self.fallback
        return _asking(llm_string) is not None or (
            isinstance(fallback, StreamCache) and fallback.serves(llm_string)
        )

    def give_up(self, prompt: str, llm_string: str) -> None:
        """See `StreamCache`."""
        run = _answered(prompt, llm_string)
        if run is not None:
            run.close()
        elif isinstance(self.fallback, StreamCache):
            self.fallback.give_up(prompt, llm_string)


_installing = threading.Lock()


def install() -> None:
    """Make a router the global cache, if none is."""
    with _installing:
        there = get_llm_cache()
        if not isinstance(there, Router):
            set_llm_cache(Router(there))
