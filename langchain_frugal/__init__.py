"""LangChain parts of frugal-cascade: pay less for LLM calls without losing quality."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    # Loaded on first use: LangChain's chat models alone take a third of a second to import.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("langchain", "openai")):
            fix = 'pip install "frugal-cascade[langchain]"'
            raise ImportError(f"{name} needs {error.name}: {fix}") from error
        raise


def __dir__() -> list[str]:
    return __all__
