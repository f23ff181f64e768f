"""Between LlamaIndex's responses and the core's replies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
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
from llama_index.core.llms.llm import LLM

from frugal_core.answers import Answer, Bill, mean_log_probability, pieces, question
from frugal_core.contract import ToolCall
from llama_index_frugal.events import Response

TRAIL = "frugal"
"""Where `additional_kwargs` of an answer hold its trail."""

TIER = "frugal_tier"
"""Where `additional_kwargs` of an answer, and of every piece of one, name the tier it is from."""

_THINKING = "thinking_delta"  # of one piece of a stream; the whole is a block of the message

_FRAME = frozenset({"usage", "stop_reason"})

USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")
"""Where `additional_kwargs` of an answer say what was bought for it, from all tiers together."""


def query_of(messages: Sequence[ChatMessage]) -> str:
    """The question: the last words of the user and what tools have said since."""
    return question((_speaker(message), message.content or "") for message in reversed(messages))


def _speaker(message: ChatMessage) -> str:
    if message.role is MessageRole.USER:
        return "user"
    return "tool" if message.role in (MessageRole.TOOL, MessageRole.FUNCTION) else "other"


def is_text(messages: Sequence[ChatMessage]) -> bool:
    """Whether what was asked is text alone; of images and files the scorer reads nothing."""
    return all(
        isinstance(block, TextBlock)
        for message in messages
        if message.role not in (MessageRole.ASSISTANT, MessageRole.MODEL, MessageRole.CHATBOT)
        for block in message.blocks
    )


def text_of(response: Response) -> str:
    """The text of a response."""
    if isinstance(response, CompletionResponse):
        return response.text
    return response.message.content or ""


def answer_of(response: Response, model: LLM) -> Answer:
    """What a model's response says, in no framework's terms."""
    other = False
    calls: tuple[ToolCall, ...] = ()
    if isinstance(response, ChatResponse):
        calls = _calls(response, model)
        spoken = (TextBlock, ThinkingBlock, ToolCallBlock)
        other = any(not isinstance(block, spoken) for block in response.message.blocks)
    choice = _choice(response)
    return Answer(
        text=text_of(response),
        calls=calls,
        other=other,
        ended=_ended(response, choice),
        refused=bool(_get(_get(choice, "message"), "refusal")),
        bill=_bill(response),
        confidence=_confidence(response, choice),
    )


def _calls(response: ChatResponse, model: LLM) -> tuple[ToolCall, ...]:
    blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return tuple(ToolCall.of(block.tool_name, block.tool_kwargs) for block in blocks)
    if not response.message.additional_kwargs.get("tool_calls"):
        return ()
    # An integration that has not heard of blocks yet.
    read: Any = getattr(model, "get_tool_calls_from_response", None)
    selections = read(response, error_on_no_tool_call=False) if read else ()
    return tuple(ToolCall(call.tool_name, call.tool_kwargs) for call in selections)


def _choice(response: Response) -> Any:
    """The answer in a provider's own object, by OpenAI's name or Google's."""
    return _first(_get(response.raw, "choices")) or _first(_get(response.raw, "candidates"))


def _ended(response: Response, choice: Any) -> str:
    """Why a response ended, in the provider's words."""
    for holder in (choice, response.raw, response.additional_kwargs, _beside(response)):
        for name in ("finish_reason", "stop_reason", "stopReason", "done_reason"):
            if ended := _get(holder, name):
                said = getattr(ended, "value", ended)
                return said if isinstance(said, str) else str(getattr(ended, "name", ended))
    # OpenAI's Responses API names an end only if it came too early; a stream's in its last event.
    whole = _get(response.raw, "response") or response.raw
    return str(_get(_get(whole, "incomplete_details"), "reason") or "")


def _bill(response: Response) -> Bill | None:
    """What was bought, by any provider's names; None if it does not say."""
    extra = response.additional_kwargs
    if TRAIL not in extra:  # of a cascade, the raw response is the last tier's alone
        raw = response.raw
        told = _get(raw, "usage"), _get(raw, "usage_metadata"), _beside(response).get("usage"), raw
        for usage in (*told, extra.get("usage")):
            if (bill := _read_usage(usage)) is not None:
                return bill
    return _read_usage(extra)


def _beside(response: Response) -> dict[str, Any]:
    """What an integration says beside the message, as Anthropic's does of its streams."""
    if isinstance(response, CompletionResponse):
        return {}
    beside: dict[str, Any] = response.message.additional_kwargs
    return beside


