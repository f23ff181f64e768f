"""PromptCompressor for LlamaIndex: retrieved nodes, indexed nodes, and what both keep."""

from __future__ import annotations

import asyncio
import logging
import pickle
from typing import Any

import pytest
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.schema import (
    ImageNode,
    MetadataMode,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)

from frugal_core.errors import FrugalError
from frugal_core.tokens import default_counter
from llama_index_frugal import PromptCompressor

FACTS = {
    "Peru": "Lima is the capital of Peru. It was founded in 1535. Its ceviche is famous. Rain is "
    "rare there, and the coast is foggy for most of the year.",
    "Chile": "Santiago is the capital of Chile. It lies below the Andes. Its wine is famous. The "
    "summer is dry, and the winter brings some rain.",
    "Fog": "Fog is a cloud that touches the ground. It makes roads slippery. Nobody likes it much.",
}
QUESTION = "When was Lima founded?"


def retrieved() -> list[NodeWithScore]:
    found = []
    for number, (title, text) in enumerate(FACTS.items()):
        node = TextNode(text=text, id_=title, metadata={"title": title, "secret": "s" * 40})
        node.excluded_llm_metadata_keys = ["secret"]
        node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=f"doc {number}")
        found.append(NodeWithScore(node=node, score=1 - number / 10))
    return found


def read(nodes: list[NodeWithScore]) -> str:
    return "\n".join(one.node.get_content(MetadataMode.LLM) for one in nodes)


def test_nodes_keep_what_belongs_to_them() -> None:
    before = retrieved()
    after = PromptCompressor(ratio=3).postprocess_nodes(before, query_str=QUESTION)
    assert "founded in 1535" in read(after) and "foggy" not in read(after)
    assert before == retrieved(), "the originals stay"
    for one in after:
        was = next(other for other in before if other.node.node_id == one.node.node_id)
        assert one.score == was.score
        assert one.node.metadata == was.node.metadata
        assert one.node.relationships == was.node.relationships
        assert one.node.excluded_llm_metadata_keys == ["secret"]


@pytest.mark.parametrize("mode", [MetadataMode.LLM, MetadataMode.ALL, MetadataMode.NONE])
def test_the_budget_counts_what_the_model_reads(mode: MetadataMode) -> None:
    compressor = PromptCompressor(token_budget=40, metadata_mode=mode)
    after = compressor.postprocess_nodes(retrieved(), QueryBundle(QUESTION))
    text = "\n".join(one.node.get_content(mode) for one in after)
    assert 0 < default_counter()(text) <= 40


def test_async_is_the_same() -> None:
    compressor = PromptCompressor(ratio=2)
    found = asyncio.run(compressor.apostprocess_nodes(retrieved(), query_str=QUESTION))
    assert found == compressor.postprocess_nodes(retrieved(), query_str=QUESTION)


def test_without_a_question_and_without_nodes() -> None:
    assert PromptCompressor(ratio=2).postprocess_nodes([]) == []
    short = PromptCompressor(ratio=2).postprocess_nodes(retrieved())
    assert 0 < len(read(short)) < len(read(retrieved()))
    asked = PromptCompressor(ratio=3, question=QUESTION).postprocess_nodes(retrieved())
    assert "1535" in read(asked)


def test_images_pass() -> None:
    image = NodeWithScore(node=ImageNode(image="abcd", id_="image"), score=0.5)
    nodes = [retrieved()[0], image, *retrieved()[1:]]
    after = PromptCompressor(ratio=3).postprocess_nodes(nodes, query_str=QUESTION)
    assert image in after


def test_the_whole_text_can_be_kept() -> None:
    compressor = PromptCompressor(ratio=3, original_key="whole")
    after = compressor.postprocess_nodes(retrieved(), query_str=QUESTION)
    node = next(one.node for one in after if one.node.node_id == "Peru")
    assert node.metadata["whole"] == FACTS["Peru"]
    assert FACTS["Peru"] not in node.get_content(MetadataMode.LLM)
    assert FACTS["Peru"] not in node.get_content(MetadataMode.EMBED)


