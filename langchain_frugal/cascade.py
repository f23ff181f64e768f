"""`FrugalCascadeLLM`: a chat model that asks cheap models first."""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LangSmithParams, LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, SkipValidation

from frugal_core.cascade import OnFailure
from frugal_core.errors import FrugalError
from langchain_frugal._arguments import forwarded, serialisable, sort_arguments
from langchain_frugal._contract import (
    STRUCTURED,
    StructuredOutput,
    StructuredOutputParser,
    as_openai_tool,
)
from langchain_frugal._drivers import Call, arun, astream, run, stream
from langchain_frugal._identity import common_profile, identity
from langchain_frugal._replies import as_result
from langchain_frugal._tiers import CASCADE, Assembly, Tiers, assemble, models_among
from langchain_frugal._tracing import PARENT, TracedStreams

if TYPE_CHECKING:
    from frugal_core import Policy, Recording


class FrugalCascadeLLM(TracedStreams):
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
        on_failure: Where the last tier fails: "best_draft" returns the best rejected answer,
            flagged; "raise" raises.
        prices: USD per million tokens by model, `{"my-model": [0.1, 0.4]}`, or a JSON file; over
            the built-in table.
        temperature, max_tokens, timeout, max_retries, api_key, base_url, ...: Every argument of
            `ChatOpenAI`; they go to every tier that is built here.

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
    on_failure: OnFailure = Field(default="best_draft", frozen=True)
    prices: Any = Field(default=None, frozen=True, repr=False)

    temperature: float | None = Field(default=None, frozen=True)
    max_tokens: int | None = Field(default=None, alias="max_completion_tokens", frozen=True)
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

    _assembly: Assembly = PrivateAttr()
    _identity: dict[str, Any] = PrivateAttr()

    def __init__(self, **arguments: Any) -> None:
        # Written down for cache keys only (see lc_attributes); computed anew from the arguments.
        arguments.pop("fingerprint", None)
        if isinstance(arguments.get("policy"), os.PathLike):
            arguments["policy"] = os.fspath(arguments["policy"])
        super().__init__(**sort_arguments(type(self), arguments))
        self._assemble()

    @classmethod
    def from_policy(
        cls, policy: Policy | str | os.PathLike[str], tiers: Tiers | None = None, **arguments: Any
    ) -> FrugalCascadeLLM:
        """A cascade that follows a fitted policy.

        Args:
            policy: The policy or its file.
            tiers: Models for the policy's tiers, matched by name; built from the names if omitted.
            **arguments: As for the constructor.

        Raises:
            PolicyError: if the file is broken, or a tier of the policy is missing.
        """
        return cls(policy=policy, tiers=tiers, **arguments)

    @classmethod
    def fit(
        cls,
        recording: Recording | str | os.PathLike[str],
        *,
        tiers: Tiers | None = None,
        promise: Any = None,
        budget: Any = None,
        prices: Any = None,
        reference: str = "best",
        student: bool = True,
        labels: Literal["gold", "reference"] = "gold",
        seed: int = 0,
        **arguments: Any,
    ) -> FrugalCascadeLLM:
        """Fit a policy on recorded answers and return the cascade that follows it.

        The policy is the cascade's `policy`: save it with `llm.policy.save(path)`.

        Args:
            recording: Queries with every model's answers, or their file.
            tiers: The models that may be used, as for the constructor; all of the recording's by
                default.
            promise, budget, reference, student, labels, seed: See `frugal_core.fit`.
            prices: USD per million tokens by model, over the built-in table.
            **arguments: As for the constructor.

        Raises:
            FitError: if no policy can be fitted on the recording.
        """
        import frugal_core

        if not isinstance(recording, frugal_core.Recording):
            recording = frugal_core.Recording.load(os.fspath(recording), prices=prices)
        usable = None if tiers is None else models_among(tiers, recording.models)
        policy = frugal_core.fit(
            recording,
            tiers=usable,
            promise=promise,
            budget=budget,
            reference=reference,
            student=student,
            labels=labels,
            seed=seed,
        )
        return cls(policy=policy, tiers=tiers, **arguments)

    # Calls

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return as_result(run(self._call(messages, stop, kwargs)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return as_result(await arun(self._call(messages, stop, kwargs)))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in stream(self._call(messages, stop, kwargs)):
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in astream(self._call(messages, stop, kwargs)):
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _call(self, messages: list[BaseMessage], stop: Any, kwargs: dict[str, Any]) -> Call:
        parent = kwargs.pop(PARENT, None)
        if kwargs.get("n", 1) not in (1, None):
            raise FrugalError("n must be 1: a cascade returns one answer")
        kwargs.pop("stream", None)
        if stop is not None:
            kwargs["stop"] = stop
        return Call(self._assembly, messages, kwargs, self.on_failure, parent)

    # Tools and structured output

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools; each tier gets them in its own provider's way.

        Args:
            tools: Anything `convert_to_openai_tool` takes, or a provider's own tool as a dict.
            tool_choice: A tool's name, "auto", "any", "none", True, or a provider's dict.
            **kwargs: `strict`, `parallel_tool_calls`, `response_format`, and what else the
                providers' `bind_tools` take.
        """
        strict = kwargs.get("strict")
        if strict is None and kwargs.get("response_format"):
            strict = True  # as ChatOpenAI does: OpenAI parses a response format with no other tools
        formatted = [as_openai_tool(tool, strict) for tool in tools]
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=formatted, **kwargs)

    def with_structured_output(
        self, schema: Any = None, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Answer in a schema; an answer that does not fit goes to the next tier.

        Args:
            schema: A pydantic class (v2 or v1), a TypedDict, or a JSON schema; may be omitted with
                `method="json_mode"`.
            include_raw: Return `{"raw": message, "parsed": value, "parsing_error": error or None}`.
            **kwargs: `method` ("json_schema", "function_calling", "json_mode"), `strict`, and what
                else the tiers' providers take; what is absent is left to each provider's default.

        Raises:
            ValueError: without a schema, unless the method is "json_mode".
        """
        if schema is None and kwargs.get("method") != "json_mode":
            raise ValueError('schema is missing; only method="json_mode" works without one')
        options = {name: value for name, value in kwargs.items() if value is not None}
        target = StructuredOutput(schema, options)
        shown = {"kwargs": options, "schema": schema}
        llm = self.bind(**{STRUCTURED: target}, ls_structured_output_format=shown)
        parser = StructuredOutputParser(target=target)
        if not include_raw:
            return llm | parser
        parsed = RunnablePassthrough.assign(
            parsed=(lambda answer: answer["raw"]) | parser, parsing_error=lambda _: None
        )
        unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=llm) | parsed.with_fallbacks(
            [unparsed], exception_key="parsing_error"
        )

    # Identity

    @property
    def model(self) -> str | None:
        """The reference, as in `ChatOpenAI`."""
        return self.model_name

    @property
    def _llm_type(self) -> str:
        return "frugal-cascade"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._identity

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

    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        # What the base class computes, without its search for deprecated overrides on each call.
        kwargs.pop(PARENT, None)
        return {**self._identity, "_type": self._llm_type, "stop": stop, **kwargs}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        # No real provider's name: a tracer would price the sum of all tiers as one model's.
        params = LangSmithParams(
            ls_provider=CASCADE,
            ls_model_name=str(kwargs.get("model") or self._identity["model_name"]),
            ls_model_type="chat",
        )
        if (temperature := kwargs.get("temperature", self.temperature)) is not None:
            params["ls_temperature"] = temperature
        if (max_tokens := kwargs.get("max_tokens", self.max_tokens)) is not None:
            params["ls_max_tokens"] = max_tokens
        if stop:
            params["ls_stop"] = stop
        return params

    # Tokens

    def get_token_ids(self, text: str) -> list[int]:
        """Token ids by the last tier's tokenizer."""
        return self._last.get_token_ids(text)

    def get_num_tokens(self, text: str) -> int:
        """Tokens of a text by the last tier's tokenizer; an estimate if that is out of reach."""
        try:
            return self._last.get_num_tokens(text)
        except Exception:  # tokenizers are downloaded, and fail in as many ways as networks do
            return count_tokens_approximately([("user", text)])

    def get_num_tokens_from_messages(
        self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None, **kwargs: Any
    ) -> int:
        """Tokens of messages by the last tier's tokenizer; an estimate if that is out of reach."""
        try:
            return self._last.get_num_tokens_from_messages(list(messages), tools, **kwargs)
        except Exception:  # see get_num_tokens
            return count_tokens_approximately(messages)

    @property
    def _last(self) -> BaseChatModel:
        models = [tier.model for tier in self._assembly.tiers if tier.model is not None]
        if not models:
            raise NotImplementedError("the student is the only tier, and it has no tokenizer")
        return models[-1]

    # Construction

    def _assemble(self) -> None:
        """Make what the calls need, once, from the fields."""
        arguments = forwarded(self) | self.tier_arguments
        if arguments.pop("n", None) not in (1, None):
            raise FrugalError("n must be 1: a cascade returns one answer")
        if "output_version" in self.model_fields_set and self.output_version not in (None, "v1"):
            # "v1" is LangChain's own format, into which it brings our answer.
            arguments["output_version"] = self.output_version
        self._assembly = assemble(
            model=self.model_name,
            tiers=self.tiers,
            policy=self.policy,
            scorer=self.scorer,
            threshold=self.threshold,
            promise=self.promise,
            prices=self.prices,
            arguments=arguments,
        )
        self._identity = identity(self._assembly, self.on_failure)
        if self.profile is None:
            self.profile = common_profile(self._assembly)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, in which changed fields take effect."""
        copy = super().model_copy(update=update, deep=deep)
        if update:
            copy._assemble()
        return copy

    def __getstate__(self) -> dict[Any, Any]:
        # Providers' clients cannot be pickled; they are made again from the arguments.
        return {**super().__getstate__(), "__pydantic_private__": None}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        object.__setattr__(self, "__pydantic_private__", {})
        self._assemble()


# LangChain inspects these anew on every call.
for _method in (FrugalCascadeLLM._generate, FrugalCascadeLLM._agenerate):
    _method.__dict__["__signature__"] = inspect.signature(_method)
