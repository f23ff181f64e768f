"""Streams of a cascade through the cache: a hit is replayed, a whole answer is kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from typing import Any

from langchain_core.caches import BaseCache
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
        cache: BaseCache,
        model: BaseChatModel,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
    ) -> Slot | None:
        """The slot of a call; None if the cache is not one of ours: those serve no streams."""
        if not isinstance(cache, StreamCache):
            return None
        llm_string = model._get_llm_string(stop=stop, **kwargs)
        return cls(cache, prompt_of(messages), llm_string) if cache.serves(llm_string) else None

    def through(
        self, chunks: Generator[ChatGenerationChunk, None, None]
    ) -> Generator[ChatGenerationChunk, None, None]:
        """A stream, from the cache if it is there.

        Args:
            chunks: The model's stream; not begun if it is not needed.
        """
        if found := self.cache.lookup(self.prompt, self.llm_string):
            yield from _replayed(found[0])
            return
        whole = False
        try:
            with closing(chunks):
                for chunk in chunks:
                    self._take(chunk)
                    yield chunk
            whole = True
        finally:
            if not whole:
                self.cache.give_up(self.prompt, self.llm_string)
        self.cache.update(self.prompt, self.llm_string, self._answer())

    async def athrough(
        self, chunks: AsyncGenerator[ChatGenerationChunk, None]
    ) -> AsyncGenerator[ChatGenerationChunk, None]:
        """See `through`."""
        async with aclosing(chunks):
            if found := await self.cache.alookup(self.prompt, self.llm_string):
                for chunk in _replayed(found[0]):
                    yield chunk
                return
            whole = False
            try:
                async for chunk in chunks:
                    self._take(chunk)
                    yield chunk
                whole = True
            finally:
                if not whole:
                    self.cache.give_up(self.prompt, self.llm_string)
            await self.cache.aupdate(self.prompt, self.llm_string, self._answer())

    def _take(self, chunk: ChatGenerationChunk) -> None:
        if isinstance(chunk.message, AIMessageChunk):
            self._chunks.append(chunk.message)

    def _answer(self) -> list[ChatGeneration]:
        """The whole answer, as `_generate` would have returned it."""
        message = message_chunk_to_message(add_ai_message_chunks(*self._chunks))
        return [ChatGeneration(message=message)]


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