def _read_usage(usage: Any) -> Bill | None:
    sent = _count(usage, "prompt_tokens", "prompt_token_count", "prompt_eval_count")
    received = _count(usage, "completion_tokens", "candidates_token_count", "eval_count")
    if sent is not None or received is not None:
        details = _get(usage, "prompt_tokens_details")
        cached = _count(details, "cached_tokens") or _count(usage, "cached_content_token_count")
        thought = _count(usage, "thoughts_token_count") or 0
        return Bill(sent or 0, (received or 0) + thought, cached or 0)
    sent, received = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    if sent is None and received is None:
        return None
    # Anthropic counts what was read from a cache, and written to it, apart.
    cached = _count(usage, "cache_read_input_tokens") or 0
    written = _count(usage, "cache_creation_input_tokens") or 0
    # OpenAI's Responses API counts it within.
    within = _count(_get(usage, "input_tokens_details"), "cached_tokens") or 0
    return Bill((sent or 0) + cached + written, received or 0, cached + within, written)


def _confidence(response: Response, choice: Any) -> float | None:
    """How sure the model was, if it gave log-probabilities."""
    tokens = _get(_get(choice, "logprobs"), "content")
    if tokens:
        return mean_log_probability(_get(token, "logprob") for token in tokens)
    # LlamaIndex's own form lists the likeliest tokens of each position, the chosen one among them.
    return mean_log_probability(
        likeliest[0].logprob for likeliest in response.logprobs or () if likeliest
    )


def log_probabilities(response: Response) -> list[list[LogProb]] | None:
    """The log-probabilities of a response; LlamaIndex leaves those of completions in `raw`."""
    if response.logprobs:
        return list(response.logprobs)
    tokens = _get(_get(_choice(response), "logprobs"), "content") or ()
    pairs = [(_get(token, "token"), _get(token, "logprob")) for token in tokens]
    return [
        [LogProb(token=token, logprob=value, bytes=[])]
        for token, value in pairs
        if isinstance(token, str) and isinstance(value, int | float)
    ] or None


def _get(holder: Any, name: str) -> Any:
    """A value in an object of a provider's, which may be a dict."""
    return holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)


def _first(values: Any) -> Any:
    return values[0] if isinstance(values, list | tuple) and values else None


def _count(holder: Any, *names: str) -> int | None:
    for name in names:
        value = _get(holder, name)
        if isinstance(value, int):
            return value
    return None


def marked(response: Any, tier: str, trail: Any = None, usage: Any = None) -> Any:
    """A copy of a response that names its tier; with the bill and the trail, if they are known."""
    dropped = USAGE if trail is None else (*USAGE, _THINKING)
    extra = response.additional_kwargs.items()
    kept = {name: value for name, value in extra if name not in dropped}
    kept[TIER] = tier
    if usage is not None:
        kept |= dict(zip(USAGE, usage, strict=True))
    if trail is not None:
        kept[TRAIL] = trail
    return response.model_copy(update={"additional_kwargs": kept})


def replay(response: Any) -> Iterator[Any]:
    """A finished response in pieces, as if it were streamed; all but its end."""
    said = ""
    for piece in filter(None, pieces(text_of(response))):
        said += piece
        if isinstance(response, CompletionResponse):
            changes: dict[str, Any] = {"text": said}
        else:
            message = ChatMessage(role=response.message.role, content=said)
            changes = {"message": message}
        yield response.model_copy(update={**changes, "delta": piece, "logprobs": None})


def says_something(response: Response) -> bool:
    """Whether a piece of a stream carries a part of the answer, not only its frame."""
    if isinstance(response, CompletionResponse):
        return bool(response.delta or response.text)
    message = response.message
    return bool(
        response.delta
        or message.content
        or any(value for name, value in _beside(response).items() if name not in _FRAME)
        or response.additional_kwargs.get(_THINKING)
        or any(not isinstance(block, TextBlock) for block in message.blocks)
    )


def joined(chunks: Sequence[Any]) -> Any:
    """The whole of a stream, whose pieces hold all that was said so far."""
    # Some providers end with a piece that holds the bill and nothing else.
    last = next((chunk for chunk in reversed(chunks) if says_something(chunk)), chunks[-1])
    return last.model_copy(update={"delta": None})


def answer_of_stream(chunks: Sequence[Any], model: LLM) -> Answer:
    """What a whole stream says: its end and its bill need not be in the same piece."""
    backwards = list(reversed(chunks))
    bills = (bill for chunk in backwards if (bill := _bill(chunk)) is not None)
    ends = (ended for chunk in backwards if (ended := _ended(chunk, _choice(chunk))))
    whole = answer_of(joined(chunks), model)
    return replace(whole, ended=next(ends, ""), bill=next(bills, None))
