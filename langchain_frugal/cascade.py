"""`FrugalCascadeLLM`: a chat model that asks cheap models first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Self, cast

from langchain_core.load.serializable import SerializedConstructor, SerializedNotImplemented
from pydantic import ConfigDict, Field, SecretStr, SkipValidation, field_serializer

from frugal_core.assembly import assemble
from frugal_core.errors import FrugalError
from frugal_core.fitted import Fitted
from frugal_core.secrecy import without_secrets
from langchain_frugal._arguments import forwarded, public, serialisable, sort_arguments
from langchain_frugal._identity import common_profile, described
from langchain_frugal._model import CascadeModel
from langchain_frugal._tiers import CHAT_MODELS, ChatAssembly, Tiers

_OBJECTS = (
    "tiers",
    "policy",
    "promise",
    "scorer",
    "prices",
    "request_timeout",
    "openai_api_key",
    "openai_api_base",
)
"""Fields whose values need not be plain or may hold secrets; they are shown in words."""


class FrugalCascadeLLM(Fitted, CascadeModel):
    """A chat model that asks cheap models first, and dearer ones only where that is needed.

    It stands wherever `ChatOpenAI` (or another chat model) stood. A tier's answer is accepted if it
    scores high enough; else the next tier is asked. With a fitted policy, scorer and thresholds
    were learned from recorded answers, and the loss of quality against the reference model is
    bounded by a tested promise. Without one, the tiers' own log-probabilities decide, or their
    judgement of their own answer where they give none, and nothing is promised.

    Setup:
        ```bash
        pip install "frugal-cascade[langchain]"
        export OPENAI_API_KEY="..."
        ```

    Key init args:
        model: The reference: the model that stood here before, and the last tier. Cheaper tiers
            are taken from a dated table of its family, unless `tiers` or `policy` say otherwise.
        tiers: Chat models or "provider:model" strings, cheapest first; or a mapping of names to
            them.
        policy: A fitted policy, or the path of one.
        promise: What the policy must promise at least: a `Promise`, or its epsilon.
        scorer: A function (query, answer) -> P(correct), or an object with `judge` and `id`.
        threshold: The score that accepts an answer where no policy says so; 0.8 by default, a rule
            of thumb for the geometric mean of token probabilities.
        on_failure: Where the last tier fails or gives nothing to use (an empty answer, a broken
            tool call or schema): "best_draft" returns the best rejected answer, flagged; "raise"
            raises, or returns what the last tier said.
        prices: USD per million tokens by model, `{"my-model": [0.1, 0.4]}`, or a JSON file; over
            the built-in table.
        temperature, max_tokens, timeout, max_retries, rate_limiter, api_key, base_url, ...: Every
            argument of `ChatOpenAI`; they go to every tier that is built here.

    Instantiate:
        ```python
        from langchain_frugal import FrugalCascadeLLM

        llm = FrugalCascadeLLM(model="gpt-4o", temperature=0)  # gpt-4o-mini, then gpt-4o
        llm = FrugalCascadeLLM(tiers=["openai:gpt-4o-mini", "openai:gpt-4o"], policy="my.frugal")
        ```

    Invoke:
        ```python
        message = llm.invoke("What is the capital of France?")
        message.content  # 'Paris'
        message.usage_metadata  # of all tiers together
        message.response_metadata["frugal"]  # which tier answered, why, and what each cost
        ```

    Stream:
        ```python
        for chunk in llm.stream("Tell me about Paris."):
            print(chunk.text, end="")
        ```
        Drafts are never shown: an accepted one is replayed, and only the last tier streams live.

    Tool calling:
        ```python
        def get_weather(city: str) -> str:
            '''Look up the weather.'''
            return "sunny"


        llm.bind_tools([get_weather]).invoke("What is the weather in Paris?").tool_calls
        ```
        An unknown tool, or arguments that do not fit its schema, go to the next tier.

    Structured output:
        ```python
        from pydantic import BaseModel


        class Person(BaseModel):
            name: str
            age: int


        llm.with_structured_output(Person).invoke("Ada Lovelace, aged 36")
        ```
        So does an answer that does not fit the schema.
    """

    model_config = ConfigDict(populate_by_name=True, hide_input_in_errors=True)

    model_name: str | None = Field(default=None, alias="model", frozen=True)
    tiers: SkipValidation[Tiers | None] = Field(default=None, frozen=True)
    policy: Any = Field(default=None, frozen=True, repr=False)
    promise: Any = Field(default=None, frozen=True)
    scorer: Any = Field(default=None, frozen=True)
    threshold: float | None = Field(default=None, ge=0, le=1, frozen=True)
    prices: Any = Field(default=None, frozen=True, repr=False)

    top_p: float | None = Field(default=None, frozen=True)
    seed: int | None = Field(default=None, frozen=True)
    stop: list[str] | str | None = Field(default=None, alias="stop_sequences", frozen=True)
    reasoning_effort: str | None = Field(default=None, frozen=True)
    request_timeout: Any = Field(default=None, alias="timeout", frozen=True)
    max_retries: int | None = Field(default=None, frozen=True)
    openai_api_key: SecretStr | Callable[[], Any] | None = Field(
        default=None, alias="api_key", frozen=True
    )
    openai_api_base: str | None = Field(default=None, alias="base_url", frozen=True)
    openai_organization: str | None = Field(default=None, alias="organization", frozen=True)
    streaming: bool = False
    """Whether `invoke` streams too, as in `ChatOpenAI`."""
    tier_arguments: dict[str, Any] = Field(
        default_factory=dict, frozen=True, repr=False, exclude=True
    )
    """Arguments of `ChatOpenAI` that have no field here, by the name of its field."""

    def __init__(self, **arguments: Any) -> None:
        # Written down for cache keys only (see lc_attributes); computed anew from the arguments.
        arguments.pop("fingerprint", None)
        if isinstance(arguments.get("policy"), os.PathLike):
            arguments["policy"] = os.fspath(arguments["policy"])
        super().__init__(**sort_arguments(type(self), arguments))
        self._assemble()

    @classmethod
    def _models(cls) -> Any:
        return CHAT_MODELS

    # What is shown and written down

    @property
    def model(self) -> str | None:
        """The reference, as in `ChatOpenAI`."""
        return self.model_name

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        # Tiers print their headers, and headers hold keys.
        for name, value in super().__repr_args__():
            yield name, described(value) if name in _OBJECTS else value

    @field_serializer(*_OBJECTS)
    def _in_words(self, value: Any) -> Any:
        return described(value)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether LangChain may write this model down."""
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Where LangChain looks for the class."""
        return ["langchain_frugal", "cascade"]

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Constructor arguments that are read from the environment instead of written down."""
        return {"openai_api_key": "OPENAI_API_KEY"}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """What is written down besides the fields; the fingerprint keeps cache keys apart."""
        written = serialisable(self.tier_arguments)
        return {**written, "fingerprint": self._identity["fingerprint"]}

    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """What LangChain writes down: no keys, no headers, no users of addresses."""
        constructor: Any = super().to_json()
        if "kwargs" in constructor:
            given = constructor["kwargs"]
            constructor["kwargs"] = {n: without_secrets(v, public) for n, v in given.items()}
        return cast(SerializedConstructor, constructor)

    # Construction

    def _assemble(self) -> None:
        """Make what the calls need from the fields, now: whoever gave a wrong one is told here."""
        for made in ("_assembly", "_identity", "_serialized"):  # a copy has its original's
            self.__dict__.pop(made, None)
        profile = common_profile(self._assembly)
        if self.profile is None:
            self.profile = profile

    @cached_property
    def _assembly(self) -> ChatAssembly:
        arguments = forwarded(self) | self.tier_arguments
        if arguments.pop("n", None) not in (1, None):
            raise FrugalError("n must be 1: a cascade returns one answer")
        if "output_version" in self.model_fields_set and self.output_version not in (None, "v1"):
            # "v1" is LangChain's own format, into which it brings our answer.
            arguments["output_version"] = self.output_version
        return assemble(
            CHAT_MODELS,
            model=self.model_name,
            tiers=self.tiers,
            policy=self.policy,
            scorer=self.scorer,
            threshold=self.threshold,
            promise=self.promise,
            prices=self.prices,
            arguments=arguments,
        )

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, in which changed fields take effect."""
        copy = super().model_copy(update=update, deep=deep)
        if update:
            copy._assemble()
        return copy

    def __getstate__(self) -> dict[Any, Any]:
        # Providers' clients cannot be pickled; they are made again from the arguments.
        state = super().__getstate__()
        fields = {k: v for k, v in state["__dict__"].items() if k in type(self).model_fields}
        return {**state, "__dict__": fields}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._assemble()
