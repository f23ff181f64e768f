"""What LlamaIndex's own counters and listeners see: every purchase once, every answer once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.tools import FunctionTool
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, Field

from llama_index_frugal import FrugalCascadeEvent, FrugalCascadeLLM
from tests.unit_tests.llama_index.asking import WAYS, ask
from tests.unit_tests.llama_index.fakes import Fake, calling, right


class Point(BaseModel):
    """A point."""

    x: int


class Listener(BaseEventHandler):
    events: list[Any] = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Listener"

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.events.append(event)


@pytest.fixture
def listener() -> Iterator[Listener]:
    root, handler = get_dispatcher(), Listener(events=[])
    root.event_handlers.append(handler)
    yield handler
    root.event_handlers.remove(handler)


def counted(*says: Any, **kwargs: Any) -> tuple[FrugalCascadeLLM, TokenCountingHandler]:
    counter = TokenCountingHandler()
    manager = CallbackManager([counter])
    tiers = [Fake(model=name, says=[said]) for name, said in zip("abc", says, strict=False)]
    return FrugalCascadeLLM(tiers=tiers, callback_manager=manager, **kwargs), counter


@pytest.mark.parametrize("way", WAYS)
async def test_usage_is_counted_once(way: str) -> None:
    llm, counter = counted("wrong", "last", scorer=right)
    said = await ask(llm, way)
    assert len(counter.llm_token_counts) == 2
    assert counter.total_llm_token_count == said.extra["total_tokens"] == 30


async def test_tools_and_objects_are_counted_once() -> None:
    llm, counter = counted(calling("look"), calling("Point", x=1), scorer=right)
    llm.chat_with_tools([FunctionTool.from_defaults(lambda x: x, name="Point")], "q")
    assert counter.total_llm_token_count == 30
    response = llm.as_structured_llm(Point).chat([ChatMessage("q")])
    assert counter.total_llm_token_count == 60
    assert response.additional_kwargs["total_tokens"] == 30


@pytest.mark.parametrize("way", WAYS)
async def test_one_event_for_every_answer(way: str, listener: Listener) -> None:
    llm, _ = counted("wrong", "last", scorer=right)
    said = await ask(llm, way)
    (event,) = [one for one in listener.events if isinstance(one, FrugalCascadeEvent)]
    assert (event.tier, event.degraded) == ("b", False)
    assert event.trail == said.extra["frugal"]
    assert event.class_name() == "FrugalCascadeEvent"


def test_engines_hand_their_callbacks_to_structured_llms() -> None:
    llm, counter = counted(calling("Point", x=1), "no", scorer=right)
    structured = llm.as_structured_llm(Point)
    structured.callback_manager = CallbackManager([other := TokenCountingHandler()])
    structured.complete("q")
    assert (counter.total_llm_token_count, other.total_llm_token_count) == (0, 30)


def test_a_listener_that_fails_costs_no_answer(listener: Listener) -> None:
    class Failing(Listener):
        def handle(self, event: Any, **kwargs: Any) -> None:
            raise RuntimeError("mine")

    get_dispatcher().event_handlers.append(handler := Failing())
    try:
        llm, _ = counted("right", "no", scorer=right)
        assert llm.complete("q").text == "right"
    finally:
        get_dispatcher().event_handlers.remove(handler)
