"""PromptCompressor: every kind of input, every way of calling, and what it must never touch."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.documents import BaseDocumentCompressor, BaseDocumentTransformer, Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.runnables.utils import add

from frugal_core.compress import Compression, default_counter
from frugal_core.errors import FrugalError
from langchain_frugal import PromptCompressor
from tests.unit_tests.langchain.fakes import Fake

CITIES = "Lima Quito Bogota Caracas Santiago Montevideo Asuncion Brasilia Havana Panama".split()
QUESTION = "In which year was Quito founded?"
ANSWER = "1534"


def passage(city: str, year: int) -> str:
    return (
        f"{city} is a large city with many parks and a famous market. The weather in {city} is "
        f"mild for most of the year. {city} was founded in {year} by settlers from the coast. "
        f"Visitors praise its food, its music and its museums."
    )


TEXTS = [passage(city, 1533 + i) for i, city in enumerate(CITIES)]
CONTEXT = "\n\n".join(TEXTS)
DOCUMENTS = [
    Document(text, id=str(i), metadata={"title": city, "score": 1 / (i + 1)})
    for i, (city, text) in enumerate(zip(CITIES, TEXTS, strict=True))
]
PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "Use the context. " * 30),
        ("human", "Answer from this context only:\n{context}\n\nQuestion: {question}"),
    ]
)


class Retriever(BaseRetriever):
    """Finds everything."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return DOCUMENTS


def tokens(value: Any) -> int:
    """Tokens of all texts in a value."""
    if isinstance(value, str):
        return default_counter()(value)
    if isinstance(value, BaseMessage):
        return tokens(value.text)
    if isinstance(value, Document):
        return tokens(value.page_content)
    if isinstance(value, ChatPromptValue | StringPromptValue):
        return sum(map(tokens, value.to_messages()))
    return sum(map(tokens, value))


def text_of(value: Any) -> str:
    return value.to_string() if hasattr(value, "to_string") else str(value)


WHOLE = f"Answer from this context only:\n{CONTEXT}\n\nQuestion: {QUESTION}"
INPUTS = {
    "a string": WHOLE,
    "a string prompt": StringPromptValue(text=WHOLE),
    "a chat prompt": ChatPromptValue(messages=[SystemMessage("Be brief."), HumanMessage(WHOLE)]),
    "messages": [HumanMessage(CONTEXT), HumanMessage(QUESTION)],
    "a message": HumanMessage(WHOLE),
    "tuples": [("system", "Be brief."), ("human", WHOLE)],
    "blocks": [HumanMessage([{"type": "text", "text": WHOLE}])],
}


@pytest.mark.parametrize("limit", [{"ratio": 4}, {"token_budget": 150}], ids=str)
@pytest.mark.parametrize("value", INPUTS.values(), ids=INPUTS)
def test_prompts_of_every_kind(value: Any, limit: dict[str, Any]) -> None:
    found = PromptCompressor(**limit).invoke(value)
    whole = [HumanMessage(WHOLE)] if isinstance(value, list) else value
    assert isinstance(found, type(value))
    assert ANSWER in text_of(found) and QUESTION in text_of(found)
    assert tokens(found) <= (150 if "token_budget" in limit else tokens(whole) / 4 + 20)


async def call(way: str, runnable: Any, value: Any) -> Any:
    if way == "stream":
        return add(list(runnable.stream(value)))
    if way == "astream":
        return add([chunk async for chunk in runnable.astream(value)])
    if way in ("batch", "abatch"):
        found = getattr(runnable, way)([value, value])
        first, second = await found if way == "abatch" else found
        assert first == second
        return first
    found = getattr(runnable, way)(value)
    return await found if way == "ainvoke" else found


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "batch", "abatch", "stream", "astream"])
async def test_every_way_of_calling(way: str) -> None:
    compressor = PromptCompressor(token_budget=400)
    found = await call(way, PROMPT | compressor, {"context": CONTEXT, "question": QUESTION})
    assert tokens(found) <= 400 and ANSWER in text_of(found)
    assert found == (PROMPT | compressor).invoke({"context": CONTEXT, "question": QUESTION})
    model = Fake(says=["1534"])
    chain = PROMPT | compressor | model | StrOutputParser()
    assert await call(way, chain, {"context": CONTEXT, "question": QUESTION}) in ("1534", "1534 ")
    assert all(messages == found.to_messages() for messages, _ in model.calls)


