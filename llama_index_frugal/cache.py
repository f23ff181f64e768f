"""The semantic cache for LlamaIndex: models, agents and engines that ask it first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar

from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.callbacks.token_counting import get_tokens_from_response
from llama_index.core.llms import LLM

from frugal_core.cache import Hit
from frugal_core.cache.answers import marked_hit
from frugal_core.cache.calls import Calls
from frugal_core.cache.controls import CacheControls
from frugal_core.errors import FrugalError
from llama_index_frugal._cache_answers import Responses, Said
from llama_index_frugal._cache_attach import replace_models
from llama_index_frugal._cache_calls import HITS, FrugalCacheEvent, setting
from llama_index_frugal._cache_models import cached

__all__ = ["FrugalCacheEvent", "SemanticCacheCallback"]

Model = TypeVar("Model", bound=LLM)
Holder = TypeVar("Holder")


class SemanticCacheCallback(CacheControls, BaseCallbackHandler):
    """A cache for models, agents and engines: `wrap(llm)`, `attach(agent_or_engine)`.

    The very same prompt is served from the exact layer; another wording of its question from the
    semantic one, if everything else is the same (model, parameters, system prompt, history) and the
    certified threshold is reached. In a query engine the retrieved context must be the same word
    for word, and only the user's question is matched by meaning. Answers to short follow-ups,
    prompts with images, calls with tools or an output schema, prompts whose answer a program reads,
    a temperature above 0.3 and templates without a `query_str` are served to the very same prompt
    alone. Tool calls, refusals, answers cut short, objects that did not validate and streams that
    were not finished are not kept.

    Of equal prompts at the same time one is sent, the others wait for its answer. A hit has usage
    zero, `raw=None` and `additional_kwargs["frugal_cache"]`: the layer, the score, the age in
    seconds, and the entry. No LLM event comes for it, so token counters count nothing; a
    `FrugalCacheEvent` does.

    Answers are shared with LangChain's `ChatOpenAI` on the same location, for plain chats of the
    same model, URL and parameters: LlamaIndex always sends a temperature, so give LangChain the
    same one.

    LlamaIndex lets a callback watch, not answer. As a handler of a `CallbackManager` alone it
    serves nothing, and counts the calls of models and their tokens for `stats`.

    Args:
        location, ...: See `CacheControls`: error_bound, scope, embed, ttl, confidence, max_entries,
            judge, judge_rate, tool_calls, tags, cache.

    Example:
        ```python
        from llama_index_frugal import SemanticCacheCallback

        cache = SemanticCacheCallback("answers.sqlite", scope="handbook 3")
        engine = cache.attach(index.as_query_engine())
        engine.query("How do I learn Python quickly?")
        engine.query("How can I learn Python quickly?")  # no call
        print(cache.certificate().sentence)
        ```
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        CacheControls.__init__(self, *args, **kwargs)
        BaseCallbackHandler.__init__(self, [], [])
        self._watched = {"model_calls": 0, "failed_calls": 0, "input_tokens": 0, "output_tokens": 0}
        self._seconds = 0.0
        self._watching = Lock()
        self._started: dict[str, float] = {}

    @property
    def calls(self) -> Calls[Said]:
        """How models ask the cache."""
        return self._calls

    def wrap(self, llm: Model) -> Model:
        """A copy of a model that asks the cache first; the model itself stays as it is.

        Args:
            llm: Any LLM, a `FrugalCascadeLLM` among them. One that has a cache gets this one.

        Raises:
            FrugalError: if it is not an LLM.

        Example:
            ```python
            Settings.llm = cache.wrap(OpenAI("gpt-4o-mini"))
            ```
        """
        if not isinstance(llm, LLM):
            raise FrugalError(f"wrap: {type(llm).__name__} is not an LLM of LlamaIndex; see attach")
        twin: Model = cached(llm, self)
        return twin

    def attach(self, agent_or_engine: Holder) -> Holder:
        """Let an agent or an engine ask the cache, with all of its parts; it is changed in place.

        Args:
            agent_or_engine: An agent, a workflow of agents, a query or chat engine, a synthesizer,
                a selector, a postprocessor, an ingestion pipeline. Of a model, see `wrap`.

        Returns:
            The same object; of a model, the copy.

        Raises:
            FrugalError: if there is no model in it.
        """
        if isinstance(agent_or_engine, LLM):
            return self.wrap(agent_or_engine)
        replace_models(agent_or_engine, self.wrap)
        return agent_or_engine

    @contextmanager
    def hits(self) -> Iterator[list[Hit]]:
        """The hits of what is asked in a block: engines and agents do not pass on their metadata.

        Example:
            ```python
            with cache.hits() as hits:
                response = engine.query(question)
            if hits and not helpful(response):
                cache.report_wrong(hits[-1])
            ```
        """
        hits: list[Hit] = []
        with setting(HITS, (*HITS.get(), hits)):
            yield hits

    def stats(self) -> dict[str, Any]:
        """Lookups and hits of all processes that share the location, and what was watched here.

        `model_calls`, `failed_calls`, `input_tokens`, `output_tokens` and `model_seconds` are of
        this process, and there only if the callback is a handler of a `CallbackManager`.
        """
        if not self._watched["model_calls"]:
            return self.cache.stats()
        return {**self.cache.stats(), **self._watched, "model_seconds": round(self._seconds, 3)}

    def _codec(self, keep_tool_calls: bool) -> Responses:
        return Responses(keep_tool_calls)

    def _hit(self, message: Any) -> Hit:
        if isinstance(message, Hit):
            return message
        if not hasattr(message, "additional_kwargs"):
            raise FrugalError(
                f"{type(message).__name__} does not say whether it came from the cache: give a "
                "model's response, or what `hits()` has collected"
            )
        return marked_hit(message.additional_kwargs, "additional_kwargs")

    # A callback handler, for statistics; what it raises would end the call.

    def on_event_start(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        parent_id: str = "",
        **kwargs: Any,
    ) -> str:
        """A model is asked."""
        if event_type == CBEventType.LLM:
            self._started[event_id] = time.perf_counter()
        return event_id

    def on_event_end(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        **kwargs: Any,
    ) -> None:
        """A model has answered, or failed."""
        if event_type != CBEventType.LLM:
            return
        payload = payload or {}
        response: Any = payload.get(EventPayload.RESPONSE) or payload.get(EventPayload.COMPLETION)
        try:
            sent, received = get_tokens_from_response(response)
        except Exception:  # a provider's own form of usage, or a failure
            sent = received = 0
        now = time.perf_counter()
        with self._watching:
            self._seconds += now - self._started.pop(event_id, now)
            self._watched["model_calls"] += 1
            self._watched["failed_calls"] += EventPayload.EXCEPTION in payload
            self._watched["input_tokens"] += sent
            self._watched["output_tokens"] += received

    def start_trace(self, trace_id: str | None = None) -> None:
        """Traces are not counted."""

    def end_trace(
        self, trace_id: str | None = None, trace_map: dict[str, list[str]] | None = None
    ) -> None:
        """Traces are not counted."""
