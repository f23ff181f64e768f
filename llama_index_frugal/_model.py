"""What LlamaIndex asks of an LLM, for a cascade that has been put together."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection, default_completion_to_prompt
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.tools.types import BaseTool
from pydantic import BaseModel, Field, PrivateAttr

from frugal_core.cascade import OnFailure
from frugal_core.driving import arun, astream, run, stream
from frugal_core.errors import FrugalError
from llama_index_frugal._calls import Call
from llama_index_frugal._requests import STRUCTURED, TOOLS, Request, Target, ToolBox, conversation
from llama_index_frugal._responses import TIER
from llama_index_frugal._structured import StructuredCascadeLLM
from llama_index_frugal._tiers import LLMAssembly
from llama_index_frugal.events import dispatcher


class _Bare(str):
    """A prompt to which no template was applied: each tier applies its own."""


class CascadeModel(FunctionCallingLLM):
    """An LLM whose answers come from an assembly of tiers; `FrugalCascadeLLM` makes one.

    Its endpoints are not decorated with LlamaIndex's callbacks: every tier reports its own call, so
    that token counters count what was bought, and count it once.
    """

    on_failure: OnFailure = Field(default="best_draft")

    _assembly: LLMAssembly = PrivateAttr()

    # The eight endpoints

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation; see `LLM.chat`."""
        answer: ChatResponse = run(self._call(conversation(messages, kwargs)))
        return answer

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation; see `LLM.achat`."""
        answer: ChatResponse = await arun(self._call(conversation(messages, kwargs)))
        return answer

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Stream an answer; drafts are never shown. See `LLM.stream_chat`."""
        return stream(self._call(conversation(messages, kwargs)))

    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Stream an answer; drafts are never shown. See `LLM.astream_chat`."""
        return astream(self._call(conversation(messages, kwargs)))

    def _get_prompt(self, prompt: Any, **prompt_args: Any) -> str:
        text: str = super()._get_prompt(prompt, **prompt_args)
        is_bare = self.completion_to_prompt is default_completion_to_prompt
        return _Bare(text) if is_bare else text

    def complete(
        self, prompt: str | None = None, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """Complete a prompt; see `LLM.complete`."""
        answer: CompletionResponse = run(self._call(_completion(prompt, formatted, kwargs)))
        return answer

    async def acomplete(
        self, prompt: str | None = None, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """Complete a prompt; see `LLM.acomplete`."""
        answer: CompletionResponse = await arun(self._call(_completion(prompt, formatted, kwargs)))
        return answer

    def stream_complete(
        self, prompt: str | None = None, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """Stream a completion; drafts are never shown. See `LLM.stream_complete`."""
        return stream(self._call(_completion(prompt, formatted, kwargs)))

    async def astream_complete(
        self, prompt: str | None = None, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Stream a completion; drafts are never shown. See `LLM.astream_complete`."""
        return astream(self._call(_completion(prompt, formatted, kwargs)))

    def _call(self, request: Request) -> Call:
        if request.kwargs.get("n", 1) not in (1, None):
            raise FrugalError("n must be 1: a cascade returns one answer")
        return Call(self._assembly, request, self.on_failure, self.rate_limiter)

    # Tools

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        messages = list(chat_history or ())
        if isinstance(user_msg, str):
            user_msg = ChatMessage(role=MessageRole.USER, content=user_msg)
        if user_msg is not None:
            messages.append(user_msg)
        if not tools:
            return {"messages": messages, **kwargs}
        options = {
            "verbose": verbose,
            "allow_parallel_tool_calls": allow_parallel_tool_calls,
            "tool_required": tool_required,
        }
        if tool_choice is not None:
            options["tool_choice"] = tool_choice
        return {"messages": messages, TOOLS: ToolBox(tuple(tools), options), **kwargs}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Tool calls of an answer, read by the tier that gave it."""
        readers: dict[str, Any] = {
            tier.name: tier.model
            for tier in self._assembly.tiers
            if hasattr(tier.model, "get_tool_calls_from_response")
        }
        if not readers:
            raise FrugalError("no tier of this cascade can call tools")
        named = str(response.additional_kwargs.get(TIER))
        reader = readers.get(named) or list(readers.values())[-1]
        calls: list[ToolSelection] = reader.get_tool_calls_from_response(
            response, error_on_no_tool_call=error_on_no_tool_call, **kwargs
        )
        return calls

    # Structured output

    def structured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any
    ) -> Any:
        """Answer with an object; an answer that does not fit goes to the next tier."""
        _announce(output_cls, prompt, prompt_args)
        messages, target = self._targeted(output_cls, prompt, llm_kwargs, prompt_args)
        return _predicted(self.chat(messages, **{STRUCTURED: target}), output_cls)

    async def astructured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any
    ) -> Any:
        """Answer with an object; an answer that does not fit goes to the next tier."""
        _announce(output_cls, prompt, prompt_args)
        messages, target = self._targeted(output_cls, prompt, llm_kwargs, prompt_args)
        return _predicted(await self.achat(messages, **{STRUCTURED: target}), output_cls)

    def _structured_stream_call(
        self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any
    ) -> Generator[Any, None, None]:
        messages, target = self._targeted(output_cls, prompt, llm_kwargs, prompt_args)
        last = None
        for piece in self.stream_chat(messages, **{STRUCTURED: target}):
            if (found := _object(piece, output_cls)) is not last:  # the last piece brings the trail
                yield found
            last = found

    async def _structured_astream_call(
        self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any
    ) -> AsyncGenerator[Any, None]:
        messages, target = self._targeted(output_cls, prompt, llm_kwargs, prompt_args)
        pieces = await self.astream_chat(messages, **{STRUCTURED: target})

        async def objects() -> AsyncGenerator[Any, None]:
            last = None
            async for piece in pieces:
                if (found := _object(piece, output_cls)) is not last:  # as above
                    yield found
                last = found

        return objects()

    def _targeted(
        self, output_cls: Any, prompt: Any, llm_kwargs: Any, prompt_args: Any
    ) -> tuple[list[ChatMessage], Target]:
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        return messages, Target(output_cls, dict(llm_kwargs or {}))

    def as_structured_llm(self, output_cls: type[BaseModel], **kwargs: Any) -> StructuredLLM:
        """An LLM whose answers are objects, in its `raw`, with the trail beside them."""
        kwargs.setdefault("callback_manager", self.callback_manager)
        return StructuredCascadeLLM(llm=self, output_cls=output_cls, **kwargs)

    # What it can do

    @property
    def metadata(self) -> LLMMetadata:
        """What every tier can do: the smallest window, a capability only if all have it."""
        all_of = [model.metadata for model in self._assembly.models]
        name = self._assembly.tiers[-1].name
        if not all_of:
            return LLMMetadata(model_name=name, is_chat_model=True)
        outputs = [one.num_output for one in all_of if one.num_output > 0]
        roles = {one.system_role for one in all_of}
        return LLMMetadata(
            model_name=name,
            context_window=min(one.context_window for one in all_of),
            num_output=max(outputs) if outputs else -1,  # what a prompt must leave room for
            is_chat_model=all(one.is_chat_model for one in all_of),
            is_function_calling_model=all(one.is_function_calling_model for one in all_of),
            # Every model takes the user's role.
            system_role=roles.pop() if len(roles) == 1 else MessageRole.USER,
        )


def _completion(prompt: str | None, formatted: bool, kwargs: dict[str, Any]) -> Request:
    if prompt is None:
        raise FrugalError("no prompt: give the text to complete")
    return Request(None, prompt, kwargs, formatted=formatted and not isinstance(prompt, _Bare))


def _object(response: ChatResponse, output_cls: type[BaseModel]) -> Any:
    """The object in an answer; a copy from a cache holds it as JSON only."""
    if isinstance(response.raw, BaseModel):
        return response.raw
    return output_cls.model_validate_json(response.message.content or "")


def _announce(output_cls: Any, prompt: Any, prompt_args: dict[str, Any]) -> None:
    dispatcher.event(
        LLMStructuredPredictStartEvent(
            output_cls=output_cls, template=prompt, template_args=prompt_args
        )
    )


def _predicted(response: ChatResponse, output_cls: type[BaseModel]) -> Any:
    predicted = _object(response, output_cls)
    dispatcher.event(LLMStructuredPredictEndEvent(output=predicted))
    return predicted
