"""Between LangChain's cache arguments and the cache: questions out of prompts, answers as JSON.

Nothing is unpickled and no class is looked up by name: an answer becomes an `AIMessage` or a
`Generation`, whatever the store holds.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.load import dumps
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, Generation

from frugal_core.cache import Hit
from frugal_core.cache.admission import Layers, layers_of_answer, stands_for_itself
from frugal_core.cache.partition import digest
from frugal_core.errors import FrugalError
from langchain_frugal._replies import read_message

MARKER = "frugal_cache"
"""Where the response metadata of a hit say that, and which entry, it is."""

_CONSTRAINTS = (
    "tools|functions|response_format|response_schema|response_json_schema|response_mime_type"
    "|output_format|output_config|format|text|guided_json|structured_output"
)
# In LangChain's llm_string, parameters stand as JSON ("n": 2) or as Python tuples (('n', 2)).
_CONSTRAINED = re.compile(rf"""["'](?:{_CONSTRAINTS})["'][:,] (?!null|None|\[\]|{{}}|""|'')""")
_NUMBER = r"""["']{}["'][:,] ([\d.eE+-]+)"""
_TEMPERATURE = re.compile(_NUMBER.format("temperature"))
_CHOICES = re.compile(_NUMBER.format("n"))

_NOT_SENT = {"id", "response_metadata", "usage_metadata", "artifact", "example", "chunk_position"}
_NOT_SENT |= {"tool_call_chunks"}
"""What messages carry along that does not shape the answer."""
_IDS = frozenset({"id", "tool_call_id", "tool_use_id", "call_id"})
_BILLS = frozenset({"token_usage", "usage", "usage_metadata", "prompt_eval_count", "eval_count"})
"""Where providers report tokens; of a hit there are none."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as the cache sees it.

    Args:
        question: What the user said last.
        partition: A digest of everything else that shapes the answer.
        by_meaning: Whether another wording's answer may be served.
    """

    question: str
    partition: str
    by_meaning: bool


def asked(prompt: str, llm_string: str) -> Asked:
    """The question in the arguments of `BaseCache.lookup`.

    Args:
        prompt: Messages as LangChain writes them down, or a plain prompt.
        llm_string: Model and parameters.
    """
    messages = _messages(prompt)
    numbers = [float(n) for n in _TEMPERATURE.findall(llm_string) if _is_float(n)]
    counts = [float(n) for n in _CHOICES.findall(llm_string) if _is_float(n)]
    how: dict[str, Any] = {
        "constrained": _CONSTRAINED.search(llm_string) is not None,
        # A call's own parameters come after the model's.
        "temperature": numbers[-1] if numbers else None,
        "choices": int(counts[-1]) if counts else 1,
    }
    if messages is None:
        return Asked(prompt, digest("prompt", llm_string), stands_for_itself(prompt, **how))
    sent = _without_ids([_sent(message) for message in messages])
    last = max((i for i, m in enumerate(sent) if m.get("type") == "human"), default=len(sent) - 1)
    question, masked = _masked(sent[last].get("content"))
    by_meaning = sent[last].get("type") == "human" and last == len(sent) - 1
    by_meaning = by_meaning and stands_for_itself(
        question,
        follows=any(message.get("type") != "system" for message in sent[:last]),
        text_only=all(_is_text(message) for message in sent),
        **how,
    )
    sent[last] = {**sent[last], "content": masked}
    return Asked(question, digest("messages", llm_string, sent), by_meaning)


def prompt_of(messages: Sequence[BaseMessage]) -> str:
    """Messages as LangChain's models write them down for a cache."""
    return dumps([m.model_copy(update={"id": None}) if m.id is not None else m for m in messages])


# Answers


def pack(
    generations: Sequence[Generation], *, keep_tool_calls: bool
) -> tuple[dict[str, Any] | None, Layers]:
    """Generations as JSON, and where they may be kept; (None, "none") if nowhere.

    Args:
        generations: The answer, or several of them; left as they are.
        keep_tool_calls: Whether answers that call tools are kept, word for word.
    """
    packed: list[dict[str, Any] | None] = []
    layers: set[Layers] = set()
    for generation in generations:
        message = getattr(generation, "message", None)
        if message is None:
            ended = (generation.generation_info or {}).get("finish_reason")
            message = AIMessage(generation.text, response_metadata={"finish_reason": ended})
            packed.append({"text": generation.text, "info": _plain(generation.generation_info)})
        else:
            if isinstance(message, AIMessageChunk):
                message = message_chunk_to_message(message)
            if not isinstance(message, AIMessage):
                return None, "none"
            info = _plain(generation.generation_info)
            said = _pack_message(message)
            packed.append(None if said is None else {"message": said, "info": info})
        layers.add(_layers(message, keep_tool_calls))
    if not packed or None in packed or "none" in layers:
        return None, "none"
    first = packed[0] or {}
    metadata = first.get("message", {}).get("response_metadata", {})
    model = metadata.get("model_name") or metadata.get("model")
    # The model's name is at the top for `invalidate(where={"model": ...})`.
    return {"model": model, "generations": packed}, "exact" if "exact" in layers else "semantic"


def unpack(hit: Hit, *, keep_tool_calls: bool) -> list[Generation] | None:
    """A stored answer as fresh generations that say where they come from.

    Args:
        hit: From the cache.
        keep_tool_calls: As for `pack`; a location may be shared with others who keep them.

    Returns:
        None if the answer is broken, or must not be served.
    """
    try:
        generations = [_unpack(packed, hit) for packed in hit.answer["generations"]]
    except (KeyError, TypeError, ValueError):  # pydantic's errors are ValueErrors
        return None
    served_calls = keep_tool_calls and hit.layer == "exact"
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
        text=_is_text({"content": message.content}),
        keep_tool_calls=keep_tool_calls,
    )


