"""What LlamaIndex's instrumentation is told of a cascade, and what a cascade learns from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMCompletionEndEvent
from llama_index_instrumentation import get_dispatcher
from pydantic import Field

Response = ChatResponse | CompletionResponse

dispatcher = get_dispatcher(__name__)


class FrugalCascadeEvent(BaseEvent):
    """One answer of a cascade: which tier gave it, why, and what each tier cost.

    It also comes where an answer has no place for its trail: out of an agent, a chat engine,
    `structured_predict`.

    Args:
        tier: Name of the tier that answered.
        degraded: Whether the answer is a rejected draft, since no later tier gave one of use.
        usd: What the call cost; None if a tier that was asked has no known price.
        promise: What is claimed for the answer, in words.
        trail: The whole of it, as in `response.additional_kwargs["frugal"]`.

    Example:
        >>> from llama_index.core.instrumentation import get_dispatcher
        >>> from llama_index.core.instrumentation.event_handlers import BaseEventHandler
        >>> class Costs(BaseEventHandler):
        ...     def handle(self, event, **kwargs):
        ...         if isinstance(event, FrugalCascadeEvent):
        ...             print(event.tier, event.usd)
        >>> get_dispatcher().add_event_handler(Costs())
    """

    tier: str
    degraded: bool
    usd: float | None
    promise: str
    trail: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def class_name(cls) -> str:
        """Name of the event."""
        return "FrugalCascadeEvent"


_collected: ContextVar[list[Response] | None] = ContextVar("frugal_collected", default=None)


class _Collector(BaseEventHandler):
    """Gives the responses of models to whoever waits for them in `collecting`."""

    @classmethod
    def class_name(cls) -> str:
        return "FrugalCollector"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        responses = _collected.get()
        if responses is None or not isinstance(event, LLMChatEndEvent | LLMCompletionEndEvent):
            return
        response = event.response
        # A chat that is made of a completion reports both, with the same raw answer.
        raw = getattr(response, "raw", None)
        told = raw is not None and any(other.raw is raw for other in responses)
        if response is not None and not told:
            responses.append(response)


# Where every model's own endpoints report; the root, which is the application's, is left alone.
get_dispatcher("llama_index.core.llms.callbacks").add_event_handler(_Collector())


@contextmanager
def collecting(responses: list[Response]) -> Iterator[None]:
    """Gather the responses of all models that are asked meanwhile.

    A structured prediction returns an object, or raises; what was bought for it, and how sure the
    model was, is in the response that it came from.
    """
    outer, before = _collected.get(), len(responses)
    token = _collected.set(responses)
    try:
        yield
    finally:
        _collected.reset(token)
        if outer is not None:  # of a cascade that has this one as a tier
            outer.extend(responses[before:])
