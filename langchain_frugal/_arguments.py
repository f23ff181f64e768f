"""Constructor arguments: which there are, which are meant, and which go to the tiers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from pydantic import BaseModel, SecretStr

from frugal_core import arguments
from frugal_core.secrecy import without_secrets

_ADVICE = "What only the provider knows goes in model_kwargs or extra_body."

_FORWARDED = {
    # our field: the name under which every provider's class takes it
    "temperature": "temperature",
    "max_tokens": "max_tokens",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "reasoning_effort": "reasoning_effort",
    "request_timeout": "timeout",
    "max_retries": "max_retries",
    "openai_api_key": "api_key",
    "openai_api_base": "base_url",
    "openai_organization": "organization",
}


def sort_arguments(cls: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """Separate the arguments that `cls` declares from those meant for its tiers.

    Args:
        cls: The model class; its fields and their aliases are its own arguments.
        given: Everything the caller passed.

    Returns:
        Arguments for `cls`; those that only `ChatOpenAI` has are gathered in `tier_arguments`, and
        the rate limiter with them.

    Raises:
        FrugalError: for an argument that neither has, with the nearest name that exists.
    """
    mine, gathered = arguments.sort_arguments(
        cls.__name__, given, _names(cls), _chat_openai_arguments(), _ADVICE
    )
    if (limiter := mine.pop("rate_limiter", None)) is not None:
        # It limits requests, and these are the tiers'; in its own field it would count calls.
        gathered["rate_limiter"] = limiter
    if gathered:
        mine["tier_arguments"] = {**(mine.get("tier_arguments") or {}), **gathered}
    return mine


def serialisable(given: Mapping[str, Any]) -> dict[str, Any]:
    """The tier arguments that may be written down: no clients, and nothing secret."""
    if not given:
        return {}
    fields = _chat_openai_fields()
    kept = {n: value for n, value in given.items() if not (n in fields and fields[n].exclude)}
    shown: dict[str, Any] = without_secrets(kept, public)
    return shown


def public(value: Any) -> Any:
    """An argument as LangChain may write it down; a tier that holds secrets without them."""
    if not isinstance(value, BaseChatModel):
        return value
    changes: dict[str, Any] = {}
    for name in type(value).model_fields:
        given = getattr(value, name)
        if isinstance(given, str | Mapping | list):
            shown = None if name.endswith("headers") else without_secrets(given, public)
            if shown != given:
                changes[name] = shown
    return value.model_copy(update=changes) if changes else value


def forwarded(model: BaseModel) -> dict[str, Any]:
    """The arguments in a cascade's own fields that its tiers get, as far as they were given."""
    values = {}
    for ours, theirs in _FORWARDED.items():
        value = getattr(model, ours)
        if value is not None:
            secret = isinstance(value, SecretStr)
            values[theirs] = value.get_secret_value() if secret else value
    return values


def _names(cls: type[BaseModel]) -> set[str]:
    fields = cls.model_fields
    return set(fields) | {field.alias for field in fields.values() if field.alias}


def _chat_openai_fields() -> dict[str, Any]:
    try:
        from langchain_openai import ChatOpenAI
    except ImportError:
        return {}
    return dict(ChatOpenAI.model_fields)


@cache
def _chat_openai_arguments() -> dict[str, str]:
    """Every name that `ChatOpenAI` takes, with the field it sets."""
    fields = _chat_openai_fields()
    return {name: name for name in fields} | {
        field.alias: name for name, field in fields.items() if field.alias
    }
