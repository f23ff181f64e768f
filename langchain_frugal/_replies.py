"""Between LangChain's messages and the core's replies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
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

from frugal_core.answers import Answer, Bill, failure_of, mean_log_probability, pieces, question
from frugal_core.cascade import Failure, Reply
from frugal_core.contract import ToolCall
from langchain_frugal._contract import Contract


def no_usage() -> UsageMetadata:
    """The bill of what cost nothing; a new one, since a message's may be changed by its owner."""
    return UsageMetadata(input_tokens=0, output_tokens=0, total_tokens=0)


def query_of(messages: Sequence[BaseMessage]) -> str:
    """The question: the last human message and what tools have said since."""
    return question((_speaker(message), _text(message)) for message in reversed(messages))


def _speaker(message: BaseMessage) -> str:
    if isinstance(message, HumanMessage):
        return "user"
    return "tool" if isinstance(message, ToolMessage) else "other"


def _text(message: BaseMessage) -> str:
    content = message.content
    return content if isinstance(content, str) else str(message.text)


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
    breach = None if contract is None else partial(contract.breach, message)
    return answer_of(message).reply(breach, message)


def read_error(error: Exception) -> tuple[Failure, UsageMetadata | None]:
    """What an exception is to the core, and what was bought before it was raised."""
    failure = failure_of(error)
    sent, received = failure.input_tokens, failure.output_tokens
    if not (sent or received):
        return failure, None
    total = sent + received
    return failure, UsageMetadata(input_tokens=sent, output_tokens=received, total_tokens=total)


def bought_usage(message: AIMessage) -> UsageMetadata | None:
    """What a message cost; nothing if LangChain's cache gave it, None if that is not known."""
    usage = message.usage_metadata
    return no_usage() if usage is not None and _from_cache(usage) else usage


def final_message(
    reply: Reply, model: str, usage: UsageMetadata | None, trail: Any, unasked: Iterable[str]
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


_FORMAT = ("model_provider", "output_version")
"""Response metadata by which LangChain translates a message, or a chunk of it, into its format."""


def replay(message: AIMessage) -> Iterator[AIMessageChunk]:
    """A finished message in pieces, as if it were streamed; without usage and trail."""
    metadata = message.response_metadata
    chunk = partial(
        AIMessageChunk,
        response_metadata={name: metadata[name] for name in _FORMAT if name in metadata},
        id=message.id,
    )
    content = message.content
    if isinstance(content, str):
        for piece in pieces(content):
            yield chunk(content=piece)
        content = ""
    elif "model_provider" in metadata:  # whose streams number their blocks, and calls with them
        content = [_numbered(block, index) for index, block in enumerate(content)]
    calls = [
        tool_call_chunk(
            name=call["name"],
            args=call["args"] if isinstance(call["args"], str) else json.dumps(call["args"]),
            id=call["id"],
            index=index,
        )
        for index, call in enumerate([*message.tool_calls, *message.invalid_tool_calls])
    ]
    extra = {k: v for k, v in message.additional_kwargs.items() if k != "tool_calls"}
    if calls or message.additional_kwargs or isinstance(content, list):
        # Calls stand beside the blocks that mean them, or they would be taken for further ones.
        yield chunk(content=content, tool_call_chunks=calls, additional_kwargs=extra)


def _numbered(block: Any, index: int) -> Any:
    return {"index": index, **block} if isinstance(block, dict) else block


def as_chunk(message: AIMessage) -> AIMessageChunk:
    """A message as one chunk: a model that does not stream "streams" a whole message."""
    if isinstance(message, AIMessageChunk):
        return message
    chunk = add_ai_message_chunks(*replay(message))
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


def _from_cache(usage: UsageMetadata) -> bool:
    # LangChain marks the usage of a cached answer so, and leaves its token counts as they were.
    return "total_cost" in usage


def answer_of(message: AIMessage) -> Answer:
    """What a message says, in no framework's terms."""
    metadata, beside = message.response_metadata, message.additional_kwargs
    kinds: set[Any] = set()
    if isinstance(message.content, list):
        kinds = {block.get("type") for block in message.content if isinstance(block, dict)}
    calls = [ToolCall(call["name"], call["args"]) for call in message.tool_calls]
    calls += [ToolCall(call["name"] or "", None) for call in message.invalid_tool_calls]
    if function := beside.get("function_call"):  # OpenAI's first form of a tool call
        calls.append(ToolCall.of(function.get("name") or "", function.get("arguments")))
    return Answer(
        text=_text(message),
        calls=tuple(calls),
        other=bool(kinds - {"text", "reasoning", "thinking", "redacted_thinking"})
        or bool(beside.get("audio")),
        ended=_ended(metadata),
        refused=bool(beside.get("refusal")) or "refusal" in kinds,
        bill=bill_of(message.usage_metadata),
        confidence=_confidence(metadata.get("logprobs")),
    )


def _ended(metadata: Mapping[str, Any]) -> str:
    """Why a message ended, in the provider's words."""
    ended = metadata.get("finish_reason") or metadata.get("stop_reason")
    ended = ended or metadata.get("stopReason") or metadata.get("done_reason")
    incomplete = metadata.get("incomplete_details")
    if isinstance(incomplete, dict):
        ended = ended or incomplete.get("reason")
    return str(ended or "")


def bill_of(usage: UsageMetadata | None) -> Bill | None:
    """What was paid for; nothing if LangChain's cache gave the answer."""
    if usage is None:
        return None
    if _from_cache(usage):
        return Bill()
    details: Mapping[str, Any] = usage.get("input_token_details") or {}

    def tokens(*endings: str) -> int:
        # Service tiers prefix the name: "priority_cache_read".
        return sum(count or 0 for name, count in details.items() if name.endswith(endings))

    # Anthropic's writes are named by how long they last where it says so, and counted once.
    written = tokens("cache_creation", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
    sent, received = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    return Bill(sent, received, tokens("cache_read"), written)


def _confidence(log_probs: Any) -> float | None:
    tokens = log_probs.get("content") if isinstance(log_probs, dict) else None
    if not tokens:
        return None
    try:
        return mean_log_probability(token["logprob"] for token in tokens)
    except (KeyError, TypeError):  # what a provider leaves out must not cost its answer
        return None
