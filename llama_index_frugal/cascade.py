"""`FrugalCascadeLLM`: an LLM that asks cheap models first."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Self

from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms.loading import RECOGNIZED_LLMS
from llama_index.core.types import PydanticProgramMode
from pydantic import (
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    SkipValidation,
    field_serializer,
    model_serializer,
)

from frugal_core.assembly import assemble
from frugal_core.errors import FrugalError
from frugal_core.fitted import Fitted
from llama_index_frugal._arguments import described, plain, restored, sort_arguments, written
from llama_index_frugal._model import CascadeModel
from llama_index_frugal._tiers import MODELS

_OBJECTS = ("tiers", "policy", "promise", "scorer", "prices")
"""Fields whose values need not be plain."""

_FORWARDED = ("temperature", "max_tokens", "pydantic_program_mode")
"""Fields that are meant for the tiers, besides `tier_arguments`."""


class FrugalCascadeLLM(Fitted, CascadeModel):
    """An LLM that asks cheap models first, and dearer ones only where that is needed.

    It stands wherever `OpenAI` (or another LLM of LlamaIndex) stood: in `Settings.llm`, query and
    chat engines, agents, extractors. A tier's answer is accepted if it scores high enough; else the
    next tier is asked. With a fitted policy, scorer and thresholds were learned from recorded
    answers, and the loss of quality against the reference model is bounded by a tested promise.
    Without one, the tiers' own log-probabilities decide, or their judgement of their own answer
    where they give none, and nothing is promised.

    Args:
        model: The reference: the model that stood here before, and the last tier. Cheaper tiers
            are taken from a dated table of its family, unless `tiers` or `policy` say otherwise.
        tiers: LLMs or "provider:model" strings, cheapest first; or a mapping of names to them.
        policy: A fitted policy, or the path of one; the same file serves LangChain.
        promise: What the policy must promise at least: a `Promise`, or its epsilon.
        scorer: A function (query, answer) -> P(correct), or an object with `judge` and `id`.
        threshold: The score that accepts an answer where no policy says so; 0.8 by default, a rule
            of thumb for the geometric mean of token probabilities.
        on_failure: Where the last tier fails or gives nothing to use (an empty answer, a broken
            tool call or schema): "best_draft" returns the best rejected answer, flagged; "raise"
            raises, or returns what the last tier said.
        prices: USD per million tokens by model, `{"my-model": [0.1, 0.4]}`, or a JSON file; over
            the built-in table.
        temperature, max_tokens, timeout, max_retries, api_key, api_base, additional_kwargs, ...:
            Every argument of `OpenAI`; they go to every tier that is built here.
        callback_manager, system_prompt, output_parser, rate_limiter, ...: Of every LLM.

    Raises:
        FrugalError: for an argument that does not exist, and for arguments that make no cascade.

    Example:
        >>> from llama_index.core import Settings
        >>> from llama_index_frugal import FrugalCascadeLLM
        >>> llm = FrugalCascadeLLM(model="gpt-4o", temperature=0)  # gpt-4o-mini, then gpt-4o
        >>> Settings.llm = llm
        >>> response = llm.complete("What is the capital of France?")  # doctest: +SKIP
        >>> response.text  # doctest: +SKIP
        'Paris'
        >>> response.additional_kwargs["frugal"]["accepted"]  # doctest: +SKIP
        'gpt-4o-mini'
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    model: str | None = Field(default=None, description="The reference, and the last tier.")
    tiers: SkipValidation[Any] = Field(default=None, description="LLMs, cheapest first.")
    policy: Any = Field(default=None, repr=False, description="A fitted policy or its path.")
    promise: Any = Field(default=None, description="What the policy must promise at least.")
    scorer: Any = Field(default=None, description="Says how likely an answer is right.")
    threshold: float | None = Field(default=None, ge=0, le=1, description="Accepts an answer.")
    prices: Any = Field(default=None, repr=False, description="USD per million tokens by model.")
    temperature: float | None = Field(default=None, description="Of every tier that is built here.")
    max_tokens: int | None = Field(default=None, description="Of every tier that is built here.")
    tier_arguments: dict[str, Any] = Field(
        default_factory=dict, repr=False, description="Other arguments of every tier built here."
    )

    def __init__(self, model: str | None = None, **arguments: Any) -> None:
        # Written down for cache keys only; read anew from the policy.
        arguments.pop("policy_digest", None)
        mine, tier_arguments = sort_arguments(type(self), arguments)
        if isinstance(mine.get("policy"), os.PathLike):
            mine["policy"] = os.fspath(mine["policy"])
        if isinstance(mine.get("promise"), Mapping):
            from frugal_core import Promise

            mine["promise"] = Promise(**mine["promise"])
        mine["tiers"] = restored(mine.get("tiers"))
        manager = mine.get("callback_manager")
        if manager is None:
            mine.pop("callback_manager", None)
        super().__init__(**mine | {"model": model, "tier_arguments": tier_arguments})
        self._assemble()
        if manager is not None:
            self._share(manager)

    @classmethod
    def _models(cls) -> Any:
        return MODELS

    # Construction

    def _assemble(self) -> None:
        """Make what the calls need, from the fields."""
        arguments = {
            name: value
            for name in _FORWARDED
            if (value := getattr(self, name)) not in (None, PydanticProgramMode.DEFAULT)
        }
        self._assembly = assemble(
            MODELS,
            model=self.model,
            tiers=self.tiers,
            policy=self.policy,
            scorer=self.scorer,
            threshold=self.threshold,
            promise=self.promise,
            prices=self.prices,
            arguments=arguments | self.tier_arguments,
        )
        own = list(self.tiers.values() if isinstance(self.tiers, Mapping) else self.tiers or ())
        for model in self._assembly.models:
            if not any(model is one for one in own):  # made here, maybe anew
                model.callback_manager = self.callback_manager

    def _share(self, manager: CallbackManager) -> None:
        """Let the tiers report to our callbacks: each reports its own calls, and we report none."""
        for model in self._assembly.models:
            model.callback_manager = manager

    def __setattr__(self, name: str, value: Any) -> None:
        before = self.__dict__.get(name)
        super().__setattr__(name, value)
        if name == "callback_manager":
            # `Settings` sets it again on every use, and to its own value when it takes an LLM.
            if value is not before and self.__pydantic_private__:
                self._share(value)
        elif name in _REBUILT and value is not before:
            try:
                self._assemble()
            except FrugalError:
                super().__setattr__(name, before)
                raise

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, in which changed fields take effect; the tiers are shared."""
        copy = super().model_copy(update=update)
        if update:
            copy._assemble()
        return copy

    def __deepcopy__(self, memo: Any = None) -> Self:
        # A provider's client cannot be copied, and nothing of a cascade's changes in a call.
        return self.model_copy()

    # What is shown and written down

    @classmethod
    def class_name(cls) -> str:
        """Name under which LlamaIndex writes the class down."""
        return "FrugalCascadeLLM"

    def to_payload(self) -> dict[str, Any]:
        """What traces are told: what it can do, and how it decides; nothing secret."""
        plan = self._assembly.plan
        return {
            **super().to_payload(),
            "tiers": [tier.name for tier in self._assembly.tiers],
            "thresholds": list(plan.thresholds),
            "scorer": plan.scorer.id,
            "policy": self._assembly.policy_digest,
            "on_failure": self.on_failure,
        }

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        # LLMs print their keys.
        for name, value in super().__repr_args__():
            yield name, described(value) if name in _OBJECTS else value

    def __str__(self) -> str:
        return repr(self)

    @field_serializer(*_OBJECTS)
    def _written(self, value: Any) -> Any:
        return written(value)

    @model_serializer(mode="wrap")
    def custom_model_dump(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        """What `to_dict` gives; a policy file that was fitted anew makes another dictionary."""
        data: dict[str, Any] = handler(self)
        data["class_name"] = self.class_name()
        if self._assembly.policy_digest is not None:
            data["policy_digest"] = self._assembly.policy_digest
        return data

    @field_serializer("tier_arguments")
    def _plain(self, value: dict[str, Any]) -> dict[str, Any]:
        return plain(value)

    def __getstate__(self) -> dict[str, Any]:
        # Clients and callbacks cannot be pickled: they are made again from the arguments.
        arguments = {
            name: value
            for name, value in self.__dict__.items()
            if name in type(self).model_fields and name not in ("callback_manager", "rate_limiter")
        }
        return {"arguments": {**arguments, "tiers": _picklable(self.tiers)}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state["arguments"])  # type: ignore[misc]  # as LlamaIndex's components do


_REBUILT = frozenset({"model", *_OBJECTS, "threshold", *_FORWARDED, "tier_arguments"})
"""Fields that take effect through the assembly."""


def _picklable(tiers: Any) -> Any:
    """Tiers that may be pickled: LlamaIndex strips what it pickles, and these are in use."""
    if isinstance(tiers, Mapping):
        return {name: _picklable(tier) for name, tier in tiers.items()}
    if isinstance(tiers, list | tuple):
        return [_picklable(tier) for tier in tiers]
    if not hasattr(tiers, "model_copy"):
        return tiers
    return tiers.model_copy(update={"callback_manager": CallbackManager([])})


# What `load_llm` may make from a dictionary.
RECOGNIZED_LLMS[FrugalCascadeLLM.class_name()] = FrugalCascadeLLM
