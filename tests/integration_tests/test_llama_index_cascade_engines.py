"""A cascade in the places of LlamaIndex where an LLM can stand, over real text and real vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.extractors import (
    KeywordExtractor,
    PydanticProgramExtractor,
    QuestionsAnsweredExtractor,
    SummaryExtractor,
    TitleExtractor,
)
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import ChatMessage
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.program import FunctionCallingProgram, LLMTextCompletionProgram
from llama_index.core.response_synthesizers import ResponseMode
from pydantic import BaseModel

from frugal_core.local_model import LocalModel
from llama_index_frugal import FrugalCascadeLLM
from tests.conftest import StartScripted
from tests.servers import Answer, Request, ScriptedServer, Usage

pytestmark = pytest.mark.timeout(120)

CHEAP, DEAR = "gpt-4o-mini", "gpt-4o"
DRAFT, EASY, HARD = "a hazy draft", "it is provided as is", "the dear model's own words"


class Verdict(BaseModel):
    """What a licence says."""

    allowed: bool


def cheap(request: Request) -> Answer:
    """Sure of easy questions only; breaks every schema."""
    if "response_format" in request.body:
        return Answer.json({})
    if "tools" in request.body:
        return Answer.calling("Terms", {})
    easy = "easy" in str(request.body["messages"])
    return Answer(EASY if easy else DRAFT, logprob=-0.01 if easy else -3.0)


def dear(request: Request) -> Answer:
    if "tools" in request.body:
        return Answer.calling("Terms", {"allowed": True})
    formatted = "response_format" in request.body or "JSON schema" in request.prompt
    return Answer.json({"allowed": True}) if formatted else Answer(HARD)


class Application:
    """A cascade with its server and its counter."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.counter = TokenCountingHandler()
        self.llm = FrugalCascadeLLM(
            model=DEAR,
            api_base=server.base_url,
            api_key="test",
            max_retries=0,
            reuse_client=False,  # the synchronous doors of LlamaIndex open loops of their own
            callback_manager=CallbackManager([self.counter]),
        )

    def check(self) -> None:
        """What was counted is what was billed."""
        billed = sum(self.server.tokens.values(), Usage())
        assert self.counter.total_llm_token_count == billed.total


@pytest.fixture
def application(scripted: StartScripted) -> Iterator[Application]:
    application = Application(scripted({CHEAP: cheap, DEAR: dear}))
    kept = Settings._llm, Settings._callback_manager
    # Engines hand their LLM the global callbacks, whatever it had.
    Settings.callback_manager = application.llm.callback_manager
    Settings.llm = application.llm
    yield application
    Settings._llm, Settings._callback_manager = kept
    application.check()


MODES = [
    ResponseMode.COMPACT,
    ResponseMode.REFINE,
    ResponseMode.TREE_SUMMARIZE,
    ResponseMode.SIMPLE_SUMMARIZE,
    ResponseMode.ACCUMULATE,
    ResponseMode.COMPACT_ACCUMULATE,
    ResponseMode.GENERATION,
]
NO_STREAMS = {ResponseMode.ACCUMULATE, ResponseMode.COMPACT_ACCUMULATE}


@pytest.mark.parametrize("mode", MODES)
async def test_query_engines(
    mode: ResponseMode, index: VectorStoreIndex, application: Application
) -> None:
    options: dict[str, Any] = {"llm": application.llm, "response_mode": mode}
    engine = index.as_query_engine(similarity_top_k=2, **options)
    for question, answer in (("Is it easy to use?", EASY), ("May I sell it?", HARD)):
        for said in (
            str(await asyncio.to_thread(engine.query, question)),
            str(await engine.aquery(question)),
        ):
            assert answer in said and DRAFT not in said
    if mode in NO_STREAMS:
        return
    streaming = index.as_query_engine(similarity_top_k=2, streaming=True, **options)
    response: Any = streaming.query("May I sell it?")
    pieces = list(response.response_gen)
    assert "".join(pieces) == HARD and len(pieces) > 3, "the last tier streams live"
    aresponse: Any = await streaming.aquery("Is it easy to use?")
    apieces = [piece async for piece in aresponse.response_gen]
    assert "".join(apieces) == EASY


async def test_query_engines_that_answer_with_objects(
    index: VectorStoreIndex, application: Application
) -> None:
    engine = index.as_query_engine(llm=application.llm, output_cls=Verdict)
    assert engine.query("May I sell it?").response == Verdict(allowed=True)  # type: ignore[union-attr]
    assert (await engine.aquery("May I?")).response == Verdict(allowed=True)  # type: ignore[union-attr]
    structured = application.llm.as_structured_llm(Verdict)
    said = index.as_query_engine(llm=structured).query("May I sell it?")
    assert Verdict.model_validate_json(str(said)).allowed


