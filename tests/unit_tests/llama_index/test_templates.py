"""Models with a prompt template of their own: in a cascade, and behind a cache."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.openai import OpenAI

from llama_index_frugal import FrugalCascadeLLM, SemanticCacheCallback
from tests.servers import Answer, Request, ScriptedServer
from tests.unit_tests.llama_index.fakes import Fake

ASKED = "What is a monad in Haskell?"
QUESTION = PromptTemplate("{question}")


def marked(prompt: str) -> str:
    return f"<|user|>{prompt}<|end|>"


class Local(Fake):
    """A model that is no chat model, and applies its template itself."""

    chats: bool = False

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        template: Any = self.completion_to_prompt
        said = prompt if formatted else template(prompt)
        return super().complete(said, formatted=True, **kwargs)


@pytest.mark.parametrize("own", [True, False])
def test_each_tier_applies_its_own_template(own: bool) -> None:
    alone = Local(completion_to_prompt=marked if own else None)
    tier = Local(completion_to_prompt=marked if own else None)
    cascade = FrugalCascadeLLM(tiers=[tier], scorer=lambda query, answer: 1.0)
    for llm in (alone, cascade):
        llm.predict(QUESTION, question=ASKED)
        llm.complete(ASKED)
    assert [asked for asked, _ in tier.calls] == [asked for asked, _ in alone.calls]
    assert (marked(ASKED) in tier.calls[0]) is own


@pytest.fixture
def server() -> Any:
    def says(request: Request) -> Answer:
        return Answer(f"answer {request.number}", logprob=-0.1)

    with ScriptedServer({"gpt-4o-mini": says, "gpt-4o": says}) as started:
        yield started


def openai(server: ScriptedServer, **settings: Any) -> OpenAI:
    arguments = {
        "model": "gpt-4o-mini",
        "api_base": server.base_url,
        "api_key": "k",
        "temperature": 0,
    }
    return OpenAI(**{**arguments, **settings})


def test_templates_are_part_of_the_key(server: ScriptedServer) -> None:
    cache = SemanticCacheCallback(":memory:")
    plain, german = (
        cache.wrap(openai(server, completion_to_prompt=template))
        for template in (None, lambda prompt: "Answer in German: " + prompt)
    )
    said = [plain.complete(ASKED).text, german.complete(ASKED).text]
    assert len(set(said)) == 2
    assert [plain.complete(ASKED).text, german.complete(ASKED).text] == said


def test_a_cached_tier_is_as_sure_and_as_dear_as_before(server: ScriptedServer) -> None:
    cache = SemanticCacheCallback(":memory:")
    tiers = {
        "gpt-4o-mini": cache.wrap(openai(server, logprobs=True, top_logprobs=1)),
        "gpt-4o": openai(server, model="gpt-4o"),
    }
    prices = {"gpt-4o-mini": [1.0, 1.0], "gpt-4o": [2.0, 2.0]}
    cascade = FrugalCascadeLLM(tiers=tiers, prices=prices)
    first, second = (cascade.complete(ASKED) for _ in range(2))
    trails = [one.additional_kwargs["frugal"]["trail"] for one in (first, second)]
    assert [step["score"] for step in trails[0]] == [step["score"] for step in trails[1]]
    assert first.text == second.text and len(server.requests) == 1
