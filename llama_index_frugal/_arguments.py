"""Constructor arguments of the cascade: taken as `OpenAI` takes them, and written down again."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from functools import cache
from typing import Any

from llama_index.core.llms.llm import LLM
from pydantic import BaseModel

from frugal_core import arguments
from frugal_core.errors import FrugalError
from frugal_core.scoring import FunctionScorer
from frugal_core.secrecy import without_secrets
from llama_index_frugal._tiers import MODELS

_ADVICE = "What only the provider knows goes in additional_kwargs."


def sort_arguments(
    cls: type[BaseModel], given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Separate the arguments that `cls` declares from those meant for its tiers.

    Raises:
        FrugalError: for an argument that neither has, with the nearest name that exists.
    """
    own = set(cls.model_fields) - {"tier_arguments"}
    kept = dict(given.get("tier_arguments") or {})
    rest = {name: value for name, value in given.items() if name != "tier_arguments"}
    mine, gathered = arguments.sort_arguments(cls.__name__, rest, own, _openai_arguments(), _ADVICE)
    return mine, {**kept, **gathered}


@cache
def _openai_arguments() -> dict[str, str]:
    """Every name that `OpenAI` takes, with the argument that it stands for."""
    try:
        from llama_index.llms.openai import OpenAI
    except ImportError:
        return {}
    names = set(OpenAI.model_fields) | set(inspect.signature(OpenAI.__init__).parameters)
    names -= {"self", "kwargs"}
    # OpenAI's own client calls the address base_url, and LlamaIndex's class ignores the name.
    return {name: name for name in names} | {"base_url": "api_base", "max_new_tokens": "max_tokens"}


def described(value: Any) -> Any:
    """An argument in plain values: no key, no client, no weights."""
    return arguments.described(
        value, lambda one: MODELS.name_of(one) if isinstance(one, LLM) else None
    )


def written(value: Any) -> Any:
    """An argument as `to_dict` writes it: plain values, from which it can be made again.

    LLMs become their own dictionaries, without what is secret; what cannot be written is described.
    """
    if isinstance(value, LLM):
        return without_secrets(value.to_dict())
    if isinstance(value, Mapping):
        return {str(name): written(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [written(one) for one in value]
    if is_dataclass(value) and type(value).__name__ == "Promise":
        return asdict(value)  # type: ignore[arg-type]  # an instance, not a class
    if callable(value) and not hasattr(value, "judge"):
        return FunctionScorer(value).id  # says what the function does, not only what it is called
    return described(value)


def plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the tiers' arguments that may be written down: no clients, nothing secret."""
    kept = {
        name: value
        for name, value in given.items()
        if isinstance(value, str | int | float | list | dict | None)
    }
    cleaned: dict[str, Any] = without_secrets(kept)
    return cleaned


def restored(tiers: Any) -> Any:
    """Tiers with LLMs in place of the dictionaries that `to_dict` made of them."""
    if isinstance(tiers, Mapping):
        return {name: _restored(tier) for name, tier in tiers.items()}
    return [_restored(tier) for tier in tiers] if isinstance(tiers, list | tuple) else tiers


def _restored(tier: Any) -> Any:
    if not (isinstance(tier, Mapping) and "class_name" in tier):
        return tier
    name = tier["class_name"]
    from llama_index.core.llms.loading import RECOGNIZED_LLMS

    loaded = (cls for cls in _subclasses(LLM) if cls.class_name() == name)
    cls = RECOGNIZED_LLMS.get(name) or next(loaded, None)
    if cls is None:
        raise FrugalError(
            f"tiers: no LLM class {name!r} is loaded; import its integration first, or give the "
            f"tiers: FrugalCascadeLLM.from_dict(data, tiers=[...])"
        )
    return cls.from_dict(dict(tier))


def _subclasses(cls: Any) -> Iterator[type[LLM]]:
    for below in cls.__subclasses__():
        if not inspect.isabstract(below):
            yield below
        yield from _subclasses(below)
