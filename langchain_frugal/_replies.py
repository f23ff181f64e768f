"""Between LangChain's messages and the core's replies."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence, Set
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    message_chunk_to_message,
)
from langchain_core.messages.ai import UsageMetadata, add_ai_message_chunks, add_usage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.utils.utils import LC_ID_PREFIX

from frugal_core.cascade import Failure, Reply
from langchain_frugal._contract import Contract

_CUT_SHORT = frozenset({"length", "max_tokens", "model_length", "model_context_window_exceeded"})
_WITHHELD = frozenset(
    {"content_filter", "content_filtered", "refusal", "safety", "recitation", "blocklist"}
    | {"prohibited_content", "spii", "guardrail_intervened"}
)


def query_of(messages: Sequence[BaseMessage]) -> str:
    """The question: the last human message and what tools have said since."""
    start = 0
    for position, message in enumerate(messages):
        if isinstance(message, HumanMessage):
            start = position
    asked = [
        message.text
        for message in messages[start:]
        if isinstance(message, HumanMessage | ToolMessage)
    ]
    return "\n".join(asked) if asked else (messages[-1].text if messages else "")


def is_text(messages: Sequence[BaseMessage]) -> bool:
    """Whether what was asked is text alone; of images and files the scorer reads nothing."""
    return not any(
        isinstance(block, dict) and block.get("type") != "text"
        for message in messages
        if isinstance(message.content, list) and not isinstance(message, AIMessage)
        for block in message.content
    )


def read_message(message: AIMessage, contract: Contract | None) -> Reply:
    """What a tier's message is to the core."""
    text = str(message.text)
    if message.tool_calls:
        text = "\n".join(filter(None, [text, *map(_written, message.tool_calls)]))
    sent, received, cached = _bought(message.usage_metadata)
    defect, useless = _defect(message, text, contract)
    return Reply(
        text=text,
        input_tokens=sent,
        output_tokens=received,
        cached_tokens=cached,
        confidence=_confidence(message),
        defect=defect,
        useless=useless,
        payload=message,
        metered=message.usage_metadata is not None,
    )


def read_error(error: Exception) -> tuple[Failure, UsageMetadata | None]:
    """What an exception is to the core, and what was bought before it was raised.

    OpenAI's client, for one, raises on an answer cut short in the middle of a JSON object; its
    tokens are on the bill all the same.
    """
    usage = _usage_of_error(error)
    sent, received, cached = _bought(usage)
    return Failure(error, False, sent, received, cached), usage


def _usage_of_error(error: Exception) -> UsageMetadata | None:
    """Tokens on the bill of an answer that raised, from the provider's response."""
    response = getattr(error, "response", None)
    if getattr(response, "status_code", None) != 200:
        return None
    try:
        usage = response.json()["usage"]  # type: ignore[union-attr]  # it has a status: a response
        sent, received = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    except Exception:  # whatever a broken body does, it is not an answer with a bill
        return None
    return UsageMetadata(input_tokens=sent, output_tokens=received, total_tokens=sent + received)


def bought_usage(message: AIMessage) -> UsageMetadata | None:
    """What a message cost; nothing if LangChain's cache gave it."""
    usage = message.usage_metadata
    return None if usage is None or _from_cache(usage) else usage


def final_message(
    reply: Reply, model: str, usage: UsageMetadata | None, trail: Any, unasked: Set[str]
) -> AIMessage:
    """The accepted message as the caller gets it.

    Args:
        reply: The core's; without a payload if the policy's student answered.
        model: Name of the tier that answered, for providers that do not report it.
        usage: What all tiers cost together.
        trail: For `response_metadata["frugal"]`.
        unasked: Response metadata to leave out.
    """
    message: Any = reply.payload or AIMessage(reply.text)
    if isinstance(message, AIMessageChunk):
        message = message_chunk_to_message(message)
    metadata = {"model_name": model, **message.response_metadata, "frugal": trail}
    for name in unasked:
        metadata.pop(name, None)
    if usage is not None and "token_usage" in metadata:
        metadata["token_usage"] = {
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "total_tokens": usage["total_tokens"],
        }
    changes = {"response_metadata": metadata, "usage_metadata": usage, "id": _own_id(message.id)}
    final: AIMessage = message.model_copy(update=changes)
    return final


def as_result(message: AIMessage) -> ChatResult:
    """The final message as `_generate` returns it."""
    reason = message.response_metadata.get("finish_reason")
    info = {"finish_reason": reason} if reason else None
    return ChatResult(
        generations=[ChatGeneration(message=message, generation_info=info)],
        llm_output={"model_name": message.response_metadata["model_name"]},
    )


