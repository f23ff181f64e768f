"""The semantic cache as a middleware of LangChain's agents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables.config import ensure_config
from langchain_core.runnables.configurable import DynamicRunnable

from frugal_core.cache.calls import Asked, Calls
from langchain_frugal._cache_answers import LangChainControls
from langchain_frugal._cache_messages import asked

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
except ImportError as error:
    raise ImportError(
        'SemanticCacheMiddleware needs LangChain\'s agents: pip install "frugal-cascade[langchain]"'
    ) from error


class SemanticCacheMiddleware(LangChainControls, AgentMiddleware[Any, Any, Any]):
    """A cache for the model calls of one agent, without anything global.

    What is served is described at `FrugalCache`; here as there, with tools bound, only the very
    same prompts are. It looks up what the model is asked in the end, whatever other middlewares
    have made of it; it is passed by where one that comes later chooses another model. Calls with a
    `response_format` are not cached, because the parsed response cannot be kept as JSON.

    Args:
        location, ...: See `CacheControls`: error_bound, scope, embed, ttl, confidence, max_entries,
            judge, judge_rate, tool_calls, tags, cache.

    Raises:
        ImportError: if LangChain's agents are not installed.

    Example:
        ```python
        from langchain.agents import create_agent
        from langchain_frugal import SemanticCacheMiddleware

        agent = create_agent(llm, tools, middleware=[SemanticCacheMiddleware("answers.sqlite")])
        ```
    """

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Answer a model call from the cache, or keep the answer of the model."""
        cache = _CallCache(self._calls)
        try:
            return handler(_through(request, cache))
        finally:
            cache.close()

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """See `wrap_model_call`."""
        cache = _CallCache(self._calls)
        try:
            return await handler(_through(request, cache))
        finally:
            cache.close()


class _CallCache(BaseCache):
    """The cache of one model call, which may be tried several times.

    Args:
        calls: The middleware's.
    """

    def __init__(self, calls: Calls[Any]) -> None:
        self._calls = calls
        self._asked: Asked | None = None

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        self.close()  # what was asked before has failed
        prompted = asked(prompt, llm_string)
        found = self._calls.lookup(prompted)
        if found is None:
            self._asked = prompted
        return found

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        self.close()
        prompted = asked(prompt, llm_string)
        found = await self._calls.alookup(prompted)
        if found is None:
            self._asked = prompted
        return found

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        if (prompted := self._taken()) is not None:
            self._calls.update(prompted, return_val)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        if (prompted := self._taken()) is not None:
            await self._calls.aupdate(prompted, return_val)

    def clear(self, **kwargs: Any) -> None:
        """A model call clears nothing."""

    def _taken(self) -> Asked | None:
        """What is looked up and not answered yet; from now on, that is somebody else's task."""
        prompted, self._asked = self._asked, None
        return prompted

    def close(self) -> None:
        """Let equal calls go on, if there was no answer."""
        if (prompted := self._taken()) is not None:
            self._calls.give_up(prompted)


def _through(request: ModelRequest[Any], cache: _CallCache) -> ModelRequest[Any]:
    """The request to a model that looks up in the cache; as it is if that cannot be."""
    if request.response_format is not None:
        return request
    try:
        model = _resolved(request.model)
        return request.override(model=model.model_copy(update={"cache": cache}))
    except Exception:  # no chat model, or one that cannot be copied; models raise what they like
        return request


def _resolved(model: Any) -> BaseChatModel:
    """The model that this run's configuration chooses."""
    config = ensure_config()
    if isinstance(model, DynamicRunnable):
        model, _ = model.prepare(config)
    choose = getattr(model, "_model", None)  # of `init_chat_model` without a model
    if not isinstance(model, BaseChatModel) and callable(choose):
        model = choose(config)
    if not isinstance(model, BaseChatModel):
        raise TypeError(f"{type(model).__name__} is no chat model")
    return model
