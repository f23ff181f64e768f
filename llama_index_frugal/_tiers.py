"""What LlamaIndex's LLMs are to the core."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from llama_index.core.llms.llm import LLM

from frugal_core.assembly import Assembly
from frugal_core.errors import FrugalError
from frugal_core.tiers import CASCADE, OPENAI

Tiers = Sequence[LLM | str] | Mapping[str, LLM | str]
"""Tiers as a user gives them: in order, or by name."""

LLMAssembly = Assembly[LLM]

_INTEGRATION = re.compile(r"llama_index\.llms\.(\w+)")


class LLMs:
    """See `frugal_core.tiers.Models`."""

    kind: Any = LLM
    one = "an LLM"
    many = "LLMs"
    endpoint = frozenset({"api_key", "api_base", "api_version", "default_headers"})
    base_url = "api_base"

    def name_of(self, model: LLM) -> str:
        """What the LLM says it is called, without asking a server."""
        for name in ("model", "model_name"):
            value = getattr(model, name, None)
            if isinstance(value, str) and value:
                return value
        told = str(model.metadata.model_name)
        return model.class_name() if told == "unknown" else told

    def provider_of(self, model: LLM) -> str | None:
        """The integration that its class comes from."""
        home = getattr(type(model), "frugal_base", type(model)).__module__  # under a cache, its own
        if home.startswith("llama_index_frugal"):
            return CASCADE
        found = _INTEGRATION.match(home)
        return found and found[1]

    def build(self, spec: str, provider: str, model: str, arguments: Mapping[str, Any]) -> LLM:
        """Make the LLM that "provider:model" names."""
        return (
            _openai(spec, model, arguments)
            if provider == OPENAI
            else _construct(spec, _integration(spec, provider), model, arguments)
        )

    def gives_log_probs(self, model: LLM) -> bool | None:
        """Whether it was told to."""
        told: bool | None = getattr(model, "logprobs", False)
        return told

    def prepare(self, model: LLM) -> LLM:
        """The LLM itself; what a stream cost is asked for with the call, see `streaming`."""
        return model


MODELS = LLMs()


def streaming(model: LLM) -> dict[str, Any]:
    """Call arguments with which a model says what a stream cost."""
    is_openai = any(
        base.__module__ == "llama_index.llms.openai.base" for base in type(model).__mro__
    )
    if not is_openai or "stream_options" in getattr(model, "additional_kwargs", ()):
        return {}
    return {"stream_options": {"include_usage": True}}


def _openai(spec: str, model: str, arguments: Mapping[str, Any]) -> LLM:
    openai: Any = _class_in(spec, OPENAI, "OpenAI")
    try:
        llm: LLM = openai(model=model, **arguments)
        llm.metadata  # noqa: B018  # raises where the class does not know the model
        return llm
    except ValueError as error:
        if "Unknown model" not in str(error):
            raise FrugalError(f"tier {spec!r}: {error}") from error
    like = _class_in(spec, "openai_like", "OpenAILike")
    known = {"is_chat_model": True, "is_function_calling_model": True}
    return _construct(spec, like, model, {**known, **arguments})


def _integration(spec: str, provider: str) -> type[LLM]:
    """The LLM class of an integration: the one that is called like it, or the only one."""
    module = _module(spec, provider)
    names = getattr(module, "__all__", dir(module))
    classes = [
        value
        for name in names
        if inspect.isclass(value := getattr(module, name)) and issubclass(value, LLM)
    ]
    wanted = provider.replace("_", "")
    matches = [cls for cls in classes if cls.__name__.lower() == wanted] or classes
    if len(matches) != 1:
        raise FrugalError(f"tier {spec!r}: {module.__name__} has no LLM class of that name")
    return matches[0]


def _construct(spec: str, cls: type[LLM], model: str, arguments: Mapping[str, Any]) -> LLM:
    """Make an LLM; its constructor would ignore arguments that it does not know."""
    known = set(cls.model_fields) | set(inspect.signature(cls.__init__).parameters)
    for name in arguments:
        if name not in known:
            raise FrugalError(f"tier {spec!r}: {cls.__name__} has no argument {name!r}")
    construct: Any = cls
    llm: LLM = construct(**{"model" if "model" in known else "model_name": model}, **arguments)
    return llm


def _class_in(spec: str, provider: str, name: str) -> type[LLM]:
    cls: type[LLM] = getattr(_module(spec, provider), name)
    return cls


def _module(spec: str, provider: str) -> Any:
    name = f"llama_index.llms.{provider}"
    try:
        return import_module(name)
    except ImportError as error:
        package = f"llama-index-llms-{provider.replace('_', '-')}"
        raise FrugalError(
            f"tier {spec!r} needs {package}: pip install {package} ({error})"
        ) from error