def replay(message: AIMessage) -> Iterator[AIMessageChunk]:
    """A finished message in pieces, as if it were streamed; without usage and trail."""
    if isinstance(message.content, str):
        for piece in re.findall(r"\s*\S+\s*", message.content) or [message.content]:
            yield AIMessageChunk(content=piece, id=message.id)
    else:
        yield AIMessageChunk(content=message.content, id=message.id)
    pieces = [
        tool_call_chunk(
            name=call["name"],
            args=call["args"] if isinstance(call["args"], str) else json.dumps(call["args"]),
            id=call["id"],
            index=index,
        )
        for index, call in enumerate([*message.tool_calls, *message.invalid_tool_calls])
    ]
    if pieces or message.additional_kwargs:
        extra = {k: v for k, v in message.additional_kwargs.items() if k != "tool_calls"}
        empty: Any = "" if isinstance(message.content, str) else []
        yield AIMessageChunk(
            content=empty, tool_call_chunks=pieces, additional_kwargs=extra, id=message.id
        )


def as_chunk(message: AIMessage) -> AIMessageChunk:
    """A message as one chunk: a model that does not stream "streams" a whole message."""
    if isinstance(message, AIMessageChunk):
        return message
    chunk = add_ai_message_chunks(AIMessageChunk(content=""), *replay(message))
    metadata = {"response_metadata": message.response_metadata}
    return chunk.model_copy(update={"usage_metadata": message.usage_metadata, **metadata})


def passing(chunk: AIMessageChunk) -> AIMessageChunk:
    """A live chunk as it may go on to the caller: the bill comes later, and so does the end."""
    return chunk.model_copy(
        update={"usage_metadata": None, "chunk_position": None, "id": _own_id(chunk.id)}
    )


def says_something(chunk: AIMessageChunk) -> bool:
    """Whether a chunk carries a part of the answer, not only its frame."""
    return bool(chunk.content or chunk.tool_call_chunks or chunk.additional_kwargs)


def add_bill(total: UsageMetadata | None, more: UsageMetadata | None) -> UsageMetadata | None:
    """The sum of two bills, details included; None if neither is known."""
    return more if total is None else total if more is None else add_usage(total, more)


def _own_id(id_: str | None) -> str | None:
    """An id that the provider gave; LangChain names the tier's run, but the caller saw ours."""
    return None if id_ is None or id_.startswith(LC_ID_PREFIX) else id_


def _written(call: Any) -> str:
    """A tool call as text, the same for the same call."""
    return f"{call['name']}({json.dumps(call['args'], sort_keys=True, ensure_ascii=False)})"


def _from_cache(usage: UsageMetadata) -> bool:
    # LangChain marks the usage of a cached answer so, and leaves its token counts as they were.
    return "total_cost" in usage


def _bought(usage: UsageMetadata | None) -> tuple[int, int, int]:
    """Input, output and cached input tokens that were paid for."""
    if usage is None or _from_cache(usage):
        return 0, 0, 0
    details: Any = usage.get("input_token_details") or {}
    # Service tiers prefix the name: "priority_cache_read".
    cached = sum(count or 0 for name, count in details.items() if name.endswith("cache_read"))
    return usage.get("input_tokens", 0), usage.get("output_tokens", 0), cached


def _confidence(message: AIMessage) -> float | None:
    """Mean log-probability of the answer's tokens, if the provider gave numbers for them."""
    log_probs = message.response_metadata.get("logprobs")
    tokens = log_probs.get("content") if isinstance(log_probs, dict) else None
    if not tokens:
        return None
    try:
        mean = float(sum(token["logprob"] for token in tokens)) / len(tokens)
    except (KeyError, TypeError):  # what a provider leaves out must not cost its answer
        return None
    return None if math.isnan(mean) else min(mean, 0.0)


def _defect(message: AIMessage, text: str, contract: Contract | None) -> tuple[str | None, bool]:
    """Why a message cannot be accepted whatever its score, or None; and whether it is of no use."""
    metadata = message.response_metadata
    ended = metadata.get("finish_reason") or metadata.get("stop_reason")
    ended = ended or metadata.get("stopReason") or metadata.get("done_reason")
    incomplete = metadata.get("incomplete_details")
    if isinstance(incomplete, dict):
        ended = ended or {"max_output_tokens": "length"}.get(
            str(incomplete.get("reason")), incomplete.get("reason")
        )
    ended = str(ended or "").lower()
    if message.additional_kwargs.get("refusal") or ended in _WITHHELD:
        return "refused", False
    if isinstance(message.content, list):
        kinds = {block.get("type") for block in message.content if isinstance(block, dict)}
        if "refusal" in kinds:
            return "refused", False
        if not text.strip() and kinds - {"text", "reasoning", "thinking", "redacted_thinking"}:
            text = "an image, a sound, a file"
    if message.invalid_tool_calls:
        broken: str | None = "a tool call is not valid JSON"
    elif not text.strip():
        broken = "empty"
    else:
        broken = None if contract is None else contract.breach(message)
    return ("cut short" if ended in _CUT_SHORT else broken), broken is not None
