"""LlamaIndex parts of frugal-cascade: pay less for LLM calls without losing quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frugal_core.lazy import lazily

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

# LlamaIndex alone takes four seconds of processor time to import.
__getattr__ = lazily(__name__, _HOMES, "llama_index", "llama-index")


def __dir__() -> list[str]:
    return __all__
