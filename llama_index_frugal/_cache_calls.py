"""One call of a model through the cache: whole or as a stream, in a thread or an event loop."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.llms import LLM

from frugal_core.answers import Breach
from frugal_core.cache import Hit
from frugal_core.cache.calls import Asked, Calls
from frugal_core.errors import describe
from llama_index_frugal._cache_answers import Said
from llama_index_frugal._cache_messages import How
from llama_index_frugal._responses import _choice, _ended, replay, says_something, text_of
from llama_index_frugal.events import Response, dispatcher

_LOG = logging.getLogger("llama_index_frugal")
_warned: set[str] = set()


def warn_once(what: str, error: Exception) -> None:
    """Log a fault of ours, the first of its kind: it must not cost the answer."""
    kind = f"{what}: {type(error).__name__}"
    if kind not in _warned:
        _warned.add(kind)
        _LOG.warning("%s: %s", what, describe(error))


class FrugalCacheEvent(BaseEvent):
    """An answer came from the cache; no model was asked, and no LLM event comes.

    Args:
        layer: "exact": the very same prompt; "semantic": another wording of its question.
        score: 1 for the exact layer; else how sure the decision is.
        age_s: Seconds since the answer was stored.
        entry: Which it is.
    """

    layer: str
    score: float
    age_s: float
    entry: int

    @classmethod
    def class_name(cls) -> str:
        """Name of the event."""
        return "FrugalCacheEvent"


@dataclass
class Check:
    """What was asked and served while an object is made, until it is known to be valid.

    An answer that did not become a valid object must not be kept, nor served once more.
    """

    made: list[tuple[CachedCall, Said]] = field(default_factory=list)
    served: list[tuple[CachedCall, Hit]] = field(default_factory=list)

    def accept(self) -> None:
        """Keep what the model said."""
        for call, said in self.made:
            call.calls.update(call.asked, said)

    async def aaccept(self) -> None:
        """See `accept`."""
        for call, said in self.made:
            await call.calls.aupdate(call.asked, said)

    def reject(self) -> bool:
        """Keep nothing, and delete what was served; whether anything was."""
        for call, _ in self.made:
            call.calls.give_up(call.asked)
        for call, hit in self.served:
            call.calls.cache.report_wrong(hit)
        return bool(self.served)


HOW: ContextVar[How] = ContextVar("frugal_cache_how", default=How())  # noqa: B039  # it is frozen
CHECK: ContextVar[Check | None] = ContextVar("frugal_cache_check", default=None)
HITS: ContextVar[tuple[list[Hit], ...]] = ContextVar("frugal_cache_hits", default=())
_INSIDE: ContextVar[tuple[int, ...]] = ContextVar("frugal_cache_inside", default=())


@contextmanager
def setting(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    """Set a context variable for a while."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def is_inside(llm: LLM) -> bool:
    """Whether this model is being asked already: many have a `chat` that calls `complete`."""
    return id(llm) in _INSIDE.get()


