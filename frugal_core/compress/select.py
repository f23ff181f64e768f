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
_ROUNDS, _REST = 3, 0.02

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
    if "\n" in gap:
        _, _, line = gap.rpartition("\n")
        indent = line if line.isspace() else ""  # else what was left out stands in this line
        return ("\n\n" if _PARAGRAPH.search(gap) else "\n") + indent
    return " " if gap[:1].isspace() else ""


def select(
    units: Sequence[Unit],
    order: Sequence[int],
    titles: Sequence[str],
    budget: int,
    count: Counter,
    tokens_of: Callable[[Sequence[int]], int],
) -> list[int]:
    """Take units in order as long as they fit; what does not fit is passed over.

    They are counted one by one, which is more or less than what they have together: what was taken
    last goes if it was too much, and what was left over is used in a few more rounds.

    Args:
        units: All units; those to be `kept` are taken whether they fit or not.
        order: Numbers of units, those to be kept first, then the best.
        titles: The title of each document, which costs tokens with its first unit.
        budget: Tokens that may be used.
        count: How tokens are counted.
        tokens_of: Tokens of the whole text of some units.

    Returns:
        Numbers of the units taken, in the order of taking.
    """
    costs = [count(f" {unit.text}") for unit in units]
    opening = [count(f"[{title}]\n") if title else 0 for title in titles]
    taken: list[int] = []
    left = budget
    for _ in range(_ROUNDS):
        among = set(taken)
        opened = {units[index].document for index in taken}
        more: list[int] = []
        for index in order:
            unit = units[index]
            cost = costs[index] + (0 if unit.document in opened else opening[unit.document])
            if index not in among and (unit.kept or cost <= left):
                more.append(index)
                left -= cost
                opened.add(unit.document)
        taken = trim([*taken, *more], budget, units, tokens_of)
        left = budget - tokens_of(taken)
        if not more or left <= _REST * budget:
            break
    return taken


def trim(
    taken: Sequence[int],
    budget: int,
    units: Sequence[Unit],
    tokens_of: Callable[[Sequence[int]], int],
) -> list[int]:
    """Leave out what was taken last until the whole text is within the budget.

    What must be kept stands first, and stays.
    """
    if tokens_of(taken) <= budget:
        return list(taken)
    fits, over = sum(units[index].kept for index in taken), len(taken)
    while over - fits > 1:
        middle = (fits + over) // 2
        if tokens_of(taken[:middle]) <= budget:
            fits = middle
        else:
            over = middle
    return list(taken[:fits])


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