def test_in_a_query_engine() -> None:
    nodes = [one.node for one in retrieved()]
    index = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=4))
    engine = index.as_query_engine(
        llm=MockLLM(), similarity_top_k=3, node_postprocessors=[PromptCompressor(ratio=3)]
    )
    response = engine.query(QUESTION)
    assert "founded in 1535" in str(response)  # a MockLLM repeats its prompt
    assert "foggy" not in str(response)
    assert {one.node.node_id for one in response.source_nodes} <= set(FACTS)


def test_in_an_ingestion_pipeline() -> None:
    cache = IngestionCache()

    def run(ratio: float) -> list[Any]:
        pipeline = IngestionPipeline(
            transformations=[PromptCompressor(ratio=ratio, min_tokens=0)], cache=cache
        )
        return list(pipeline.run(nodes=[one.node for one in retrieved()]))

    twice, four = run(2), run(4)
    assert [node.node_id for node in twice] == [node.node_id for node in four] == list(FACTS)
    for wide, narrow, text in zip(twice, four, FACTS.values(), strict=True):
        assert len(narrow.text) <= len(wide.text) < len(text)
    assert twice != four, "another ratio is another transformation"
    assert run(2) == twice


def test_dictionaries_and_pickles() -> None:
    compressor = PromptCompressor(ratio=3, protect=r"\bceviche\b", metadata_mode=MetadataMode.NONE)
    for again in (
        PromptCompressor.from_dict(compressor.to_dict()),
        pickle.loads(pickle.dumps(compressor)),  # noqa: S301  # made here
    ):
        assert again.to_dict() == compressor.to_dict()
        assert "ceviche" in read(again.postprocess_nodes(retrieved(), query_str=QUESTION))
    counted = PromptCompressor(ratio=3, count_tokens=len).to_dict()
    assert "len" in counted["count_tokens"]
    with pytest.raises(FrugalError, match="give it as count_tokens="):
        PromptCompressor.from_dict(counted)
    assert PromptCompressor.from_dict(counted, count_tokens=len).ratio == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ratio": 0.5}, "ratio=0.5"),
        ({"ratio": 2, "token_budget": 10}, "give one of them"),
        ({"token_budget": 0}, "token_budget=0"),
        ({"protect": ["("]}, "protect"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(FrugalError, match=message):
        PromptCompressor(**arguments)


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="rato"):
        PromptCompressor(rato=2)


class Broken(MockEmbedding):
    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        raise RuntimeError("no such luck")


def test_a_failure_inside_costs_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    compressor = PromptCompressor(ratio=3, embed_model=Broken(embed_dim=4))
    with caplog.at_level(logging.WARNING, logger="frugal_core"):
        for _ in range(2):
            assert compressor.postprocess_nodes(retrieved(), query_str=QUESTION) == retrieved()
    assert len(caplog.records) == 1 and "pass unchanged" in caplog.text


def test_what_was_dropped_is_reported() -> None:
    reports: list[Any] = []
    PromptCompressor(ratio=3, report=reports.append).postprocess_nodes(
        retrieved(), query_str=QUESTION
    )
    assert len(reports) == 1 and reports[0].tokens_after < reports[0].tokens_before
    assert reports[0].dropped


def test_what_counts_is_part_of_the_transformation() -> None:
    cache = IngestionCache()

    def run(count: Any) -> int:
        step = PromptCompressor(token_budget=40, count_tokens=count, min_tokens=0)
        node = TextNode(text=" ".join(FACTS.values()), id_="all")
        (short,) = IngestionPipeline(transformations=[step], cache=cache).run(nodes=[node])
        return len(short.get_content())

    assert run(lambda text: len(text) // 4) > run(lambda text: len(text) // 2) > 0


def test_the_first_text_is_kept_and_nothing_is_shared() -> None:
    compressor = PromptCompressor(ratio=2, original_key="whole", min_tokens=0)
    node = TextNode(text=FACTS["Peru"], id_="Peru")
    once = compressor([node])[0]
    (twice,) = compressor.postprocess_nodes([NodeWithScore(node=once)], query_str=QUESTION)
    assert twice.node.metadata["whole"] == FACTS["Peru"]
    assert twice.node.excluded_llm_metadata_keys == ["whole"]
    once.relationships[NodeRelationship.NEXT] = RelatedNodeInfo(node_id="other")
    once.excluded_llm_metadata_keys.append("more")
    assert not node.relationships and not node.excluded_llm_metadata_keys
