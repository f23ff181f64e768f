"""An LLM that says what it is told, answers at once, and keeps count."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
    MessageRole,
    ToolCallBlock,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from pydantic import PrivateAttr


def calling(tool: str, /, **arguments: Any) -> ToolCallBlock:
    """A tool call that a fake is to make."""
    return ToolCallBlock(tool_call_id="1", tool_name=tool, tool_kwargs=arguments)


class Fake(FunctionCallingLLM):
    """Says `says` one after the other, the last again and again.

    Args:
        model: Its name.
        says: Text, a tool call, or an exception to raise.
        breaks_after: Pieces after which a stream raises the exception, if there is one to raise.
        usage: Input and output tokens of every call; None: it does not say.
        silent: Its streams end without a word.
        calls_functions: Whether it says that it can call tools.
    """

    model: str = "fake"
    says: Sequence[Any] = ("yes",)
    breaks_after: int = 0
    usage: tuple[int, int] | None = (10, 5)
    silent: bool = False
    calls_functions: bool = True
    chats: bool = True
    window: int = 4096
    output: int = -1
    system_role: MessageRole = MessageRole.SYSTEM

    _calls: list[tuple[Any, dict[str, Any]]] = PrivateAttr(default_factory=list)
    _closed: list[str] = PrivateAttr(default_factory=list)

    @property
    def calls(self) -> list[tuple[Any, dict[str, Any]]]:
        """What was asked in every call, and its arguments."""
        return self._calls

    @property
    def closed(self) -> list[str]:
        """How every stream ended."""
        return self._closed

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            model_name=self.model,
            context_window=self.window,
            num_output=self.output,
            is_chat_model=self.chats,
            is_function_calling_model=self.calls_functions,
            system_role=self.system_role,
        )

    def _next(self, asked: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        said = self.says[min(len(self._calls), len(self.says) - 1)]
        self._calls.append((asked, kwargs))
        if isinstance(said, Exception):
            raise said
        if self.usage is None:
            return said, {}
        sent, received = self.usage
        usage = {"prompt_tokens": sent, "completion_tokens": received}
        return said, {"usage": {**usage, "prompt_tokens_details": {"cached_tokens": 4}}}

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        said, raw = self._next(list(messages), kwargs)
        return ChatResponse(message=_message(said), raw=raw)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        said, raw = self._next(list(messages), kwargs)
        return ChatResponse(message=_message(said), raw=raw)

    @llm_chat_callback()
    def stream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> Generator[ChatResponse, None, None]:
        return self._pieces(list(messages), kwargs)

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> AsyncGenerator[ChatResponse, None]:
        async def pieces() -> AsyncGenerator[ChatResponse, None]:
            for piece in self._pieces(list(messages), kwargs):
                yield piece

        return pieces()

    def _pieces(self, asked: Any, kwargs: Any) -> Generator[ChatResponse, None, None]:
        self._closed.append("open")
        try:
            if self.silent:
                return
            yield ChatResponse(message=_message(""), delta="")  # a frame, as providers begin
            try:
                said, raw = self._next(asked, kwargs)
            except Exception:
                for i in range(self.breaks_after):
                    yield ChatResponse(message=_message(f"word{i} "), delta=f"word{i} ")
                raise
            so_far = ""
            for word in said.split(" ") if isinstance(said, str) else ():
                word = word if not so_far else f" {word}"
                so_far += word
                yield ChatResponse(message=_message(so_far), delta=word)
            yield ChatResponse(message=_message(said), delta="", raw=raw)
            self._closed[-1] = "exhausted"
        except GeneratorExit:
            self._closed[-1] = "closed"
            raise

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        said, raw = self._next(prompt, kwargs)
        return CompletionResponse(text=str(said), raw=raw)

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        said, raw = self._next(prompt, kwargs)
        return CompletionResponse(text=str(said), raw=raw)

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> Generator[CompletionResponse, None, None]:
        return (_completion(piece) for piece in self._pieces(prompt, kwargs))

    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> AsyncGenerator[CompletionResponse, None]:
        async def pieces() -> AsyncGenerator[CompletionResponse, None]:
            for piece in self._pieces(prompt, kwargs):
                yield _completion(piece)

        return pieces()

    def _prepare_chat_with_tools(
        self,
        tools: Any,
        user_msg: Any = None,
        chat_history: Any = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        messages = chat_history
        # Some integrations write into the caller's list.
        messages.append(ChatMessage(role="user", content="(appended by the tier)"))
        return {"messages": messages, "tools": [tool.metadata.get_name() for tool in tools]}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        if not calls and error_on_no_tool_call:
            raise ValueError("no tool call")
        return [
            ToolSelection(
                tool_id=f"{self.model}/{call.tool_call_id}",
                tool_name=call.tool_name,
                tool_kwargs=_object(call.tool_kwargs),
            )
            for call in calls
        ]


def _object(arguments: Any) -> Any:
    return json.loads(arguments) if isinstance(arguments, str) else arguments


def _message(said: Any) -> ChatMessage:
    if isinstance(said, str):
        return ChatMessage(role=MessageRole.ASSISTANT, content=said)
    # LlamaIndex's streaming of objects still looks for calls here, and reads them by the LLM.
    extra = {"tool_calls": [said.tool_name]}
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=[said], additional_kwargs=extra)


def _completion(piece: ChatResponse) -> CompletionResponse:
    text = piece.message.content or ""
    return CompletionResponse(text=text, delta=piece.delta, raw=piece.raw)


def right(query: str, answer: str) -> float:
    """Accepts what is said to be right."""
    return float("right" in answer)


def score(**says: float) -> Callable[[str, str], float]:
    """A scorer that knows the answers it will see; others score 0."""

    def scores(query: str, answer: str) -> float:
        return says.get(answer.strip(), 0.0)

    return scores
