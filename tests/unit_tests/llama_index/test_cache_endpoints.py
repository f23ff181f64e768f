"""The eight endpoints of a model that has a cache."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ImageBlock, TextBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import LLM, ChatMessage, CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate, RichPromptTemplate
from llama_index_instrumentation import get_dispatcher
from pydantic import PrivateAttr

import llama_index_frugal
from frugal_core.errors import FrugalError
from llama_index_frugal import FrugalCacheEvent, SemanticCacheCallback
from tests.unit_tests.llama_index.asking import STREAMS, WAYS, ask
from tests.unit_tests.llama_index.fakes import Fake, calling

ASKED = "How do I learn Python quickly?"
REWORDED = "How can I learn Python quickly?"
OTHER = "What is the capital of Mongolia?"


def callback(**settings: Any) -> SemanticCacheCallback:
    return SemanticCacheCallback(**{"location": ":memory:", "error_bound": 0.05, **settings})


def layer(said: Any) -> str | None:
    marker = said.extra.get("frugal_cache")
    return None if marker is None else marker["layer"]


every_way = pytest.mark.parametrize("way", WAYS)


@every_way
async def test_every_endpoint_is_served(way: str) -> None:
    fake = Fake(says=["these are four words", "two"])
    llm = callback().wrap(fake)
    first = await ask(llm, way, ASKED)
    assert layer(first) is None and first.last.raw is not None
    for said, expected in ((ASKED, "exact"), (REWORDED, "semantic"), (OTHER, None)):
        got = await ask(llm, way, said)
        assert layer(got) == expected
        if expected:
            assert got.text == first.text and got.last.raw is None
            assert got.extra["total_tokens"] == got.extra["prompt_tokens"] == 0
        if expected and way in STREAMS:
            assert got.deltas == ["these ", "are ", "four ", "words"]
            texts = [getattr(p, "text", None) or p.message.content for p in got.pieces]
            assert texts == ["these ", "these are ", "these are four ", "these are four words"]
    assert len(fake.calls) == 2


async def test_endpoints_of_one_kind_share_their_answers() -> None:
    llm = callback().wrap(Fake(says=["a chat's answer", "a completion's answer"]))
    assert layer(await ask(llm, "astream_chat", ASKED)) is None
    assert {layer(await ask(llm, w, ASKED)) for w in WAYS if w.endswith("chat")} == {"exact"}
    assert layer(await ask(llm, "complete", ASKED)) is None
    assert {layer(await ask(llm, w, ASKED)) for w in WAYS if w.endswith("complete")} == {"exact"}


async def test_arguments_by_keyword() -> None:
    llm = callback().wrap(Fake())
    messages = [ChatMessage(role="user", content=ASKED)]
    assert llm.chat(messages=messages).raw is not None
    assert (await llm.achat(messages=messages)).raw is None
    assert llm.complete(prompt=ASKED, formatted=True).raw is not None
    assert (await llm.acomplete(prompt=ASKED, formatted=True)).raw is None
    assert list(llm.stream_complete(prompt=ASKED))[-1].raw is not None, "formatted is in the key"


def test_the_model_stays_what_it_is() -> None:
    fake = Fake(model="x")
    one, two = callback(), callback()
    llm = one.wrap(fake)
    assert isinstance(llm, Fake) and isinstance(llm, FunctionCallingLLM)
    assert type(llm) is type(one.wrap(Fake())), "one class for each class"
    assert (llm.model, llm.metadata, llm.to_dict()) == (fake.model, fake.metadata, fake.to_dict())
    assert llm.class_name() == fake.class_name() and type(fake) is Fake
    assert type(llm).model_fields.keys() == Fake.model_fields.keys()
    llm.chat([ChatMessage(ASKED)])
    again = two.wrap(llm)
    assert type(again) is type(llm)
    again.chat([ChatMessage(ASKED)])
    assert [c.cache.stats()["entries"] for c in (one, two)] == [1, 1], "the last cache wins"


@pytest.mark.parametrize("other", ["gpt-4o", None, Fake])
def test_only_models_are_wrapped(other: Any) -> None:
    with pytest.raises(FrugalError, match="is not an LLM of LlamaIndex"):
        callback().wrap(other)


def test_copies_and_other_processes(tmp_path: Path) -> None:
    cache = callback(location=tmp_path / "cache.sqlite")
    llm = cache.wrap(Fake())
    llm.chat([ChatMessage(ASKED)])
    twins = [copy.copy(llm), copy.deepcopy(llm), llm.model_copy()]
    twins.append(pickle.loads(pickle.dumps(llm)))  # noqa: S301  # what multiprocessing does
    for twin in twins:
        assert twin.chat([ChatMessage(ASKED)]).additional_kwargs["frugal_cache"]["layer"] == "exact"


def test_in_settings() -> None:
    counter = TokenCountingHandler()
    before = Settings._llm, Settings._callback_manager
    try:
        Settings.callback_manager = CallbackManager([counter])
        Settings.llm = callback().wrap(Fake())
        for _ in range(3):
            Settings.llm.complete(ASKED)
        assert len(counter.llm_token_counts) == 1, "on a hit nothing is bought"
    finally:
        Settings._llm, Settings._callback_manager = before


class Plain(CustomLLM):
    """A model that only completes: its `chat` calls `complete`."""

    _asked: list[str] = PrivateAttr(default_factory=list)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="plain")

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        self._asked.append(prompt)
        return CompletionResponse(text="said")

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        self._asked.append(prompt)
        yield CompletionResponse(text="said", delta="said")


@every_way
async def test_a_model_whose_chat_completes_is_looked_up_once(way: str) -> None:
    cache = callback()
    llm = cache.wrap(Plain())
    assert [layer(await ask(llm, way, ASKED)) for _ in range(2)] == [None, "exact"]
    assert (cache.cache.stats()["lookups"], len(llm._asked)) == (2, 1)


async def test_a_wrapped_model_within_a_model_is_served_by_its_own_cache() -> None:
    inner, outer = callback(), callback()

    class Outer(Plain):
        inner: Any = None

        def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            return self.inner.complete(prompt)

    llm = outer.wrap(Outer(inner=inner.wrap(Fake())))
    llm.complete(ASKED)
    assert [c.cache.stats()["entries"] for c in (inner, outer)] == [1, 1]


# Streams


@pytest.mark.parametrize("way", STREAMS)
async def test_unfinished_streams_are_not_kept(way: str) -> None:
    cache = callback()
    fake = Fake(says=[ValueError("broken off"), "fine words"], breaks_after=2)
    llm = cache.wrap(fake)
    with pytest.raises(ValueError, match="broken off"):
        await ask(llm, way, ASKED)
    asked: Any = ASKED if "complete" in way else [ChatMessage(ASKED)]
    if way.startswith("a"):
        left = await getattr(llm, way)(asked)
        async for _ in left:
            break
        await left.aclose()
    else:
        for _ in getattr(llm, way)(asked):
            break
    assert cache.cache.stats()["entries"] == 0
    # LlamaIndex's own decorator leaves an asynchronous stream to the garbage collector.
    assert fake.closed[-1] == "closed" or way.startswith("a"), "the model's closes with ours"
    assert (await ask(llm, way, ASKED)).text == "fine words"
    assert layer(await ask(llm, way, ASKED)) == "exact"


@pytest.mark.parametrize("way", ["stream_chat", "astream_chat"])
async def test_a_stream_without_a_word_is_not_kept(way: str) -> None:
    llm = callback().wrap(Fake(silent=True))
    for _ in range(2):
        stream = getattr(llm, way)([ChatMessage(ASKED)])
        if way.startswith("a"):
            assert [piece async for piece in await stream] == []
        else:
            assert list(stream) == []


def test_a_stream_may_be_read_in_another_thread() -> None:
    llm = callback().wrap(Fake(says=["some words here"]))
    for _ in range(2):
        stream = llm.stream_chat([ChatMessage(ASKED)])
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(list, stream).result()[-1].message.content == ("some words here")


async def test_a_stream_begun_late_asks_what_was_asked() -> None:
    llm = callback().wrap(Fake())
    messages = [ChatMessage(ASKED)]
    stream = llm.stream_chat(messages)
    messages.append(ChatMessage(OTHER))
    list(stream)
    assert layer(await ask(llm, "chat", ASKED)) == "exact"


async def test_equal_streams_at_once() -> None:
    class Slow(Fake):
        async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0.05)
            return await super().astream_chat(messages, **kwargs)

    fake = Slow(says=["one two three"])
    llm = callback().wrap(fake)
    said = await asyncio.gather(*(ask(llm, "astream_chat", ASKED) for _ in range(20)))
    assert {one.text for one in said} == {"one two three"} and len(fake.calls) == 1


# Templates


TEMPLATES = [
    PromptTemplate("Context: {context_str}\nQuestion: {query_str}"),
    ChatPromptTemplate(
        [ChatMessage("{context_str}", role="system"), ChatMessage("{query_str}", role="user")]
    ),
    RichPromptTemplate("Context: {{context_str}}\nQuestion: {{query_str}}"),
    PromptTemplate("{c}\n{q}", template_var_mappings={"context_str": "c", "query_str": "q"}),
]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("way", ["predict", "apredict", "stream", "astream"])
@pytest.mark.parametrize("chats", [True, False])
async def test_of_a_template_only_the_question_is_matched_by_meaning(
    template: Any, way: str, chats: bool
) -> None:
    cache, fake = callback(), Fake(says=[f"answer {i}" for i in range(9)], chats=chats)
    llm = cache.wrap(fake)

    async def said(context: str, question: str) -> list[str]:
        with cache.hits() as hits:
            made = getattr(llm, way)(template, context_str=context, query_str=question)
            made = await made if way.startswith("a") else made
            if way == "stream":
                list(made)
            elif way == "astream":
                [piece async for piece in made]
        return [hit.layer for hit in hits]

    assert await said("city 3", ASKED) == []
    assert await said("city 3", ASKED) == ["exact"]
    assert await said("city 3", REWORDED) == ["semantic"]
    assert await said("city 4", ASKED) == []
    assert await said("city 4", REWORDED) == ["semantic"]
    assert len(fake.calls) == 2


def test_a_template_without_a_question_is_matched_word_for_word() -> None:
    cache, fake = callback(), Fake()
    llm = cache.wrap(fake)
    template = PromptTemplate("{text}")
    for text in (ASKED, ASKED, REWORDED):
        llm.predict(template, text=text)
    assert len(fake.calls) == 2


def test_examples_chosen_by_the_question_are_part_of_the_key() -> None:
    def examples(**kwargs: Any) -> str:
        return f"example {len(kwargs['query_str'])}"

    fake = Fake()
    llm = callback().wrap(fake)
    template = PromptTemplate("{examples} {query_str}", function_mappings={"examples": examples})
    for question in (ASKED, ASKED, REWORDED):
        llm.predict(template, query_str=question)
    assert len(fake.calls) == 2, "the rest of the prompt is another one"


class Numbers:
    """Reads a number, as a selector's parser does."""

    def parse(self, output: str) -> int:
        return int(output)

    def format(self, text: str) -> str:
        return text

    format_messages = format


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_what_a_parser_cannot_read_is_not_kept(asynchronous: bool) -> None:
    fake = Fake(says=["no number", "42", "7"])
    llm = callback().wrap(fake)
    template = PromptTemplate("{query_str}")
    template.output_parser = Numbers()  # type: ignore[assignment]  # as much as is asked of one

    async def said(question: str) -> str:
        if asynchronous:
            return await llm.apredict(template, query_str=question)
        return llm.predict(template, query_str=question)

    assert [await said(q) for q in (ASKED, ASKED, ASKED, REWORDED)] == [
        "no number",
        "42",
        "42",
        "7",
    ]


