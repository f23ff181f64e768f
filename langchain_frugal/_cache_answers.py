"""LangChain's answers as JSON, and back.

Nothing is unpickled and no class is looked up by name: an answer becomes an `AIMessage` or a
`Generation`, whatever the store holds.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, Generation

from frugal_core.cache import Hit
from frugal_core.cache.admission import Layers, layers_of_answer
from frugal_core.cache.controls import CacheControls
from frugal_core.errors import FrugalError
from langchain_frugal._cache_messages import IDS, is_json, is_text, mapped, plain
from langchain_frugal._replies import read_message

MARKER = "frugal_cache"
"""Where the response metadata of a hit say that, and which entry, it is."""
_BILLS = frozenset({"token_usage", "usage", "usage_metadata", "prompt_eval_count", "eval_count"})
"""Where providers report tokens; of a hit there are none."""


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
                ended = (generation.generation_info or {}).get("finish_reason")
                message = AIMessage(generation.text, response_metadata={"finish_reason": ended})
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
        first = packed[0] or {}
        metadata = first.get("message", {}).get("response_metadata", {})
        model = metadata.get("model_name") or metadata.get("model")
        # The model's name is at the top for `invalidate(where={"model": ...})`.
        return {"model": model, "generations": packed}, "exact" if "exact" in layers else "semantic"

    def unpack(self, hit: Hit) -> list[Generation] | None:
        """A stored answer as fresh generations that say where they come from.

        Args:
            hit: From the cache.

        Returns:
            None if the answer is broken, or must not be served.
        """
        try:
            generations = [_unpack(packed, hit) for packed in hit.answer["generations"]]
        except (KeyError, TypeError, ValueError):  # pydantic's errors are ValueErrors
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
    marker = message.response_metadata.get(MARKER)
    if not isinstance(marker, dict):
        raise FrugalError(
            f"this message did not come from the cache: response_metadata[{MARKER!r}] is missing"
        )
    return Hit(None, marker["layer"], marker["score"], "", marker["age_s"], marker["id"])


def _calls_tools(generation: Generation) -> bool:
    return bool(getattr(getattr(generation, "message", None), "tool_calls", None))


def _layers(message: AIMessage, keep_tool_calls: bool) -> Layers:
    frugal = message.response_metadata.get("frugal")
    defect = read_message(message, None).defect
    if isinstance(frugal, dict) and frugal.get("degraded"):
        defect = "a rejected draft, returned because a tier failed"
    return layers_of_answer(
        defect=defect,
        tool_calls=bool(message.tool_calls),
        text=is_text({"content": message.content}),
        keep_tool_calls=keep_tool_calls,
    )


def _pack_message(message: AIMessage) -> dict[str, Any] | None:
    extra = dict(message.additional_kwargs)
    # An instance of the user's class, which JSON cannot hold; it is made again from the content.
    parsed = extra.pop("parsed", None) is not None
    metadata = {k: v for k, v in plain(message.response_metadata).items() if k not in _BILLS}
    metadata.pop(MARKER, None)
    if isinstance(frugal := metadata.get("frugal"), dict):
        metadata["frugal"] = {**frugal, "usd": 0.0, "trail": []}  # a hit asks no tier
    packed = {
        "content": message.content,
        "additional_kwargs": extra,
        "response_metadata": metadata,
        "tool_calls": message.tool_calls,
        "name": message.name,
        "parsed": parsed,
    }
    return packed if is_json(packed) else None


def _unpack(packed: dict[str, Any], hit: Hit) -> Generation:
    if "message" not in packed:
        return Generation(text=packed["text"], generation_info=packed["info"] or None)
    stored = packed["message"]
    said = {name: stored[name] for name in ("content", "additional_kwargs", "tool_calls")}
    new = {call["id"]: f"call_{uuid.uuid4().hex}" for call in stored["tool_calls"] if call["id"]}
    said = mapped(said, lambda key, value: new.get(value, value) if key in IDS else value)
    marker = {"layer": hit.layer, "score": hit.score, "age_s": round(hit.age_s, 3), "id": hit.id}
    message = AIMessage(
        **said,
        name=stored["name"],
        response_metadata={**stored["response_metadata"], MARKER: marker},
        usage_metadata={"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
    )
    if stored["parsed"]:
        # LangChain's parser of OpenAI's structured outputs reads a dictionary here, and no content.
        message.additional_kwargs["parsed"] = json.loads(str(message.text))
    return ChatGeneration(message=message, generation_info=packed["info"] or None)
