"""Driving one call of a cascade, four ways: at once or in pieces, synchronously or not.

The loop decides (`frugal_core.loop.cascade`), the adapter asks (`Call`), and the drivers here only
move what the one says to the other.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

from frugal_core.cascade import Ask, Failure, Outcome, Reply
from frugal_core.loop import STALE_CONNECTIONS, is_stale

Final = TypeVar("Final", covariant=True)
Chunk = TypeVar("Chunk")
Answered = TypeVar("Answered")

Loop = Generator[Ask, Reply | Failure, Outcome]


class Live(Generic[Chunk]):
    """The last tier's stream on its way to the caller.

    Chunks are held back until one says something, so that a tier that fails before leaves no trace
    and another answer can take its place.
    """

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.emitted = False

    def start(self) -> Generator[Chunk, None, None]:
        """Ask the tier, and give its chunks."""
        raise NotImplementedError

    def astart(self) -> AsyncGenerator[Chunk, None]:
        """Ask the tier, and give its chunks asynchronously."""
        raise NotImplementedError

    def says_something(self, chunk: Chunk) -> bool:
        """Whether a chunk carries a part of the answer, not only its frame."""
        raise NotImplementedError

    def read(self) -> Reply:
        """The whole answer, from `chunks`."""
        raise NotImplementedError

    def failed(self, error: Exception) -> Reply | Failure:
        """What the tier raised, as the loop takes it."""
        raise NotImplementedError

    def take(self, chunk: Chunk) -> list[Chunk]:
        """Add a chunk; what may be passed on now."""
        self.chunks.append(chunk)
        if self.emitted:
            return [chunk]
        if not self.says_something(chunk):
            return []
        self.emitted = True
        return list(self.chunks)

    def reply(self) -> Reply:
        """The whole answer, once the stream has ended."""
        reply = self.read()
        # What the caller has seen stays, of use or not.
        return replace(reply, useless=False) if self.emitted else reply


class Call(Protocol[Final, Chunk]):
    """One call of a cascade, as its adapter carries it out."""

    @property
    def loop(self) -> Loop:
        """The loop that decides."""
        ...

    def ask(self, ask: Ask) -> Reply | Failure:
        """Do what the loop asks for, and wait for the whole answer."""
        ...

    async def aask(self, ask: Ask) -> Reply | Failure:
        """Do what the loop asks for, and await the whole answer."""
        ...

    def live(self, ask: Ask) -> Live[Chunk]:
        """Prepare to pass on the last tier's answer as it comes."""
        ...

    def final(self, outcome: Outcome) -> Final:
        """The answer, with the bill and the trail."""
        ...

    def passed(self, chunk: Chunk) -> Any:
        """A live chunk as it may go on to the caller."""
        ...

    def ending(self, outcome: Outcome, live: Live[Chunk] | None) -> Iterator[Any]:
        """What is left to stream: the accepted draft, and a last chunk with bill and trail."""
        ...


async def on_a_live_loop(ask: Callable[[], Awaitable[Answered]]) -> Answered:
    """Ask; and again, as long as it is only a connection of an earlier event loop that fails."""
    for _ in range(STALE_CONNECTIONS):
        try:
            return await ask()
        except Exception as error:
            if not is_stale(error):
                raise
    return await ask()


def run(call: Call[Final, Any]) -> Final:
    """Drive a call to its answer."""
    reply: Any = None
    try:
        while True:
            reply = call.ask(call.loop.send(reply))
    except StopIteration as stop:
        return call.final(stop.value)


async def arun(call: Call[Final, Any]) -> Final:
    """Drive a call to its answer, asynchronously."""
    reply: Any = None
    try:
        while True:
            reply = await call.aask(call.loop.send(reply))
    except StopIteration as stop:
        return call.final(stop.value)


def stream(call: Call[Any, Any]) -> Generator[Any, None, None]:
    """Drive a call; drafts are buffered, the last tier is passed on as it comes."""
    reply: Any = None
    live: Live[Any] | None = None
    try:
        while True:
            ask = call.loop.send(reply)
            if not ask.live:
                reply = call.ask(ask)
                continue
            live = call.live(ask)
            try:
                with closing(live.start()) as chunks:
                    for chunk in chunks:
                        for passed in live.take(chunk):
                            yield call.passed(passed)
                reply = live.reply()
            except Exception as error:
                reply = live.failed(error)
    except StopIteration as stop:
        outcome: Outcome = stop.value
    yield from call.ending(outcome, live)


async def astream(call: Call[Any, Any]) -> AsyncGenerator[Any, None]:
    """Drive a call asynchronously; drafts are buffered, the last tier is passed on as it comes."""
    reply: Any = None
    live: Live[Any] | None = None
    try:
        while True:
            ask = call.loop.send(reply)
            if not ask.live:
                reply = await call.aask(ask)
                continue
            live = call.live(ask)
            try:
                async with aclosing(live.astart()) as chunks:
                    async for chunk in chunks:
                        for passed in live.take(chunk):
                            yield call.passed(passed)
                reply = live.reply()
            except Exception as error:
                reply = live.failed(error)
    except StopIteration as stop:
        outcome: Outcome = stop.value
    for chunk in call.ending(outcome, live):
        yield chunk
