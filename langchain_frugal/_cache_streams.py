"""Streams of a cascade through the cache: a hit is replayed, a whole answer is kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk

from langchain_frugal._cache_messages import prompt_of
from langchain_frugal._cache_router import StreamCache
from langchain_frugal._replies import replay


@dataclass
class Slot:
    """The place of one stream in a cache.

    Args:
        cache: The cache.
        prompt, llm_string: As `BaseCache.lookup` takes them.
    """

    cache: StreamCache
    prompt: str
    llm_string: str
    _chunks: list[AIMessageChunk] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        model: BaseChatModel,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
    ) -> Slot | None:
        """The slot of a call; None if no cache of ours applies. LangChain's are not asked."""
        there = model.cache if isinstance(model.cache, BaseCache) else get_llm_cache()
        if model.cache is False or not isinstance(there, StreamCache):
            return None
        llm_string = model._get_llm_string(stop=stop, **kwargs)
        return cls(there, prompt_of(messages), llm_string) if there.serves(llm_string) else None

    def take(self, chunk: ChatGenerationChunk) -> None:
        """Note a part of the model's answer."""
        if isinstance(chunk.message, AIMessageChunk):
            self._chunks.append(chunk.message)

    def answer(self) -> list[ChatGeneration]:
        """The whole answer, as `_generate` would have returned it."""
        message = message_chunk_to_message(add_ai_message_chunks(*self._chunks))
        return [ChatGeneration(message=message)]


def through(
    slot: Slot | None, chunks: Iterator[ChatGenerationChunk]
) -> Iterator[ChatGenerationChunk]:
    """A stream, from the cache if it is there.

    Args:
        slot: Where to look; None not to.
        chunks: The model's stream; not begun if it is not needed.
    """
    if slot is None:
        yield from chunks
        return
    found = slot.cache.lookup(slot.prompt, slot.llm_string)
    if found:
        yield from _replayed(found[0])
        return
    whole = False
    try:
        with closing(chunks):  # type: ignore[type-var]  # it is a generator
            for chunk in chunks:
                slot.take(chunk)
                yield chunk
        whole = True
    finally:
        if not whole:
            slot.cache.give_up(slot.prompt, slot.llm_string)
    slot.cache.update(slot.prompt, slot.llm_string, slot.answer())


async def athrough(
    slot: Slot | None, chunks: AsyncIterator[ChatGenerationChunk]
) -> AsyncGenerator[ChatGenerationChunk, None]:
    """See `through`."""
    async with aclosing(chunks):  # type: ignore[type-var]  # it is a generator
        if slot is None:
            async for chunk in chunks:
                yield chunk
            return
        found = await slot.cache.alookup(slot.prompt, slot.llm_string)
        if found:
            for chunk in _replayed(found[0]):
                yield chunk
            return
        whole = False
        try:
            async for chunk in chunks:
                slot.take(chunk)
                yield chunk
            whole = True
        finally:
            if not whole:
                slot.cache.give_up(slot.prompt, slot.llm_string)
        await slot.cache.aupdate(slot.prompt, slot.llm_string, slot.answer())


def _replayed(generation: Any) -> Iterator[ChatGenerationChunk]:
    """A hit in pieces; the marker and the usage, which is zero, come with the last."""
    message: AIMessage = generation.message
    for chunk in replay(message):
        yield ChatGenerationChunk(message=chunk)
    yield ChatGenerationChunk(
        message=AIMessageChunk(
            content="" if isinstance(message.content, str) else [],
            usage_metadata=message.usage_metadata,
            response_metadata=message.response_metadata,
            chunk_position="last",
        )
    )
