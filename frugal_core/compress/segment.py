"""Cuts a text into units: sentences, lines, and what must stay whole."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge

from frugal_core.compress.protect import Span

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff"
"""Scripts that write no spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""

_THAI = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_CLOSING = "\"'“‘”’»)\\]」』）】"
_BOUNDARY = re.compile(
    rf"""
      (?P<line> \n\s* )
    | (?P<mark> (?<![.!?…])[.!?…]+[{_CLOSING}]*\s+ )
    | (?P<full> [。！？．｡।॥؟۔։።။។]+[{_CLOSING}]*\s* )
    | (?P<space> (?<=[{_THAI}])\ +(?=[{_THAI}]) )
    """,
    re.VERBOSE,
)
_OPENING = "\"'“‘«(„[¿¡「『（*_"
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|vs|No|Nos|Inc|Ltd|Co|Corp|Bros|e\.g|i\.e|etc|U\.S|U\.K|Gen|Col|"
    r"Lt|Sgt|Capt|Cmdr|Adm|Maj|Prof|Rev|Hon|Pres|Gov|Sen|Rep|Fig|Figs|Eq|Sec|Vol|Ch|pp|al|approx|ca|"
    r"cf|Mt|Ft|Ave|Blvd|Rd|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec|bzw|z\.B|Nr|Hr|Fr|Abs|"
    r"Sra|Srta|Dra|Mme|Mlle|Mgr|Dott|Sig|Art|Mio|Mrd|Tsd|Kap|Bd|vgl|ggf|Str|ej|núm|pág|págs|Ud|Uds|"
    r"млн|млрд|тыс|руб|стр|рис|ул|гг|проф)|(?:^|[\s(.])[^\W\d_]|(?:^|[\s(])\d{1,2})$"
)
_CLAUSE = re.compile(r"[,;:—–][ \t\n]+|[，、；：]\s*|\s+")
# After a number: a magnitude, or a word as short as units are.
_UNIT = re.compile(
    r"[%‰°€$£¥]|[^\W\d_]{1,3}\b|(?:hundred|thousand|million|billion|trillion|percent|prozent|tausend|"
    r"milliard|millón|millones|bilh|milh|тысяч|миллион|миллиард|процент)",
    re.IGNORECASE,
)
_LEADS = re.compile(r"[$€£¥]$|(?<![^\W_])[A-Z]{3}$|\d per$")
_WEIGHT = 3  # a character of an unspaced script says about as much as three letters
_UNSPACED = re.compile(f"[{UNSPACED}]")
_SHORTEST_THAI = 40  # characters; there a space may end a clause, a sentence, or set off a name


@dataclass(frozen=True, slots=True)
class Piece:
    """A unit of a text: characters start to end, white space around it left out.

    Args:
        start: First character.
        end: One past the last character.
        structure: Whether code, JSON or a template variable is in it.
        demanded: Whether something is in it that the user's patterns ask for.
    """

    start: int
    end: int
    structure: bool = False
    demanded: bool = False


def segment(text: str, spans: Sequence[Span] = (), longest: int = 400) -> list[Piece]:
    """Cut a text into sentences.

    Cuts are made after sentence marks of many scripts, at line ends, and, in Thai and its like, at
    spaces; not after abbreviations and initials, not inside a sentence that goes on in the next
    line, not before lines that are indented more (code, items of a list), and never inside a span.

    Args:
        text: Any text.
        spans: What must stay whole; see `protected_spans`.
        longest: Letters from which a sentence is cut at clauses, and then at spaces.

    Returns:
        The units in order; between them is white space only.

    Example:
        >>> text = "Dr. No was released in 1962. It cost $1.1 million."
        >>> [text[piece.start:piece.end] for piece in segment(text)]
        ['Dr. No was released in 1962.', 'It cost $1.1 million.']
    """
    pieces: list[Piece] = []
    start, starts, ends = 0, [span.start for span in spans], [span.end for span in spans]
    apart = (span.start for span in spans if span.apart)
    for end in [*merge(_outside(_cuts(text), spans), apart), len(text)]:
        inside = spans[bisect_right(ends, start) : bisect_left(starts, end)]
        while start < end:
            cut = _shorter(text, start, end, inside, longest)
            piece = _piece(text, start, cut, inside)
            if piece.start < piece.end:
                pieces.append(piece)
            start = cut
    return pieces