def test_what_is_not_the_users_text_is_untouched() -> None:
    long = "This is a long text. It says little. " * 30
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    call_ = {"name": "find", "args": {"text": long}, "id": "1"}
    messages: list[BaseMessage] = [
        SystemMessage(long),
        HumanMessage([{"type": "text", "text": CONTEXT}, image], id="a", name="me"),
        AIMessage(long, tool_calls=[call_]),
        ToolMessage(long, tool_call_id="1"),
        ChatMessage(content=long, role="critic"),
        HumanMessage(QUESTION),
    ]
    before = [message.model_copy(deep=True) for message in messages]
    found = PromptCompressor(ratio=4).invoke(messages)
    assert messages == before
    assert [found[i] for i in (0, 2, 3, 4, 5)] == [messages[i] for i in (0, 2, 3, 4, 5)]
    assert found[1].content[1] == image and (found[1].id, found[1].name) == ("a", "me")
    assert ANSWER in found[1].text and tokens(found[1]) <= tokens(CONTEXT) / 4


def test_what_stays_counts_towards_the_budget() -> None:
    messages = [SystemMessage("Be brief. " * 50), HumanMessage(CONTEXT), HumanMessage(QUESTION)]
    assert tokens(PromptCompressor(token_budget=300).invoke(messages)) <= 300
    with pytest.raises(FrugalError, match="are not to be compressed"):
        PromptCompressor(token_budget=100).invoke(messages)
    kept = PromptCompressor(token_budget=100, on_overflow="keep").invoke(messages)
    assert kept[0] == messages[0] and kept[2] == messages[2]


@pytest.mark.parametrize("value", ["Hi.", [HumanMessage("Hi.")], [], "", HumanMessage("Short?")])
def test_short_prompts_pass(value: Any) -> None:
    for compressor in (PromptCompressor(ratio=4), PromptCompressor(token_budget=50)):
        assert compressor.invoke(value) == value


def test_documents_keep_what_belongs_to_them() -> None:
    found = PromptCompressor(ratio=4).compress_documents(DOCUMENTS, QUESTION)
    originals = {document.id: document for document in DOCUMENTS}
    assert 0 < len(found) < len(DOCUMENTS) and tokens(found) <= tokens(DOCUMENTS) / 4
    assert ANSWER in text_of(found)
    assert [int(str(document.id)) for document in found] == sorted(int(str(d.id)) for d in found)
    for document in found:
        assert document.metadata == originals[document.id].metadata
        assert document.metadata is not originals[document.id].metadata
    assert all(document.page_content in TEXTS for document in DOCUMENTS)


def test_the_question_is_found() -> None:
    compressor = PromptCompressor(ratio=6)
    ways: dict[str, Callable[[], Any]] = {
        "argument": lambda: compressor.invoke(DOCUMENTS, question=QUESTION),
        "bound": lambda: compressor.bind(question=QUESTION).invoke(DOCUMENTS),
        "field": lambda: PromptCompressor(ratio=6, question=QUESTION).invoke(DOCUMENTS),
        "query": lambda: compressor.compress_documents(DOCUMENTS, QUESTION),
        "transformer": lambda: compressor.transform_documents(DOCUMENTS, question=QUESTION),
        "input": lambda: compressor.invoke({"question": QUESTION, "context": DOCUMENTS})["context"],
        "text": lambda: compressor.invoke({"input": QUESTION, "context": CONTEXT})["context"],
        "after": lambda: compressor.after(Retriever()).invoke(QUESTION),
        "messages": lambda: compressor.invoke([HumanMessage(CONTEXT), HumanMessage(QUESTION)]),
        "state": lambda: compressor.invoke({"messages": [HumanMessage(WHOLE)]})["messages"],
    }
    assert {name for name, way in ways.items() if ANSWER not in text_of(way())} == set()


def test_a_dictionary_shares_one_budget() -> None:
    value = {
        "question": QUESTION,
        "style": "in a formal style, please",
        "context": DOCUMENTS,
        "history": [HumanMessage(CONTEXT)],
        "k": 4,
    }
    found = PromptCompressor(token_budget=200).invoke(value)
    assert {key: found[key] for key in ("question", "style", "k")} == {
        key: value[key] for key in ("question", "style", "k")
    }
    assert 100 < sum(tokens(found[key]) for key in ("style", "context", "history")) <= 200


