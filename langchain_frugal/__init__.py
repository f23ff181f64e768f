"""LangChain parts of frugal-cascade: pay less for LLM calls without losing quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frugal_core.lazy import lazily

if TYPE_CHECKING:
    from langchain_frugal.cache import FrugalCache, SemanticCacheCallback
    from langchain_frugal.cache_middleware import SemanticCacheMiddleware
    from langchain_frugal.cascade import FrugalCascadeLLM
    from langchain_frugal.compressor import PromptCompressor
    from langchain_frugal.concatenate import ConcatenatedQueries
    from langchain_frugal.examples import ExampleSelector
    from langchain_frugal.rewrite import PromptRewriter

__all__ = [
    "ConcatenatedQueries",
    "ExampleSelector",
    "FrugalCache",
    "FrugalCascadeLLM",
    "PromptCompressor",
    "PromptRewriter",
    "SemanticCacheCallback",
    "SemanticCacheMiddleware",
]

_HOMES = {
    "ConcatenatedQueries": "concatenate",
    "ExampleSelector": "examples",
    "FrugalCache": "cache",
    "FrugalCascadeLLM": "cascade",
    "PromptCompressor": "compressor",
    "PromptRewriter": "rewrite",
    "SemanticCacheCallback": "cache",
    "SemanticCacheMiddleware": "cache_middleware",
}

# LangChain's chat models alone take a third of a second to import.
__getattr__ = lazily(__name__, _HOMES, "langchain", "langchain")


def __dir__() -> list[str]:
    return __all__
