"""What kept answers have in common, whatever framework they come from.

A stored answer is a JSON object. Where it is nothing but text, the text stands under `TEXT` and the
model's name under `MODEL`, so that another framework can read it; what only one framework
understands stands beside them.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from frugal_core.cache.checking import is_json
from frugal_core.cache.hit import Hit
from frugal_core.errors import FrugalError

MARKER = "frugal_cache"
"""Where the metadata of a hit say that, and which entry, it is."""

TEXT = "text"
MODEL = "model"

_IDS = frozenset({"id", "tool_call_id", "tool_use_id", "call_id"})
_BILLS = frozenset({"token_usage", "usage", "usage_metadata", "prompt_eval_count", "eval_count"})
_BILLS |= {"prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"}


# The marker


def marker_of(hit: Hit) -> dict[str, Any]:
    """What an answer says of the entry that it comes from."""
    return {"layer": hit.layer, "score": hit.score, "age_s": round(hit.age_s, 3), "id": hit.id}


def marked_hit(metadata: Mapping[str, Any], where: str) -> Hit:
    """The hit that an answer came from.

    Args:
        metadata: The answer's.
        where: What the framework calls them, for the error.

    Raises:
        FrugalError: if it did not come from the cache.
    """
    marker = metadata.get(MARKER)
    if not isinstance(marker, dict):
        raise FrugalError(f"this did not come from the cache: {where}[{MARKER!r}] is missing")
    return Hit(None, marker["layer"], marker["score"], "", marker["age_s"], marker["id"])


# Metadata


def kept_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """What of an answer's metadata is worth keeping: what JSON can hold, and no bill.

    A cascade's trail is emptied: a hit asks no tier.
    """
    kept = {k: v for k, v in (metadata or {}).items() if k not in _BILLS and is_json(v)}
    kept.pop(MARKER, None)
    if isinstance(frugal := kept.get("frugal"), dict):
        kept["frugal"] = {**frugal, "usd": 0.0, "trail": []}
    return kept


def holds_json(text: Any) -> bool:
    """Whether a text has an object or a list of JSON in it; what is no text is left to others.

    Example:
        >>> holds_json('```json\\n{"a": 1}\\n```'), holds_json('{"a": 1'), holds_json(None)
        (True, False, True)
    """
    if not isinstance(text, str):
        return True
    starts = [at for sign in "{[" if (at := text.find(sign)) >= 0]
    end = max(text.rfind("}"), text.rfind("]")) + 1
    try:
        json.loads(text[min(starts, default=0) : end])
    except (ValueError, RecursionError):
        return False
    return True


def degraded(metadata: Mapping[str, Any]) -> str | None:
    """The defect of an answer that a cascade gave for want of a better one; None for others."""
    frugal = metadata.get("frugal")
    if isinstance(frugal, dict) and frugal.get("degraded"):
        return "a rejected draft, returned because a tier failed"
    return None


# Ids of tool calls


def numbered(messages: list[dict[str, Any]], ids: Iterable[str | None]) -> list[dict[str, Any]]:
    """Messages whose tool calls are numbered: their ids are drawn anew in every conversation.

    Args:
        messages: As JSON.
        ids: Of their tool calls, from the first to the last.
    """
    numbers: dict[str, str] = {}
    for id_ in filter(None, ids):
        numbers.setdefault(id_, f"call {len(numbers)}")
    return [with_ids(message, numbers) for message in messages] if numbers else messages


def renewed(message: dict[str, Any], ids: Iterable[str | None]) -> dict[str, Any]:
    """A message whose tool calls have new ids: an agent may see the same answer twice.

    Args:
        message: As JSON.
        ids: Of its tool calls.
    """
    new = {id_: f"call_{uuid.uuid4().hex}" for id_ in filter(None, ids)}
    return with_ids(message, new) if new else message


def with_ids(message: dict[str, Any], new: Mapping[str, str]) -> dict[str, Any]:
    """A copy of a message in which ids of tool calls are exchanged."""
    changed: dict[str, Any] = mapped(
        message, lambda key, value: new.get(value, value) if key in _IDS else value
    )
    return changed


# JSON


def mapped(value: Any, change: Callable[[str, str], str], key: str = "") -> Any:
    """A copy of a JSON value with its strings changed, given the name each stands under."""
    if isinstance(value, dict):
        return {name: mapped(item, change, name) for name, item in value.items()}
    if isinstance(value, list):
        return [mapped(item, change, key) for item in value]
    return change(key, value) if isinstance(value, str) else value


def plain(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """What of a mapping JSON can hold."""
    return {name: value for name, value in (values or {}).items() if is_json(value)}
