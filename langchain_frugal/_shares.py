"""The answers of shared replies as messages, each with its share of what was bought."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

from frugal_core.adapt.concatenate import Answers, Bill, Part, share
from frugal_core.cascade import Failure, Reply
from langchain_frugal._replies import add_bill, bought_usage

_OWN = ("model_name", "model_provider", "finish_reason", "system_fingerprint", "service_tier")
"""What the metadata of a shared reply say of each of its answers, too."""


def messages_of(answers: Answers) -> list[Any]:
    """A message for each item, in order; an exception for one that failed."""
    usage: dict[int, UsageMetadata | None] = {}
    usd: dict[int, float | None] = {}
    for bill in answers.bills:
        for position, share_ in zip(bill.positions, shares(bill), strict=True):
            usage[position] = add_bill(usage.get(position), share_)
        cost, weights = _usd(bill.reply), sum(bill.inputs) or 1.0
        for position, weight in zip(bill.positions, bill.inputs, strict=True):
            so_far = usd.get(position, 0.0)
            if cost is None or so_far is None:
                usd[position] = None
            else:
                usd[position] = so_far + cost * weight / weights
    return [
        _message(part, usage.get(position), usd.get(position))
        for position, part in enumerate(answers.parts)
    ]


def shares(bill: Bill) -> list[UsageMetadata | None]:
    """What each bearer of a bill has bought, in whole tokens that sum to the bill."""
    usage = _usage(bill.reply)
    if usage is None:
        return [None] * len(bill.positions)
    sent = share(usage["input_tokens"], bill.inputs)
    received = share(usage["output_tokens"], bill.outputs)
    # What the provider counts beyond input and output goes with the input.
    rest = share(
        usage["total_tokens"] - usage["input_tokens"] - usage["output_tokens"], bill.inputs
    )
    parts = [
        UsageMetadata(input_tokens=i, output_tokens=o, total_tokens=i + o + r)
        for i, o, r in zip(sent, received, rest, strict=True)
    ]
    for name, tokens in (("input_token_details", sent), ("output_token_details", received)):
        details: Mapping[str, Any] = usage.get(name) or {}  # type: ignore[assignment]  # a TypedDict
        cut = {key: share(count, tokens) for key, count in details.items() if count is not None}
        for i, part in enumerate(parts):
            if cut:
                part[name] = {key: counts[i] for key, counts in cut.items()}  # type: ignore[literal-required]
    return list(parts)


def _usage(reply: Reply | Failure) -> UsageMetadata | None:
    if isinstance(reply, Reply) and isinstance(reply.payload, AIMessage):
        return bought_usage(reply.payload)
    if isinstance(reply, Failure) and (reply.input_tokens or reply.output_tokens):
        sent, received = reply.input_tokens, reply.output_tokens
        return UsageMetadata(
            input_tokens=sent, output_tokens=received, total_tokens=sent + received
        )
    return None


def _usd(reply: Reply | Failure) -> float | None:
    """What a cascade says that its answer cost."""
    payload = reply.payload if isinstance(reply, Reply) else None
    trail = payload.response_metadata.get("frugal") if isinstance(payload, AIMessage) else None
    usd: float | None = (trail or {}).get("usd")
    return usd


def _message(part: Part, usage: UsageMetadata | None, usd: float | None) -> Any:
    if isinstance(part.reply, Failure):
        return part.reply.error
    whole = part.reply.payload
    if not isinstance(whole, AIMessage):
        return whole
    asked = {"group": part.group, "again": part.again}
    if part.text is None:
        metadata = {**whole.response_metadata, "concatenated": asked}
        if part.again and "frugal" in metadata:
            metadata["frugal"] = {**metadata["frugal"], "usd": usd}
        if usage is not None and "token_usage" in metadata:
            metadata["token_usage"] = {
                "prompt_tokens": usage["input_tokens"],
                "completion_tokens": usage["output_tokens"],
                "total_tokens": usage["total_tokens"],
            }
        changes = {"response_metadata": metadata, "usage_metadata": usage}
        return whole.model_copy(update=changes)
    metadata = {k: v for k, v in whole.response_metadata.items() if k in _OWN}
    metadata["concatenated"] = asked
    if "frugal" in whole.response_metadata:
        trail = whole.response_metadata["frugal"]
        metadata["frugal"] = {
            "accepted": trail.get("accepted"),
            "degraded": trail.get("degraded"),
            "promise": "no promise: it was tested for single queries",
            "usd": usd,
        }
    return AIMessage(part.text, response_metadata=metadata, usage_metadata=usage)
