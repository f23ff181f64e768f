"""LangChain's answers as JSON, and back.

Nothing is unpickled and no class is looked up by name: an answer becomes an `AIMessage` or a
`Generation`, whatever the store holds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, Generation

from frugal_core.cache import Hit
from frugal_core.cache.admission import Layers, acts, layers_of_answer, unfit
from frugal_core.cache.answers import (
    MARKER,
    MODEL,
    TEXT,
    degraded,
    kept_metadata,
    marked_hit,
    marker_of,
    plain,
    renewed,
)
from frugal_core.cache.checking import is_json
from frugal_core.cache.controls import CacheControls
from langchain_frugal._cache_messages import is_text
from langchain_frugal._replies import answer_of, no_usage


class LangChainControls(CacheControls):
    """A semantic cache whose answers are LangChain's; see `CacheControls`."""

    def _codec(self, keep_tool_calls: bool) -> Generations:
        return Generations(keep_tool_calls)

    def _hit(self, message: BaseMessage) -> Hit:
        return hit_of(message)


@dataclass(frozen=True)
class Generations:
    """How LangChain's generations are kept; see `frugal_core.cache.calls.Codec`.

    Args:
        keep_tool_calls: Whether answers that call tools are kept and served, word for word.
    """

    keep_tool_calls: bool = False

    def pack(self, generations: Sequence[Generation]) -> tuple[dict[str, Any] | None, Layers]:
        """Generations as JSON, and where they may be kept; (None, "none") if nowhere.

        Args:
            generations: The answer, or several of them; left as they are.
        """
        packed: list[dict[str, Any] | None] = []
        layers: set[Layers] = set()
        for generation in generations:
            message = getattr(generation, "message", None)
            if message is None:
                ended = dict(generation.generation_info or {})
                message = AIMessage(generation.text, response_metadata=ended)
                packed.append({"text": generation.text, "info": plain(generation.generation_info)})
            else:
                if isinstance(message, AIMessageChunk):
                    message = message_chunk_to_message(message)
                if not isinstance(message, AIMessage):
                    return None, "none"
                info = plain(generation.generation_info)
                said = _pack_message(message)
                packed.append(None if said is None else {"message": said, "info": info})
            layers.add(_layers(message, self.keep_tool_calls))
        if not packed or None in packed or "none" in layers:
            return None, "none"
        said = (packed[0] or {}).get("message", {})
        metadata = said.get("response_metadata", {})
        # The model's name is at the top for `invalidate(where={"model": ...})`.
        answer = {MODEL: metadata.get("model_name") or metadata.get("model"), "generations": packed}
        if len(packed) == 1 and isinstance(said.get("content"), str) and not said["tool_calls"]:
            answer[TEXT] = said.pop("content")  # where other frameworks find it
        return answer, "exact" if "exact" in layers else "semantic"

    def unpack(self, hit: Hit) -> list[Generation] | None:
        """A stored answer as fresh generations that say where they come from.

        Args:
            hit: From the cache.

        Returns:
            None if the answer is broken, or must not be served.
        """
        try:
            kept = hit.answer.get("generations") or [_foreign(hit.answer)]
            generations = [_unpack(packed, hit) for packed in kept]
        # pydantic's errors are ValueErrors
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
        # A location may be shared with others who keep tool calls.
        served_calls = self.keep_tool_calls and hit.layer == "exact"
        if not served_calls and any(_calls_tools(generation) for generation in generations):
            return None
        return generations


def hit_of(message: BaseMessage) -> Hit:
    """The hit that a message came from.

    Raises:
        FrugalError: if it did not come from the cache.
    """
    return marked_hit(message.response_metadata, "response_metadata")


def served(hit: ChatGeneration) -> ChatGeneration:
    """A cascade's answer as a cache of LangChain's own gives it again: a fresh copy, and no bill.

    Args:
        hit: From any cache; those of ours are what they should be.
    """
    message = hit.message.model_copy(deep=True)
    if not isinstance(message, AIMessage) or MARKER in message.response_metadata:
        return hit
    said = {"tool_calls": message.tool_calls, "content": message.content}
    metadata = kept_metadata(message.response_metadata)
    metadata["frugal"] = {**metadata.get("frugal", {}), "cached": True}
    fresh = {
        **renewed(said, [call["id"] for call in message.tool_calls]),
        "response_metadata": metadata,
        "usage_metadata": {**no_usage(), "total_cost": 0},  # by which LangChain tells a hit
        "id": None,  # a graph would take a second message of this id for the first
    }
    return ChatGeneration(
        message=message.model_copy(update=fresh), generation_info=hit.generation_info
    )


def _calls_tools(generation: Generation) -> bool:
    message = getattr(generation, "message", None)
    called = isinstance(message, AIMessage) and answer_of(message).calls
    return bool(called) or acts(generation.text)


def _layers(message: AIMessage, keep_tool_calls: bool) -> Layers:
    answer = answer_of(message)
    return layers_of_answer(
        defect=degraded(message.response_metadata)
        or answer.reply(None, None).defect
        or unfit(answer),
        tool_calls=bool(answer.calls) or acts(answer.text),
        text=is_text({"content": message.content}) and not answer.other,
        keep_tool_calls=keep_tool_calls,
    )


def _pack_message(message: AIMessage) -> dict[str, Any] | None:
    extra = dict(message.additional_kwargs)
    # An instance of the user's class, which JSON cannot hold; it is made again from the content.
    parsed = extra.pop("parsed", None) is not None
    packed = {
        "content": message.content,
        "additional_kwargs": extra,
        "response_metadata": kept_metadata(message.response_metadata),
        "tool_calls": message.tool_calls,
        "name": message.name,
        "parsed": parsed,
    }
    return packed if is_json(packed) else None


def _foreign(answer: dict[str, Any]) -> dict[str, Any]:
    """What another framework has kept, as we would have: its text and the model's name."""
    message: dict[str, Any] = {
        "content": str(answer[TEXT]),
        "additional_kwargs": {},
        "response_metadata": {"model_name": answer[MODEL]} if answer[MODEL] else {},
        "tool_calls": [],
        "name": None,
        "parsed": False,
    }
    return {"message": message, "info": None}


def _unpack(packed: dict[str, Any], hit: Hit) -> Generation:
    if "message" not in packed:
        return Generation(text=packed["text"], generation_info=packed["info"] or None)
    stored = packed["message"]
    if "content" not in stored:
        stored = {**stored, "content": hit.answer[TEXT]}
    said = {name: stored[name] for name in ("content", "additional_kwargs", "tool_calls")}
    said = renewed(said, [call["id"] for call in stored["tool_calls"]])
    message = AIMessage(
        **said,
        name=stored["name"],
        response_metadata={**stored["response_metadata"], MARKER: marker_of(hit)},
        usage_metadata=no_usage(),
    )
    if stored["parsed"]:
        # LangChain's parser of OpenAI's structured outputs reads a dictionary here, and no content.
        message.additional_kwargs["parsed"] = json.loads(str(message.text))
    return ChatGeneration(message=message, generation_info=packed["info"] or None)
