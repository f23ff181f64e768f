"""The cache in query and chat engines, over real text, real vectors and a real server."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core import QueryBundle, Settings, SummaryIndex, VectorStoreIndex
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.extractors import SummaryExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.postprocessor import LLMRerank
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from frugal_core.errors import FrugalError
from llama_index_frugal import SemanticCacheCallback
from tests.conftest import StartScripted
from tests.servers import Answer, Request, ScriptedServer

pytestmark = pytest.mark.timeout(120)

ASKED = "What is a derivative work?"
REWORDED = "What's a derivative work?"
OTHER = "Is there any warranty?"


@pytest.fixture
def server(scripted: StartScripted) -> ScriptedServer:
    return scripted(lambda request: Answer(f"answer number {request.number}"))


def openai(server: ScriptedServer, **arguments: Any) -> OpenAI:
    settings = {"model": "gpt-4o-mini", "api_base": server.base_url, "api_key": "k"}
    return OpenAI(**{**settings, "max_retries": 0, "reuse_client": False, **arguments})


def callback(**settings: Any) -> SemanticCacheCallback:
    return SemanticCacheCallback(**{"location": ":memory:", "error_bound": 0.05, **settings})


async def query(engine: Any, question: str, asynchronous: bool) -> str:
    """An engine's answer, whole."""
    response = await engine.aquery(question) if asynchronous else engine.query(question)
    if isinstance(response, AsyncStreamingResponse):
        return "".join([token async for token in response.response_gen])
    if isinstance(response, StreamingResponse):
        tokens: Any = response.response_gen
        if hasattr(tokens, "__aiter__"):
            return "".join([token async for token in tokens])
        return "".join(tokens)
    return str(response)


_SILENT = (ResponseMode.NO_TEXT, ResponseMode.CONTEXT_ONLY)
_WHOLE = (ResponseMode.ACCUMULATE, ResponseMode.COMPACT_ACCUMULATE)  # they cannot stream
MODES = [
    (mode, streaming)
    for mode in ResponseMode
    for streaming in (False, True)
    if mode not in _SILENT and not (streaming and mode in _WHOLE)
]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(("mode", "streaming"), MODES)
async def test_every_response_mode(
    server: ScriptedServer,
    index: VectorStoreIndex,
    mode: ResponseMode,
    streaming: bool,
    asynchronous: bool,
) -> None:
    cache = callback()
    engine = cache.attach(
        index.as_query_engine(llm=openai(server), response_mode=mode, streaming=streaming)
    )
    first = await query(engine, ASKED, asynchronous)
    calls = len(server.requests)
    for question, layer in ((ASKED, "exact"), (REWORDED, "semantic")):
        with cache.hits() as hits:
            assert await query(engine, question, asynchronous) == first
        assert {hit.layer for hit in hits} == {layer} and len(hits) == calls
    assert len(server.requests) == calls
    assert await query(engine, OTHER, asynchronous) != first


@pytest.mark.parametrize("mode", [mode for mode, streaming in MODES if not streaming])
def test_an_answer_from_another_context_is_never_served(
    scripted: StartScripted, mode: ResponseMode
) -> None:
    """The question is the same, or nearly; what was retrieved is not."""
    server = scripted(
        lambda request: next(c for c in ("Lyon", "Metz", "?") if c in request.prompt or c == "?")
    )
    cache = callback()
    synthesizer = cache.attach(get_response_synthesizer(openai(server), response_mode=mode))

    def ask(question: str, context: str) -> str:
        nodes = [NodeWithScore(node=TextNode(text=context), score=1.0)]
        return str(synthesizer.synthesize(QueryBundle(question), nodes))

    three, four = "City 3 is called Lyon.", "City 4 is called Metz."
    same = "What is the name of the city in the text?"
    reworded = "What's the name of the city in the text?"
    if mode is ResponseMode.GENERATION:  # which reads no context
        return
    assert ("Lyon" in ask(same, three), "Metz" in ask(same, four)) == (True, True)
    assert ("Lyon" in ask(reworded, three), "Metz" in ask(reworded, four)) == (True, True)
    assert len(server.requests) == 2, "and the rewordings were hits"
    assert "Lyon" in ask("What is the name of city 3?", three)
    assert "Metz" in ask("What is the name of city 4?", four)


class Verdict(BaseModel):
    """What a licence says."""

    allowed: bool


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize"])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_engines_that_answer_with_objects(
    scripted: StartScripted, index: VectorStoreIndex, mode: Any, asynchronous: bool
) -> None:
    server = scripted(lambda request: Answer.json({"allowed": True}))
    cache = callback()
    engine = cache.attach(
        index.as_query_engine(
            llm=openai(server), response_mode=mode, output_cls=Verdict, similarity_top_k=1
        )
    )
    for question, calls in ((ASKED, 1), (ASKED, 1), (REWORDED, 2)):
        assert "true" in (await query(engine, question, asynchronous)).lower()
        assert len(server.requests) == calls


def test_a_report_on_an_engines_answer(server: ScriptedServer, index: VectorStoreIndex) -> None:
    cache = callback()
    engine = cache.attach(index.as_query_engine(llm=openai(server)))
    first = str(engine.query(ASKED))
    with cache.hits() as hits:
        assert str(engine.query(REWORDED)) == first
    cache.report_wrong(hits[-1])
    assert str(engine.query(REWORDED)) != first


