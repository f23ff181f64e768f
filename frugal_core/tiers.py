"""The tiers of a cascade, as a user gives them: named, matched, found in the tables, built.

What a framework's models are is told by its adapter (`Models`); everything else is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from frugal_core.errors import FrugalError
from frugal_core.ladders import AS_OF, cheaper_models, find_ladder
from frugal_core.pricing import Price, PriceBook
from frugal_core.providers import split_provider

Model = TypeVar("Model")

CASCADE = "frugal"
"""The provider that a cascade gives for itself."""

OPENAI = "openai"

Entry = tuple[str, Any]
"""A tier's name, and its model, the words for it, or None for a student."""

_OWNER = re.compile(r"^[\w-]+/")


class Models(Protocol[Model]):
    """What the core asks of a framework about its models.

    Args:
        kind: The class of every model.
        one, many: What its users call a model, and models.
        endpoint: Arguments that say where a model is and who pays for it.
        base_url: The argument among them that is the address.
    """

    kind: type[Model]
    one: str
    many: str
    endpoint: frozenset[str]
    base_url: str

    def name_of(self, model: Model) -> str:
        """What the model is called."""
        ...

    def provider_of(self, model: Model) -> str | None:
        """Whose model it is; `CASCADE` for a cascade."""
        ...

    def build(self, spec: str, provider: str, model: str, arguments: Mapping[str, Any]) -> Model:
        """Make the model that `spec`, "provider:model", names."""
        ...

    def gives_log_probs(self, model: Model) -> bool | None:
        """Whether it was told to give log-probabilities; None if it may be told in a call."""
        ...

    def prepare(self, model: Model) -> Model:
        """The model as a tier: it must say what a stream cost."""
        ...


@dataclass(frozen=True, slots=True)
class ModelTier(Generic[Model]):
    """A tier with the model that answers for it.

    Args:
        name: As it stands in the plan and in the trail.
        model: The framework's; None for a policy's student, which the core answers itself.
        draft_options: Call arguments for a plain call whose answer will be scored.
    """

    name: str
    model: Model | None
    draft_options: Mapping[str, Any] = field(default_factory=dict)


def same_model(one: str, other: str) -> bool:
    """Whether two names mean the same model: equal, or but for a provider before one of them."""
    return other in (one, bare(one)) or one == bare(other)


def bare(name: str) -> str:
    """A model's name without its provider: "openai:gpt-4o" or "openai/gpt-4o" -> "gpt-4o"."""
    provider, model = split_provider(name)
    return model if provider else _OWNER.sub("", name, count=1)


def named(models: Models[Any], tiers: Any) -> list[Entry]:
    """Tiers with names, each name once.

    Args:
        models: The framework.
        tiers: Models or "provider:model" strings in order, or by name.

    Raises:
        FrugalError: if one of them is neither, or there is none.
    """
    if isinstance(tiers, str):
        raise FrugalError(f"tiers is one name, {tiers!r}: give a list, cheapest first")
    if isinstance(tiers, models.kind):
        raise FrugalError(f"tiers is {models.one}: give a list, cheapest first")
    if isinstance(tiers, Mapping):
        entries: list[Entry] = list(tiers.items())
    else:
        entries = [(name_of(models, tier), tier) for tier in tiers]
    if not entries:
        raise FrugalError("tiers is empty: a cascade needs at least one model")
    seen: dict[str, int] = {}
    unique: list[Entry] = []
    for name, tier in entries:
        if not isinstance(tier, (models.kind, str)):
            raise FrugalError(
                f"tier {name!r} is a {type(tier).__name__}: give {models.one} or "
                f'"provider:model". What you bound to a model (tools, stop, logprobs) belongs in '
                f"its constructor or on the cascade."
            )
        seen[name] = seen.get(name, 0) + 1
        unique.append((name if seen[name] == 1 else f"{name}#{seen[name]}", tier))
    return unique


def name_of(models: Models[Any], tier: Any) -> str:
    """What a tier is called where the user gave it no name."""
    if isinstance(tier, str):
        return split_provider(tier)[1]
    return models.name_of(tier) if isinstance(tier, models.kind) else type(tier).__name__


