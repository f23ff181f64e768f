"""Prompt compression for LlamaIndex: of retrieved nodes, and of nodes that are indexed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Self

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import (
    BaseNode,
    MetadataMode,
    Node,
    NodeWithScore,
    QueryBundle,
    TextNode,
    TransformComponent,
)
from pydantic import ConfigDict, Field, PrivateAttr, field_serializer

from frugal_core.cache.partition import digest
from frugal_core.compress import Compression, Document, compress
from frugal_core.compress.guard import Guard
from frugal_core.errors import FrugalError
from frugal_core.scoring import FunctionScorer
from llama_index_frugal._cache_identity import described

_OPTIONS = ("on_overflow", "count_tokens", "word_ratio", "min_tokens", "model", "cached_share")


class PromptCompressor(BaseNodePostprocessor, TransformComponent):
    """Fewer tokens of context, exactly within a budget, and what the question needs still there.

    As a postprocessor of a query or chat engine it shortens the retrieved nodes for the question,
    and leaves out those of which nothing is left. As a transformation of an ingestion pipeline it
    shortens every node for itself, without a question, and leaves none out. How it chooses is
    described at `frugal_core.compress.compress`; no model is needed.

    Nodes are copied: id, score, metadata and relationships stay, the originals too. If something
    fails inside (an embedder that is down), the nodes pass unchanged, and that is logged once. A
    budget that cannot be kept is an error, unless `on_overflow="keep"`.

    Args:
        ratio: Keep at most 1/ratio of the tokens.
        token_budget: Keep at most so many tokens: of all retrieved nodes together, or of each that
            is indexed.
        question: What is asked, where the engine hands over no question.
        protect: Regular expressions of what must be kept.
        on_overflow: What to do if what must be kept is over the budget: "error", "keep" it, or
            "drop" it.
        count_tokens: Tokens of a text; by default tiktoken's where its data is on this machine,
            else a cautious estimate.
        embed_model: LlamaIndex embeddings to be heard beside the words.
        word_ratio: How much may come from dropping function words of English, 1 (none) to 1.3.
        min_tokens: Shorter texts pass unchanged.
        model, prices, cached_share: What the reading model costs; see `compress`.
        metadata_mode: Which metadata the model reads with a node; they count towards the budget and
            help to find its sentences.
        original_key: Under which name of the metadata the whole text is kept, hidden from models
            and embeddings; None for nowhere.
        report: Is called with the `Compression` of the nodes.

    Raises:
        FrugalError: for arguments that make no sense.

    Example:
        ```python
        from llama_index_frugal import PromptCompressor

        engine = index.as_query_engine(node_postprocessors=[PromptCompressor(ratio=4)])
        ```
    """

    # Whatever changes the result is a field: the ingestion cache knows a transformation by them.
    ratio: float | None = None
    token_budget: int | None = None
    question: str | None = None
    protect: list[str] = Field(default_factory=list)
    on_overflow: Literal["error", "keep", "drop"] = "error"
    count_tokens: Callable[[str], int] | None = None
    embed_model: BaseEmbedding | None = None
    word_ratio: float = 1.0
    min_tokens: int = 40
    model: str | None = None
    prices: dict[str, Any] | str | None = None
    cached_share: float = 0.0
    metadata_mode: MetadataMode = MetadataMode.LLM
    original_key: str | None = None
    report: Callable[[Compression], Any] | None = Field(default=None, exclude=True)

    _guard: Guard = PrivateAttr(default_factory=Guard)

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    def __init__(self, **arguments: Any) -> None:
        if isinstance(arguments.get("protect"), str):
            arguments["protect"] = [arguments["protect"]]
        super().__init__(**arguments)
        self._compressed([""], None)  # refuses what every call would refuse

    @classmethod
    def class_name(cls) -> str:
        """How LlamaIndex names it in dictionaries."""
        return "FrugalPromptCompressor"

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """What `to_dict` wrote; `count_tokens` and `embed_model` must be given again.

        Raises:
            FrugalError: if they are not.
        """
        for name in ("count_tokens", "embed_model"):
            if isinstance(data.get(name), str) and name not in kwargs:
                raise FrugalError(f"from_dict: {name} was {data[name]}: give it as {name}=")
        return super().from_dict(data, **kwargs)

    @field_serializer("count_tokens", "embed_model")
    def _named(self, value: Any) -> str | None:
        """A name that changes with what it names, and holds no key."""
        if value is None:
            return None
        if isinstance(value, BaseEmbedding):
            kind = type(value)
            return f"{kind.__module__}.{kind.__qualname__} {digest(described(value.to_dict()))}"
        return FunctionScorer(value).id

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[BaseNode]:
        """Shorten every node for itself."""
        return [self._indexed(node) for node in nodes]

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        question = (query_bundle.query_str if query_bundle else None) or self.question
        texts = [number for number, one in enumerate(nodes) if _has_text(one.node)]

        def shorter() -> list[NodeWithScore]:
            found = self._compressed([self._document(nodes[i].node) for i in texts], question)
            left = {number: one for number, one in enumerate(nodes) if number not in texts}
            for source, document in zip(found.sources, found.documents, strict=True):
                one = nodes[texts[source]]
                node = self._copy(one.node, document.text)
                left[texts[source]] = one.model_copy(update={"node": node})
            return [left[number] for number in sorted(left)]

        return self._guard.run(shorter, nodes)

    def _indexed(self, node: BaseNode) -> BaseNode:
        if not _has_text(node):
            return node

        def shorter() -> BaseNode:
            found = self._compressed([self._document(node)], self.question)
            return self._copy(node, found.documents[0].text) if found.documents else node

        return self._guard.run(shorter, node)

    def _compressed(self, documents: Iterable[str | Document], question: str | None) -> Compression:
        found = compress(
            documents,
            question,
            ratio=self.ratio,
            token_budget=self.token_budget,
            protect=self.protect,
            embed=self.embed_model,
            prices=self.prices,
            **{name: getattr(self, name) for name in _OPTIONS},
        )
        if self.report is not None and found.tokens_before:
            self.report(found)
        return found

    def _document(self, node: BaseNode) -> Document:
        metadata = node.get_metadata_str(mode=self.metadata_mode)
        return Document(node.get_content(MetadataMode.NONE), metadata, node.node_id)

    def _copy(self, node: BaseNode, text: str) -> BaseNode:
        if text == node.get_content(MetadataMode.NONE):
            return node
        copy = node.model_copy(deep=True)
        key = self.original_key
        if key is not None:
            copy.metadata.setdefault(key, node.get_content(MetadataMode.NONE))
            for hidden in (copy.excluded_llm_metadata_keys, copy.excluded_embed_metadata_keys):
                if key not in hidden:
                    hidden.append(key)
        copy.set_content(text)
        return copy


def _has_text(node: BaseNode) -> bool:
    return isinstance(node, TextNode | Node) and bool(node.get_content(MetadataMode.NONE).strip())
