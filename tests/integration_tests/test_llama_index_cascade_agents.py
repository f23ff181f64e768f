"""Real `OpenAI` tiers of LlamaIndex on a real server: objects, tools and agents."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.types import PydanticProgramMode
from llama_index.core.workflow import Context
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from llama_index_frugal import FrugalCascadeLLM
from tests.conftest import StartScripted
from tests.integration_tests.test_llama_index_cascade import CHEAP, DEAR, billed, cascade
from tests.servers import Answer, Fault, Request

pytestmark = pytest.mark.timeout(60)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"Sunny in {city}"


def breaks_every_contract(request: Request) -> Answer:
    if "response_format" in request.body:
        return Answer.json({"name": "Ada"})
    if "tools" in request.body:
        return Answer.calling("get_weather", {"town": "Paris"})
    return Answer("Action: jump\nThought: backwards", logprob=-3.0)


def keeps_every_contract(request: Request) -> Answer:
    messages = request.body["messages"]
    if "response_format" in request.body:
        return Answer.json({"name": "Ada", "age": 36})
    if "tools" in request.body:
        names = [tool["function"]["name"] for tool in request.body["tools"]]
        if "Person" in names:
            return Answer.calling("Person", {"name": "Ada", "age": 36})
        if messages[-1]["role"] == "tool":
            return Answer(f"{messages[-1]['content']}, they say")
        return Answer.calling("get_weather", {"city": "Paris"})
    if "Observation" in str(messages):
        return Answer("Thought: I can answer.\nAnswer: Sunny in Paris, they say")
    if "get_weather" in str(messages):
        return Answer('Thought: I look.\nAction: get_weather\nAction Input: {"city": "Paris"}')
    return Answer("hello")


@pytest.fixture
def strict(scripted: StartScripted) -> FrugalCascadeLLM:
    """A cheap tier that breaks every contract below one that keeps them."""
    return cascade(scripted({CHEAP: breaks_every_contract, DEAR: keeps_every_contract}), timeout=9)


@pytest.mark.parametrize("strictly", [True, False], ids=["json_schema", "function_calling"])
async def test_structured_output_by_either_mechanism(
    strictly: bool, scripted: StartScripted
) -> None:
    def broken(request: Request) -> Answer:
        if "tools" in request.body:
            return Answer.calling("Person", {"name": "Ada"})
        return Answer.json({"name": "Ada"})

    server = scripted({CHEAP: broken, DEAR: keeps_every_contract})
    mode = PydanticProgramMode.DEFAULT if strictly else PydanticProgramMode.FUNCTION
    tiers = [
        OpenAI(
            model,
            api_base=server.base_url,
            api_key="test",
            max_retries=0,
            pydantic_program_mode=mode,
        )
        for model in (CHEAP, DEAR)
    ]
    llm, ada = FrugalCascadeLLM(tiers=tiers), Person(name="Ada", age=36)
    prompt, structured = PromptTemplate("Who is {who}?"), llm.as_structured_llm(Person)
    assert llm.structured_predict(Person, prompt, who="she") == ada
    assert await llm.astructured_predict(Person, prompt, who="she") == ada
    assert list(llm.stream_structured_predict(Person, prompt, who="she"))[-1] == ada
    stream = await llm.astream_structured_predict(Person, prompt, who="she")
    assert [one async for one in stream][-1] == ada
    before = billed(server).total
    response = structured.complete("Ada?")
    assert response.additional_kwargs["total_tokens"] == billed(server).total - before
    assert response.additional_kwargs["frugal"]["trail"][0]["why"] == "schema: age: Field required"
    keys = {"response_format"} if strictly else {"tools"}
    assert all(keys & request.body.keys() for request in server.requests)


@pytest.mark.parametrize("streaming", [True, False])
async def test_function_agents(streaming: bool, strict: FrugalCascadeLLM) -> None:
    agent = FunctionAgent(tools=[get_weather], llm=strict, streaming=streaming)
    context = Context(agent)
    said: Any = await agent.run("How is the weather in Paris?", ctx=context)
    assert str(said) == "Sunny in Paris, they say"
    assert [call.tool_kwargs for call in said.tool_calls] == [{"city": "Paris"}]


@pytest.mark.parametrize("streaming", [True, False])
async def test_react_agents(streaming: bool, strict: FrugalCascadeLLM) -> None:
    agent = ReActAgent(tools=[get_weather], llm=strict, streaming=streaming)
    said = await agent.run("How is the weather in Paris?")
    assert str(said) == "Sunny in Paris, they say"


async def test_agent_workflows_and_objects_from_them(strict: FrugalCascadeLLM) -> None:
    workflow = AgentWorkflow.from_tools_or_functions([get_weather], llm=strict, output_cls=Person)
    (agent,) = workflow.agents.values()
    assert isinstance(agent, FunctionAgent)
    said: Any = await workflow.run("How is the weather in Paris?")
    assert str(said) == "Sunny in Paris, they say"
    assert said.structured_response == {"name": "Ada", "age": 36}


def get_time(zone: str) -> str:
    """Get the time in a zone."""
    return f"noon in {zone}"


def hands_over(request: Request) -> Answer:
    names = [tool["function"]["name"] for tool in request.body["tools"]]
    last = request.messages[-1]
    if last["role"] == "tool" and "noon" in str(last["content"]):
        return Answer("It is noon")
    if "get_time" in names:
        return Answer.calling("get_time", {"zone": "Paris"})
    return Answer.calling("handoff", {"to_agent": "clock", "reason": "it is about time"})


@pytest.mark.parametrize("streaming", [True, False])
async def test_several_agents_are_counted_once(streaming: bool, scripted: StartScripted) -> None:
    server = scripted({CHEAP: Answer.calling("handoff", {"to": "nowhere"}), DEAR: hands_over})
    counter = TokenCountingHandler()
    llm = cascade(server, timeout=9, callback_manager=CallbackManager([counter]))
    agents: list[Any] = [
        FunctionAgent(name=name, description=name, tools=[tool], llm=llm, streaming=streaming)
        for name, tool in (("weather", get_weather), ("clock", get_time))
    ]
    said: Any = await AgentWorkflow(agents=agents, root_agent="weather").run("What time is it?")
    assert (str(said), said.current_agent_name) == ("It is noon", "clock")
    assert [call.tool_name for call in said.tool_calls] == ["handoff", "get_time"]
    assert server.calls == {CHEAP: 3, DEAR: 3}
    assert counter.total_llm_token_count == billed(server).total


@pytest.mark.parametrize("way", ["structured_predict", "stream_structured_predict"])
async def test_objects_that_are_cut_in_the_middle(way: str, scripted: StartScripted) -> None:
    whole, cut = Answer.json({"name": "Ada of London", "age": 36}), Fault.cut(after=2)
    prompt = PromptTemplate("Who is she?")

    def last(cheap: Any, dear: Any) -> Any:
        llm = cascade(scripted({CHEAP: cheap, DEAR: dear}), scorer=lambda query, answer: 0.0)
        said = getattr(llm, way)(Person, prompt)
        return said if isinstance(said, Person) else list(said)[-1]

    assert last(cut, whole) == last(whole, cut) == Person(name="Ada of London", age=36)
    with pytest.raises(Exception, match=r"(?i)connection"):
        last(Answer.json({"name": 1}), cut)