# Around it


def test_events() -> None:
    seen: list[Any] = []

    class Handler(BaseEventHandler):
        def handle(self, event: Any, **kwargs: Any) -> None:
            seen.append(event)

    handler = Handler()
    get_dispatcher().add_event_handler(handler)
    try:
        llm = callback().wrap(Fake())
        for _ in range(2):
            llm.chat([ChatMessage(ASKED)])
    finally:
        get_dispatcher().event_handlers.remove(handler)
    names = [event.class_name() for event in seen]
    assert names.count("LLMChatStartEvent") == names.count("FrugalCacheEvent") == 1
    (hit,) = [event for event in seen if isinstance(event, FrugalCacheEvent)]
    assert (hit.layer, hit.score) == ("exact", 1.0)


def test_as_a_plain_handler_it_counts() -> None:
    cache = callback()
    fake = Fake(says=["fine", ValueError("no")], callback_manager=CallbackManager([cache]))
    fake.chat([ChatMessage(ASKED)])
    with pytest.raises(ValueError, match="no"):
        fake.chat([ChatMessage(ASKED)])
    stats = cache.stats()
    assert (stats["model_calls"], stats["failed_calls"], stats["entries"]) == (2, 1, 0)
    assert (stats["input_tokens"], stats["output_tokens"]) == (10, 5)
    wrapped = cache.wrap(Fake(callback_manager=CallbackManager([cache])))
    for _ in range(3):
        wrapped.chat([ChatMessage(OTHER)])
    assert (cache.stats()["model_calls"], cache.stats()["exact_hits"]) == (3, 2)


