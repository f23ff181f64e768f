"""What the cache promises in both frameworks, and between them."""

from __future__ import annotations

import asyncio
import logging
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import openai
import pytest
from llama_index.core.program import LLMTextCompletionProgram
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from frugal_core.cache.store import open_store
from frugal_core.errors import FrugalError
from tests.conftest import StartScripted
from tests.integration_tests.cache_doors import (
    ASKED,
    DOORS,
    MODEL,
    OTHER,
    REWORDED,
    Door,
    Turns,
)
from tests.integration_tests.langchain_cache_helpers import no_global_cache
from tests.servers import Answer, Fault, Request, ScriptedServer

__all__ = ["no_global_cache"]

TWENTY = 20
both = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
pairs = pytest.mark.parametrize(
    ("writer", "reader"),
    list(product(DOORS, DOORS)),
    ids=lambda door: door.__name__,
)


@pytest.fixture
def server(scripted: StartScripted) -> ScriptedServer:
    return scripted(lambda request: Answer(f"answer {request.number} to {request.prompt}"))


class Gate:
    """A model that answers only once it is told to."""

    def __init__(self, *then: Any) -> None:
        self.then = then or ("fine",)
        self.asked = threading.Event()
        self.open = threading.Event()

    def __call__(self, request: Request) -> Any:
        self.asked.set()
        self.open.wait(20)
        return self.then[min(request.number, len(self.then) - 1)]


def at_once(act: Callable[[], Any], gate: Gate) -> list[Any]:
    with ThreadPoolExecutor(TWENTY) as pool:
        doing = [pool.submit(act) for _ in range(TWENTY)]
        assert gate.asked.wait(20)
        gate.open.set()
        return [done.exception() or done.result() for done in doing]


# What is served


@both
async def test_both_layers(server: ScriptedServer, door: type[Door]) -> None:
    opened = door(server.base_url)
    assert opened.layers(ASKED, ASKED, REWORDED, OTHER) == [None, "exact", "semantic", None]
    assert [(await opened.aask(said)).layer for said in (ASKED, REWORDED)] == ["exact", "semantic"]
    assert server.calls[MODEL] == 2


@both
def test_a_hit_is_a_fresh_copy_that_costs_nothing(server: ScriptedServer, door: type[Door]) -> None:
    opened = door(server.base_url)
    assert opened.ask(ASKED).tokens > 0
    hit = opened.ask(ASKED)
    assert hit.marker is not None and hit.tokens == 0
    assert set(hit.marker) == {"layer", "score", "age_s", "id"} and hit.marker["score"] == 1
    said = hit.text
    hit.metadata.clear()
    hit.marker["layer"] = "poison"
    again = opened.ask(ASKED)
    assert (again.text, again.layer, again.tokens) == (said, "exact", 0)


@both
@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        ([("system", "Be long."), ("user", ASKED)], {}),
        (ASKED, {}),
        ([("system", "Be brief."), ("user", "Hi"), ("assistant", "Hi"), ("user", ASKED)], {}),
        ([("system", "Be brief."), ("user", ASKED)], {"temperature": 0.0}),
        ([("system", "Be brief."), ("user", ASKED)], {"max_tokens": 50}),
        ([("system", "Be brief."), ("user", ASKED)], {"stop": ["."]}),
        ([("system", "Be brief."), ("user", ASKED)], {"seed": 7}),
        ([("system", "Be brief."), ("user", ASKED)], {"model": "gpt-4o"}),
        ([("system", "Be brief."), ("user", ASKED)], {"default_headers": {"x-tenant": "2"}}),
    ],
)
def test_what_else_shapes_the_answer_must_be_the_same(
    server: ScriptedServer, door: type[Door], said: Turns, arguments: dict[str, Any]
) -> None:
    opened = door(server.base_url)
    first = [("system", "Be brief."), ("user", ASKED)]
    opened.ask(first)
    assert opened.ask(first).layer == "exact"
    assert opened.ask(said, **arguments).layer is None


@both
@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        (lambda text: text, {"temperature": 0.9}),
        (lambda text: [("user", "Python?"), ("assistant", "A language."), ("user", "And it?")], {}),
        (lambda text: [("user", text), ("assistant", "A language.")], {}),
        (lambda text: f"Here's a JSON schema to follow: {{}} {text}", {}),
        # The server repeats what it is asked: "{}" makes its answer hold JSON, as it must.
        (lambda text: [("system", "The JSON schema below: {}"), ("user", f"{{}} {text}")], {}),
        (
            lambda text: [("system", "The JSON schema below: {}"), ("user", f"{{}} {text}")],
            {"top_p": 0.9},
        ),
        (lambda text: f"Observation: {text}", {}),
        (lambda text: f"Context: One chapter a day will do. Question: {text}", {}),
    ],
    ids=[
        "warm",
        "follow-up",
        "no question",
        "schema",
        "system",
        "system 2",
        "observation",
        "material",
    ],
)
def test_what_is_served_word_for_word_alone(
    server: ScriptedServer,
    door: type[Door],
    said: Callable[[str], Turns],
    arguments: dict[str, Any],
) -> None:
    opened = door(server.base_url)
    opened.ask(said(ASKED), **arguments)
    assert opened.ask(said(ASKED), **arguments).layer == "exact"
    if said(ASKED) != said(REWORDED):
        assert opened.ask(said(REWORDED), **arguments).layer is None


