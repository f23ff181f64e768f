"""One call of a cascade, as `frugal_core.driving` carries it out with LangChain's models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any, cast

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata, add_ai_message_chunks
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk
from langchain_core.runnables import Runnable, RunnableConfig

from frugal_core.cascade import Ask, Failure, OnFailure, Outcome, Reply
from frugal_core.driving import Live, Loop, on_a_live_loop
from frugal_core.loop import VERIFICATION, cascade
from langchain_frugal._contract import FORMAT_ARGUMENTS, STRUCTURED, Contract
from langchain_frugal._replies import (
    add_bill,
    as_chunk,
    bought_usage,
    final_message,
    is_text,
    no_usage,
    passing,
    query_of,
    read_error,
    read_message,
    replay,
    says_something,
)
from langchain_frugal._tiers import ChatAssembly, uses_responses_api
from langchain_frugal._tracing import Parent, Unseen, callbacks_below


class Call:
    """What is known while one question goes through the cascade.

    Args:
        assembly: The cascade's tiers.
        messages: The caller's.
        kwargs: The call's arguments; `model` among them pins the call to that tier.
        on_failure: See `frugal_core.loop.cascade`.
        parent: The cascade's own run, if it is known.
    """

    def __init__(
        self,
        assembly: ChatAssembly,
        messages: list[BaseMessage],
        kwargs: dict[str, Any],
        on_failure: OnFailure,
        parent: Parent | None,
    ) -> None:
        pinned = kwargs.pop("model", None)
        self.assembly = assembly if pinned is None else assembly.pinned(pinned)
        self.messages = messages
        self.kwargs = kwargs
        self.contract = Contract.of(kwargs)
        self.callbacks = callbacks_below(parent)
        self.usage: UsageMetadata | None = None
        self.asked = False
        self.loop: Loop = cascade(
            self.assembly.plan,
            query_of(messages),
            plain=self.contract is None and is_text(messages),
            on_failure=on_failure,
        )

    def request(self, ask: Ask) -> tuple[Runnable[Any, Any], list[BaseMessage], dict[str, Any]]:
        """What to call, on which messages, with which arguments."""
        self.asked = True
        tier = self.assembly.tiers[ask.tier]
        model = tier.model
        assert model is not None, "the core answers for a student itself"
        kwargs = dict(self.kwargs)
        if ask.verify is not None:
            for name in FORMAT_ARGUMENTS:
                kwargs.pop(name, None)
            kwargs.pop("stop", None)
            draft = AIMessage(ask.verify.text)
            return model, [*self.messages, draft, HumanMessage(VERIFICATION)], kwargs
        if not ask.live and self.contract is None and not uses_responses_api(model, kwargs):
            kwargs = {**tier.draft_options, **kwargs}
        structured = kwargs.pop(STRUCTURED, None)
        if structured is not None:
            return structured.ask(model, kwargs), self.messages, {}
        if tools := kwargs.pop("tools", None):
            return model.bind_tools(tools, **kwargs), self.messages, {}
        return model, self.messages, kwargs

    def config(self, ask: Ask) -> RunnableConfig:
        """How a tier runs: traced below our run, and unseen by every other handler."""
        if not self.callbacks:
            return {"callbacks": []}
        name = self.assembly.tiers[ask.tier].name
        return {"callbacks": self.callbacks, "tags": ["nostream"], "run_name": name}

    def read(self, ask: Ask, message: AIMessage) -> Reply:
        """A tier's message as the core's reply, its bill added."""
        self.usage = add_bill(self.usage, bought_usage(message))
        return read_message(message, None if ask.verify is not None else self.contract)

    def failed(self, error: Exception) -> Failure:
        """An exception as the core takes it, its bill added."""
        failure, usage = read_error(error)
        self.usage = add_bill(self.usage, usage)
        return failure

    def final(self, outcome: Outcome) -> AIMessage:
        """The answer, with the bill and the trail."""
        tier = self.assembly.tiers[outcome.tier]
        # What only the scorer asked for is none of the caller's.
        unasked = [name for name in tier.draft_options if name not in self.kwargs]
        usage = self.usage
        if not self.asked:  # the student answered by itself: known to be nothing, not unknown
            usage = no_usage()
        return final_message(outcome.reply, tier.name, usage, self.assembly.trail(outcome), unasked)

    def ask(self, ask: Ask) -> Reply | Failure:
        """Do what the loop asks for, and wait for the whole answer."""
        try:
            runnable, messages, kwargs = self.request(ask)
            with Unseen():
                message = _invoke(runnable, messages, self.config(ask), kwargs)
            return self.read(ask, message)
        except Exception as error:
            return self.failed(error)

    async def aask(self, ask: Ask) -> Reply | Failure:
        """Do what the loop asks for, and await the whole answer."""
        try:
            runnable, messages, kwargs = self.request(ask)
            config = self.config(ask)
            with Unseen():
                message = await on_a_live_loop(lambda: _ainvoke(runnable, messages, config, kwargs))
            return self.read(ask, message)
        except Exception as error:
            return self.failed(error)

    def live(self, ask: Ask) -> LiveTier:
        """Prepare to pass on the last tier's answer as it comes."""
        return LiveTier(self, ask)

    def passed(self, chunk: AIMessageChunk) -> ChatGenerationChunk:
        """A live chunk as it may go on to the caller."""
        return ChatGenerationChunk(message=passing(chunk))

    def ending(
        self, outcome: Outcome, live: Live[AIMessageChunk] | None
    ) -> Iterator[ChatGenerationChunk]:
        """What is left to stream: the accepted draft, and a last chunk with bill and trail."""
        message = self.final(outcome)
        metadata = message.response_metadata
        if live is not None and live.emitted:
            streamed = outcome.reply.payload.response_metadata
            metadata = {name: value for name, value in metadata.items() if name not in streamed}
        else:
            for chunk in replay(message):
                yield ChatGenerationChunk(message=chunk)
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="" if isinstance(message.content, str) else [],
                usage_metadata=message.usage_metadata,
                response_metadata=metadata,
                id=message.id,
                chunk_position="last",
            )
        )


