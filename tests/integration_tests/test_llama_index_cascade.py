"""Real `OpenAI` tiers of LlamaIndex on a real server: faults, bills, decisions.

Nothing hangs, nothing is swallowed, no draft leaks, and for every answer that is delivered the
reported usage is the server's bill.
"""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler

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


@pytest.mark.parametrize("way", WAYS)
async def test_fifty_at_once(way: str, scripted: StartScripted) -> None:
    """Threads or tasks on one cascade: no answer has another's trail or bill."""

    def cheap(request: Request) -> Answer:
        number = int(request.prompt)
        return Answer(f"cheap {number}", logprob=-0.01 if number % 2 else -3.0)

    server = scripted({CHEAP: cheap, DEAR: lambda request: Answer(f"the dear {request.prompt}")})
    counter = TokenCountingHandler()
    llm = cascade(server, timeout=30, callback_manager=CallbackManager([counter]))
    questions = [str(number) for number in range(50)]
    if way.startswith("a"):
        said = await asyncio.gather(*(ask(llm, way, question) for question in questions))
    else:
        with ThreadPoolExecutor(50) as pool:
            asked = pool.map(lambda question: asyncio.run(ask(llm, way, question)), questions)
            said = await asyncio.to_thread(list, asked)
    for number, one in enumerate(said):
        assert one.text == (f"cheap {number}" if number % 2 else f"the dear {number}")
        assert one.models == ([CHEAP] if number % 2 else [CHEAP, DEAR])
        assert one.extra["total_tokens"] == (3 if number % 2 else 7)
    assert counter.total_llm_token_count == billed(server).total == 25 * (3 + 7)


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
