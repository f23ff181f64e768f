"""What LangChain asks of a chat model, for a cascade that has been put together."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from langchain_core.caches import BaseCache
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.globals import get_llm_cache
from langchain_core.language_models.base import LangSmithParams, LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from pydantic import Field

from frugal_core.cascade import OnFailure
from frugal_core.driving import arun, astream, run, stream
from frugal_core.errors import FrugalError
from frugal_core.tiers import CASCADE
from langchain_frugal._contract import (
    STRUCTURED,
    StructuredOutput,
    StructuredOutputParser,
    as_openai_tool,
)
from langchain_frugal._drivers import Call
from langchain_frugal._identity import identity
from langchain_frugal._replies import as_result
from langchain_frugal._tiers import ChatAssembly
from langchain_frugal._tracing import PARENT, TracedStreams

if TYPE_CHECKING:
    from langchain_frugal._cache_streams import Slot


class CascadeModel(TracedStreams):
    """A chat model whose answers come from an assembly of tiers; `FrugalCascadeLLM` makes one."""

    temperature: float | None = Field(default=None, frozen=True)
    max_tokens: int | None = Field(default=None, alias="max_completion_tokens", frozen=True)
    on_failure: OnFailure = Field(default="best_draft", frozen=True)

    # Not private attributes of pydantic's, which are slow to read, and these are read in each call.

    @cached_property
    def _assembly(self) -> ChatAssembly:
        raise NotImplementedError

    @cached_property
    def _identity(self) -> dict[str, Any]:
        return identity(self._assembly, self.on_failure)

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
        slot = self._slot(messages, stop, kwargs)
        chunks = stream(self._call(messages, stop, kwargs))
        for chunk in chunks if slot is None else slot.through(chunks):
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
        slot = self._slot(messages, stop, kwargs)
        chunks = astream(self._call(messages, stop, kwargs))
        async for chunk in chunks if slot is None else slot.athrough(chunks):
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _convert_cached_generations(self, cache_val: list[Generation]) -> list[ChatGeneration]:
        # LangChain would hand out the stored message, with the bill of the day it was bought.
        from langchain_frugal._cache_answers import served  # who has no cache need not load ours

        return [served(hit) for hit in super()._convert_cached_generations(cache_val)]

    def _call(self, messages: list[BaseMessage], stop: Any, kwargs: dict[str, Any]) -> Call:
        parent = kwargs.pop(PARENT, None)
        if kwargs.get("n", 1) not in (1, None):
            raise FrugalError("n must be 1: a cascade returns one answer")
        kwargs.pop("stream", None)
        if stop is not None:
            kwargs["stop"] = stop
        return Call(self._assembly, messages, kwargs, self.on_failure, parent)

    def _slot(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> Slot | None:
        parent = kwargs.get(PARENT)
        if parent is None or not parent.streams:  # LangChain has looked it up
            return None
        cache = self.cache if isinstance(self.cache, BaseCache) else get_llm_cache()
        if cache is None or self.cache is False:
            return None
        from langchain_frugal._cache_streams import Slot  # who has no cache need not load ours

        return Slot.of(cache, self, messages, stop, kwargs)

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
        models = self._assembly.models
        if not models:
            raise NotImplementedError("the student is the only tier, and it has no tokenizer")
        return models[-1]

    # What tracers and caches are told

    @property
    def _llm_type(self) -> str:
        return "frugal-cascade"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._identity

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


# LangChain inspects these anew on every call.
for _method in (CascadeModel._generate, CascadeModel._agenerate):
    _method.__dict__["__signature__"] = inspect.signature(_method)
