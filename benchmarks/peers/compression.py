"""LLMLingua and Selective Context on the weights of the local model, where they can run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from frugal_core.compress.segment import segment
from frugal_core.local_model import LocalModelError, find_weights
from frugal_core.tokens import default_counter

Method = Callable[[str, list[dict[str, str]], int], str]


@dataclass(frozen=True)
class Peer:
    """Another method, or why it does not run.

    Args:
        name: What it is called.
        method: A question, documents and a budget to a text; None if it does not run.
        why: Why not.
    """

    name: str
    method: Method | None
    why: str = ""


def peers() -> list[Peer]:
    """All peers that need a language model."""
    names = ("LLMLingua 0.2.2", "LongLLMLingua 0.2.2", "Selective Context")
    missing = [m for m in ("torch", "transformers", "gguf", "llmlingua") if find_spec(m) is None]
    if missing:
        why = f"{', '.join(missing)} not installed (see the head of benchmarks/compression.py)"
        return [Peer(name, None, why) for name in names]
    try:
        folder = _weights()
        lingua = _lingua(folder)
    except (LocalModelError, OSError, ValueError, ImportError, NotImplementedError) as error:
        return [Peer(name, None, f"{type(error).__name__}: {error}") for name in names]
    plain: dict[str, Any] = {}
    long = {
        "rank_method": "longllmlingua",
        "condition_in_question": "after_condition",
        "condition_compare": True,
        "dynamic_context_compression_ratio": 0.3,
    }
    return [
        Peer(names[0], lambda *asked: _by_lingua(lingua, plain, *asked)),
        Peer(names[1], lambda *asked: _by_lingua(lingua, long, *asked)),
        Peer(f"{names[2]} score", lambda *asked: _by_information(lingua, *asked)),
        Peer(
            names[2],
            None,
            "the package fetches gpt2 from a model hub and takes no other weights; its score, the "
            "self-information of sentences, stands above on the local model",
        ),
    ]


def _weights() -> Path:
    """The local model as transformers reads it: its weights are in llama.cpp's format."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    packed = find_weights()
    folder = Path(tempfile.gettempdir()) / "frugal-benchmark-smollm2"
    if not (folder / "tokenizer.json").is_file():
        source = {"gguf_file": packed.name}
        AutoModelForCausalLM.from_pretrained(packed.parent, **source).save_pretrained(folder)
        AutoTokenizer.from_pretrained(packed.parent, **source).save_pretrained(folder)
    return folder


def _lingua(folder: Path) -> Any:
    # It counts with tiktoken, which would download its data.
    spec = find_spec("llama_index")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        data = Path(place) / "core" / "_static" / "tiktoken_cache"
        os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(data))
    from llmlingua import PromptCompressor

    return PromptCompressor(str(folder), device_map="cpu")


def _by_lingua(
    lingua: Any,
    options: dict[str, Any],
    question: str,
    documents: list[dict[str, str]],
    budget: int,
) -> str:
    found = lingua.compress_prompt(
        [f"[{document['title']}] {document['text']}" for document in documents],
        question=question,
        target_token=budget,
        concate_question=False,
        **options,
    )
    return str(found["compressed_prompt"])


def _by_information(
    lingua: Any, question: str, documents: list[dict[str, str]], budget: int
) -> str:
    """Sentences with the highest mean self-information (Li et al. 2023, arXiv:2310.06201)."""
    import torch

    count = default_counter()
    sentences, scores = [], []
    for document in documents:
        text = f"[{document['title']}] {document['text']}"
        encoded = lingua.tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
        ids = encoded["input_ids"]
        with torch.no_grad():
            logits = lingua.model(ids).logits[0, :-1].float()
        surprise = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none").tolist()
        places = [int(start) for start, _ in encoded["offset_mapping"][0][1:]]
        for piece in segment(text):
            inside = [
                s for s, at in zip(surprise, places, strict=True) if piece.start <= at < piece.end
            ]
            sentences.append(text[piece.start : piece.end])
            scores.append(sum(inside) / max(len(inside), 1))
    kept, used = [], 0
    for index in sorted(range(len(sentences)), key=lambda i: -scores[i]):
        cost = count(f" {sentences[index]}")
        if used + cost <= budget:
            kept.append(index)
            used += cost
    return " ".join(sentences[index] for index in sorted(kept))
