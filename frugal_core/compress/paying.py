"""Whether compressing a text pays."""

from __future__ import annotations

from frugal_core.pricing import Price


def why_unchanged(
    tokens: int,
    target: int,
    *,
    least: int,
    price: Price | None,
    cached_share: float,
    follows_question: bool,
) -> str:
    """Say why a text should pass as it is; nothing if it should be compressed.

    A provider reads a prefix that it has seen before at a discount. What is left of a text after a
    question was asked changes with the question, and is never such a prefix.

    Args:
        tokens: Tokens of the text.
        target: Tokens that would be left.
        least: Tokens below which nothing is gained.
        price: What a token costs.
        cached_share: In which share of the calls the provider has the text in its prompt cache.
        follows_question: Whether what is left depends on the question.

    Example:
        >>> why_unchanged(4000, 2000, least=40, price=Price(2.5, 10, 0.25), cached_share=0.9,
        ...               follows_question=True)
        'cheaper unchanged: 0.0019 USD with the prompt cache, 0.005 USD compressed'
    """
    if tokens < least:
        return f"short: {tokens} tokens, fewer than {least}"
    if price is None or not cached_share or not follows_question:
        return ""
    whole = price.cost(tokens, 0, cached_tokens=round(tokens * cached_share))
    compressed = price.cost(target, 0)
    if compressed < whole:
        return ""
    return (
        f"cheaper unchanged: {whole:.4g} USD with the prompt cache, {compressed:.4g} USD compressed"
    )
