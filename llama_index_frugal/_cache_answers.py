"""LlamaIndex's answers as JSON, and back.

Nothing is unpickled and no class is looked up by name: an answer becomes a `ChatResponse` or a
`CompletionResponse`, whatever the store holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms import LLM

from frugal_core.answers import Breach
from frugal_core.cache import Hit
from frugal_core.cache.admission import Layers, acts, layers_of_answer, unfit
from frugal_core.cache.answers import (
    MARKER,
    MODEL,
    TEXT,
    degraded,
    kept_metadata,
    marker_of,
    renewed,
)
from frugal_core.cache.checking import is_json
from llama_index_frugal._responses import (
    USAGE,
    answer_of_stream,
    joined,
    log_probabilities,
)
from llama_index_frugal.events import Response


@dataclass(frozen=True)
class Said:
    """What a model said, whichever endpoint it was asked through.

    Args:
        message: The answer; of a completion, its text.
        extra: The response's `additional_kwargs`.
        logprobs: As LlamaIndex gives them.
        model: Name of the model.
        defect: Why it must not be kept.
        structured: Whether it is to become an object, and has been checked.
        hit: Where it came from, if it came from the cache.
    """

    message: ChatMessage
    extra: Mapping[str, Any] = field(default_factory=dict)
    logprobs: Any = None
    model: str | None = None
    defect: str | None = None
    structured: bool = False
    hit: Hit | None = None

    @classmethod
    def of(
        cls, chunks: Sequence[Response], llm: LLM, breach: Breach | None, structured: bool
    ) -> Said:
        """What a response says, or a stream's last pieces.

        Args:
            chunks: The response; of a stream, what it ended with.
            llm: The model that gave it.
            breach: Says how it breaks what was required of it.
            structured: See above.
        """
        whole = joined(chunks)
        answer = answer_of_stream(chunks, llm)
        defect = answer.reply(breach, None).defect or unfit(answer)
        if not answer.ended and _has_end(chunks[-1].raw):
            defect = defect or "broken off"
        message = (
            whole.message
            if isinstance(whole, ChatResponse)
            else ChatMessage(role=MessageRole.ASSISTANT, content=whole.text)
        )
        return cls(
            message,
            whole.additional_kwargs,
            log_probabilities(whole),
            _model_name(chunks, llm),
            degraded(whole.additional_kwargs) or defect,
            structured,
        )

    @property
    def calls_tools(self) -> bool:
        """Whether it calls tools, be it in words."""
        called = any(isinstance(block, ToolCallBlock) for block in self.message.blocks)
        named = self.message.additional_kwargs.get("tool_calls")
        return called or bool(named) or acts(self.message.content or "")

    def chat(self) -> ChatResponse:
        """The answer as chats give it."""
        return ChatResponse(
            message=self.message, logprobs=self.logprobs, additional_kwargs=dict(self.extra)
        )

    def completion(self) -> CompletionResponse:
        """The answer as completions give it."""
        return CompletionResponse(
            text=self.message.content or "",
            logprobs=self.logprobs,
            additional_kwargs=dict(self.extra),
        )


@dataclass(frozen=True)
class Responses:
    """How LlamaIndex's answers are kept; see `frugal_core.cache.calls.Codec`.

    Args:
        keep_tool_calls: Whether answers that call tools are kept and served, word for word.
    """

    keep_tool_calls: bool = False

    def pack(self, said: Said) -> tuple[dict[str, Any] | None, Layers]:
        """An answer as JSON, and where it may be kept; (None, "none") if nowhere."""
        message = said.message
        layers = layers_of_answer(
            defect=said.defect,
            tool_calls=said.calls_tools,
            text=all(isinstance(block, TextBlock | ThinkingBlock) for block in message.blocks),
            keep_tool_calls=self.keep_tool_calls or said.structured,
        )
        extra = kept_metadata(said.extra)
        answer: dict[str, Any] = {MODEL: said.model, "extra": extra, "structured": said.structured}
        if said.logprobs:
            answer["logprobs"] = [[one.model_dump() for one in likely] for likely in said.logprobs]
        if _is_plain(message):
            answer[TEXT] = message.content
        else:
            dumped = message.model_dump(mode="json")
            if any(isinstance(block, ToolCallBlock) for block in message.blocks):
                # The same calls once more, as objects of the provider's; some code asks for them.
                dumped["additional_kwargs"].pop("tool_calls", None)
            elif not is_json(message.additional_kwargs):
                return None, "none"
            answer["message"] = dumped
        if layers == "none" or not is_json(answer):
            return None, "none"
        return answer, layers

    def unpack(self, hit: Hit) -> Said | None:
        """A stored answer as a fresh one that says where it comes from; None if it is broken."""
        answer = hit.answer
        try:
            message = _message(answer)
            extra = {**(answer.get("extra") or {}), **dict.fromkeys(USAGE, 0)}
            logprobs = [
                [LogProb.model_validate(one) for one in likely]
                for likely in answer.get("logprobs") or ()
            ]
            structured = answer.get("structured") is True
        except (AttributeError, KeyError, TypeError, ValueError):  # pydantic's are ValueErrors
            return None
        # A location may be shared with others who keep tool calls.
        served_calls = (self.keep_tool_calls or structured) and hit.layer == "exact"
        extra[MARKER] = marker_of(hit)
        said = Said(message, extra, logprobs or None, answer.get(MODEL), None, structured, hit)
        return None if said.calls_tools and not served_calls else said


def _message(answer: dict[str, Any]) -> ChatMessage:
    if "message" not in answer:
        return ChatMessage(role=MessageRole.ASSISTANT, content=str(answer[TEXT]))
    stored = answer["message"]
    ids = [block.get("tool_call_id") for block in stored["blocks"]]
    message = ChatMessage.model_validate(renewed(stored, ids))
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if calls:
        # LlamaIndex's streaming of objects looks for calls here before it reads the blocks.
        message.additional_kwargs["tool_calls"] = [_openai_call(call) for call in calls]
    return message


def _openai_call(call: ToolCallBlock) -> dict[str, Any]:
    function = {"name": call.tool_name, "arguments": call.tool_kwargs}
    return {"id": call.tool_call_id, "type": "function", "function": function}


def _is_plain(message: ChatMessage) -> bool:
    """Whether an answer is one text, which every framework can read."""
    return (
        message.role == MessageRole.ASSISTANT
        and len(message.blocks) == 1
        and isinstance(message.blocks[0], TextBlock)
        and not message.additional_kwargs
    )


def _has_end(raw: Any) -> bool:
    """Whether a provider says why an answer ended, as those with OpenAI's protocol do."""
    return hasattr(raw, "choices") or (isinstance(raw, dict) and "choices" in raw)


def _model_name(chunks: Sequence[Response], llm: Any) -> str | None:
    for chunk in reversed(chunks):
        raw = chunk.raw
        name = raw.get("model") if isinstance(raw, dict) else getattr(raw, "model", None)
        if isinstance(name, str):
            return name
    name = getattr(llm, "model", None) or getattr(llm, "model_name", None)
    return name if isinstance(name, str) else None
