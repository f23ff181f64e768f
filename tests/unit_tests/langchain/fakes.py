"""A chat model that says what it is told, answers at once, and keeps count."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

Said = str | AIMessage | Exception


class Fake(BaseChatModel):
    """Says `says` one after the other, the last again and again.

    Args:
        model: Its name.
        says: Text, a message, or an exception to raise.
        breaks_after: Chunks after which a stream raises the exception, if there is one to raise.
        usage: Input and output tokens of every call; None: it does not say.
        sleeps: Seconds that an asynchronous call takes.
    """

    model: str = "fake"
    says: Sequence[Any] = ("yes",)
    breaks_after: int = 0
    usage: tuple[int, int] | None = (10, 5)
    sleeps: float = 0.0

    _calls: list[tuple[list[BaseMessage], dict[str, Any]]] = PrivateAttr(default_factory=list)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)
    _closed: list[str] = PrivateAttr(default_factory=list)

    @property
    def calls(self) -> list[tuple[list[BaseMessage], dict[str, Any]]]:
        """Messages and arguments of every call."""
        return self._calls

    @property
    def closed(self) -> list[str]:
        """How every stream ended."""
        return self._closed

    @property
    def _llm_type(self) -> str:
        return "fake"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "says": [str(said) for said in self.says]}

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[Any, AIMessage]:
        return self.bind(
            tools=[convert_to_openai_tool(tool) for tool in tools], choice=tool_choice, **kwargs
        )

    def _next(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> AIMessage:
        with self._lock:
            said = self.says[min(len(self._calls), len(self.says) - 1)]
            self._calls.append((messages, kwargs))
        if isinstance(said, Exception):
            raise said
        message = AIMessage(said) if isinstance(said, str) else said.model_copy()
        message.response_metadata = {"model_name": self.model, **message.response_metadata}
        if self.usage is not None:
            sent, received = self.usage
            message.usage_metadata = UsageMetadata(
                input_tokens=sent,
                output_tokens=received,
                total_tokens=sent + received,
                input_token_details={"cache_read": 4},
                output_token_details={"reasoning": 2},
            )
        return message

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        message = self._next(messages, {**kwargs, "stop": stop})
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        await asyncio.sleep(self.sleeps)
        return self._generate(messages, stop, **kwargs)

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        self._closed.append("open")
        try:
            for word in self._words(messages, stop, kwargs):
                yield ChatGenerationChunk(message=word)
            self._closed[-1] = "exhausted"
        except GeneratorExit:
            self._closed[-1] = "closed"
            raise

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        self._closed.append("open")
        try:
            for word in self._words(messages, stop, kwargs):
                await asyncio.sleep(self.sleeps)
                yield ChatGenerationChunk(message=word)
            self._closed[-1] = "exhausted"
        except (GeneratorExit, asyncio.CancelledError):
            self._closed[-1] = "closed"
            raise

    def _words(self, messages: Any, stop: Any, kwargs: Any) -> Iterator[AIMessageChunk]:
        try:
            message = self._next(messages, {**kwargs, "stop": stop})
        except Exception:
            yield AIMessageChunk(content="")  # a frame without content, as providers begin
            for i in range(self.breaks_after):
                yield AIMessageChunk(content=f"word{i} ")
            raise
        yield AIMessageChunk(content="")
        for word in str(message.text).split():
            yield AIMessageChunk(content=word + " ")
        chunks = [
            tool_call_chunk(name=c["name"], args=json.dumps(c["args"]), id=c["id"], index=i)
            for i, c in enumerate(message.tool_calls)
        ]
        yield AIMessageChunk(
            content="",
            tool_call_chunks=chunks,
            usage_metadata=message.usage_metadata,
            response_metadata=message.response_metadata,
        )


def score(**says: float) -> Callable[[str, str], float]:
    """A scorer that knows the answers it will see; others score 0."""

    def scores(query: str, answer: str) -> float:
        return says.get(answer.strip(), 0.0)

    return scores


def right(query: str, answer: str) -> float:
    """Accepts what is said to be right."""
    return float("right" in answer)
