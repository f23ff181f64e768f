"""Putting a cascade together: its tiers with a plan, or a policy with the tiers that it needs."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic

from frugal_core.cascade import Outcome, Plan, Scorer, Tier
from frugal_core.errors import FrugalError, PolicyError
from frugal_core.ladders import AS_OF
from frugal_core.pricing import PriceBook
from frugal_core.scoring import AgreementScorer, FunctionScorer, LogProbScorer
from frugal_core.tiers import (
    Entry,
    Model,
    Models,
    ModelTier,
    check_arguments,
    ladder_entries,
    make_tier,
    models_among,
    name_of,
    named,
    price_of,
    same_model,
    with_reference,
)

if TYPE_CHECKING:
    from frugal_core.policy import Policy

logger = logging.getLogger("frugal_core")

THRESHOLD = 0.8
"""Accepts an answer where no policy was fitted: a rule of thumb for the geometric mean of token
probabilities, on which nothing is promised."""


@dataclass(frozen=True)
class Assembly(Generic[Model]):
    """What a cascade consists of, once its arguments have been understood.

    Args:
        plan: What the loop needs.
        tiers: One for each tier of the plan.
        policy_digest: SHA-256 of the policy, if there is one.
        ladder: The day of the table that the cheaper tiers were taken from, if they were.
    """

    plan: Plan
    tiers: tuple[ModelTier[Model], ...]
    policy_digest: str | None = None
    ladder: str | None = None

    def __deepcopy__(self, memo: object) -> Assembly[Model]:
        # Nothing here changes after construction, and a provider's client cannot be copied.
        return self

    @property
    def models(self) -> list[Model]:
        """The models, without the student."""
        return [tier.model for tier in self.tiers if tier.model is not None]

    def trail(self, outcome: Outcome) -> dict[str, Any]:
        """What happened in a call, as a JSON object for the caller."""
        trail = outcome.to_json()
        if self.ladder is not None:
            names = [tier.name for tier in self.tiers]
            trail["ladder"] = {"as_of": self.ladder, "tiers": names}
        return trail

    def pinned(self, name: str) -> Assembly[Model]:
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


def assemble(
    models: Models[Model],
    *,
    model: str | None,
    tiers: Any,
    policy: Policy | str | None,
    scorer: Any,
    threshold: float | None,
    promise: Any,
    prices: Any,
    arguments: Mapping[str, Any],
) -> Assembly[Model]:
    """Make a cascade's tiers and plan from the arguments of its constructor.

    Args:
        models: What the framework's models are.
        model, tiers, policy, scorer, threshold, promise, prices: As the user gave them.
        arguments: What every tier that is built here gets, by the framework's names.

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
        entries = _policy_entries(models, loaded, model, tiers)
    elif tiers is not None:
        entries = with_reference(named(models, tiers), model)
    elif model is not None:
        entries, ladder = ladder_entries(model), AS_OF
    else:
        raise FrugalError(
            'say which models: model="gpt-4o", tiers=["openai:gpt-4o-mini", "openai:gpt-4o"] '
            'or policy="my.frugal"'
        )
    check_arguments(models, [entry for _, entry in entries], arguments)
    if loaded is not None:
        plan = loaded.plan
    else:
        book = PriceBook.load(prices)
        priced = tuple(Tier(name, price_of(models, book, name, entry)) for name, entry in entries)
        thresholds = (THRESHOLD if threshold is None else threshold,) * (len(entries) - 1)
        plan = Plan(priced, thresholds, _scorer(scorer))
    wants = not isinstance(plan.scorer, FunctionScorer | AgreementScorer)
    made = tuple(make_tier(models, name, entry, arguments, wants) for name, entry in entries)
    if ladder is not None:
        names = " -> ".join(tier.name for tier in made)
        logger.info("cascade %s (cheaper models by the table of %s)", names, ladder)
    return Assembly(plan, made, None if loaded is None else loaded.digest, ladder)


def fit_policy(
    models: Models[Any], recording: Any, tiers: Any, prices: Any, **options: Any
) -> Policy:
    """Fit the policy of a cascade.

    Args:
        models: What the framework's models are.
        recording: Queries with every model's answers, or their file.
        tiers: The models that may be used; all of the recording's if None.
        prices: USD per million tokens by model, for a recording that is read here.
        **options: See `frugal_core.fit`.
    """
    import frugal_core

    if not isinstance(recording, frugal_core.Recording):
        recording = frugal_core.Recording.load(os.fspath(recording), prices=prices)
    usable = None if tiers is None else models_among(models, tiers, recording.models)
    return frugal_core.fit(recording, tiers=usable, **options)


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
    from frugal_core.policy import Policy as PolicyClass

    return PolicyClass.load(policy)


def _policy_entries(
    models: Models[Any], policy: Policy, model: str | None, tiers: Any
) -> list[Entry]:
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
    given = named(models, tiers)
    if model is not None and not any(same_model(name, model) for name, _ in given):
        given.append((name_of(models, model), model))
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