@dataclass(frozen=True)
class CachedCall:
    """A call of a model.

    Args:
        llm: The model.
        calls: The cache.
        asked: What is asked.
        breach: Says how an answer breaks what the call requires.
        structured: Whether the answer becomes an object.
        give: An answer as the endpoint gives it: `Said.chat` or `Said.completion`.
        check: Where the answer waits until it is known to be valid.
    """

    llm: LLM
    calls: Calls[Said]
    asked: Asked
    breach: Breach | None
    structured: bool
    give: Callable[[Said], Response]
    check: Check | None

    # The four ways to be asked

    def answer(self, ask: Callable[[], Any]) -> Any:
        """The stored answer, or the model's, which is then kept."""
        if (served := self._served(self.calls.lookup(self.asked))) is not None:
            return served
        try:
            with self._inside():
                response = ask()
        except BaseException:
            self.calls.give_up(self.asked)
            raise
        self._update(self._said([response]))
        return response

    async def aanswer(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """See `answer`."""
        if (served := self._served(await self.calls.alookup(self.asked))) is not None:
            return served
        try:
            with self._inside():
                response = await ask()
        except BaseException:
            self.calls.give_up(self.asked)
            raise
        await self._aupdate(self._said([response]))
        return response

    def stream(self, ask: Callable[[], Any]) -> Generator[Any, None, None]:
        """A stream, from the cache if it is there; kept once all of it has arrived."""
        if (served := self._served(self.calls.lookup(self.asked))) is not None:
            yield from _replayed(served)
            return
        seen, whole = _Seen(), False
        try:
            with closing(self._stepped(ask)) as chunks:
                for chunk in chunks:
                    seen.take(chunk)
                    yield chunk
            whole = True
        finally:
            if not whole:
                self.calls.give_up(self.asked)
        self._update(self._said(seen.chunks) if seen.coherent else None)

    async def astream(self, ask: Callable[[], Awaitable[Any]]) -> AsyncGenerator[Any, None]:
        """See `stream`."""
        if (served := self._served(await self.calls.alookup(self.asked))) is not None:
            for chunk in _replayed(served):
                yield chunk
            return
        seen, whole = _Seen(), False
        try:
            async with aclosing(self._astepped(ask)) as chunks:
                async for chunk in chunks:
                    seen.take(chunk)
                    yield chunk
            whole = True
        finally:
            if not whole:
                self.calls.give_up(self.asked)
        await self._aupdate(self._said(seen.chunks) if seen.coherent else None)

    # Inside

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """The model is being asked: what it asks itself is not looked up once more."""
        with (
            setting(_INSIDE, (*_INSIDE.get(), id(self.llm))),
            setting(HOW, How()),
            setting(CHECK, None),
        ):
            yield

    # A generator runs in the context of whoever asks for its next piece.

    def _stepped(self, ask: Callable[[], Any]) -> Generator[Any, None, None]:
        with self._inside():
            chunks = iter(ask())
        try:
            while True:
                with self._inside():
                    try:
                        chunk = next(chunks)
                    except StopIteration:
                        return
                yield chunk
        finally:
            if hasattr(chunks, "close"):
                chunks.close()

    async def _astepped(self, ask: Callable[[], Awaitable[Any]]) -> AsyncGenerator[Any, None]:
        with self._inside():
            chunks = aiter(await ask())
        try:
            while True:
                with self._inside():
                    try:
                        chunk = await anext(chunks)
                    except StopAsyncIteration:
                        return
                yield chunk
        finally:
            if hasattr(chunks, "aclose"):
                await chunks.aclose()

    def _served(self, said: Said | None) -> Response | None:
        """What was found, as the endpoint gives it; None if the model must be asked."""
        if said is None or (hit := said.hit) is None:
            return None
        if not said.calls_tools and self.breach and self.breach(said.message.content or "", ()):
            # Kept by another framework, which does not check, or the class has changed since.
            self.calls.cache.report_wrong(hit)
            return None
        response = self.give(said)
        if self.check is not None:
            self.check.served.append((self, hit))
        for hits in HITS.get():
            hits.append(hit)
        dispatcher.event(
            FrugalCacheEvent(layer=hit.layer, score=hit.score, age_s=hit.age_s, entry=hit.id)
        )
        return response

    def _said(self, chunks: list[Response]) -> Said | None:
        try:
            return Said.of(chunks, self.llm, self.breach, self.structured) if chunks else None
        except Exception as error:
            warn_once("an answer could not be read, it is not kept", error)
            return None

    def _update(self, said: Said | None) -> None:
        if said is None:
            self.calls.give_up(self.asked)
        elif self.check is not None:
            self.check.made.append((self, said))
        else:
            self.calls.update(self.asked, said)

    async def _aupdate(self, said: Said | None) -> None:
        if said is None or self.check is not None:
            self._update(said)
        else:
            await self.calls.aupdate(self.asked, said)


def _replayed(response: Response) -> Iterator[Response]:
    """A hit in pieces; tool calls and whatever is no text come with the last."""
    text = text_of(response)
    if text:
        yield from replay(response)
    blocks = response.message.blocks if isinstance(response, ChatResponse) else ()
    if not text or len(blocks) > 1:
        yield response.model_copy(update={"delta": ""})


@dataclass
class _Seen:
    """What of a stream must be remembered: its pieces hold all that was said so far."""

    spoken: Any = None
    last: Any = None
    ended: Any = None
    said: list[str] = field(default_factory=list)

    def take(self, chunk: Any) -> None:
        if says_something(chunk):
            self.spoken = chunk
        if _names_an_end(chunk):
            self.ended = chunk
        self.last = chunk
        self.said.append(chunk.delta or "")

    @property
    def chunks(self) -> list[Any]:
        """The last pieces that say anything, that name an end, and that came."""
        kept: list[Any] = []
        for chunk in (self.ended, self.spoken, self.last):
            if chunk is not None and all(chunk is not other for other in kept):
                kept.append(chunk)
        return kept

    @property
    def coherent(self) -> bool:
        """Whether the last piece does hold all that was said."""
        deltas = "".join(self.said).strip()
        return self.last is not None and deltas in ("", text_of(self.spoken or self.last).strip())


def _names_an_end(chunk: Any) -> bool:
    return bool(_ended(chunk, _choice(chunk)))
