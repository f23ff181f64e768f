"""The tiers of a cascade: named, found, built and priced."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel

from frugal_core.errors import FrugalError
from frugal_core.ladders import AS_OF, cheaper_models, find_ladder
from frugal_core.pricing import PriceBook
from langchain_frugal._arguments import ENDPOINT

Tiers = Sequence[BaseChatModel | str] | Mapping[str, BaseChatModel | str]
"""Tiers as a user gives them: in order, or by name."""

CASCADE = "frugal"
"""The provider that a cascade gives for itself to tracers."""

_OPENAI = "openai"
_PREFIX = re.compile(r"^[\w-]+[:/]")


@dataclass(frozen=True, slots=True)
class ChatTier:
    """A tier with the chat model that answers for it.

    Args:
        name: As it stands in the plan and in the trail.
        model: The chat model; None for a policy's student, which the core answers itself.
        draft_options: Call arguments for a plain call whose answer will be scored.
    """

    name: str
    model: BaseChatModel | None
    draft_options: Mapping[str, Any] = field(default_factory=dict)


def same_model(one: str, other: str) -> bool:
    """Whether two names mean the same model: equal, or but for a provider before one of them."""
    return other in (one, bare(one)) or one == bare(other)


def bare(name: str) -> str:
    """A model's name without its provider: "openai:gpt-4o" -> "gpt-4o"."""
    return name if name.startswith("ft:") else _PREFIX.sub("", name, count=1)


def models_among(tiers: Tiers, models: Sequence[str]) -> list[str]:
    """Those of a recording's models for which there is a tier.

    Raises:
        FrugalError: if there is none.
    """
    names = [name for name, _ in named(tiers)]
    among = [model for model in models if any(same_model(name, model) for name in names)]
    if not among:
        raise FrugalError(
            f"tiers: the recording has no answers of {', '.join(names)}; it has {', '.join(models)}"
        )
    return among


Entry = tuple[str, "BaseChatModel | str | None"]
"""A tier's name, and its model, the words for it, or None for a student."""


def named(tiers: Tiers) -> list[Entry]:
    """Tiers with names, each name once."""
    if isinstance(tiers, str):
        raise FrugalError(f"tiers is one name, {tiers!r}: give a list, cheapest first")
    if isinstance(tiers, Mapping):
        entries: list[Entry] = list(tiers.items())
    else:
        entries = [(name_of(tier), tier) for tier in tiers]
    if not entries:
        raise FrugalError("tiers is empty: a cascade needs at least one model")
    seen: dict[str, int] = {}
    unique: list[Entry] = []
    for name, tier in entries:
        if not isinstance(tier, BaseChatModel | str):
            raise FrugalError(
                f'tier {name!r} is a {type(tier).__name__}: give a chat model or "provider:model". '
                f"What you bound to a model (tools, stop, logprobs) belongs in its constructor or "
                f"on the cascade."
            )
        seen[name] = seen.get(name, 0) + 1
        unique.append((name if seen[name] == 1 else f"{name}#{seen[name]}", tier))
    return unique


def name_of(tier: Any) -> str:
    """What a tier is called where the user gave it no name."""
    if isinstance(tier, str):
        return _split(tier, custom_endpoint=False)[1]
    if isinstance(tier, BaseChatModel):
        # What LangChain's own tracing calls the model; every integration provides it.
        return str(tier._get_ls_params().get("ls_model_name") or type(tier).__name__)
    return type(tier).__name__


def with_reference(entries: list[Entry], model: str | None) -> list[Entry]:
    """Entries that end with the reference `model`."""
    if model is None or same_model(entries[-1][0], model):
        return entries
    if any(same_model(name, model) for name, _ in entries):
        raise FrugalError(
            f"model={model!r} is the reference, so it must be the last of the tiers, not "
            f"{entries[-1][0]!r}"
        )
    return [*entries, (name_of(model), model)]