def models_among(models: Models[Any], tiers: Any, recorded: Sequence[str]) -> list[str]:
    """Those of a recording's models for which there is a tier.

    Raises:
        FrugalError: if there is none.
    """
    names = [name for name, _ in named(models, tiers)]
    among = [model for model in recorded if any(same_model(name, model) for name in names)]
    if not among:
        raise FrugalError(
            f"tiers: the recording has no answers of {', '.join(names)}; it has "
            f"{', '.join(recorded)}"
        )
    return among


def with_reference(entries: list[Entry], model: str | None) -> list[Entry]:
    """Entries that end with the reference `model`."""
    if model is None or same_model(entries[-1][0], model):
        return entries
    if any(same_model(name, model) for name, _ in entries):
        raise FrugalError(
            f"model={model!r} is the reference, so it must be the last of the tiers, not "
            f"{entries[-1][0]!r}"
        )
    return [*entries, (split_provider(model)[1], model)]


def ladder_entries(model: str) -> list[Entry]:
    """The cheaper models of a reference's family, and the reference."""
    cheaper = cheaper_models(bare(model))
    if not cheaper:
        raise FrugalError(
            f"no cheaper models of the same family are known for {model!r} (table of {AS_OF}): "
            f'name the tiers, cheapest first: tiers=["provider:cheaper-model", "{model}"]'
        )
    head = model.removesuffix(bare(model))
    below = [(name, head + name) for name in cheaper]
    return [*below, (split_provider(model)[1], model)]


def split(spec: str, *, custom_endpoint: bool) -> tuple[str, str]:
    """Whom to ask for which model, as "provider:model" says it; OpenAI unless something does.

    A word that might be a provider's is taken for one, known or not: the framework then says so.
    """
    head, colon, tail = spec.partition(":")
    if head == OPENAI and colon:
        return OPENAI, tail
    if custom_endpoint:
        return OPENAI, spec
    # "ft:gpt-4o-mini:..." is OpenAI's fine-tuned model, "qwen2.5:7b" a tag.
    if colon and head != "ft" and re.fullmatch(r"[a-z_]+", head):
        return head, tail
    ladder = find_ladder(spec)
    return (OPENAI if ladder is None else ladder.provider), spec


def check_arguments(
    models: Models[Any], entries: Sequence[Any], arguments: Mapping[str, Any]
) -> None:
    """Refuse arguments that would reach no tier, or a key that would reach a wrong provider."""
    built = [entry for entry in entries if isinstance(entry, str)]
    if arguments and not built:
        raise FrugalError(
            f"{', '.join(arguments)}: every tier is {models.one} of yours, so set this on the tiers"
        )
    at = models.base_url in arguments
    providers = {split(spec, custom_endpoint=at)[0] for spec in built}
    endpoint = sorted(models.endpoint & arguments.keys())
    if endpoint and len(providers) > 1:
        raise FrugalError(
            f"{', '.join(endpoint)} cannot serve several providers "
            f"({', '.join(sorted(providers))}): give the tiers as {models.many}"
        )


def make_tier(
    models: Models[Model],
    name: str,
    entry: Any,
    arguments: Mapping[str, Any],
    wants_log_probs: bool,
) -> ModelTier[Model]:
    """The model for an entry, with what must be asked of it beyond the caller's arguments."""
    if entry is None:
        return ModelTier(name, None)
    if isinstance(entry, str):
        at = models.base_url in arguments
        model = models.build(entry, *split(entry, custom_endpoint=at), arguments)
    else:
        model = entry
    log_probs = (
        wants_log_probs
        and isinstance(entry, str)
        and models.gives_log_probs(model) is None
        and (ladder := find_ladder(bare(name))) is not None
        and ladder.log_probs
    )
    return ModelTier(name, models.prepare(model), {"logprobs": True} if log_probs else {})


def price_of(models: Models[Any], book: PriceBook, name: str, entry: Any) -> Price | None:
    """The price of a tier, or None: by its name, else as its provider's model."""
    if name in book.prices:
        return book.find(name)
    if isinstance(entry, str):
        provider: str | None = split(entry, custom_endpoint=False)[0]
    else:
        provider = models.provider_of(entry)
        if provider == CASCADE:
            return None  # its tokens are of several models
    return book.find(f"{provider}:{bare(name)}") or book.find(bare(name))
