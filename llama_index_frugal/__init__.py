"""LlamaIndex parts of frugal-cascade: pay less for LLM calls without losing quality.

The modules without an underscore hold what is public. A call of a cascade goes from `_model` (the
endpoints) by `_requests` (what is asked of every tier) and `_calls` (asking it) to `_responses`
(what it said); `_tiers` and `_arguments` serve its construction. A call of a cached model goes from
`_cache_models` (the endpoints) by `_cache_messages` and `_cache_identity` (the key) and
`_cache_calls` (looking up) to `_cache_answers` (what is kept). Every decision is the core's.
"""

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
