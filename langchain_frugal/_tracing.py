"""Who sees what: tracers see every tier below the cascade's run, everything else sees one model.

If the tiers' runs reached all handlers, usage would be counted twice, and rejected drafts would
appear in the streams of LangGraph and of `astream_events`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    BaseCallbackHandler,
    CallbackManager,
    CallbackManagerForLLMRun,
    Callbacks,
)
from langchain_core.language_models.base import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, var_child_runnable_config
from langchain_core.tracers._streaming import _StreamingCallbackHandler, _V2StreamingCallbackHandler
from langchain_core.tracers.base import AsyncBaseTracer, BaseTracer
from langchain_core.tracers.context import _configure_hooks
from langchain_core.utils.uuid import uuid7

PARENT = "frugal_parent"
"""The call argument by which `_stream` learns of the run that it is part of."""


@dataclass(frozen=True, slots=True)
class Parent:
    """The cascade's own run, as far as its tiers need it."""

    run_id: UUID
    handlers: list[BaseCallbackHandler]
    is_async: bool
    streams: bool = False
    """Whether this is the caller's own stream, for which LangChain consults no cache."""


class TracedStreams(BaseChatModel):
    """A chat model whose `_stream` and `_astream` learn of the run that they are part of.

    LangChain hands them a run manager only under its newest events; under `stream`, `astream` and
    an `invoke` that streams, a composite model could not place its parts below itself. Here they
    find a `Parent` in `kwargs[PARENT]`.
    """

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """See `BaseChatModel.stream`."""
        config = ensure_config(config)
        config["callbacks"] = manager = CallbackManager.configure(config.get("callbacks"))
        kwargs[PARENT] = _begin(config, manager.handlers, is_async=False)
        yield from super().stream(input, config, stop=stop, **kwargs)

    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """See `BaseChatModel.astream`."""
        config = ensure_config(config)
        config["callbacks"] = manager = AsyncCallbackManager.configure(config.get("callbacks"))
        kwargs[PARENT] = _begin(config, manager.handlers, is_async=True)
        async for chunk in super().astream(input, config, stop=stop, **kwargs):
            yield chunk

    def _generate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if run_manager is not None and run_manager.handlers:
            kwargs[PARENT] = _parent(run_manager)
        return super()._generate_with_cache(messages, stop, run_manager, **kwargs)

    async def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if run_manager is not None and run_manager.handlers:
            kwargs[PARENT] = _parent(run_manager)
        return await super()._agenerate_with_cache(messages, stop, run_manager, **kwargs)

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        kwargs.pop(PARENT, None)
        return super()._get_llm_string(stop, **kwargs)


def callbacks_below(parent: Parent | None) -> Callbacks:
    """The callbacks of a tier's run: the tracers of the cascade's run, below it."""
    tracers = [handler for handler in parent.handlers if _is_tracer(handler)] if parent else []
    if parent is None or not tracers:
        return []
    manager = AsyncCallbackManager if parent.is_async else CallbackManager
    return manager(tracers, tracers, parent.run_id)


class Unseen:
    """Hides the start of a tier's run from everything that listens to the cascade's run.

    LangChain adds to a run, whatever callbacks it is given, the handlers in context variables
    (`get_usage_metadata_callback`), and to a bound model the callbacks of the surrounding chain.
    They have the cascade's run, whose usage is that of all tiers.
    """

    __slots__ = ("_hidden",)

    def __enter__(self) -> None:
        self._hidden: list[tuple[Any, Any]] = [
            (variable, variable.set(None))
            for variable, *_ in _configure_hooks
            if isinstance(listening := variable.get(), BaseCallbackHandler)
            and not _is_tracer(listening)
        ]
        surrounding = var_child_runnable_config
        if surrounding.get() is not None:
            self._hidden.append((surrounding, surrounding.set(None)))

    def __exit__(self, *_: object) -> None:
        for variable, token in self._hidden:
            variable.reset(token)


def _begin(config: RunnableConfig, handlers: list[BaseCallbackHandler], is_async: bool) -> Parent:
    """Name the run that is about to start."""
    run_id = config["run_id"] = config.get("run_id") or uuid7()
    return Parent(run_id, handlers, is_async, streams=True)


def _parent(
    run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun,
) -> Parent:
    is_async = isinstance(run_manager, AsyncCallbackManagerForLLMRun)
    return Parent(run_manager.run_id, run_manager.handlers, is_async)


def _is_tracer(handler: object) -> bool:
    return isinstance(handler, BaseTracer | AsyncBaseTracer) and not isinstance(
        handler, _StreamingCallbackHandler | _V2StreamingCallbackHandler
    )