@pytest.mark.parametrize(
    "mode", ["context", "condense_question", "condense_plus_context", "simple"]
)
@pytest.mark.parametrize("way", ["chat", "achat", "stream_chat", "astream_chat"])
async def test_chat_engines(
    server: ScriptedServer, index: VectorStoreIndex, mode: Any, way: str
) -> None:
    cache = callback()
    engine = cache.attach(index.as_chat_engine(mode, llm=openai(server)))

    async def say(text: str) -> str:
        said = getattr(engine, way)(text)
        said = await said if way.startswith("a") else said
        if way == "stream_chat":
            return "".join(said.response_gen)
        if way == "astream_chat":
            return "".join([token async for token in said.async_response_gen()])
        return str(said)

    first = await say(ASKED)
    calls = len(server.requests)
    for text in (ASKED, REWORDED):
        engine.reset()
        assert await say(text) == first
    assert len(server.requests) == calls
    follow_up = await say("And what about that?")
    engine.reset()
    await say(OTHER)
    assert await say("And what about that?") != follow_up, "another history"


def chooses(request: Request) -> Answer:
    if "choices" in request.prompt:
        return Answer('[{"choice": 1, "reason": "it fits"}]')
    return Answer(f"answer number {request.number}")


def test_engines_of_engines(scripted: StartScripted, index: VectorStoreIndex) -> None:
    server = scripted(chooses)
    llm = openai(server)
    tools = [
        QueryEngineTool.from_defaults(index.as_query_engine(llm=llm), description=d) for d in "ab"
    ]
    cache = callback()
    router = cache.attach(
        RouterQueryEngine(
            LLMSingleSelector.from_defaults(llm=llm),
            tools,
            llm=llm,
        )
    )
    first = str(router.query(ASKED))
    assert str(router.query(ASKED)) == first and len(server.requests) == 2
    with cache.hits() as hits:
        assert str(router.query(REWORDED)) == first
    assert [hit.layer for hit in hits] == ["semantic"], "a program reads what the selector says"
    assert len(server.requests) == 3


def test_a_selection_that_cannot_be_read_is_not_kept(
    scripted: StartScripted, index: VectorStoreIndex
) -> None:
    server = scripted(lambda r: Answer("the first") if r.number == 0 else chooses(r))
    llm = openai(server)
    tools = [
        QueryEngineTool.from_defaults(index.as_query_engine(llm=llm), description=d) for d in "ab"
    ]
    selector = LLMSingleSelector.from_defaults(llm=llm)
    router = callback().attach(RouterQueryEngine(selector, tools, llm=llm))
    with pytest.raises(Exception, match=r"."):
        router.query(ASKED)
    assert str(router.query(ASKED)).startswith("answer")


def test_what_attach_finds(index: VectorStoreIndex) -> None:
    llm = MockLLM()
    cache = callback()

    def is_cached(model: Any) -> bool:
        return type(model).__name__ == "CachedMockLLM"

    rerank = LLMRerank(llm=llm)
    engine: Any = index.as_query_engine(llm=llm, node_postprocessors=[rerank])
    assert cache.attach(engine) is engine
    assert is_cached(engine._response_synthesizer._llm) and is_cached(rerank.llm)
    assert engine._response_synthesizer._llm is rerank.llm, "one copy of one model"
    assert type(llm) is MockLLM
    pipeline = cache.attach(IngestionPipeline(transformations=[SummaryExtractor(llm=llm)]))
    assert is_cached(pipeline.transformations[0].llm)  # type: ignore[attr-defined]
    tools = [QueryEngineTool.from_defaults(index.as_query_engine(llm=llm), description="d")]
    questions: Any = SubQuestionQueryEngine.from_defaults(
        tools, llm=llm, question_gen=LLMQuestionGenerator.from_defaults(llm=llm), use_async=False
    )
    cache.attach(questions)
    assert is_cached(questions._question_gen._llm)
    assert is_cached(questions._response_synthesizer._llm)
    (inner,) = questions._query_engines.values()
    assert is_cached(inner._response_synthesizer._llm)
    assert is_cached(cache.attach(llm))
    for nothing in (object(), index, [], "text"):
        with pytest.raises(FrugalError, match="no model found"):
            cache.attach(nothing)


def test_attach_does_not_search_stores(index: VectorStoreIndex) -> None:
    before = Settings._llm
    try:
        Settings.llm = MockLLM()
        engine = callback().attach(SummaryIndex([]).as_query_engine())
    finally:
        Settings._llm = before
    assert type(engine._response_synthesizer._llm).__name__ == "CachedMockLLM"  # type: ignore[attr-defined]


def test_extractors(server: ScriptedServer) -> None:
    cache = callback()

    def summaries() -> list[Any]:
        nodes = [TextNode(text="Lyon is a city."), TextNode(text="Metz is a city.")]
        return [node.metadata for node in pipeline.run(nodes=nodes)]

    pipeline = cache.attach(
        IngestionPipeline(transformations=[SummaryExtractor(llm=openai(server))])
    )
    pipeline.disable_cache = True
    first = summaries()
    assert summaries() == first
    assert len(server.requests) == 2 and first[0] != first[1]