def ladder_entries(model: str) -> list[Entry]:
    cheaper = cheaper_models(bare(model))
    if not cheaper:
        raise FrugalError(
            f"no cheaper models of the same family are known for {model!r} (table of {AS_OF}): "
            f'name the tiers, cheapest first: tiers=["provider:cheaper-model", "{model}"]'
        )
    head = model.removesuffix(bare(model))
    return [*((name, head + name) for name in cheaper), (name_of(model), model)]


def _check_arguments(models: Sequence[Any], arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that would reach no tier, or a key that would reach a wrong provider."""
    built = [model for model in models if isinstance(model, str)]
    if arguments and not built:
        raise FrugalError(
            f"{', '.join(arguments)}: every tier is a chat model of yours, so set this on the tiers"
        )
    providers = {_split(model, custom_endpoint="base_url" in arguments)[0] for model in built}
    endpoint = sorted(ENDPOINT & arguments.keys())
    if endpoint and len(providers) > 1:
        raise FrugalError(
            f"{', '.join(endpoint)} cannot serve several providers "
            f"({', '.join(sorted(providers))}): give the tiers as chat models"
        )


def _split(spec: str, *, custom_endpoint: bool) -> tuple[str, str]:
    """Provider and model of "provider:model"; OpenAI unless something says otherwise."""
    head, colon, tail = spec.partition(":")
    if head == _OPENAI and colon:
        return _OPENAI, tail
    if custom_endpoint:
        return _OPENAI, spec
    # "ft:gpt-4o-mini:..." is OpenAI's fine-tuned model, "qwen2.5:7b" a tag.
    if colon and head != "ft" and re.fullmatch(r"[a-z_]+", head):
        return head, tail
    ladder = find_ladder(spec)
    return (_OPENAI if ladder is None else ladder.provider), spec


def _tier(
    name: str,
    entry: BaseChatModel | str | None,
    arguments: Mapping[str, Any],
    wants_log_probs: bool,
) -> ChatTier:
    """The chat model for an entry, with what must be asked of it beyond the caller's arguments."""
    if entry is None:
        return ChatTier(name, None)
    model = _build(entry, arguments) if isinstance(entry, str) else entry
    log_probs = (
        wants_log_probs
        and isinstance(entry, str)
        and getattr(model, "logprobs", "no such field") is None
        and not getattr(model, "use_responses_api", None)
        and (ladder := find_ladder(bare(name))) is not None
        and ladder.log_probs
    )
    if getattr(model, "stream_usage", "no such field") is None:
        # Unless told to, ChatOpenAI streams no usage from an endpoint other than OpenAI's own.
        model = model.model_copy(update={"stream_usage": True})
    return ChatTier(name, model, {"logprobs": True} if log_probs else {})


def _build(spec: str, arguments: Mapping[str, Any]) -> BaseChatModel:
    """Make the chat model that "provider:model" names."""
    provider, model = _split(spec, custom_endpoint="base_url" in arguments)
    try:
        if provider == _OPENAI:
            from langchain_openai import ChatOpenAI

            return ChatOpenAI(model=model, **arguments)
        from langchain.chat_models import init_chat_model

        built: BaseChatModel = init_chat_model(model, model_provider=provider, **arguments)
        return built
    except ImportError as error:
        raise FrugalError(f"tier {spec!r}: {error}") from error
    except ValueError as error:
        if not str(error).startswith("Unsupported"):
            raise
        raise FrugalError(
            f"tier {spec!r}: LangChain knows no provider {provider!r}; for a model behind OpenAI's "
            f'interface write "openai:{spec}"'
        ) from error


def price_of(book: PriceBook, name: str, entry: BaseChatModel | str | None) -> Any:
    """The price of a tier, or None: by its name, else as its provider's model."""
    if name in book.prices:
        return book.find(name)
    if isinstance(entry, BaseChatModel):
        provider = entry._get_ls_params().get("ls_provider")
        if provider == CASCADE:
            return None  # its tokens are of several models
    else:
        provider = _split(str(entry), custom_endpoint=False)[0]
    provider = {"mistralai": "mistral"}.get(str(provider), provider)
    return book.find(f"{provider}:{bare(name)}") or book.find(bare(name))
