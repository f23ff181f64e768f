"""Spans of a text that are kept whole or dropped whole, never in part."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from frugal_core.compress.lossless import json_blocks
from frugal_core.errors import FrugalError

_LINE = r"\n(?![ \t\r]*\n)"  # a line end that ends no paragraph


def _quoted(opening: str, closing: str, apostrophe: str = "(?!)") -> str:
    """Finds what stands between two marks, within a paragraph."""
    return rf"{opening}(?:[^{opening}{closing}\n]|{apostrophe}|{_LINE}){{1,500}}[{closing}]"


_QUOTATIONS = "|".join(
    [
        r'"{3}[^\n]{1,500}?"{3}',
        rf'"(?<![\w"]")(?=\S)(?:[^"\n]|{_LINE}){{1,500}}(?<=\S)"(?!\w)',
        rf"'(?<![\w'’]')(?=\w)(?:[^'\n]|(?<=\w)'(?=\w)|{_LINE}){{1,300}}(?<=[\w.!?,])'(?!\w)",
        _quoted("‘", "’", r"(?<=\w)’(?=\w)") + r"(?!\w)",
        *map(
            _quoted, "“„«»‚‹›”「『《", ["”", "“”", "»", "«", "‘’", "›", "‹", "”", "」", "』", "》"]
        ),
    ]
)
_LINE_OF_CODE = re.compile(r"[^\s][^\n]*")
_GROUP = re.compile(r"\S[^\n]*(?:\n[ \t]*\S[^\n]*)*")
_WHOLE = re.compile(
    rf"""
      (?P<fence> ^[ \t]*(?P<mark>`{{3,}}|~{{3,}}) [^\n]*\n
                 (?: [\s\S]*? ^[ \t]*(?P=mark)[`~]*[ \t]*$ | [\s\S]*\Z ) )
    | (?P<block> ^(?P<indent>[ \t]*)(?!\s)
                 (?: (?:async\ |export\ )?(?:def|class|if|for|while|try|with|function|fn|func|impl
                        |struct|public|private|protected|static|interface|enum|switch)\b[^\n]*[:{{]
                   | [^\n]*[({{\[] ) [ \t]*\n
                 (?: (?P=indent)[ \t]+\S[^\n]*(?:\n|\Z) | [ \t]*\n )+
                 (?: (?P=indent)[)}}\]][^\n]* )? )  # code without a fence
    | (?P<tagged> <(?P<tag>pre|code)\b[^<>\n]{{0,200}}>
                  [^<]*+ (?: <(?!/?(?P=tag)\b)[^<]*+ )*+ </(?P=tag)> )
    | (?P<command> \\[A-Za-z]+ (?: \{{[^{{}}\n]{{0,200}}\}} )+ )  # LaTeX, no template variable
    | (?P<variable> \{{\{{[^{{}}\n]{{1,200}}\}}\}} | \{{%[^%\n]{{1,200}}%\}}
                  | (?<![\\^_}}]) \$?\{{(?:[^\W\d][\w.\[\]!:]{{0,80}}|\d{{0,3}})\}}
                  | <\|[^|\n]{{1,40}}\|> )
    | (?P<code> (?<!`)`[^`\n]{{1,500}}`(?!`) )
    | (?P<url> (?:https?|ftp)://[^\s<>"“”「」（）]+ )
    | (?P<quotation> {_QUOTATIONS} )
    """,
    re.VERBOSE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Span:
    """Characters start to end of a text, which stay together.

    Args:
        start: First character.
        end: One past the last character.
        structure: Whether it is code, JSON or a template variable.
        demanded: Whether a pattern of the user asks for it.
        apart: Whether a unit begins with it.
    """

    start: int
    end: int
    structure: bool = False
    demanded: bool = False
    apart: bool = False


def compile_patterns(
    patterns: str | re.Pattern[str] | Iterable[str | re.Pattern[str]],
) -> tuple[re.Pattern[str], ...]:
    """The user's own patterns of what must be kept.

    Raises:
        FrugalError: for a pattern that is no regular expression.
    """
    try:
        given = [patterns] if isinstance(patterns, str | re.Pattern) else list(patterns)
        return tuple(re.compile(pattern) for pattern in given)
    except (re.error, TypeError) as error:
        raise FrugalError(
            f"protect={patterns!r}: {error}; give regular expressions, and re.escape(text) for a "
            f"text as it stands"
        ) from error


def protected_spans(
    text: str, patterns: Sequence[re.Pattern[str]] = (), longest_block: int | None = None
) -> list[Span]:
    """Code, JSON, URLs, quotations, template variables and the user's patterns, in order.

    Numbers need no span: nothing is ever cut between two characters of a word or a number.

    Args:
        text: Any text.
        patterns: What the user wants kept.
        longest_block: Letters from which code without a fence is no longer whole: then its groups
            of lines are, up to a blank line, and of a group that is longer its lines.

    Returns:
        Spans that do not overlap; those that did are one.

    Example:
        >>> [text[s.start:s.end] for text in ['Say "No. Never." to {name}.']
        ...  for s in protected_spans(text)]
        ['"No. Never."', '{name}']
    """
    spans: list[Span] = []
    for m in _WHOLE.finditer(text):
        if m["block"] and longest_block is not None and len(m[0]) > longest_block:
            spans += _opened(text, *m.span(), longest_block)
        else:
            structure = bool(m["fence"] or m["tagged"] or m["variable"])
            spans.append(Span(*m.span(), structure=structure))
    spans += [Span(start, end, structure=True) for start, end in json_blocks(text)]
    for pattern in patterns:
        found = (m.span() for m in pattern.finditer(text))
        spans += [Span(start, end, demanded=True) for start, end in found if end > start]
    return _merged(sorted(spans, key=lambda span: (span.start, -span.end)))


def _opened(text: str, start: int, end: int, longest: int) -> Iterator[Span]:
    """The groups of lines of some code; of a group that is too long, its lines."""
    for group in _GROUP.finditer(text, start, end):
        lines = _LINE_OF_CODE if len(group[0]) > longest else _GROUP
        for line in lines.finditer(text, *group.span()):
            yield Span(*line.span(), apart=line.start() == group.start())


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in spans:
        if merged and span.start < merged[-1].end:
            last = merged.pop()
            span = Span(
                last.start,
                max(last.end, span.end),
                last.structure or span.structure,
                last.demanded or span.demanded,
                last.apart,
            )
        merged.append(span)
    return merged
