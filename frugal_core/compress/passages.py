"""The units of documents, and the passages in which they stand."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from frugal_core.compress.protect import protected_spans
from frugal_core.compress.rank import Unit
from frugal_core.compress.segment import segment

_PARAGRAPH = re.compile(r"\n[ \t]*\r?\n\s*")
_LINE = re.compile(r"\n\s*")
_HEADING = re.compile(r"#{1,6}[ \t]+(\S[^\n]*)")
# As prompts of retrieval name their sources: "Document [3](Title: Lima) ...".
_NAMED = re.compile(r"[^\n]{0,40}?\bTitle: *([^\n)]+)")
_TITLE_LINE = re.compile(r"([^\n]{2,100}?[^\s.!?…:;,。！？。])[ \t]*(?:\n|$)")
_WINDOW = 12  # units of a passage, where the only document has longer paragraphs or none
LONGEST = 400
"""Letters of a unit; longer sentences are cut."""


def units_of(
    texts: Mapping[int, str],
    titles: Sequence[str],
    patterns: Sequence[re.Pattern[str]],
    longest: int = LONGEST,
    keeps_structure: bool = False,
    longest_block: int | None = None,
) -> tuple[list[Unit], list[str]]:
    """Cut documents into units, in passages with titles.

    Several documents are one passage each. The only one has its paragraphs as passages, or its
    lines if it has no paragraphs. A passage without a title has its first line as one if that looks
    like it, and in the only document the last heading before it.

    Args:
        texts: The documents by number.
        titles: The title of every document; empty if it has none.
        patterns: What must be kept.
        longest: Letters of a unit.
        keeps_structure: Whether code, JSON and template variables must be kept, too.
        longest_block: Letters from which code without a fence is opened between its lines.

    Returns:
        The units in order, and the titles of the passages by number.
    """
    single = len(titles) == 1
    units: list[Unit] = []
    passages = (
        [] if single else [title or _heading(texts.get(n, ""), 0) for n, title in enumerate(titles)]
    )
    for number, text in texts.items():
        breaks = _passage_breaks(text) if single else []
        previous, place, heading = -1, 0, titles[number]
        spans = protected_spans(text, patterns, longest_block)
        for piece in segment(text, spans, longest):
            new = previous < 0 or place >= _WINDOW or _one_between(breaks, previous, piece.start)
            if single and new:
                heading = _heading(text, piece.start) or heading
                passages.append(heading)
                place = 0
            passage = len(passages) - 1 if single else number
            kept = piece.demanded or (keeps_structure and piece.structure)
            inside = text[piece.start : piece.end]
            units.append(Unit(inside, number, passage, place, piece.start, piece.end, kept))
            previous, place = piece.end, place + 1
    return units, passages


def _heading(text: str, start: int) -> str:
    """What a passage that starts here calls itself; empty if it does not."""
    found = (
        _HEADING.match(text, start) or _NAMED.match(text, start) or _TITLE_LINE.match(text, start)
    )
    return found[1].strip() if found else ""


def _passage_breaks(text: str) -> list[int]:
    end = len(text.rstrip())
    paragraphs = [match.start() for match in _PARAGRAPH.finditer(text, 0, end)]
    return paragraphs or [match.start() for match in _LINE.finditer(text, 0, end)]


def _one_between(places: Sequence[int], low: int, high: int) -> bool:
    first = bisect_left(places, low)
    return first < len(places) and places[first] < high