@both
def test_context_in_the_same_message_must_match_exactly(
    server: ScriptedServer, door: type[Door]
) -> None:
    opened = door(server.base_url)
    form = "Context: {} a day will do.\n\nQuestion: {}"
    opened.ask(form.format("One chapter", ASKED))
    assert opened.ask(form.format("One chapter", REWORDED)).layer == "semantic"
    assert opened.ask(form.format("(One) chapter", REWORDED)).layer is None
    assert opened.ask(form.format("A chapter", ASKED)).layer is None


@both
@pytest.mark.parametrize(
    "bad",
    [
        Answer.truncated("a long"),
        Answer.filtered("so"),
        Answer.refused(),
        Answer(""),
        Answer.calling("f", "{broken"),
        Answer.calling("f", {}),
        Answer('Thought: I look.\nAction: look\nAction Input: {"x": 1}'),
    ],
    ids=["truncated", "filtered", "refused", "empty", "broken call", "call", "call in words"],
)
def test_what_is_not_kept(scripted: StartScripted, door: type[Door], bad: Answer) -> None:
    server = scripted({MODEL: [bad, "fine"]})
    opened = door(server.base_url)
    opened.ask(ASKED)
    assert opened.ask(ASKED).text == "fine"
    assert server.calls[MODEL] == 2


# Whose it is, and for how long


@both
def test_scopes_are_apart(server: ScriptedServer, door: type[Door], tmp_path: Path) -> None:
    place = tmp_path / "cache.sqlite"
    one, two = (door(server.base_url, location=place, scope=scope) for scope in "ab")
    with one.cache, two.cache:
        for opened in (one, two):
            assert opened.layers(ASKED, ASKED, REWORDED) == [None, "exact", "semantic"]
        assert one.cache.invalidate(everything=True) == 1
        assert two.layers(ASKED) == ["exact"] and one.layers(ASKED) == [None]


@both
def test_entries_die_and_are_invalidated(server: ScriptedServer, door: type[Door]) -> None:
    mortal, tagged = door(server.base_url, ttl=0.05), door(server.base_url, tags=["docs 3"])
    mortal.ask(ASKED)
    time.sleep(0.1)
    assert mortal.layers(ASKED) == [None]
    tagged.ask(ASKED)
    assert tagged.cache.invalidate(tag="docs 2") == 0
    assert tagged.cache.invalidate(where={"model": MODEL}, tag="docs 3") == 1
    assert tagged.layers(ASKED) == [None]


@both
def test_the_bound_is_kept_and_learns_from_reports(
    server: ScriptedServer, door: type[Door]
) -> None:
    assert door(server.base_url, error_bound=0).layers(ASKED, REWORDED, ASKED) == [
        None,
        None,
        "exact",
    ]
    opened = door(server.base_url)
    first = opened.ask(ASKED)
    opened.cache.report_right(opened.ask(REWORDED).original)
    opened.cache.report_wrong(opened.ask(REWORDED).original)
    assert opened.layers(REWORDED) == [None]
    opened.ask(OTHER)
    opened.cache.report_wrong(opened.ask(OTHER).original)
    assert opened.layers(OTHER) == [None]
    with pytest.raises(FrugalError, match="did not come from the cache"):
        opened.cache.report_wrong(first.original)
    assert opened.cache.certificate().error_bound == 0.05
    with pytest.raises(FrugalError, match="error_bound"):
        door(server.base_url, error_bound=2)


# One call for equal questions


@both
def test_threads(scripted: StartScripted, door: type[Door]) -> None:
    gate = Gate()
    server = scripted({MODEL: gate})
    opened = door(server.base_url)
    answers = at_once(lambda: opened.ask(ASKED), gate)
    assert server.calls[MODEL] == 1
    assert sorted(str(answer.layer) for answer in answers) == ["None"] + ["exact"] * (TWENTY - 1)


@both
async def test_tasks(scripted: StartScripted, door: type[Door]) -> None:
    server = scripted({MODEL: Answer("fine", delay=0.1)})
    opened = door(server.base_url)
    answers = await asyncio.gather(*(opened.aask(ASKED) for _ in range(TWENTY)))
    assert server.calls[MODEL] == 1
    assert sum(answer.layer == "exact" for answer in answers) == TWENTY - 1