class LiveTier(Live[AIMessageChunk]):
    """The last tier's stream."""

    def __init__(self, call: Call, ask: Ask) -> None:
        super().__init__()
        self.call = call
        self.asked = ask

    def start(self) -> Generator[AIMessageChunk, None, None]:
        """Ask the tier, and give its chunks."""
        runnable, messages, kwargs = self.call.request(self.asked)
        stream = runnable.stream(messages, self.call.config(self.asked), **kwargs)
        with closing(_begun(stream)) as chunks:
            yield from map(as_chunk, chunks)

    async def astart(self) -> AsyncGenerator[AIMessageChunk, None]:
        """Ask the tier, and give its chunks asynchronously."""
        runnable, messages, kwargs = self.call.request(self.asked)
        config = self.call.config(self.asked)
        stream = _abegun(lambda: runnable.astream(messages, config, **kwargs))
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                yield as_chunk(chunk)

    def says_something(self, chunk: AIMessageChunk) -> bool:
        """Whether a chunk carries a part of the answer, not only its frame."""
        return says_something(chunk)

    def failed(self, error: Exception) -> Failure:
        """What the tier raised."""
        return replace(self.call.failed(error), emitted=self.emitted)

    def read(self) -> Reply:
        """The whole answer."""
        return self.call.read(self.asked, add_ai_message_chunks(*self.chunks))


def _invoke(
    runnable: Runnable[Any, Any], messages: list[BaseMessage], config: RunnableConfig, kwargs: Any
) -> Any:
    """Invoke a tier; of a chat model, without converting again what ours was invoked with."""
    if getattr(type(runnable), "invoke", None) is not BaseChatModel.invoke:
        return runnable.invoke(messages, config, **kwargs)
    result = cast(BaseChatModel, runnable).generate([messages], **config, **kwargs)
    return cast(ChatGeneration, result.generations[0][0]).message


async def _ainvoke(
    runnable: Runnable[Any, Any], messages: list[BaseMessage], config: RunnableConfig, kwargs: Any
) -> Any:
    """As `_invoke`, asynchronously."""
    if getattr(type(runnable), "ainvoke", None) is not BaseChatModel.ainvoke:
        return await runnable.ainvoke(messages, config, **kwargs)
    result = await cast(BaseChatModel, runnable).agenerate([messages], **config, **kwargs)
    return cast(ChatGeneration, result.generations[0][0]).message


def _begun(chunks: Iterator[Any]) -> Generator[Any, None, None]:
    """A tier's stream, started out of sight of what listens to our own run."""
    with closing(chunks):  # type: ignore[type-var]  # LangChain's streams are generators
        with Unseen():
            first = next(chunks, None)
        if first is not None:
            yield first
            yield from chunks


async def _abegun(start: Callable[[], AsyncIterator[Any]]) -> AsyncGenerator[Any, None]:
    """A tier's asynchronous stream, started out of sight of what listens to our own run."""

    async def begin() -> tuple[AsyncIterator[Any], Any]:
        chunks = start()
        with Unseen():
            return chunks, await anext(chunks, None)  # only now is anything sent

    chunks, first = await on_a_live_loop(begin)
    async with aclosing(chunks):  # type: ignore[type-var]  # LangChain's streams are generators
        if first is not None:
            yield first
            async for chunk in chunks:
                yield chunk