def _piece(text: str, start: int, end: int, spans: Sequence[Span]) -> Piece:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    touching = [span for span in spans if span.start < end and span.end > start]
    structure = any(span.structure for span in touching)
    return Piece(start, end, structure, any(span.demanded for span in touching))


def _cuts(text: str) -> Iterator[int]:
    last, indent = 0, _indent(text, len(text) - len(text.lstrip()))
    for match in _BOUNDARY.finditer(text):
        start, end = match.span()
        if end == len(text):
            return
        kind = match.lastgroup
        if kind == "space":
            if start - last < _SHORTEST_THAI:
                continue
        elif kind == "line" or (kind == "mark" and "\n" in match[0]):
            deeper = _indent(text, end) > indent
            if deeper or text[end] in "})]" or _goes_on(text, start, end):
                continue
            indent = _indent(text, end)
        elif kind == "mark" and not _ends(text, start, end):
            continue
        yield end
        last = end


def _indent(text: str, position: int) -> int:
    """Columns before a character that is the first of its line."""
    line = text.rfind("\n", 0, position) + 1
    return len(text[line:position].expandtabs(4))


def _goes_on(text: str, start: int, end: int) -> bool:
    """Whether a sentence goes on after a line end: no mark before it, a small letter after it."""
    if text.count("\n", start, end) > 1 or not text[end].islower():
        return False
    before = text[max(0, start - 80) : start].rstrip(" \t")[-1:]
    return before.isalnum() or before in (",", "-", "–", "(")


def _ends(text: str, start: int, end: int) -> bool:
    """Whether a mark ends a sentence: no abbreviation before it, no small letter after it."""
    after = text[end + 1] if text[end] in _OPENING and end + 1 < len(text) else text[end]
    if after.islower() or after in ",;:-–—":
        return False
    return text[start] != "." or not _ABBREVIATION.search(text[max(0, start - 12) : start])


def _outside(cuts: Iterator[int], spans: Sequence[Span]) -> Iterator[int]:
    """The cuts that fall into no span."""
    ahead = iter(spans)
    span = next(ahead, None)
    for cut in cuts:
        while span is not None and span.end <= cut:
            span = next(ahead, None)
        if span is None or not span.start < cut < span.end:
            yield cut


def _shorter(text: str, start: int, end: int, spans: Sequence[Span], longest: int) -> int:
    """Where to cut what is too long: at a clause, else a space, else between unspaced characters.

    Returns:
        The end of the first part; `end` if it is short enough or cannot be cut.
    """
    window = min(end, start + longest)
    weight = window - start
    if weight > longest // _WEIGHT:
        weight += (_WEIGHT - 1) * len(_UNSPACED.findall(text, start, window))
    if weight <= longest and window == end:
        return end

    def free(cut: int) -> bool:
        before = bisect_left(spans, cut, key=lambda span: span.start) - 1
        return start < cut < end and (before < 0 or spans[before].end <= cut)

    most = start + max(1, longest * (window - start) // weight)
    clause = space = 0
    for match in _CLAUSE.finditer(text, start + (most - start) // 2, min(most + 1, end)):
        if free(match.end()) and not _in_number(text, *match.span()):
            if match[0].strip() or "\n" in match[0]:
                clause = match.end()
            else:
                space = match.end()
    if clause or space:
        return clause or space
    for cut in range(min(most, end - 1), start, -1):
        if free(cut) and _UNSPACED.match(text, cut) and _UNSPACED.match(text, cut - 1):
            return cut
    for match in _CLAUSE.finditer(text, start, end):
        if free(match.end()) and not _in_number(text, *match.span()):
            return match.end()
    return end


def _in_number(text: str, low: int, high: int) -> bool:
    """Whether what stands here is inside a number, or between a number and its unit."""
    if not low > 0 or high >= len(text):
        return False
    if text[low - 1].isdigit() and text[high].isdigit():
        return True
    if text[low:high] != " ":
        return False
    before = text[max(0, low - 24) : low]
    if before[-1].isdigit():
        return _UNIT.match(text, high) is not None
    return _LEADS.search(before) is not None and (text[high].isdigit() or before.endswith("per"))
