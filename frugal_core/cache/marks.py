"""What stands between the words of a question: signs and quotations, which embedders hardly see."""

from __future__ import annotations

import re
import unicodedata

_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—−﹣－", "-"))
_INITIALS = re.compile(r"\b(?:[A-Z]\.)+[A-Z]\b\.?")
# Between words of prose; whether it stands there or not says nothing. Most places are done with at
# once, since all of it begins with a sign.
_HARMLESS = re.compile(
    r"""(?=[^\w\s])(?:['"‘’‚“”„«»`´]|[,;:](?=\s|$)"""
    r"""|(?<![\d)!.\s])[.?!…]+(?=\s|$)|(?<=[\d)])[.?…]+(?=\s|$)"""
    r"""|(?<=\s)(?:[?!…]+(?=\s|$)|[.?!…]+\s*$)"""
    r"""|(?<=[^\W\d_])-(?=[^\W\d_])|(?<=\d)[.,:/](?=\d))"""
)
_CODE = re.compile(r"(?<!\S)--?[A-Za-z][\w-]*|\\[A-Za-z]|\b\w+\((?!s\))[^()]+\)|\b\w*_\w+")
"""Command-line options, escapes, calls, snake_case."""
_CODE_SIGNS = frozenset("-\\(_")
_UNITS = re.compile(r"\b[KMGT][bB](?:ps)?\b|\d\s?[mM]W\b")
"""Those that capitals tell apart."""
_UNIT_LETTERS = ("KB", "Kb", "MB", "Mb", "GB", "Gb", "TB", "Tb", "MW", "mW")
"""Of which any of them has one."""
_MARK = re.compile(r"[^\w\s]|_")
_QUOTED = re.compile(
    r"""["“„]([^"“”„]{1,200})["“”]|(?<!\w)['‘]([^'‘’]{1,100})['’](?!\w)|`([^`]{1,200})`"""
)


def normalised(text: str) -> str:
    """A text with one spelling of what means the same: full-width letters, dashes, "U.S."."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_DASHES)
    if "." not in text:
        return text
    return _INITIALS.sub(lambda found: found.group().replace(".", ""), text)


def marks(text: str) -> tuple[str, ...]:
    """Signs and brackets in order, without what prose puts between words.

    Example:
        >>> marks("(2 + 3) * 4?") == marks("2 + (3 * 4)?")
        False
        >>> marks("Well, what is an e-mail?") == marks("well what is an e mail")
        True
    """
    return tuple(_MARK.findall(_HARMLESS.sub(" ", text)))


def symbols(text: str) -> list[str]:
    """Characters beyond ASCII that are symbols: of mathematics, currencies, faces."""
    if text.isascii():
        return []
    return [one for one in text if not one.isascii() and unicodedata.category(one)[0] == "S"]


def quotations(text: str) -> frozenset[str]:
    """What stands in quotation marks or is code, letter for letter.

    Example:
        >>> quotations("Is 'colour' or \\"color\\" right?") == {"colour", "color"}
        True
        >>> quotations("What does tar -C do?")
        frozenset({'-C'})
    """
    # Few texts have any of these, and every lookup comes here.
    found = _UNITS.findall(text) if any(unit in text for unit in _UNIT_LETTERS) else []
    if not _CODE_SIGNS.isdisjoint(text):
        found += _CODE.findall(text)
    if "'" in text or any(mark in text for mark in '"“„‘`'):
        found += ["".join(parts) for parts in _QUOTED.findall(text)]
    return frozenset(found)


def combining() -> str:
    """The marks that belong to the letter before them, as ranges of a regular expression's class.

    Vowels of Hindi and tones of Thai are such marks.
    """
    ranges: list[list[int]] = []
    for code in (*range(0x300, 0x1E00), *range(0x20D0, 0x2100), *range(0xA600, 0xAC00)):
        if unicodedata.category(chr(code))[0] == "M":
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
