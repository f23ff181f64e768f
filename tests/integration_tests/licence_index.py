"""Real text under real vectors: the licence of this library, as LlamaIndex indexes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.node_parser import SentenceSplitter

from frugal_core.embedding import MiniLM

LICENSE = Path(__file__).parents[2] / "LICENSE"


class Embedder(BaseEmbedding):
    """The library's own embedder, as LlamaIndex asks for one."""

    _model: Any = None

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        self._model = self._model or MiniLM()
        vectors: list[list[float]] = self._model.embed(texts).tolist()
        return vectors

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def licence_index() -> VectorStoreIndex:
    """The licence in passages."""
    text = LICENSE.read_text(encoding="utf-8")[:6000]
    splitter = SentenceSplitter(chunk_size=200, chunk_overlap=0)
    return VectorStoreIndex.from_documents(
        [Document(text=text)], embed_model=Embedder(), transformations=[splitter]
    )
