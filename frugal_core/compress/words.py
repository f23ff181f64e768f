"""The terms of a text in any script, and how much a sentence looks like an answer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

from frugal_core.compress.segment import UNSPACED
from frugal_core.language import stem

FUNCTION_WORDS = frozenset(
    "a an the of to in on at by for from with into onto about as and or but if then than so such "
    "that this these those there here it its he she they them his her hers their theirs we us our "
    "you your i me my mine is are was were be been being am do does did done have has had having "
    "will would shall should can could may might must which who whom whose when where also each "
    "both some very just too more most during between over under after before again once up down "
    "out off while because until".split()
)
"""Words of English that a sentence can mostly do without; no negations, no quantities."""

_TELLING = frozenset("not no nor yes without many much any all other another only same few".split())
_STOP = FUNCTION_WORDS | _TELLING
_STOP |= frozenset("what why how long old often far big tall name own s t re ve ll d m".split())
_WORD = re.compile(
    rf"[{UNSPACED}\uac00-\ud7af]+|[^\W_{UNSPACED}\uac00-\ud7af\u0900-\u0dff]+|[\w\u0900-\u0dff]+"
)
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_ACCENT = re.compile("[\u0300-\u036f]")
_IN_PAIRS = re.compile(f"[{UNSPACED}\uac00-\ud7af]")
_DIGIT = re.compile(r"\d")
_STEM = 6
"""Letters of a word that count: forms of a word share them, in most languages that inflect
(McNamee and Mayfield 2004, Character n-gram tokenization for European language text retrieval)."""


def terms(text: str) -> list[str]:
    """The content words of a text by their stems; pairs of characters where words are not spaced.

    Function words of English are left out. Those of other languages count little, because they are
    in most sentences.

    Example:
        >>> terms("Who founded the cities of Peru?"), terms("東京都")
        (['found', 'city', 'peru'], ['東京', '京都'])
    """
    if text.isascii():
        words = _ASCII_WORD.findall(text.lower())
        return [_stem(word) for word in words if word not in _STOP]
    found: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        if _IN_PAIRS.match(word):
            found += [a + b for a, b in pairwise(word)] or [word]
        elif word not in _STOP:
            found.append(_stem(_unaccented(word)))
    return found


@lru_cache(maxsize=65_536)
def _stem(word: str) -> str:
    """What forms of a word share; a number, or a name with one, has no forms."""
    return word if _DIGIT.search(word) else stem(word)[:_STEM]


def content_words(text: str) -> frozenset[str]:
    """The terms of a text with its negations and quantities: what it says, but for the order."""
    telling = _TELLING.intersection(_ASCII_WORD.findall(text.lower()))
    return frozenset(terms(text)) | telling


def _unaccented(word: str) -> str:
    """Latin letters without their accents: a question often leaves them out."""
    if word.isascii():
        return word
    return unicodedata.normalize("NFC", _ACCENT.sub("", unicodedata.normalize("NFD", word)))


_YEAR = re.compile(r"\b(?:1\d{3}|20\d\d)\b")
_MONTH = re.compile(
    r"\b(?:January|February|March|April|May|June|July|August|September|October|November|December)\b"
)
_DIGIT = re.compile(r"\d")
_NUMBER_WORD = re.compile(
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|hundred|thousand|million|"
    r"billion|dozen|half|twice)\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"\b[A-Z][\w'.-]+ (?:[a-z]{2,3} )?[A-Z][\w'-]+")
_CAPITALISED = re.compile(r"(?<=[a-z,;:] )[A-Z]\w")
_ASKS_WHEN = re.compile(r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|time|century|decade)\b")
_ASKS_NUMBER = re.compile(
    r"\bhow (?:many|much|old|long|far|often|tall|big|high|large|deep|fast|frequent|heavy|wide)\b|"
    r"\bwhat (?:number|population|age|percentage|percent)\b"
)
_ASKS_WHO = re.compile(r"\bwho(?:m|se)?\b|\bname of the (?:person|man|woman|actor|singer)\b")
_ASKS_WHERE = re.compile(
    r"\bwhere\b|\b(?:what|which) (?:city|country|state|town|place|county|continent|island|river)\b"
)


def answer_likeness(question: str) -> Callable[[str], float]:
    """How much a sentence looks like an answer to a question of this type, from 0 to 1.

    When: a year, a month, a digit; how many: a digit or a number word; who: a name; else
    capitalised words. The types are English; other questions are of the last.

    Example:
        >>> likeness = answer_likeness("When was Lima founded?")
        >>> likeness("Lima was founded in 1535."), likeness("Lima is in Peru.")
        (1.0, 0.0)
    """
    asked = question.lower()
    if _ASKS_WHEN.search(asked):
        return _like_a_date
    if _ASKS_NUMBER.search(asked):
        return _like_a_number
    if _ASKS_WHO.search(asked):
        return lambda sentence: float(bool(_NAME.search(sentence)))
    names = 2 if _ASKS_WHERE.search(asked) else 3
    return lambda sentence: min(1.0, len(_CAPITALISED.findall(sentence)) / names)


def _like_a_date(sentence: str) -> float:
    if _YEAR.search(sentence):
        return 1.0
    return 0.7 if _MONTH.search(sentence) else 0.3 if _DIGIT.search(sentence) else 0.0


def _like_a_number(sentence: str) -> float:
    return 1.0 if _DIGIT.search(sentence) else 0.7 if _NUMBER_WORD.search(sentence) else 0.0
