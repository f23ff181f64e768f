"""Guards: differences in wording that forbid a hit, however alike two questions are to an embedder.

Embeddings see "with" and "without", "2015" and "2016", "A to B" and "B to A" as nearly the same.
"""

from __future__ import annotations

import re

from frugal_core.cache.rivals import are_rivals
from frugal_core.cache.wording import Difference, Wording

_PASSING = frozenset(
    "today tonight yesterday tomorrow now currently latest recent recently nowadays "
    "heute gestern morgen jetzt aujourdhui demain maintenant hoy ayer mañana ahora oggi ieri "
    "domani adesso hoje ontem amanhã agora vandaag gisteren сегодня вчера завтра сейчас".split()
)
_PERIOD = (
    "second|minute|hour|day|night|morning|afternoon|evening|week|weekend|month|quarter|year|season"
    "|spring|summer|autumn|fall|winter|(?:mon|tues|wednes|thurs|fri|satur|sun)day"
)
_PASSING_PHRASES = re.compile(
    rf"\b(?:(?:this|next|last|coming|past) (?:{_PERIOD})"
    r"|what (?:time|day|date|year) is it"
    r"|how (?:long|many \w+)(?: \w+){0,4} (?:until|till|left)"
    r"|at (?:the moment|present))\b"
    # Scripts without spaces between words
    r"|今天|今日|今晚|明天|昨天|现在|現在|目前|最新|오늘|지금|어제|내일"
)

_ADDRESS = re.compile(r"[\w.+-]+@[\w.-]+\w|https?://\S+\w|\bwww\.\S+\w", re.IGNORECASE)

_WEAK_SIGNS = frozenset("*/")
"""All other signs change what is meant even where the other question has none: "C", "C++", "C#"."""


def objection(new: Wording, old: Wording, difference: Difference) -> str | None:
    """Why the answer to an old question may not serve a new one, or None.

    Example:
        >>> from frugal_core.cache.lexicon import english
        >>> from frugal_core.cache.wording import compare, read
        >>> one, other = read("Is 5 a prime number?"), read("Is 6 a prime number?")
        >>> objection(one, other, compare(one, other, english()))
        'numbers'
    """
    only_new, only_old = new.numbers - old.numbers, old.numbers - new.numbers
    if (only_new and only_old) or any(map(_is_sign, only_new | only_old)):
        return "numbers"
    if new.letters == old.letters and new.marks != old.marks:
        return "signs"
    if new.words == old.words and _exchanged_capitals(new.text, old.text):
        return "capitals"
    if new.quotations and old.quotations and new.quotations != old.quotations:
        return "quotation"
    if _addresses(new.text) != _addresses(old.text):
        return "addresses"
    if len(new.negations) != len(old.negations):
        return "negation"
    if difference.opposites or are_rivals(new, old):
        return "opposites"
    if difference.turned or _turned(new, old):
        return "order"
    if difference.names_new and difference.names_old:
        rest_new, rest_old = difference.pairing.rest_new, difference.pairing.rest_old
        if not (
            difference.names_new.isdisjoint(rest_new) or difference.names_old.isdisjoint(rest_old)
        ):
            return "names"
    if difference.strange:
        return "unknown words"
    return None


def passes_away(new: Wording) -> bool:
    """Whether the answer depends on the moment: "today", "latest", "this week"."""
    return (
        not _PASSING.isdisjoint(new.word_set)
        or _PASSING_PHRASES.search(" ".join(new.words)) is not None
    )


def is_same_wording(new: Wording, old: Wording) -> bool:
    """Whether two questions differ in nothing but how they are written: "What's", "WHAT IS".

    Example:
        >>> from frugal_core.cache.wording import read
        >>> is_same_wording(read("what's C?"), read("What is C"))
        True
        >>> is_same_wording(read("2 - 3"), read("2 + 3"))
        False
    """
    return (
        new.words == old.words
        and not _exchanged_capitals(new.text, old.text)
        and new.marks == old.marks
        and new.quotations == old.quotations
        # Who writes no name in capitals may mean one all the same.
        and (new.names == old.names or not new.names or not old.names)
    )


def _addresses(text: str) -> set[str]:
    """Of mail and of the web."""
    if "@" not in text and "://" not in text and "www." not in text:  # nearly all have none
        return set()
    return {found.lower() for found in _ADDRESS.findall(text)}


def _exchanged_capitals(new: str, old: str) -> bool:
    """Whether a letter is a capital in another place: "T and t", "t and T"."""
    return new != old and sorted(new) == sorted(old)


def _is_sign(number: str) -> bool:
    return not number[0].isalnum() and number not in _WEAK_SIGNS


def _turned(new: Wording, old: Wording) -> bool:
    """Whether the same persons change places: "Did I lend you", "Did you lend me"."""
    if sorted(new.persons) != sorted(old.persons):
        return False
    # "A girl who ignored me", "a girl I ignored"
    others = new.content == old.content and new.agents != old.agents
    return others or (len(new.persons) > 1 and new.persons != old.persons)