def _pack_message(message: AIMessage) -> dict[str, Any] | None:
    extra = dict(message.additional_kwargs)
    # An instance of the user's class, which JSON cannot hold; it is made again from the content.
    parsed = extra.pop("parsed", None) is not None
    metadata = {k: v for k, v in _plain(message.response_metadata).items() if k not in _BILLS}
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
    return packed if _is_json(packed) else None


def _unpack(packed: dict[str, Any], hit: Hit) -> Generation:
    if "message" not in packed:
        return Generation(text=packed["text"], generation_info=packed["info"] or None)
    stored = packed["message"]
    said = {name: stored[name] for name in ("content", "additional_kwargs", "tool_calls")}
    new = {call["id"]: f"call_{uuid.uuid4().hex}" for call in stored["tool_calls"] if call["id"]}
    said = _mapped(said, lambda key, value: new.get(value, value) if key in _IDS else value)
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


# Prompts


def _messages(prompt: str) -> list[dict[str, Any]] | None:
    """The fields of each message, if the prompt is a list of messages."""
    if not prompt.startswith('[{"lc"'):
        return None
    try:
        return [dict(message["kwargs"]) for message in json.loads(prompt)]
    except (ValueError, TypeError, KeyError):
        return None


def _sent(message: dict[str, Any]) -> dict[str, Any]:
    """What of a message shapes the answer."""
    sent = {k: v for k, v in message.items() if k not in _NOT_SENT and v not in (None, [], {})}
    sent["type"] = str(sent.get("type", "")).removesuffix("MessageChunk").lower()
    extra = {k: v for k, v in sent.pop("additional_kwargs", {}).items() if v is not None}
    extra.pop("parsed", None)
    return {**sent, "additional_kwargs": extra} if extra else sent


def _without_ids(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages whose tool calls are numbered: their ids are drawn anew in every conversation."""
    numbers: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls", []):
            if call.get("id"):
                numbers.setdefault(call["id"], f"call {len(numbers)}")
    if not numbers:
        return messages
    return [
        _mapped(m, lambda key, value: numbers.get(value, value) if key in _IDS else value)
        for m in messages
    ]


def _masked(content: Any) -> tuple[str, Any]:
    """The text of a content, and the content without it."""
    if isinstance(content, str):
        return content, None
    texts, rest = [], []
    for block in content or []:
        if isinstance(block, str):
            texts.append(block)
        elif isinstance(block, dict) and block.get("type") == "text":
            texts.append(str(block.get("text", "")))
            rest.append({name: value for name, value in block.items() if name != "text"})
        else:
            rest.append(block)
    return "\n".join(texts), rest


def _is_text(message: dict[str, Any]) -> bool:
    content = message.get("content")
    if not isinstance(content, list):
        return True
    return all(isinstance(block, str) or block.get("type") == "text" for block in content)


def _mapped(value: Any, change: Callable[[str, str], str], key: str = "") -> Any:
    """A copy of a JSON value with its strings changed, given the name each stands under."""
    if isinstance(value, dict):
        return {name: _mapped(item, change, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, change, key) for item in value]
    return change(key, value) if isinstance(value, str) else value


def _plain(values: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (values or {}).items() if _is_json(value)}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