@pytest.mark.parametrize(
    "mode", ["context", "condense_question", "condense_plus_context", "simple", "best"]
)
async def test_chat_engines(mode: Any, index: VectorStoreIndex, application: Application) -> None:
    def engine() -> Any:
        return index.as_chat_engine(chat_mode=mode, llm=application.llm, similarity_top_k=1)

    history = [ChatMessage("hello"), ChatMessage(role="assistant", content="hello to you")]
    question = "May I sell it?"
    assert str(await asyncio.to_thread(engine().chat, question)) == HARD
    assert str(await engine().achat(question, chat_history=history)) == HARD
    streamed = engine().stream_chat(question)
    assert "".join(streamed.response_gen) == HARD
    astreamed = await engine().astream_chat(question)
    assert "".join([token async for token in astreamed.async_response_gen()]) == HARD


def test_modes_that_ask_nobody(index: VectorStoreIndex, application: Application) -> None:
    for mode, said in ((ResponseMode.NO_TEXT, "None"), (ResponseMode.CONTEXT_ONLY, "License")):
        response = index.as_query_engine(response_mode=mode).query("May I sell it?")
        assert said in str(response) and response.source_nodes
    assert not application.server.calls


class Terms(BaseModel):
    """What a text says."""

    allowed: bool


def test_settings_and_extractors(application: Application) -> None:
    programs: list[Any] = [
        make.from_defaults(output_cls=Terms, prompt_template_str="{input}", llm=application.llm)
        for make in (FunctionCallingProgram, LLMTextCompletionProgram)
    ]
    pipeline = IngestionPipeline(
        transformations=[
            SentenceSplitter(chunk_size=100, chunk_overlap=0),
            TitleExtractor(nodes=1),
            KeywordExtractor(keywords=2, show_progress=False),
            SummaryExtractor(summaries=["self"], show_progress=False),
            QuestionsAnsweredExtractor(questions=1, show_progress=False),
            *(PydanticProgramExtractor(program=one, input_key="input") for one in programs),
        ]
    )
    nodes = pipeline.run(documents=[Document(text="It is easy."), Document(text="A contract")])
    for node, said in zip(nodes, (EASY, HARD), strict=True):
        names = ("excerpt_keywords", "section_summary", "questions_this_excerpt_can_answer")
        assert [node.metadata[name] for name in names] == [said] * 3
        assert node.metadata["document_title"] == HARD, "candidates are put together without a text"
        assert node.metadata["allowed"] is True


# A real language model


@pytest.mark.local_model
async def test_a_real_model_through_openai_like(
    local_model: LocalModel, index: VectorStoreIndex
) -> None:
    like = pytest.importorskip("llama_index.llms.openai_like").OpenAILike

    def tier(tokens: int) -> Any:
        return like(
            model=local_model.name,
            api_base=local_model.base_url,
            api_key="none",
            temperature=0,
            max_tokens=tokens,
            logprobs=True,
            top_logprobs=1,  # llama.cpp gives none for 0, which is the default
            context_window=4096,
            is_chat_model=True,
            timeout=60,
            reuse_client=False,
        )

    counter = TokenCountingHandler()
    tiers = {"short": tier(24), "long": tier(25)}
    arguments: dict[str, Any] = {"prices": {"short": [0.1, 0.4], "long": [2.5, 10.0]}}
    arguments |= {"tiers": tiers, "callback_manager": CallbackManager([counter])}
    certain = FrugalCascadeLLM(threshold=0.0, **arguments)
    strict = FrugalCascadeLLM(threshold=1.0, **arguments)
    question = [ChatMessage("What is the capital of France? Answer with one word.")]
    responses = [certain.chat(question), await strict.achat(question)]
    trails = [response.additional_kwargs["frugal"]["trail"] for response in responses]
    if trails[0][0]["why"] != "cut short":
        assert [len(trail) for trail in trails] == [1, 2], trails
        assert 0 < trails[0][0]["score"] < 1
    assert all(response.message.content for response in responses)
    reported = sum(response.additional_kwargs["total_tokens"] for response in responses)
    assert reported == counter.total_llm_token_count
    assert responses[1].additional_kwargs["frugal"]["usd"] > 0
    pieces = list(strict.stream_chat(question))
    assert "".join(piece.delta or "" for piece in pieces) == responses[1].message.content
    last = pieces[-1].additional_kwargs
    assert last["total_tokens"] == responses[1].additional_kwargs["total_tokens"]
    answer = index.as_query_engine(llm=strict, similarity_top_k=1).query("What is a licensor?")
    assert str(answer).strip()