def test_a_chain_of_retrieval() -> None:
    compressor = PromptCompressor(ratio=4)
    inputs = {"context": Retriever(), "question": RunnablePassthrough()}

    def join(found: dict[str, Any]) -> dict[str, Any]:
        return {**found, "context": "\n".join(d.page_content for d in found["context"])}

    prompt = PromptTemplate.from_template("{context}\n\n{question}")
    found = (inputs | compressor | RunnableLambda(join) | prompt).invoke(QUESTION)
    assert ANSWER in found.to_string() and tokens(found.to_string()) < tokens(CONTEXT) / 3
    assert 0 < len((Retriever() | compressor).invoke(QUESTION)) <= len(DOCUMENTS)


async def test_in_the_retriever_and_the_pipeline_of_langchain_classic() -> None:
    retrievers = pytest.importorskip("langchain_classic.retrievers")
    compressors = pytest.importorskip("langchain_classic.retrievers.document_compressors")
    alone = PromptCompressor(ratio=4)
    pipeline = compressors.DocumentCompressorPipeline(transformers=[alone])
    for base in (alone, pipeline):
        retriever = retrievers.ContextualCompressionRetriever(
            base_compressor=base, base_retriever=Retriever()
        )
        for found in (retriever.invoke(QUESTION), await retriever.ainvoke(QUESTION)):
            assert ANSWER in text_of(found) and tokens(found) <= tokens(DOCUMENTS) / 4


async def test_the_frameworks_interfaces() -> None:
    compressor = PromptCompressor(ratio=4)
    assert isinstance(compressor, BaseDocumentCompressor)
    assert isinstance(compressor, BaseDocumentTransformer)
    expected = compressor.compress_documents(DOCUMENTS, QUESTION)
    assert await compressor.acompress_documents(DOCUMENTS, QUESTION) == expected
    assert await compressor.atransform_documents(DOCUMENTS, question=QUESTION) == expected
    assert pickle.loads(pickle.dumps(compressor)).invoke(WHOLE) == compressor.invoke(WHOLE)  # noqa: S301


def test_a_failure_inside_costs_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    def down(texts: list[str]) -> list[list[float]]:
        raise ConnectionError("no route to key=sk-12345678")

    compressor = PromptCompressor(ratio=4, embeddings=down)
    with caplog.at_level(logging.WARNING, logger="frugal_core"):
        assert compressor.invoke(WHOLE) == WHOLE
        assert compressor.compress_documents(DOCUMENTS, QUESTION) == DOCUMENTS
    assert len(caplog.records) == 1
    assert "pass unchanged" in caplog.text and "sk-1234" not in caplog.text


def test_embeddings_are_heard() -> None:
    compressor = PromptCompressor(ratio=4, embeddings=DeterministicFakeEmbedding(size=8))
    assert tokens(compressor.compress_documents(DOCUMENTS, QUESTION)) <= tokens(DOCUMENTS) / 4


def test_a_prompt_that_the_provider_has_in_its_cache_passes() -> None:
    reports: list[Compression] = []
    compressor = PromptCompressor(
        ratio=2, model="m", prices={"m": [2.0, 8.0, 0.2]}, cached_share=0.95, report=reports.append
    )
    assert compressor.invoke(WHOLE) == WHOLE
    assert [report.unchanged[:18] for report in reports] == ["cheaper unchanged:"]


def test_the_report() -> None:
    reports: list[Compression] = []
    compressor = PromptCompressor(ratio=4, model="gpt-4o", report=reports.append)
    compressor.invoke(WHOLE)
    compressor.compress_documents(DOCUMENTS, QUESTION)
    assert len(reports) == 2
    for report in reports:
        assert report.tokens_after < report.tokens_before and report.dropped
        assert report.usd_saved is not None and report.usd_saved > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ratio": 0.5}, "ratio=0.5"),
        ({"ratio": 2, "token_budget": 10}, "give one of them"),
        ({"token_budget": 0}, "token_budget=0"),
        ({"ratio": 2, "protect": "("}, "regular expressions"),
        ({"ratio": 2, "word_ratio": 2}, "word_ratio=2"),
        ({"ratio": 2, "model": "nobody-knows-me"}, "unpriced model"),
        ({"ratio": 2, "cached_share": 0.5}, "needs a price"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(FrugalError, match=message):
        PromptCompressor(**arguments)


@pytest.mark.parametrize("value", [7, None, [1, 2], [Document("a"), "b"]])
def test_bad_inputs(value: Any) -> None:
    with pytest.raises(FrugalError, match="PromptCompressor"):
        PromptCompressor(ratio=2).invoke(value)
