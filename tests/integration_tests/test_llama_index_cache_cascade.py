"""The cache around a cascade: one lookup for all tiers, and what only a cascade says."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.structured_llm import StructuredLLM

from llama_index_frugal import FrugalCascadeLLM
from tests.conftest import StartScripted
from tests.integration_tests.test_llama_index_cache_agents import (
    BAD,
    GOOD,
    Person,
    every_object,
    model,
    predict,
    weather,
)
from tests.integration_tests.test_llama_index_cache_engines import callback, openai
from tests.servers import Answer, Fault, Request, ScriptedServer
from tests.unit_tests.llama_index.asking import STREAMS, WAYS, ask

ASKED = "How do I learn Python quickly?"
REWORDED = "How can I learn Python quickly?"


def accepts_nothing(query: str, answer: str) -> float:
    return 0.0


def accepts_everything(query: str, answer: str) -> float:
    return 1.0


def cascade(server: ScriptedServer, scorer: Any = accepts_nothing) -> FrugalCascadeLLM:
    tiers = [openai(server, model=name) for name in ("gpt-4o-mini", "gpt-4o")]
    return FrugalCascadeLLM(tiers=tiers, scorer=scorer)


@pytest.mark.parametrize("way", WAYS)
async def test_every_endpoint(scripted: StartScripted, way: str) -> None:
    server = scripted(lambda r: Answer(f"the answer {r.number} of {r.model}"))
    llm = callback().wrap(cascade(server))
    assert isinstance(llm, FrugalCascadeLLM)
    first = await ask(llm, way, ASKED)
    assert len(server.requests) == 2 and first.extra["frugal"]["usd"] > 0
    for said, layer in ((ASKED, "exact"), (REWORDED, "semantic")):
        hit = await ask(llm, way, said)
        assert hit.text == first.text and hit.extra["frugal_cache"]["layer"] == layer
        assert hit.extra["frugal_tier"] == hit.extra["frugal"]["accepted"] == "gpt-4o"
        assert (hit.extra["frugal"]["usd"], hit.extra["frugal"]["trail"]) == (0, [])
        assert hit.extra["total_tokens"] == 0
        assert len(hit.pieces) > 3 or way not in STREAMS
    assert len(server.requests) == 2


def test_cascades_that_decide_otherwise_have_keys_of_their_own(scripted: StartScripted) -> None:
    server = scripted(lambda r: Answer(f"the answer {r.number} of {r.model}"))
    cache = callback()
    texts = [
        cache.wrap(cascade(server, scorer)).complete(ASKED).text
        for scorer in (accepts_nothing, accepts_everything, accepts_nothing, accepts_everything)
    ]
    assert texts[:2] == texts[2:] and texts[0] != texts[1]


def test_a_rejected_draft_is_not_kept(scripted: StartScripted) -> None:
    server = scripted({"gpt-4o-mini": "a draft", "gpt-4o": [Fault.server_error(), "right"]})
    llm = callback().wrap(cascade(server))
    assert [llm.complete(ASKED).text for _ in range(3)] == ["a draft", "right", "right"]
    assert server.calls["gpt-4o"] == 2


@pytest.mark.parametrize("keeps", [True, False])
async def test_agents(scripted: StartScripted, keeps: bool) -> None:
    server = scripted(model)
    llm = cascade(server, accepts_everything)
    agent = callback(tool_calls=keeps).attach(FunctionAgent(tools=[weather], llm=llm))
    said = [str(await agent.run("How warm is it in Lyon?")) for _ in range(3)]
    assert len(set(said)) == 1
    assert len(server.requests) == (2 if keeps else 4)


@every_object
async def test_objects(scripted: StartScripted, way: str) -> None:
    def said(request: Request) -> Answer:
        return Answer.json(BAD if request.model == "gpt-4o-mini" else GOOD)

    server = scripted(said)
    llm = callback().wrap(cascade(server, accepts_everything))
    for _ in range(3):
        assert await predict(llm, way) == Person(name="Ada", age=36)
    assert len(server.requests) == 2, "the bad draft and the good answer"


async def test_a_structured_cascade_is_wrapped_as_a_whole(scripted: StartScripted) -> None:
    server = scripted(lambda r: Answer.json(GOOD))
    llm = callback().wrap(cascade(server, accepts_everything).as_structured_llm(Person))
    assert isinstance(llm, StructuredLLM)
    for _ in range(2):
        assert llm.chat([ChatMessage("Ada?")]).raw == Person(name="Ada", age=36)
        assert (await llm.achat([ChatMessage("Ada?")])).raw == Person(name="Ada", age=36)
    assert len(server.requests) == 1