@pairs
def test_two_caches_on_one_file(
    scripted: StartScripted, tmp_path: Path, writer: type[Door], reader: type[Door]
) -> None:
    gate = Gate()
    server = scripted({MODEL: gate})
    one, two = (d(server.base_url, location=tmp_path / "c.sqlite") for d in (writer, reader))
    with one.cache, two.cache, ThreadPoolExecutor(2) as pool:
        leader = pool.submit(one.ask, ASKED)
        assert gate.asked.wait(20)
        follower = pool.submit(two.ask, ASKED)
        with pytest.raises(TimeoutError):
            follower.result(0.3)
        gate.open.set()
        assert [asked.result(20).layer for asked in (leader, follower)] == [None, "exact"]
    assert server.calls[MODEL] == 1


@both
def test_after_a_failure_nobody_waits(scripted: StartScripted, door: type[Door]) -> None:
    gate = Gate(Fault.bad_request())
    opened = door(scripted({MODEL: gate}).base_url)
    failures = at_once(lambda: opened.ask(ASKED), gate)
    assert all(isinstance(failure, openai.BadRequestError) for failure in failures)


@both
async def test_a_cancelled_call_is_not_waited_for(
    scripted: StartScripted, door: type[Door]
) -> None:
    server = scripted({MODEL: [Answer("late", delay=60), "fine"]})
    opened = door(server.base_url)
    leader = asyncio.create_task(opened.aask(ASKED))
    async with asyncio.timeout(10):
        while not server.calls[MODEL]:
            await asyncio.sleep(0.01)
    followers = [asyncio.create_task(opened.aask(ASKED)) for _ in range(3)]
    await asyncio.sleep(0.05)
    leader.cancel()
    answers = await asyncio.wait_for(asyncio.gather(*followers), 20)
    assert [answer.text for answer in answers] == ["fine"] * 3
    assert (await opened.aask(ASKED)).layer == "exact"


# Faults of the cache


