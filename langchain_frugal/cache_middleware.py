"""The semantic cache as a middleware of LangChain's agents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables.config import ensure_config
from langchain_core.runnables.configurable import DynamicRunnable
from langchain_core.utils.function_calling import convert_to_openai_tool

from frugal_core.cache.calls import Asked
from langchain_frugal._cache_answers import LangChainControls
from langchain_frugal._cache_messages import asked, prompt_of

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
except ImportError as error:
    raise ImportError(
        'SemanticCacheMiddleware needs LangChain\'s agents: pip install "frugal-cascade[langchain]"'
    ) from error


class SemanticCacheMiddleware(LangChainControls, AgentMiddleware[Any, Any, Any]):
    """A cache for the model calls of one agent, without anything global.

    What is served is described at `FrugalCache`; here as there, with tools bound, only the very
    same prompts are. Unlike `SemanticCacheCallback` it is part of the agent and not of a run, and a
    hit is no run of a model: callbacks and tracers do not see it. Calls with a `response_format`
    are not cached, because the parsed response cannot be kept as JSON.

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
        prompt = _asked(request)
        if prompt is None:
            return handler(request)
        if found := self._calls.lookup(prompt):
            return _response(found[0])
        try:
            response = handler(request)
        except BaseException:
            self._calls.give_up(prompt)
            raise
        self._calls.update(prompt, _generations(response))
        return response

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """See `wrap_model_call`."""
        prompt = _asked(request)
        if prompt is None:
            return await handler(request)
        if found := await self._calls.alookup(prompt):
            return _response(found[0])
        try:
            response = await handler(request)
        except BaseException:
            self._calls.give_up(prompt)
            raise
        await self._calls.aupdate(prompt, _generations(response))
        return response


def _asked(request: ModelRequest[Any]) -> Asked | None:
    """The prompt of a model call; None if it is not to be cached."""
    if request.response_format is not None:
        return None
    try:
        model = _resolved(request.model)
        kwargs = dict(request.model_settings)
        if request.tools:
            kwargs["tools"] = [_tool(tool) for tool in request.tools]
            kwargs["tool_choice"] = request.tool_choice
        system = [request.system_message] if request.system_message is not None else []
        return asked(prompt_of([*system, *request.messages]), model._get_llm_string(**kwargs))
    except Exception:  # a tool or a model that cannot be written down; models raise what they like
        return None


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


def _tool(tool: Any) -> dict[str, Any]:
    return tool if isinstance(tool, dict) else convert_to_openai_tool(tool)


def _generations(response: ModelResponse[Any]) -> list[ChatGeneration]:
    """What the model said, if it is one message; nothing, which is not kept, if it is more."""
    result = response.result
    if len(result) != 1 or not isinstance(result[0], AIMessage):
        return []
    return [ChatGeneration(message=result[0])]


def _response(generation: Any) -> ModelResponse[Any]:
    return ModelResponse(result=[generation.message])
