"""Names of embedders: vectors of two are compared only if both say that they are of one model."""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
import re
import uuid
from typing import Any

_LOG = logging.getLogger("frugal_core")

_NAMES = (
    "model",
    "model_name",
    "model_id",
    "model_path",
    "model_file",
    "model_uid",
    "model_url",
    "model_name_or_path",
    "repo_id",
    "deployment",
    "deployment_name",
    "azure_deployment",
    "endpoint",
    "endpoint_name",
)
"""Fields that name a model."""
_VARIANTS = (
    "dimensions",
    "output_dimensionality",
    "truncate_dim",
    "checkpoint",
    "revision",
    "task_type",
    "embed_instruction",
    "text_instruction",
)
"""Fields with which a model of one name gives different vectors."""
_SERVERS = ("openai_api_base", "base_url", "api_base", "azure_endpoint", "endpoint_url")
_SERVERS_SET = ("OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT", "OLLAMA_HOST")
"""What clients read from the environment themselves."""
_SECRET = re.compile(r"(?:^|_)(?:api_?key|key|token|secret|password)s?$", re.IGNORECASE)
_NAMELESS = "unknown"  # LlamaIndex's name for the model of a class that does not say
_SCALARS = (str, int, float, bool, type(None))
_FRAMEWORKS = ("langchain", "llama_index")
_DEEPEST = 5  # wrappers of wrappers


def id_of(embed: Any) -> str:
    """The name of an embedder, or a new one if it does not say which model it is.

    Args:
        embed: Embeddings of LangChain or LlamaIndex, or a function.

    Example:
        >>> from langchain_core.embeddings import FakeEmbeddings
        >>> id_of(FakeEmbeddings(size=8)) == id_of(FakeEmbeddings(size=8))
        True
        >>> id_of(FakeEmbeddings(size=8)) == id_of(FakeEmbeddings(size=9))
        False
    """
    owner: Any = embed
    named: Any = type(embed)
    if inspect.isroutine(embed):
        owner, named = getattr(embed, "__self__", None), embed
    name = named.__qualname__
    identity = "" if owner is None else _identity(owner)
    # A lambda, or what stands within a function, has a name that others may have.
    if identity is None or (not identity and "<" in name):
        _LOG.warning(
            "%s does not say which model embeds, so its vectors are compared with those of this "
            'process alone; embedder_of(embed, id="my-model") names it for all',
            name,
        )
        return f"{name} {uuid.uuid4().hex}"
    return f"{named.__module__}.{name}{identity}"


def _identity(embed: Any, depth: int = 0) -> str | None:
    """What tells an embedder from others of its class; None if two may say the same and differ."""
    fields = {name: getattr(embed, name, None) for name in (*_NAMES, *_VARIANTS, *_SERVERS)}
    fields = {name: value for name, value in fields.items() if _is_said(value)}
    if any(name in fields for name in _NAMES):
        said = [
            f"{name}={fields[name] if '://' not in str(fields[name]) else _short(fields[name])}"
            for name in (*_NAMES, *_VARIANTS)
            if name in fields
        ]
        servers = [fields[name] for name in _SERVERS if name in fields]
        servers += [os.environ[name] for name in _SERVERS_SET if os.environ.get(name)]
        if servers:
            said.append(f"server={_short(servers)}")
        return f"({', '.join(said)})"
    state = _state(embed)
    if state is None or depth == _DEEPEST:
        return None
    inner = [value for value in state.values() if _embeds(value)]
    scalars = {name: value for name, value in state.items() if type(value) in _SCALARS}
    # Frameworks' own wrappers hold stores and clients beside; of others, nobody knows.
    known = len(scalars) + 1 == len(state) or type(embed).__module__.startswith(_FRAMEWORKS)
    if len(inner) == 1 and known:
        identity = _identity(inner[0], depth + 1)
        own = f", {_short(scalars)}" if scalars else ""
        return None if identity is None else f"({type(inner[0]).__qualname__}{identity}{own})"
    if any(value is not None for value in scalars.values()):
        return f"({_short(scalars)})" if len(scalars) == len(state) else None
    # An object without any field is its class; of other callables, nothing is known.
    return "" if not state and _embeds(embed) else None


def _state(embed: Any) -> dict[str, Any] | None:
    """All fields but secrets; None if it has some that cannot be read."""
    try:
        state = {**vars(embed), **(getattr(embed, "__pydantic_private__", None) or {})}
    except TypeError:
        return None
    return {name: value for name, value in state.items() if not _is_secret(name, value)}


def _is_secret(name: str, value: Any) -> bool:
    kind = type(value).__name__
    return kind == "SecretStr" or (kind == "str" and _SECRET.search(name) is not None)


def _is_said(value: Any) -> bool:
    return type(value) in _SCALARS and value not in (None, "", _NAMELESS)


def _embeds(thing: Any) -> bool:
    """Whether it is a framework's embedder."""
    return hasattr(thing, "embed_documents") or hasattr(thing, "get_text_embedding_batch")


def _short(value: Any) -> str:
    """A digest that stands for what may hold a password."""
    if isinstance(value, dict):
        value = sorted(value.items())
    return hashlib.sha256(repr(value).encode("utf-8", "backslashreplace")).hexdigest()[:12]
