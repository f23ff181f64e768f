"""Keeps the best units that fit an exact token budget, in their original order."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from frugal_core.compress.protect import protected_spans
from frugal_core.compress.rank import Unit
from frugal_core.compress.words import FUNCTION_WORDS
from frugal_core.tokens import Counter

_PARAGRAPH = re.compile(r"\n[ \t]*\r?\n")
_WORD = re.compile(r"(?<!\S)[a-z]+ ")

Texts = dict[int, str]
"""What is left of each document, by its number; where nothing is left, there is no entry."""


def render(texts: Texts, titles: Sequence[str]) -> str:
    """The documents as one text: "[title] text", one after the other. Budgets are counted on it."""
    return "\n".join(
        f"[{titles[number]}] {text}" if titles[number] else text
        for number, text in sorted(texts.items())
    )


def assemble(
    units: Sequence[Unit],
    kept: Iterable[int],
    originals: Mapping[int, str],
    shortened: Mapping[int, str] | None = None,
) -> Texts:
    """The kept units of each document in their original order.

    Neighbours keep the white space between them; where something was left out, a paragraph, a line
    or a space stands, as it did there.

    Args:
        units: All units, in the order of the text.
        kept: Numbers of those that are kept.
        originals: The text of each document.
        shortened: What stands instead of some units.
    """
    texts: dict[int, list[str]] = {}
    last: int | None = None
    for index in sorted(kept):
        unit = units[index]
        parts = texts.setdefault(unit.document, [])
        if parts and last is not None:
            gap = originals[unit.document][units[last].end : unit.start]
            parts.append(gap if last == index - 1 else _joint(gap))
        parts.append((shortened or {}).get(index, unit.text))
        last = index
    return {number: "".join(parts) for number, parts in texts.items()}


def _joint(gap: str) -> str:
    if _PARAGRAPH.search(gap):
        return "\n\n"
    if "\n" in gap:
        return "\n"
    return " " if gap[:1].isspace() else ""


def select(
    units: Sequence[Unit],
    order: Sequence[int],
    titles: Sequence[str],
    budget: int,
    count: Counter,
) -> list[int]:
    """Take units in order as long as they fit; what does not fit is passed over.

    Args:
        units: All units; those to be `kept` are taken whether they fit or not.
        order: Numbers of units, those to be kept first, then the best.
        titles: The title of each document, which costs tokens with its first unit.
        budget: Tokens that may be used.
        count: How tokens are counted.

    Returns:
        Numbers of the units taken, in the order of taking. Their sum is counted unit by unit: the
        whole text has to be counted again.
    """
    used, taken, opened = 0, [], set()
    for index in order:
        unit = units[index]
        title = titles[unit.document]
        cost = count(f" {unit.text}")
        if title and unit.document not in opened:
            cost += count(f"[{title}]\n")
        if unit.kept or used + cost <= budget:
            taken.append(index)
            used += cost
            opened.add(unit.document)
    return taken


def trim(
    taken: Sequence[int], budget: int, units: Sequence[Unit], tokens_of: Callable[[list[int]], int]
) -> list[int]:
    """Leave out what was taken last until the whole text is within the budget."""
    left = list(taken)
    while left and not units[left[-1]].kept and tokens_of(left) > budget:
        left.pop()
    return left


def shorten(
    taken: Sequence[int], units: Sequence[Unit], question: str, excess: int, count: Counter
) -> dict[int, str]:
    """The token-level stage: drop function words, first from the units that were taken last.

    Words of the question, code, URLs, quotations, numbers, names and everything that is protected
    stay, and so do negations: the words that go are those that can mostly be guessed.

    Args:
        taken: Numbers of units, best first.
        units: All units.
        question: Its words stay.
        excess: Tokens to be saved.
        count: How tokens are counted.

    Returns:
        What stands instead of some units.
    """
    asked = set(question.lower().split())
    shortened: dict[int, str] = {}
    for index in reversed(taken):
        if excess <= 0:
            break
        if not units[index].kept:
            text = units[index].text
            shortened[index] = _without_function_words(text, asked)
            excess -= count(text) - count(shortened[index])
    return shortened


def _without_function_words(text: str, asked: Collection[str]) -> str:
    spans = protected_spans(text)

    def word(match: re.Match[str]) -> str:
        start, end = match.span()
        plain = match[0][:-1]
        if plain not in FUNCTION_WORDS or plain in asked or start == 0:
            return match[0]
        if any(span.start < end and span.end > start for span in spans):
            return match[0]
        return ""

    return _WORD.sub(word, text)
