"""`compress`: fewer tokens of context, with what the question needs still there."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugal_core.compress.choose import Overflow, Task, choose
from frugal_core.compress.lossless import minify_json
from frugal_core.compress.paying import why_unchanged
from frugal_core.compress.protect import compile_patterns
from frugal_core.compress.select import Texts, render
from frugal_core.compress.values import Compression, Document, Part, as_documents
from frugal_core.errors import FrugalError, is_number
from frugal_core.pricing import PriceBook
from frugal_core.tokens import Counter, default_counter

if TYPE_CHECKING:
    from frugal_core.embedding import Embedder

Patterns = str | re.Pattern[str] | Iterable[str | re.Pattern[str]]

_MOST_FROM_WORDS = 1.3  # measured: beyond that, answers are lost


def compress(
    documents: str | Document | Iterable[str | Document],
    question: str | None = None,
    *,
    ratio: float | None = None,
    token_budget: int | None = None,
    protect: Patterns = (),
    on_overflow: Overflow = "error",
    count_tokens: Counter | None = None,
    embed: Any = None,
    word_ratio: float = 1.0,
    min_tokens: int = 40,
    model: str | None = None,
    prices: PriceBook | Mapping[str, Any] | str | Path | None = None,
    cached_share: float = 0.0,
) -> Compression:
    """Drop what a question does not need, down to an exact number of tokens.

    First what costs nothing goes: white space in JSON, documents that are there twice. If that is
    not enough, sentences go that repeat others, and then those that have least to do with the
    question, by BM25 on sentence and passage with their titles and a hop to passages that the best
    sentences name; without a question, by salience and redundancy. What is kept stands in its
    order, byte for byte as it was. No model is needed, and the same input gives the same result.

    Code, URLs, numbers, quotations, JSON and template variables are kept whole or dropped whole. In
    one text, such as a prompt, code, JSON and template variables are always kept; in a list of
    documents they stay or go with their relevance. What matches `protect` is always kept. Code
    without a fence that is half as large as the budget goes by lines, and a text that is a JSON
    array of objects by objects.

    Args:
        documents: A text, a document, or several; several are ranked against each other.
        question: What will be asked; without it, the most telling sentences are kept.
        ratio: Keep at most 1/ratio of the tokens; at least 1.
        token_budget: Keep at most so many tokens. With neither, only what costs nothing is done.
        protect: Regular expressions of what must be kept.
        on_overflow: What to do if that alone is over the budget: "error", "keep" it, or "drop" code
            and JSON of one text with their relevance, as in a list.
        count_tokens: Tokens of a text; by default tiktoken's cl100k if its data is on this machine,
            else a cautious estimate. Nothing is downloaded.
        embed: An embedder to be heard beside the words: anything `embedder_of` takes, such as a
            function of texts, LangChain's `Embeddings` or a LlamaIndex `BaseEmbedding`.
        word_ratio: How much of the compression may come from dropping function words of English,
            1 (none) to 1.3.
        min_tokens: Shorter texts pass unchanged, unless they are over `token_budget`.
        model: The model that will read the text, to say what was saved.
        prices: Its price, if the price table does not know it; see `PriceBook.load`.
        cached_share: In which share of the calls the provider has the whole text in its prompt
            cache. Where that is cheaper than compressing, the text passes unchanged.

    Returns:
        What is left, what was dropped and why, and what it saves.

    Raises:
        FrugalError: for arguments that make no sense, an unpriced model, and protected content
            over the budget.

    Example:
        >>> text = "Lima is the capital of Peru. It was founded in 1535. Its ceviche is famous."
        >>> compress(text, "When was Lima founded?", token_budget=9).documents[0].text
        'It was founded in 1535.'
    """
    given = as_documents(documents)
    _check(question, ratio, token_budget, on_overflow, word_ratio, cached_share, min_tokens)
    patterns = compile_patterns(protect)
    count = cache(count_tokens or default_counter())  # much is counted twice
    embedder = None if embed is None else _embedder(embed)
    price = PriceBook.load(prices).price(model) if model else None
    if cached_share and price is None:
        raise FrugalError("cached_share needs a price: name the model, and its price if it is new")
    titles = [str(document.title or "") for document in given]
    originals = {number: document.text for number, document in enumerate(given)}
    before = count(render(originals, titles))
    budget = _budget(before, ratio, token_budget)
    asked = (question or "").strip()

    free = token_budget is None or before <= token_budget  # to leave the text as it is
    unchanged = why_unchanged(
        before,
        before if budget is None else min(budget, before),
        least=min_tokens if free else 0,
        price=price,
        cached_share=cached_share if free else 0.0,
        follows_question=bool(asked),
    )
    if unchanged:
        texts, parts = originals, [Part(number, text) for number, text in originals.items()]
    else:
        texts, parts = _lossless(given, patterns)
        if budget is not None and count(render(texts, titles)) > budget:
            texts, chosen = choose(
                Task(
                    texts=texts,
                    titles=titles,
                    question=asked,
                    budget=budget,
                    count=count,
                    patterns=patterns,
                    embedder=embedder,
                    word_ratio=word_ratio,
                    on_overflow=on_overflow,
                    is_text=isinstance(documents, str | Document),
                )
            )
            dropped = [part for part in parts if part.reason]
            parts = sorted([*dropped, *chosen], key=lambda part: part.document)
    after = count(render(texts, titles))
    return Compression(
        documents=[replace(given[number], text=text) for number, text in sorted(texts.items())],
        sources=sorted(texts),
        tokens_before=before,
        tokens_after=after,
        budget=budget,
        parts=parts,
        unchanged=unchanged,
        usd_saved=round(price.cost(before, 0) - price.cost(after, 0), 12) if price else None,
    )


def _check(
    question: object,
    ratio: object,
    token_budget: object,
    on_overflow: object,
    word_ratio: object,
    cached_share: object,
    min_tokens: object,
) -> None:
    """Refuse arguments that make no sense, in words."""

    def number(name: str, value: Any, low: float, high: float, meant: str) -> None:
        if not is_number(value) or not low <= value <= high:
            raise FrugalError(f"{name}={value!r}: give {meant}")

    if question is not None and not isinstance(question, str):
        raise FrugalError(f"question is {type(question).__name__}: give a string or None")
    if ratio is not None and token_budget is not None:
        raise FrugalError("ratio and token_budget: give one of them")
    if ratio is not None:
        number("ratio", ratio, 1, 1e9, "a number from 1; 4 keeps a quarter of the tokens")
    if token_budget is not None:
        number("token_budget", token_budget, 1, math.inf, "a whole number of tokens from 1")
    if on_overflow not in ("error", "keep", "drop"):
        raise FrugalError(f'on_overflow={on_overflow!r}: give "error", "keep" or "drop"')
    number("word_ratio", word_ratio, 1, _MOST_FROM_WORDS, f"a number from 1 to {_MOST_FROM_WORDS}")
    number("cached_share", cached_share, 0, 1, "a share from 0 to 1")
    number("min_tokens", min_tokens, 0, math.inf, "a number of tokens, 0 for none")


def _embedder(embed: Any) -> Embedder:
    from frugal_core.embedding import embedder_of  # NumPy takes longer to import than all the rest

    return embedder_of(embed, id="compress")


def _budget(before: int, ratio: float | None, token_budget: int | None) -> int | None:
    if ratio is not None:
        return math.floor(before / ratio)
    return None if token_budget is None else math.floor(token_budget)


def _lossless(
    given: Sequence[Document], patterns: Sequence[re.Pattern[str]]
) -> tuple[Texts, list[Part]]:
    """JSON without white space, and every document once."""
    texts: Texts = {}
    parts = []
    seen: set[tuple[str, str]] = set()
    for number, document in enumerate(given):
        text = document.text
        if text.strip() and (document.title, text) in seen:
            parts.append(Part(number, text, "duplicate"))
            continue
        seen.add((document.title, text))
        smaller = minify_json(text)
        if all(_matches(pattern, smaller) == _matches(pattern, text) for pattern in patterns):
            text = smaller
        texts[number] = text
        parts.append(Part(number, text))
    return texts, parts


def _matches(pattern: re.Pattern[str], text: str) -> list[str]:
    return [match[0] for match in pattern.finditer(text)]
