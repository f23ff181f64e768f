"""LlamaIndex parts of frugal-cascade: pay less for LLM calls without losing quality."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_index_frugal.cache import FrugalCacheEvent, SemanticCacheCallback
    from llama_index_frugal.cascade import FrugalCascadeLLM
    from llama_index_frugal.compressor import PromptCompressor
    from llama_index_frugal.events import FrugalCascadeEvent

__all__ = [
    "FrugalCacheEvent",
    "FrugalCascadeEvent",
    "FrugalCascadeLLM",
    "PromptCompressor",
    "SemanticCacheCallback",
]

_HOMES = {
    "FrugalCacheEvent": "cache",
    "FrugalCascadeEvent": "events",
    "FrugalCascadeLLM": "cascade",
    "PromptCompressor": "compressor",
    "SemanticCacheCallback": "cache",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use: LlamaIndex alone takes four seconds of processor time to import.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("llama_index", "openai")):
            fix = 'pip install "frugal-cascade[llama-index]"'
            raise ImportError(f"{name} needs {error.name}: {fix}") from error
        raise


def __dir__() -> list[str]:
    return __all__