class _Failing:
    """A store that breaks down in the middle of a call."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        if self.broken:
            raise OSError("the disk is gone")
        return getattr(self.store, name)


@both
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_store_that_fails_costs_no_answer(
    scripted: StartScripted,
    door: type[Door],
    asynchronous: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = _Failing(open_store(":memory:"))

    def breaks(request: Any) -> str:
        store.broken = True
        return "fine"

    server = scripted({MODEL: breaks})
    opened = door(server.base_url, location=store)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            got = await opened.aask(ASKED) if asynchronous else opened.ask(ASKED)
            assert got.text == "fine"
        logged = len(caplog.records)
        for _ in range(3):
            opened.ask(ASKED)
    assert 0 < logged == len(caplog.records), "each kind of fault once, however many calls"
    assert server.calls[MODEL] == 5


@both
def test_a_location_that_cannot_be_opened_costs_no_answer(
    server: ScriptedServer, door: type[Door], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    opened = door(server.base_url, location=tmp_path / "file" / "cache.sqlite")
    with caplog.at_level(logging.WARNING):
        assert opened.layers(ASKED, ASKED) == [None, None]
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "the cache cannot be opened"
    ]


@both
def test_a_cache_is_sent_to_another_process(
    server: ScriptedServer, door: type[Door], tmp_path: Path
) -> None:
    opened = door(server.base_url, location=tmp_path / "cache.sqlite", scope="a")
    opened.ask(ASKED)
    sent = door(server.base_url)
    sent.cache = pickle.loads(pickle.dumps(opened.cache))  # noqa: S301  # as multiprocessing does
    assert sent.layers(ASKED) == ["exact"]
    opened.cache.close()
    sent.cache.close()


# Between the frameworks


@pairs
@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        (ASKED, {}),
        ([("system", "Be brief."), ("user", ASKED)], {"max_tokens": 50, "stop": ["."]}),
        ([("user", "Hi"), ("assistant", "Hello"), ("user", ASKED)], {"top_p": 0.5, "seed": 3}),
    ],
    ids=["question", "parameters", "history"],
)
def test_plain_chats_are_shared(
    server: ScriptedServer,
    tmp_path: Path,
    writer: type[Door],
    reader: type[Door],
    said: Turns,
    arguments: dict[str, Any],
) -> None:
    one, two = (d(server.base_url, location=tmp_path / "c.sqlite") for d in (writer, reader))
    with one.cache, two.cache:
        first = one.ask(said, **arguments)
        exact = two.ask(said, api_key="another", timeout=7, **arguments)
        assert (exact.layer, exact.text, exact.tokens) == ("exact", first.text, 0)
        turns = [(role, text.replace(ASKED, REWORDED)) for role, text in _turns(said)]
        assert two.ask(turns, **arguments).layer == "semantic"
        assert two.ask(said, **{**arguments, "temperature": 0.2}).layer is None
        two.cache.report_wrong(exact.original)
        assert one.ask(said, **arguments).layer is None
    assert server.calls[MODEL] == 3


def test_a_model_that_openai_does_not_sell_is_shared_too(
    server: ScriptedServer, tmp_path: Path
) -> None:
    writer, reader = (door(server.base_url, location=tmp_path / "c.sqlite") for door in DOORS)
    writer.ask(ASKED, model="tiny")
    like: Any = import_module("llama_index.llms.openai_like")
    llm = like.OpenAILike("tiny", api_base=server.base_url, api_key="k", is_chat_model=True)
    with writer.cache, reader.cache:
        cached = reader.cache.wrap(llm)
        for said, layer in ((ASKED, "exact"), (REWORDED, "semantic")):
            answer = cached.complete(said)  # of a chat model, a chat of one message
            assert answer.additional_kwargs["frugal_cache"]["layer"] == layer


def _turns(said: Turns) -> list[tuple[str, str]]:
    return [("user", said)] if isinstance(said, str) else list(said)


@pytest.mark.parametrize(("writer", "reader"), [DOORS, DOORS[::-1]], ids=["to", "from"])
@pytest.mark.parametrize(
    ("said", "wrote", "reads"),
    [
        (ASKED, {}, {"base_url": "other"}),
        (ASKED, {"logprobs": True}, {}),
        (ASKED, {"logprobs": True}, {"logprobs": True}),
        (ASKED, {"logit_bias": {"5": 1}}, {"logit_bias": {"5": 1}}),
        (ASKED, {"default_headers": {"x": "1"}}, {}),
        (ASKED, {"stop": ["."]}, {"stop": ["!"]}),
        (ASKED, {"response_format": {"type": "json_object"}}, {}),
        ([("system", "s"), ("user", ASKED)], {"model": "gpt-4o"}, {}),
    ],
)
def test_what_is_not_plain_or_not_the_same_is_not_shared(
    scripted: StartScripted,
    tmp_path: Path,
    writer: type[Door],
    reader: type[Door],
    said: Turns,
    wrote: dict[str, Any],
    reads: dict[str, Any],
) -> None:
    servers = scripted(lambda r: '"one"'), scripted(lambda r: '"two"')
    reads = {n: servers[1].base_url if n == "base_url" else v for n, v in reads.items()}
    one, two = (d(servers[0].base_url, location=tmp_path / "c.sqlite") for d in (writer, reader))
    with one.cache, two.cache:
        one.ask(said, **wrote)
        assert two.ask(said, **reads).layer is None


def test_what_langchain_keeps_is_checked_before_it_is_served(
    scripted: StartScripted, tmp_path: Path
) -> None:
    """Any JSON is kept for LangChain where a schema stands in the prompt in words."""

    class Person(BaseModel):
        name: str

    server = scripted({MODEL: ['{"age": 7}', '{"name": "Ada"}']})
    writer, reader = (door(server.base_url, location=tmp_path / "c.sqlite") for door in DOORS)
    program = LLMTextCompletionProgram.from_defaults(
        output_cls=Person,
        prompt=PromptTemplate("Who?"),
        llm=reader.cache.wrap(reader.model()),  # type: ignore[attr-defined]  # it is LlamaIndex's
    )
    with writer.cache, reader.cache:
        (message,) = program.prompt.format_messages()
        assert writer.ask(message.content or "").text == '{"age": 7}'
        assert writer.ask(message.content or "").layer == "exact"
        assert program() == program() == Person(name="Ada")
    assert server.calls[MODEL] == 2


def ask_elsewhere(door: type[Door], url: str, location: str, said: str) -> str:
    """The layer that serves a question in a new process."""
    program = (
        "import sys\nfrom tests.integration_tests import cache_doors\n"
        "name, url, location, said = sys.argv[1:]\n"
        "opened = getattr(cache_doors, name)(url, location=location)\n"
        "print(opened.ask(said).layer)\nopened.cache.close()"
    )
    command = [sys.executable, "-c", program, door.__name__, url, location, said]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("writer", DOORS, ids=lambda door: door.__name__)
def test_another_process_hits(server: ScriptedServer, tmp_path: Path, writer: type[Door]) -> None:
    (reader,) = (door for door in DOORS if door is not writer)
    place = str(tmp_path / "cache.sqlite")
    opened = writer(server.base_url, location=place)
    opened.ask(ASKED)
    assert ask_elsewhere(reader, server.base_url, place, REWORDED) == "semantic"
    assert ask_elsewhere(reader, server.base_url, place, OTHER) == "None"
    assert opened.layers(OTHER) == ["exact"]
    opened.cache.close()
    assert server.calls[MODEL] == 2
