"""Prompt compression: fewer tokens of context, without a model, and never over the budget."""

from frugal_core.compress.compressor import compress
from frugal_core.compress.prompt import Turn, compress_prompt, find_question
from frugal_core.compress.values import Compression, Document, Part
from frugal_core.tokens import default_counter, estimate_tokens

__all__ = [
    "Compression",
    "Document",
    "Part",
    "Turn",
    "compress",
    "compress_prompt",
    "default_counter",
    "estimate_tokens",
    "find_question",
]
