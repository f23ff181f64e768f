"""The tiers of a cascade: named, found, built, priced, and matched to a policy."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from langchain_core.language_models.chat_models import BaseChatModel

from frugal_core.cascade import Plan, Scorer, Tier
from frugal_core.errors import FrugalError, PolicyError
from frugal_core.ladders import AS_OF, cheaper_models, find_ladder
from frugal_core.pricing import PriceBook
from frugal_core.scoring import AgreementScorer, FunctionScorer, LogProbScorer
from langchain_frugal._arguments import ENDPOINT

if TYPE_CHECKING:
    from frugal_core import Policy

logger = logging.getLogger("langchain_frugal")

Tiers = Sequence[BaseChatModel | str] | Mapping[str, BaseChatModel | str]
"""Tiers as a user gives them: in order, or by name."""

THRESHOLD = 0.8
"""Accepts an answer where no policy was fitted: a rule of thumb for the geometric mean of token
probabilities, on which nothing is promised."""

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


@dataclass(frozen=True)
class Assembly:
    """What a cascade consists of, once its arguments have been understood.

    Args:
        plan: What the loop needs.
        tiers: One for each tier of the plan.
        policy_digest: SHA-256 of the policy, if there is one.
        ladder: The day of the table that the cheaper tiers were taken from, if they were.
    """

    plan: Plan
    tiers: tuple[ChatTier, ...]
    policy_digest: str | None = None
    ladder: str | None = None

    def __deepcopy__(self, memo: object) -> Assembly:
        # Nothing here changes after construction, and a provider's client cannot be copied.
        return self

    def pinned(self, name: str) -> Assembly:
        """A cascade of one tier only, for a call that names its model.

        Raises:
            FrugalError: if no tier is called so; it names those there are.
        """
        names = [tier.name for tier in self.tiers]
        match = next((tier for tier in names if same_model(tier, name)), None)
        if match is None:
            listed = ", ".join(names)
            raise FrugalError(f"model={name!r} is not a tier of this cascade: {listed}")
        position = names.index(name if name in names else match)
        tier = self.tiers[position]
        plan = replace(
            self.plan,
            tiers=(self.plan.tiers[position],),
            thresholds=(),
            best_of=False,
            student=None if tier.model is not None else self.plan.student,
            certificate=None,
            no_promise="no promise: the call named its model",
        )
        return replace(self, plan=plan, tiers=(tier,))


def same_model(one: str, other: str) -> bool:
    """Whether two names mean the same model: equal, or but for a provider before one of them."""
    return other in (one, bare(one)) or one == bare(other)


def bare(name: str) -> str:
    """A model's name without its provider: "openai:gpt-4o" -> "gpt-4o"."""
    return name if name.startswith("ft:") else _PREFIX.sub("", name, count=1)


def assemble(
    *,
    model: str | None,
    tiers: Tiers | None,
    policy: Policy | str | None,
    scorer: Any,
    threshold: float | None,
    promise: Any,
    prices: Any,
    arguments: Mapping[str, Any],
) -> Assembly:
    """Make a cascade's tiers and plan from the arguments of its constructor.

    Args:
        arguments: What every tier that is built here gets, by the names of `ChatOpenAI`.

    Raises:
        FrugalError: if the arguments do not make a cascade; `PolicyError` if the policy does not
            fit the tiers or does not keep the promise.
    """
    loaded = _load_policy(policy)
    _check_promise(loaded, promise)
    ladder = None
    if loaded is not None:
        own = {"scorer": scorer, "threshold": threshold, "prices": prices}
        for name, value in own.items():
            if value is not None:
                raise FrugalError(f"{name}: the policy brings its own; give one of the two")
        entries = _policy_entries(loaded, model, tiers)
    elif tiers is not None:
        entries = _with_reference(_named(tiers), model)
    elif model is not None:
        entries, ladder = _ladder_entries(model), AS_OF
    else:
        raise FrugalError(
            'say which models: model="gpt-4o", tiers=["openai:gpt-4o-mini", "openai:gpt-4o"] '
            'or policy="my.frugal"'
        )
    _check_arguments([entry for _, entry in entries], arguments)
    if loaded is not None:
        plan = loaded.plan
    else:
        book = PriceBook.load(prices)
        priced = tuple(Tier(name, _price(book, name, entry)) for name, entry in entries)
        thresholds = (THRESHOLD if threshold is None else threshold,) * (len(entries) - 1)
        plan = Plan(priced, thresholds, _scorer(scorer))
    wants_log_probs = not isinstance(plan.scorer, FunctionScorer | AgreementScorer)
    chat_tiers = tuple(_tier(name, entry, arguments, wants_log_probs) for name, entry in entries)
    if ladder is not None:
        names = " -> ".join(tier.name for tier in chat_tiers)
        logger.info("cascade %s (cheaper models by the table of %s)", names, ladder)
    return Assembly(plan, chat_tiers, None if loaded is None else loaded.digest, ladder)