def test_tool_calls_are_kept_if_asked_for() -> None:
    fake = Fake(says=[calling("f", x=1)])
    messages = [ChatMessage(ASKED)]
    never, kept = callback().wrap(fake), callback(tool_calls=True).wrap(fake)
    for _ in range(2):
        never.chat(messages)
    assert len(fake.calls) == 2
    said = [kept.get_tool_calls_from_response(kept.chat(messages))[0] for _ in range(3)]
    assert [call.tool_kwargs for call in said] == [{"x": 1}] * 3 and len(fake.calls) == 3
    assert len({call.tool_id for call in said}) == 3
    assert not kept.chat([ChatMessage(REWORDED)]).additional_kwargs


def test_pictures_are_served_word_for_word_and_files_not_at_all(tmp_path: Path) -> None:
    fake = Fake()
    llm = callback().wrap(fake)
    pixel = b"\x89PNG\r\n\x1a\n"
    file = tmp_path / "a.png"
    file.write_bytes(pixel)
    for block, calls in ((ImageBlock(image=pixel), 2), (ImageBlock(path=file), 3)):
        before = len(fake.calls)
        for text in (ASKED, ASKED, REWORDED):
            llm.chat([ChatMessage(blocks=[TextBlock(text=text), block])])
        assert len(fake.calls) - before == calls


def test_a_prompt_that_cannot_be_read_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(Fake):
        def to_dict(self, **kwargs: Any) -> dict[str, Any]:
            raise RuntimeError("not today")

    llm: LLM = callback().wrap(Odd())
    for _ in range(2):
        assert llm.chat([ChatMessage(ASKED)]).message.content == "yes"
    assert caplog.text.count("not today") == 1


def test_what_is_public_is_loaded_late() -> None:
    assert llama_index_frugal.SemanticCacheCallback is SemanticCacheCallback
    assert "SemanticCacheCallback" in dir(llama_index_frugal)
    program = "import llama_index_frugal, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert not any(name.startswith("llama_index.") for name in done.stdout.split())
