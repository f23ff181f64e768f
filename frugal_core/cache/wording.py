"""How a question is worded, and how two questions differ: what guards and scores are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from frugal_core.cache.lexicon import Lexicon, stem

_TOKEN = re.compile(r"\d+(?:[.,:/]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*|[$€£%+#*/=<>^]|-(?=\d)")
LONGEST_QUESTION = 1000
"""Characters; of longer texts an embedder reads too little to tell them apart."""
_LONGEST = 2000  # characters; of a longer text the beginning and the end are read

_NUMBERS = {
    word: str(value)
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty".split()
    )
} | {
    "thirty": "30",
    "forty": "40",
    "fifty": "50",
    "sixty": "60",
    "seventy": "70",
    "eighty": "80",
    "ninety": "90",
    "hundred": "100",
    "thousand": "1000",
    "million": "1000000",
    "billion": "1000000000",
    "dozen": "12",
    "first": "1st",
    "third": "3rd",
}
_CONTRACTIONS = {
    "can't": ("can", "not"),
    "cannot": ("can", "not"),
    "won't": ("will", "not"),
    "shan't": ("shall", "not"),
    "ain't": ("is", "not"),
    "let's": ("let", "us"),
}
_ENDINGS = {"'re": "are", "'ve": "have", "'ll": "will", "'d": "would", "'m": "am"}
_IS_BEFORE_S = frozenset("what who where how when why it that there he she here".split())

NEGATIONS = frozenset(
    "not no never none nobody nothing nowhere neither nor without cannot hardly barely scarcely "
    "fail fails failed lack lacks lacking unable non stop avoid except exclude excluding "
    "isnt arent dont doesnt didnt cant wont shouldnt".split()
)
_QUESTION_WORDS = frozenset("how what why when where who whom whose which".split())
_MEASURED = frozenset("many much long far old often big tall".split())
_MODALS = frozenset("have has had can could should would will shall may might must".split())
_PLAIN_VERBS = frozenset("is are was were am be been being do does did".split())
_PREPOSITIONS = frozenset(
    "to from in on at by with without for of into onto over under above below before after between "
    "through during against off out up down".split()
)
_DEGREES = frozenset(
    "all some none any every each both either most more less least fewer fewest few many much only "
    "just always never often sometimes usually rarely maximum minimum max min best worst better "
    "worse first last at entire whole part almost exactly approximately".split()
)
_TIMES = frozenset(
    "past future current currently previous previously next last recent recently former upcoming "
    "early late earlier later before after during until since already yet still anymore old new "
    "today tomorrow yesterday tonight now then ever".split()
)
_PERSONS = {
    **dict.fromkeys(("i", "me", "my", "mine"), "I"),
    **dict.fromkeys(("you", "your", "yours"), "you"),
    **dict.fromkeys(("he", "his", "him"), "he"),
    **dict.fromkeys(("she", "her", "hers"), "she"),
    **dict.fromkeys(("we", "us", "our", "ours"), "we"),
    **dict.fromkeys(("they", "them", "their"), "they"),
}
_EMPTY = (
    frozenset(
        "a an the of in on at to for by with from as and or but if then than that this these those "
        "it its so such there here some any please tell know get also just about into over".split()
    )
    | _QUESTION_WORDS
    | _MODALS
    | _PLAIN_VERBS
    | _PERSONS.keys()
)


@dataclass(frozen=True, slots=True)
class Wording:
    """A question in parts.

    Args:
        words: Lower-case words, numbers as digits, contractions written out.
        stems: The stem of each word.
        content: Stems of the words that carry meaning.
        numbers: Numbers as digits, and signs: "$", "%", "+", "<", ...
        names: Stems of capitalised words within a sentence.
        negations: Words that negate.
        asks: The question word, "how many" and its like in full; empty if there is none.
        prepositions, modals, degrees, times: Such words.
        persons: As "I", "he", ...
        triples: Letter triples of all words in order.
        pairs: Neighbouring stems.
    """

    words: tuple[str, ...]
    stems: tuple[str, ...]
    content: frozenset[str]
    numbers: frozenset[str]
    names: frozenset[str]
    negations: tuple[str, ...]
    asks: str
    prepositions: frozenset[str]
    modals: frozenset[str]
    degrees: frozenset[str]
    times: frozenset[str]
    persons: frozenset[str]
    triples: frozenset[str]
    pairs: frozenset[tuple[str, str]]


@lru_cache(maxsize=8192)
def read(text: str) -> Wording:
    """Take a question apart."""
    if len(text) > _LONGEST:
        text = text[: _LONGEST // 2] + " " + text[-_LONGEST // 2 :]
    words: list[str] = []
    names: set[str] = set()
    starts = True
    for token in _TOKEN.finditer(text):
        raw = token.group()
        parts = [raw.replace(",", "")] if raw[0].isdigit() else list(_written_out(raw.lower()))
        words += parts
        if raw[0].isupper() and not starts and parts[0] not in _EMPTY:
            names.add(stem(parts[0]))
        starts = text[token.end() : token.end() + 1] in {".", "?", "!"}
    stems = tuple(stem(word) for word in words)
    line = f" {' '.join(words)} "
    kinds = frozenset(words)
    return Wording(
        tuple(words),
        stems,
        frozenset(s for word, s in zip(words, stems, strict=True) if word not in _EMPTY),
        frozenset(word for word in kinds if not word[0].isalpha()),
        frozenset(names),
        tuple(sorted(word for word in words if word in NEGATIONS)),
        _asks(words),
        kinds & _PREPOSITIONS,
        kinds & _MODALS,
        kinds & _DEGREES,
        kinds & _TIMES,
        frozenset(_PERSONS[word] for word in kinds & _PERSONS.keys()),
        frozenset(line[i : i + 3] for i in range(len(line) - 2)),
        frozenset(pairwise(stems)),
    )


def _written_out(word: str) -> Iterator[str]:
    word = word.replace("’", "'")
    if word in _CONTRACTIONS:
        yield from _CONTRACTIONS[word]
        return
    if "'" in word:
        for ending, meaning in _ENDINGS.items():
            if word.endswith(ending):
                yield word.removesuffix(ending)
                yield meaning
                return
        if word.endswith("n't"):
            yield word.removesuffix("n't")
            yield "not"
            return
        base, _, ending = word.partition("'")
        if ending == "s":
            yield base
            if base in _IS_BEFORE_S:
                yield "is"
            return
        word = word.replace("'", "")
    yield _NUMBERS.get(word, word)


def _asks(words: list[str]) -> str:
    for i, word in enumerate(words):
        if word in _QUESTION_WORDS:
            follows = words[i + 1] if i + 1 < len(words) else ""
            return f"{word} {follows}" if word == "how" and follows in _MEASURED else word
    return ""


def has_meaning(text: str) -> bool:
    """Whether a text can be found by its meaning: not empty, and not too long to read."""
    return len(text) <= LONGEST_QUESTION and bool(read(text).content)


@dataclass(frozen=True, slots=True)
class Difference:
    """How a question differs from one that was answered.

    Args:
        only_new, only_old: Content stems that the other one lacks, sorted.
        rest_new, rest_old: What is left of them when synonyms, forms of one word and misspellings
            are paired off.
        synonyms, forms, misspellings: Pairs of each kind.
        opposites: Pairs of opposites among `only_new` and `only_old`.
        inversions: Share of pairs of shared content words that stand in the other order.
        reordered: Whether both have the same content words, in another order.
    """

    only_new: tuple[str, ...]
    only_old: tuple[str, ...]
    rest_new: tuple[str, ...]
    rest_old: tuple[str, ...]
    synonyms: int
    forms: int
    misspellings: int
    opposites: int
    inversions: float
    reordered: bool


def compare(new: Wording, old: Wording, lexicon: Lexicon) -> Difference:
    """How a new question differs from an old one."""
    only_new = sorted(new.content.difference(old.stems))
    only_old = sorted(old.content.difference(new.stems))
    counts = {"synonyms": 0, "forms": 0, "misspellings": 0}
    rest_new, rest_old = [], list(only_old)
    opposites = sum(lexicon.opposite(one, other) for one in only_new for other in only_old)
    for word in only_new:
        for other in rest_old:
            if lexicon.opposite(word, other):
                continue
            if lexicon.related(word, other):
                counts["forms"] += 1
            elif lexicon.misspelt(word, other):
                counts["misspellings"] += 1
            elif lexicon.same_meaning(word, other):
                counts["synonyms"] += 1
            else:
                continue
            rest_old.remove(other)
            break
        else:
            rest_new.append(word)
    inversions = _inversions(new, old)
    same = new.content == old.content
    return Difference(
        tuple(only_new),
        tuple(only_old),
        tuple(rest_new),
        tuple(rest_old),
        opposites=opposites,
        inversions=inversions,
        reordered=same and (inversions > 0 or _same_words_reordered(new, old)),
        **counts,
    )


def _same_words_reordered(new: Wording, old: Wording) -> bool:
    return new.stems != old.stems and sorted(new.stems) == sorted(old.stems)


def _inversions(new: Wording, old: Wording) -> float:
    place: dict[str, int] = {}
    for position, word in enumerate(old.stems):
        place.setdefault(word, position)
    shared = new.content & old.content
    order = [place[word] for word in dict.fromkeys(new.stems) if word in shared]
    n = len(order)
    if n < 2:
        return 0.0
    swapped = sum(order[i] > order[j] for i in range(n) for j in range(i + 1, n))
    return swapped / (n * (n - 1) / 2)