def _check_promise(policy: Policy | None, promise: Any) -> None:
    """Refuse a policy whose certificate is weaker than the promise that is asked for.

    Raises:
        PolicyError: saying what the policy promises, or that there is none.
    """
    if promise is None:
        return
    from frugal_core.certifying import Promise

    wanted = Promise.of(promise)
    words = f"promise: epsilon {wanted.epsilon:g} at confidence {wanted.confidence:g}"
    if policy is None:
        raise PolicyError(
            f"{words} needs a policy: fit one with FrugalCascadeLLM.fit(recording, promise=...)"
        )
    certificate = policy.plan.certificate
    if certificate is None:
        raise PolicyError(f"{words}: the policy has no certificate ({policy.plan.no_promise})")
    if certificate.epsilon > wanted.epsilon or certificate.confidence < wanted.confidence:
        raise PolicyError(f"{words}: the policy only promises: {certificate.sentence}")


def _load_policy(policy: Policy | str | None) -> Policy | None:
    if not isinstance(policy, str):
        if policy is not None and not hasattr(policy, "plan"):
            kind = type(policy).__name__
            raise PolicyError(f"policy is a {kind}: give a Policy, or the path of one")
        return policy
    from frugal_core import Policy as PolicyClass

    return PolicyClass.load(policy)


def models_among(tiers: Tiers, models: Sequence[str]) -> list[str]:
    """Those of a recording's models for which there is a tier."""
    names = [name for name, _ in _named(tiers)]
    return [model for model in models if any(same_model(name, model) for name in names)]


Entry = tuple[str, "BaseChatModel | str | None"]
"""A tier's name, and its model, the words for it, or None for a student."""


def _named(tiers: Tiers) -> list[Entry]:
    """Tiers with names, each name once."""
    if isinstance(tiers, str):
        raise FrugalError(f"tiers is one name, {tiers!r}: give a list, cheapest first")
    if isinstance(tiers, Mapping):
        entries: list[Entry] = list(tiers.items())
    else:
        entries = [(_name_of(tier), tier) for tier in tiers]
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


def _name_of(tier: Any) -> str:
    if isinstance(tier, str):
        return _split(tier, custom_endpoint=False)[1]
    if isinstance(tier, BaseChatModel):
        # What LangChain's own tracing calls the model; every integration provides it.
        return str(tier._get_ls_params().get("ls_model_name") or type(tier).__name__)
    return type(tier).__name__


def _with_reference(entries: list[Entry], model: str | None) -> list[Entry]:
    """Entries that end with the reference `model`."""
    if model is None or same_model(entries[-1][0], model):
        return entries
    if any(same_model(name, model) for name, _ in entries):
        raise FrugalError(
            f"model={model!r} is the reference, so it must be the last of the tiers, not "
            f"{entries[-1][0]!r}"
        )
    return [*entries, (_name_of(model), model)]


def _ladder_entries(model: str) -> list[Entry]:
    cheaper = cheaper_models(bare(model))
    if not cheaper:
        raise FrugalError(
            f"no cheaper models of the same family are known for {model!r} (table of {AS_OF}): "
            f'name the tiers, cheapest first: tiers=["provider:cheaper-model", {model!r}]'
        )
    head = model.removesuffix(bare(model))
    return [*((name, head + name) for name in cheaper), (_name_of(model), model)]


def _policy_entries(policy: Policy, model: str | None, tiers: Any) -> list[Entry]:
    """The policy's tiers in its order, each with the model that was given for it."""
    plan = policy.plan
    names = [tier.model for tier in plan.tiers]
    student = 0 if plan.student is None else 1
    if model is not None and not any(
        same_model(name, model) for name in [*names[student:], policy.reference]
    ):
        raise PolicyError(
            f"model={model!r} is not in the policy: its tiers are {', '.join(names)} and its "
            f"reference is {policy.reference}"
        )
    entries: list[Entry] = [(name, None) for name in names[:student]]
    if tiers is None:
        return entries + [(name, name) for name in names[student:]]
    given = _named(tiers)
    if model is not None and not any(same_model(name, model) for name, _ in given):
        given.append((_name_of(model), model))
    for name in names[student:]:
        exact = [tier for other, tier in given if other == name]
        matches = exact or [tier for other, tier in given if same_model(other, name)]
        if not matches:
            raise PolicyError(
                f"the policy needs the tier {name!r}, which is not among the tiers given: "
                f"{', '.join(other for other, _ in given)}"
            )
        entries.append((name, matches[0]))
    return entries


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


def _scorer(scorer: Any) -> Scorer:
    if scorer is None:
        return LogProbScorer()
    if hasattr(scorer, "judge"):
        judging: Scorer = scorer
        return judging
    if callable(scorer):
        return FunctionScorer(scorer)
    raise FrugalError(
        f"scorer is a {type(scorer).__name__}: give a function (query, answer) -> P(correct), or "
        f"an object with judge() and id"
    )


def _price(book: PriceBook, name: str, entry: BaseChatModel | str | None) -> Any:
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
