"""The cache in agents and in structured output, with the real `OpenAI` on a real server."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.llms import LLM, ChatMessage
from llama_index.core.program import FunctionCallingProgram, LLMTextCompletionProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel, field_validator

from frugal_core.cache import Hit
from tests.conftest import StartScripted
from tests.integration_tests.test_llama_index_cache_engines import callback, openai
from tests.servers import Answer, Fault, Request, ScriptedServer

pytestmark = pytest.mark.timeout(120)

ASKED = "How warm is it in the old town of Lyon?"
REWORDED = "How warm is it in Lyon's old town?"


def weather(city: str) -> str:
    """The weather in a city."""
    return f"20 degrees in {city}"


def model(request: Request) -> Answer:
    """Asks for the weather, then tells it; with tools or in words."""
    last = request.body["messages"][-1]
    if "tools" in request.body:
        if last["role"] != "tool":
            return Answer.calling("weather", {"city": "Lyon"})
        return Answer(f"It is {last['content']}, answer {request.number}.")
    if "Observation" in last["content"]:
        return Answer(f"Thought: I can answer.\nAnswer: It is warm, answer {request.number}.")
    return Answer('Thought: I need a tool.\nAction: weather\nAction Input: {"city": "Lyon"}')


def agent(kind: Any, llm: LLM, **arguments: Any) -> Any:
    if kind is AgentWorkflow:
        return AgentWorkflow.from_tools_or_functions([weather], llm=llm)
    return kind(tools=[weather], llm=llm, **arguments)


every_agent = pytest.mark.parametrize("kind", [FunctionAgent, ReActAgent, AgentWorkflow])


@every_agent
@pytest.mark.parametrize("keeps", [True, False], ids=["tool calls kept", "tool calls not kept"])
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("door", ["attach", "wrap"])
async def test_agents(
    scripted: StartScripted, kind: Any, keeps: bool, streaming: bool, door: str
) -> None:
    if kind is AgentWorkflow and not streaming:
        pytest.skip("its agents stream")
    server = scripted(model)
    cache = callback(tool_calls=keeps)
    options = {} if kind is AgentWorkflow else {"streaming": streaming}
    if door == "attach":
        asked = cache.attach(agent(kind, openai(server), **options))
    else:
        asked = agent(kind, cache.wrap(openai(server)), **options)
    first = str(await asked.run(ASKED))
    assert len(server.requests) == 2
    with cache.hits() as hits:
        assert str(await asked.run(ASKED)) == first
    assert [hit.layer for hit in hits] == ["exact"] * (2 if keeps else 1)
    assert len(server.requests) == (2 if keeps else 3)
    with cache.hits() as hits:
        assert str(await asked.run(REWORDED)) != first
    assert hits == [], "what a tool is called with is copied from the question"


async def test_tool_calls_of_a_hit_have_ids_of_their_own(scripted: StartScripted) -> None:
    server = scripted(model)
    asked = callback(tool_calls=True).attach(agent(FunctionAgent, openai(server)))
    ids = []
    for _ in range(3):
        output = await asked.run(ASKED)
        ids += [call.tool_id for call in output.tool_calls]
    assert len(set(ids)) == len(ids) == 3 and len(server.requests) == 2


@every_agent
async def test_agents_that_need_no_tool_are_matched_by_meaning(
    scripted: StartScripted, kind: Any
) -> None:
    server = scripted(lambda r: Answer(f"Thought: Easy.\nAnswer: Read it slowly, {r.number}."))
    cache = callback()
    asked = cache.attach(agent(kind, openai(server)))
    for question in ("How do I learn Python quickly?", "How can I learn Python quickly?"):
        await asked.run(question)
    # With tools bound, programs act on what is said.
    assert len(server.requests) == (1 if kind is ReActAgent else 2)


async def test_a_workflow_of_several_agents(scripted: StartScripted) -> None:
    server = scripted(model)
    llm = openai(server)
    one, two = (
        FunctionAgent(name=name, description=name, tools=[weather], llm=llm) for name in "ab"
    )
    workflow = callback(tool_calls=True).attach(AgentWorkflow(agents=[one, two], root_agent="a"))
    assert type(one.llm) is type(two.llm) is not OpenAI
    for _ in range(2):
        await workflow.run(ASKED)
    assert len(server.requests) == 2


# Objects


class Person(BaseModel):
    name: str
    age: int


GOOD, BAD = {"name": "Ada", "age": 36}, {"name": "Ada"}


def asking() -> PromptTemplate:
    return PromptTemplate("Who is meant by {query_str}?")  # programs write into it


def replies(way: str, *contents: Any) -> list[Answer]:
    return [
        Answer.calling("Person", content) if way == "function" else Answer.json(content)
        for content in contents
    ]


def structured(server: ScriptedServer, way: str) -> OpenAI:
    # The older model has no JSON schemas.
    return openai(server, model="gpt-3.5-turbo" if way == "function" else "gpt-4o-mini")


async def predict(llm: Any, way: str, said: str = "Ada", kind: Any = Person) -> Any:
    """The object, asked for in one of the ways there are."""
    if way == "as_structured_llm":
        return llm.as_structured_llm(kind).chat([ChatMessage(said)]).raw
    if way == "as_structured_llm, streamed":
        stream = llm.as_structured_llm(kind).stream_chat([ChatMessage(said)])
        return [piece.raw for piece in stream][-1]
    made = getattr(llm, way)(kind, asking(), query_str=said)
    made = await made if way.startswith("a") else made
    if "stream" not in way:
        return made
    return ([one async for one in made] if way.startswith("a") else list(made))[-1]


every_object = pytest.mark.parametrize(
    "way",
    [
        "structured_predict",
        "astructured_predict",
        "stream_structured_predict",
        "astream_structured_predict",
        "as_structured_llm",
        "as_structured_llm, streamed",
    ],
)
formats = pytest.mark.parametrize("form", ["schema", "function"])


@every_object
@formats
async def test_objects_are_kept_once_they_are_valid(
    scripted: StartScripted, way: str, form: str
) -> None:
    server = scripted(
        {"gpt-4o-mini": replies(form, BAD, GOOD), "gpt-3.5-turbo": replies(form, BAD, GOOD)}
    )
    cache = callback()
    llm = cache.wrap(structured(server, form))
    with suppress(ValueError):  # pydantic's, or LlamaIndex's own
        assert not isinstance(await predict(llm, way), Person)
    assert cache.cache.stats()["entries"] == 0
    for name, calls in (("Ada", 2), ("Ada", 2), ("Ada", 2), ("one Ada", 3)):
        assert await predict(llm, way, name) == Person(name="Ada", age=36)
        assert len(server.requests) == calls


class Strict(Person):
    """The same schema as before; but what is valid has changed."""

    @field_validator("age")
    @classmethod
    def check(cls, age: int) -> int:
        if age == 36:
            raise ValueError("nobody is 36 any more")
        return age


Strict.__name__ = Strict.__qualname__ = "Person"


@formats
@pytest.mark.parametrize("way", ["structured_predict", "astructured_predict"])
async def test_a_stored_object_that_is_no_longer_valid_is_replaced(
    scripted: StartScripted, way: str, form: str
) -> None:
    older = {"name": "Ada", "age": 37}
    said = replies(form, GOOD, older)
    server = scripted({"gpt-4o-mini": said, "gpt-3.5-turbo": said})
    llm = callback().wrap(structured(server, form))
    assert (await predict(llm, way)).age == 36
    Strict.__doc__ = Person.__doc__
    assert (await predict(llm, way, kind=Strict)).age == 37
    assert (await predict(llm, way, kind=Strict)).age == 37
    assert len(server.requests) == 2


async def test_a_failing_model_fails_once(scripted: StartScripted) -> None:
    server = scripted({"gpt-4o-mini": [Fault.bad_request(), *replies("schema", GOOD)]})
    llm = callback().wrap(structured(server, "schema"))
    with pytest.raises(Exception, match=r"."):
        await predict(llm, "structured_predict")
    assert len(server.requests) == 1
    assert await predict(llm, "astructured_predict") == Person(name="Ada", age=36)


@pytest.mark.parametrize("keeps", [True, False])
def test_programs(scripted: StartScripted, keeps: bool) -> None:
    server = scripted(
        {
            "gpt-4o-mini": [Answer("hm, no"), *replies("schema", GOOD)],
            "gpt-3.5-turbo": replies("function", BAD, GOOD),
        }
    )
    cache = callback(tool_calls=keeps)
    in_words = LLMTextCompletionProgram.from_defaults(
        output_cls=Person, prompt=asking(), llm=cache.wrap(structured(server, "schema"))
    )
    by_calls = FunctionCallingProgram.from_defaults(
        output_cls=Person, prompt=asking(), llm=cache.wrap(structured(server, "function"))
    )
    for program in (in_words, by_calls):
        with pytest.raises(ValueError, match=r"."):
            program(query_str="Ada")
        for _ in range(3):
            assert program(query_str="Ada") == Person(name="Ada", age=36)
    assert server.calls["gpt-3.5-turbo"] == (2 if keeps else 4)


def test_hits_within_hits(scripted: StartScripted) -> None:
    cache = callback()
    llm = cache.wrap(openai(scripted(lambda r: "fine")))
    outer: list[Hit]
    with cache.hits() as outer:
        llm.complete(ASKED)
        with cache.hits() as inner:
            llm.complete(ASKED)
        llm.complete(ASKED)
    assert (len(outer), len(inner)) == (2, 1)
