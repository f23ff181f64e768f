"""The semantic cache for LangChain: as a callback of single runs, or as the global cache."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from langchain_core.caches import RETURN_VAL_TYPE
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult

from frugal_core.cache.calls import SHORT_PATIENCE
from langchain_frugal._cache_answers import LangChainControls
from langchain_frugal._cache_messages import asked
from langchain_frugal._cache_router import (
    Run,
    StreamCache,
    ended_run,
    install,
    open_run,
    speaking_run,
)
from langchain_frugal._cache_warming import keep


class FrugalCache(LangChainControls, StreamCache):
    """A cache for all models of a process, or for one: `set_llm_cache`, `ChatOpenAI(cache=...)`.

    The very same prompt is served from the exact layer; another wording of its last human message
    from the semantic one, if everything else is the same (model, parameters, system prompt,
    history, retrieved context in other messages) and the certified threshold is reached. Answers to
    short follow-ups, prompts with images, calls with tools or an output schema, with a temperature
    above 0.3 or with `n` above 1 are served to the very same prompt alone. Tool calls, refusals and
    answers cut short are not kept.

    Of equal prompts at the same time one is sent, the others wait for its answer. LangChain does
    not tell a cache that a call failed: in a synchronous call, equal prompts of other threads then
    wait for up to 15 seconds.

    Args:
        location, ...: See `CacheControls`: error_bound, scope, embed, ttl, confidence, max_entries,
            judge, judge_rate, tool_calls, tags, cache.

    Example:
        ```python
        from langchain_core.globals import set_llm_cache
        from langchain_frugal import FrugalCache

        set_llm_cache(FrugalCache("answers.sqlite"))
        llm.invoke("How do I learn Python quickly?")
        message = llm.invoke("How can I learn Python quickly?")
        message.response_metadata["frugal_cache"]  # {'layer': 'semantic', 'score': 0.82, ...}
        ```
    """

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The stored answer, as fresh generations; None if the model must be asked.

        Args:
            prompt: Messages as LangChain writes them down, or a plain prompt.
            llm_string: Model and parameters.
        """
        return self._calls.lookup(asked(prompt, llm_string), SHORT_PATIENCE)

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """See `lookup`."""
        return await self._calls.alookup(asked(prompt, llm_string))

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Keep an answer, if it may be kept."""
        self._calls.update(asked(prompt, llm_string), return_val)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """See `update`."""
        await self._calls.aupdate(asked(prompt, llm_string), return_val)

    def clear(self, **kwargs: Any) -> None:
        """Delete all entries of this scope, or those that the arguments of `invalidate` name."""
        self.invalidate(**(kwargs or {"everything": True}))

    def serves(self, llm_string: str) -> bool:
        """See `StreamCache`: all models."""
        return True

    def give_up(self, prompt: str, llm_string: str) -> None:
        """See `StreamCache`."""
        self._calls.give_up(asked(prompt, llm_string))


class SemanticCacheCallback(LangChainControls, BaseCallbackHandler):
    """A cache for the runs that it is a callback of, agents' and chains' included.

    What is served is described at `FrugalCache`. A hit has usage zero and
    `response_metadata["frugal_cache"]`: the layer, the score, the age in seconds, and the entry.

    It serves `invoke`, `ainvoke`, `batch` and what is made of them, such as agents, whether the
    agent itself is streamed or not. Of the chat models' own `stream` it serves only that of
    `FrugalCascadeLLM`, since LangChain consults no cache there; but answers streamed by others are
    kept, for the next `invoke`. `ChatOpenAI(disable_streaming=True)` makes `stream` an `invoke`. It
    does not serve `stream_events(version="v3")` of a model, models with a cache of their own or
    `cache=False` (what such a model streams is kept all the same, since LangChain does not tell a
    callback), nor plain `LLM`s, which look up before they tell a callback: use `FrugalCache` there.

    Where it first runs it becomes LangChain's global cache; one that is set answers all other runs
    as before. Where several are callbacks of one run, the last one serves it, or none if they have
    different scopes. Make one for each scope and keep it, or close it: each opens its location
    anew. A hit comes in one piece, as from LangChain's own caches: agents that stream tokens have
    none to show then, only the message.

    Args:
        location, ...: See `CacheControls`: error_bound, scope, embed, ttl, confidence, max_entries,
            judge, judge_rate, tool_calls, tags, cache.

    Example:
        ```python
        from langchain_frugal import SemanticCacheCallback

        callback = SemanticCacheCallback(scope="tenant 7")
        agent.invoke(inputs, config={"callbacks": [callback]})
        print(callback.certificate().sentence)
        ```
    """

    run_inline = True  # else LangChain runs it in another context in async calls
    ignore_agent = ignore_chain = ignore_retriever = ignore_retry = ignore_custom_event = True

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        **kwargs: Any,
    ) -> None:
        """A run begins: what it looks up is ours."""
        install()
        run = Run(
            run_id,
            self._calls,
            serialized or {},
            kwargs.get("invocation_params") or {},
            kwargs.get("options") or {},
            messages[0],
            kwargs.get("batch_size", 1),
        )
        open_run(run)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A run speaks."""
        speaking_run(self._calls, run_id)

    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A run speaks in events, as `stream_events(version="v3")` has it do."""
        speaking_run(self._calls, run_id)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """A run ends; if it was a stream, its answer is kept now."""
        run = ended_run(self._calls, run_id)
        if run is not None:
            if run.alive and run.prompt is None:
                keep(run, response)
            run.close()

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """A run fails, and with it the call that it is part of."""
        run = ended_run(self._calls, run_id)
        if run is not None:
            run.close_batch()
