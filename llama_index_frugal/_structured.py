"""`as_structured_llm` of a cascade: LlamaIndex's own drops the trail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.generic_utils import (
    achat_to_completion_decorator,
    astream_chat_to_completion_decorator,
    chat_to_completion_decorator,
    stream_chat_to_completion_decorator,
)
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
)
from llama_index.core.llms.structured_llm import StructuredLLM

from llama_index_frugal._requests import STRUCTURED, Target


class StructuredCascadeLLM(StructuredLLM):
    """A cascade whose answers are objects of one class; its tiers report to the callbacks."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "callback_manager" and value is not self.callback_manager:
            self.llm.callback_manager = value
        super().__setattr__(name, value)

    def _asked(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> dict[str, Any]:
        # The cascade's own system prompt comes first, as in `structured_predict`.
        extended = self.llm._extend_messages(list(messages))
        return {"messages": extended, STRUCTURED: Target(self.output_cls, kwargs)}

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer with an object's JSON; the object is in `raw`."""
        return self.llm.chat(**self._asked(messages, kwargs))

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer with an object's JSON; the object is in `raw`."""
        return await self.llm.achat(**self._asked(messages, kwargs))

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Stream an object that grows, in `raw`."""
        return self.llm.stream_chat(**self._asked(messages, kwargs))

    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Stream an object that grows, in `raw`."""
        return await self.llm.astream_chat(**self._asked(messages, kwargs))

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """As `chat`, on one prompt."""
        return chat_to_completion_decorator(self.chat)(prompt, **kwargs)

    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """As `achat`, on one prompt."""
        return await achat_to_completion_decorator(self.achat)(prompt, **kwargs)

    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """As `stream_chat`, on one prompt."""
        return stream_chat_to_completion_decorator(self.stream_chat)(prompt, **kwargs)

    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """As `astream_chat`, on one prompt."""
        return await astream_chat_to_completion_decorator(self.astream_chat)(prompt, **kwargs)
