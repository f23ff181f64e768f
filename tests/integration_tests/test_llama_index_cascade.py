"""Real `OpenAI` tiers of LlamaIndex on a real server: faults, bills, formats, agents.

Nothing hangs, nothing is swallowed, no draft leaks, and for every answer that is delivered the
reported usage is the server's bill.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import openai
import pytest
from llama_index.core import PromptTemplate
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.workflow import Context
from pydantic import BaseModel

from frugal_core import Policy, Recording, fit
from langchain_frugal import FrugalCascadeLLM as LangChainCascade
from llama_index_frugal import FrugalCascadeLLM
from tests.conftest import StartScripted
from tests.servers import Answer, Fault, Request, ScriptedServer, Usage
from tests.unit_tests.llama_index.asking import STREAMS, WAYS, ask

pytestmark = pytest.mark.timeout(60)

DRAFT = "a draft that is wrong"
RIGHT = "the right answer"
CHEAP, DEAR = "gpt-4o-mini", "gpt-4o"
CHATS = WAYS[:4]  # `complete` of these tiers goes the same way


def right(query: str, answer: str) -> float:
    return float(answer == RIGHT)


def cascade(server: ScriptedServer, **kwargs: Any) -> FrugalCascadeLLM:
    arguments: dict[str, Any] = {"max_retries": 0, "timeout": 0.5}
    arguments |= {"api_base": server.base_url, "api_key": "test", "temperature": 0}
    return FrugalCascadeLLM(model=DEAR, **arguments | kwargs)


def billed(server: ScriptedServer) -> Usage:
    return sum(server.tokens.values(), Usage())


@pytest.mark.parametrize("way", CHATS)
@pytest.mark.parametrize(
    "fault",
    [
        Fault.rate_limit(),
        Fault.server_error(),
        Fault.unavailable(),
        Fault.hang(),
        Fault.disconnect(),
        Fault.context_length(),
    ],
    ids=lambda fault: fault.kind + str(fault.status),
)
async def test_a_provider_that_fails_is_passed_over(
    way: str, fault: Fault, scripted: StartScripted
) -> None:
    server = scripted({CHEAP: fault, DEAR: RIGHT})
    said = await ask(cascade(server, scorer=right), way)
    assert said.text == RIGHT
    trail = said.extra["frugal"]["trail"]
    assert [step["decision"] for step in trail] == ["failed", "accepted"]
    assert said.extra["total_tokens"] == billed(server).total


@pytest.mark.parametrize("way", WAYS)
async def test_every_answer_says_what_was_bought(way: str, scripted: StartScripted) -> None:
    server = scripted({CHEAP: DRAFT, DEAR: RIGHT})
    counter = TokenCountingHandler()
    llm = cascade(server, scorer=right, callback_manager=CallbackManager([counter]))
    said = await ask(llm, way)
    bill = billed(server)
    assert said.extra["prompt_tokens"] == bill.input
    assert said.extra["completion_tokens"] == bill.output
    assert counter.total_llm_token_count == bill.total
    assert said.extra["frugal"]["usd"] > 0
    assert DRAFT not in "".join(str(piece) for piece in said.pieces)


@pytest.mark.parametrize("way", CHATS)
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.wrong_key(), openai.AuthenticationError),
        (Fault.bad_request(), openai.BadRequestError),
    ],
)
async def test_the_callers_fault_is_raised_at_once(
    way: str, fault: Fault, error: type[Exception], scripted: StartScripted
) -> None:
    server = scripted({CHEAP: fault, DEAR: RIGHT})
    with pytest.raises(error):
        await ask(cascade(server), way)
    assert server.calls[DEAR] == 0


@pytest.mark.parametrize("way", CHATS)
@pytest.mark.parametrize("fault", [Fault.server_error(), Fault.hang(), Answer("")])
async def test_a_dead_last_tier_gives_the_best_draft(
    way: str, fault: Any, scripted: StartScripted
) -> None:
    server = scripted({CHEAP: DRAFT, DEAR: fault})
    said = await ask(cascade(server, scorer=right), way)
    assert (said.text, said.extra["frugal"]["degraded"]) == (DRAFT, True)
    assert said.extra["total_tokens"] == billed(server).total


@pytest.mark.parametrize("way", STREAMS)
async def test_a_stream_that_is_cut_is_an_error(way: str, scripted: StartScripted) -> None:
    server = scripted({CHEAP: DRAFT, DEAR: Fault.cut(after=3)})
    with pytest.raises(Exception, match=r"(?i)peer closed|incomplete|connection|protocol"):
        await ask(cascade(server, scorer=right), way)


@pytest.mark.parametrize("way", CHATS)
@pytest.mark.parametrize(
    ("first", "why"),
    [
        (Answer.truncated("the right"), "cut short"),
        (Answer.filtered("the"), "refused"),
        (Answer.refused(), "refused"),
        (Answer(""), "empty"),
    ],
)
async def test_answers_of_no_use_are_told_from_failures(
    way: str, first: Answer, why: str, scripted: StartScripted
) -> None:
    server = scripted({CHEAP: first, DEAR: RIGHT})
    said = await ask(cascade(server), way)
    step = said.extra["frugal"]["trail"][0]
    assert (step["decision"], step["why"]) == ("rejected", why)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("logprob", "models"), [(-0.01, [CHEAP]), (-2.0, [CHEAP, DEAR])])
async def test_the_tiers_own_log_probabilities_decide(
    way: str, logprob: float, models: list[str], scripted: StartScripted
) -> None:
    server = scripted({CHEAP: Answer("Paris", logprob=logprob), DEAR: "Rome"})
    assert (await ask(cascade(server), way)).models == models
    assert "logprobs" not in server.requests[-1].body or len(models) == 1


async def test_many_at_once(scripted: StartScripted) -> None:
    def answer(request: Request) -> Answer:
        return Answer(f"echo {request.prompt}", logprob=-0.01)

    llm = cascade(scripted({CHEAP: answer, DEAR: RIGHT}))
    said = await asyncio.gather(*(ask(llm, "achat", f"q{i}") for i in range(20)))
    assert [one.text for one in said] == [f"echo q{i}" for i in range(20)]


@pytest.mark.parametrize("way", ["achat", "astream_chat", "acomplete", "astream_complete"])
def test_a_client_that_outlives_its_loop_is_no_failure_of_the_provider(
    way: str, scripted: StartScripted
) -> None:
    async def three(llm: FrugalCascadeLLM) -> list[Any]:
        return await asyncio.gather(*(ask(llm, way) for _ in range(3)))

    for stream_live in (True, False):
        server = scripted({CHEAP: Answer("Paris", logprob=-3.0 if stream_live else 0.0), DEAR: "x"})
        llm = cascade(server)
        for _ in range(3):
            for said in asyncio.run(three(llm)):
                decisions = [step["decision"] for step in said.extra["frugal"]["trail"]]
                assert decisions == (["rejected", "accepted"] if stream_live else ["accepted"])


# The same policy file as LangChain


def recorded() -> Recording:
    """The cheap model knows sports and guesses on politics; the dear one knows both."""
    draw = random.Random(0)
    rows: list[dict[str, Any]] = []
    for number in range(1200):
        topic = draw.choice(["sports", "politics"])
        gold = draw.choice(["yes", "no"])
        wrong = {"yes": "no", "no": "yes"}[gold]
        said = {
            CHEAP: gold if topic == "sports" or draw.random() < 0.5 else wrong,
            DEAR: gold if draw.random() < 0.98 else wrong,
        }
        answers = {
            model: {"text": text, "input_tokens": 20, "output_tokens": 1, "confidence": -0.1}
            for model, text in said.items()
        }
        query = f"{topic} question {number}"
        rows.append({"id": number, "query": query, "reference": gold, "answers": answers})
    return Recording.from_rows(rows)


def without_clock(trail: dict[str, Any]) -> dict[str, Any]:
    steps = [{**step, "seconds": None} for step in trail["trail"]]
    return {**trail, "trail": steps}


async def test_both_frameworks_take_the_same_decisions(
    tmp_path: Path, scripted: StartScripted
) -> None:
    recording = recorded()
    path = tmp_path / "topics.frugal"
    fit(recording, promise=0.05, reference=DEAR).save(path)
    said = {
        model: {row.text: row.answers[model].text for row in recording} for model in (CHEAP, DEAR)
    }

    def replays(model: str) -> Any:
        return lambda request: Answer(said[model][request.prompt], logprob=-0.1)

    server = scripted({CHEAP: replays(CHEAP), DEAR: replays(DEAR)})
    ours: Any = FrugalCascadeLLM.from_policy(
        path, promise=0.05, api_base=server.base_url, api_key="test"
    )
    theirs: Any = LangChainCascade.from_policy(
        path, promise=0.05, base_url=server.base_url, api_key="test"
    )
    assert ours.to_payload()["policy"] == Policy.load(path).digest
    seen = set()
    for row in recording.queries[:60]:
        here, there = ours.complete(row.text), theirs.invoke(row.text)
        assert here.text == there.text
        trails = here.additional_kwargs["frugal"], there.response_metadata["frugal"]
        assert without_clock(trails[0]) == without_clock(trails[1])
        seen.add(tuple(step["model"] for step in trails[0]["trail"]))
        assert "at most 5 points below" in trails[0]["promise"]
    assert len(seen) > 1, "not always the same tier, or nothing is shown"


# Formats and agents


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
    from llama_index.core.types import PydanticProgramMode
    from llama_index.llms.openai import OpenAI

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
