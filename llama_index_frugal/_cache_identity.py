"""What tells one model from another in a cache key, without anything secret."""

from __future__ import annotations

from collections.abc import Mapping, Set
from contextlib import suppress
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from llama_index.core.base.llms.generic_utils import messages_to_prompt
from llama_index.core.llms import LLM
from llama_index.core.llms.llm import default_completion_to_prompt
from llama_index.core.tools.types import BaseTool
from pydantic import BaseModel

from frugal_core.cache.partition import digest
from frugal_core.scoring import FunctionScorer
from frugal_core.secrecy import is_secret, without_user

_TRANSPORT = frozenset({"max_retries", "timeout", "request_timeout", "reuse_client", "verbose"})
_NOT_ASKED = frozenset({"callback_manager", "rate_limiter", "output_parser"})
_DEFAULTS = {messages_to_prompt, default_completion_to_prompt}


def identity(llm: LLM) -> dict[str, Any]:
    """A model's class and everything of it that may shape an answer.

    Of private attributes only texts and switches are taken: numbers there are mostly counters.
    """
    kind = own_class(llm)
    fields = kind.model_fields
    hidden = {
        name: described(getattr(llm, name, None))
        for name, field in fields.items()
        if field.exclude and name not in _NOT_ASKED
    }
    private = {
        name: value
        for name, value in (llm.__pydantic_private__ or {}).items()
        if isinstance(value, str | bool) and not is_secret(name)
    }
    known: dict[str, Any] = {}
    with suppress(ValueError):  # OpenAI's for models that it does not know by name
        known = llm.to_payload()
    shown = {**known, **llm.to_dict()}
    return {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "shown": described(shown),
        "hidden": hidden,
        "private": private,
        "elsewhere": elsewhere(llm),
    }


def elsewhere(llm: Any) -> list[str]:
    """Where clients of the user's own send requests, if that is not where the model says."""
    said = str(getattr(llm, "api_base", "")).rstrip("/")
    urls = {
        without_user(str(client.base_url)).rstrip("/")
        for client in (llm.__pydantic_private__ or {}).values()
        if hasattr(client, "base_url")
    }
    return sorted(urls - {without_user(said)})


def own_class(llm: LLM) -> type[LLM]:
    """The class of a model, and not the one that the cache has put before it."""
    own: type[LLM] = getattr(type(llm), "frugal_base", type(llm))
    return own


def described(value: Any) -> Any:
    """A value as JSON that is the same in every process, without secrets.

    What cannot be described, such as an object of an unknown class, is told apart from everything
    else: it is never found again in another process.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return without_user(value)
    if isinstance(value, Mapping):
        return {
            str(name): _properties(one) if name == "properties" else described(one)
            for name, one in value.items()
            if not (is_secret(str(name)) or name in _TRANSPORT)
        }
    if isinstance(value, list | tuple):
        return [described(one) for one in value]
    if isinstance(value, Set):
        return sorted((described(one) for one in value), key=digest)
    if isinstance(value, BaseTool):
        return value.metadata.to_openai_tool(skip_length_check=True)
    if isinstance(value, LLM):
        return identity(value)
    if isinstance(value, type):
        schema = value.model_json_schema() if issubclass(value, BaseModel) else None
        return [f"{value.__module__}.{value.__qualname__}", schema]
    if isinstance(value, BaseModel):
        return [f"{type(value).__module__}.{type(value).__qualname__}", described(dict(value))]
    if callable(value):
        return _function(value)
    written = repr(value)
    told = any("__repr__" in vars(kind) for kind in type(value).__mro__[:-1])
    if told and " at 0x" not in written:
        return [type(value).__qualname__, written]
    return _token(value)


def _properties(value: Any) -> Any:
    """Properties of a JSON schema: whatever their names are, they say what an answer must hold."""
    if not isinstance(value, Mapping):
        return described(value)
    return {str(name): described(one) for name, one in value.items()}


def _function(value: Any) -> Any:
    """A function by its name and what it does."""
    if value in _DEFAULTS:
        return None
    name = FunctionScorer(value).id
    return name if " at 0x" not in name else _token(value)


_TOKENS: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def _token(value: Any) -> str:
    """A name for an object that no other object ever has."""
    try:
        return _TOKENS.setdefault(value, uuid4().hex)
    except TypeError:  # it cannot be referred to weakly, or not be hashed
        return uuid4().hex
