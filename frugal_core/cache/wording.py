"""How a question is worded, and how two questions differ: what guards and scores are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

from frugal_core.cache.lexicon import KINSHIPS, Lexicon
from frugal_core.cache.marks import combining, marks, normalised, quotations, symbols
from frugal_core.language import stem


def _tokens(letters: str) -> re.Pattern[str]:
    return re.compile(rf"\d+(?:[.,:/]\d+)*|{letters}(?:['’]{letters})*|[$€£%+#*/=<>^|~]|-(?=\d)")


_TOKEN = _tokens(rf"[^\W\d_](?:[^\W\d_]|[{combining()}])*")
_ASCII_TOKEN = _tokens("[A-Za-z]+")
"""The same for texts in ASCII, twice as fast."""
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
LONGEST_QUESTION = 1000
"""Characters; of longer texts an embedder reads too little to tell them apart."""
_LONGEST = 2000  # characters; of a longer text the beginning and the end are read

_SENTENCE_ENDS = frozenset(".?!")
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
    "isnt arent dont doesnt didnt cant wont shouldnt "
    # German, French, Spanish, Portuguese, Dutch, Scandinavian, Russian
    "nicht kein keine keinen keinem keiner niemals pas jamais nunca não nao niet geen ikke inte не "
    "нет".split()
)
_ACRONYMS = {"US": "usa", "IT": "IT", "WHO": "WHO"}
"""Those that in small letters are another word, and one that says little."""
_EITHER_WAY = frozenset(["and", "or", "vs", "versus"])
_LONGEST_SIDE = 4  # words
_QUESTION_WORDS = frozenset("how what why when where who whom whose which".split())
_MEASURED = frozenset("many much long far old often big tall".split())
MODALS = frozenset("have has had can could should would will shall may might must".split())
_PLAIN_VERBS = frozenset("is are was were am be been being do does did".split())
PREPOSITIONS = frozenset(
    "to from in on at by with without for of into onto over under above below before after between "
    "through during against off out up down".split()
)
DEGREES = frozenset(
    "all some none any every each both either most more less least fewer fewest few many much only "
    "just always never often sometimes usually rarely maximum minimum max min best worst better "
    "worse first last at entire whole part almost exactly approximately".split()
)
TIMES = frozenset(
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
_AGENTS = frozenset("i he she we they".split())
_EMPTY = (
    frozenset(
        "a an the of in on at to for by with from as and or but if then than that this these those "
        "it its so such there here some any please tell know get also just about into over".split()
    )
    | _QUESTION_WORDS
    | MODALS
    | _PLAIN_VERBS
    | _PERSONS.keys()
)


@dataclass(frozen=True)
class Wording:
    """A question in parts, as guards need them.

    Args:
        words: Lower-case words, numbers as digits, contractions written out.
        stems: The stem of each word.
        word_set, stem_set: Both without their order.
        content: Stems of the words that carry meaning.
        numbers: Numbers as digits, and signs: "$", "%", "+", "<", ...
        names: Stems of capitalised words within a sentence.
        negations: Words that negate.
        text: What was read.
    """

    words: tuple[str, ...]
    stems: tuple[str, ...]
    word_set: frozenset[str]
    stem_set: frozenset[str]
    content: frozenset[str]
    numbers: frozenset[str]
    names: frozenset[str]
    negations: tuple[str, ...]
    text: str

    @cached_property
    def marks(self) -> tuple[str, ...]:
        """Signs and brackets in order; see `frugal_core.cache.marks`."""
        return marks(self.text)

    @cached_property
    def quotations(self) -> frozenset[str]:
        """What is quoted, and what is code."""
        return quotations(self.text)

    @cached_property
    def letters(self) -> tuple[str, ...]:
        """Words and numbers, without signs."""
        return tuple([word for word in self.words if word[0].isalnum()])

    @cached_property
    def agents(self) -> int:
        """How many pronouns are those of who does something: "I", not "me"."""
        return sum(word in _AGENTS for word in self.words)

    @cached_property
    def persons(self) -> tuple[str, ...]:
        """Those that pronouns stand for, as "I", "he", ..., in order."""
        return tuple([_PERSONS[word] for word in self.words if word in _PERSONS])

    @cached_property
    def detail(self) -> Detail:
        """What only a score needs."""
        between = [f"{one[-1]} {other[0]}" for one, other in pairwise(self.words)]
        return Detail(
            _asks(self.words),
            frozenset(self.persons),
            frozenset(between).union(*map(_triples, self.words)),
            # Texts, since tuples would keep the garbage collector busy.
            frozenset(map(" ".join, pairwise(self.stems))),
        )


@dataclass(frozen=True, slots=True)
class Detail:
    """More of a question.

    Args:
        asks: The question word, "how many" and its like in full; empty if there is none.
        persons: Those that pronouns stand for, as "I", "he", ...
        triples: Letter triples of all words in order.
        pairs: Neighbouring stems.
    """

    asks: str
    persons: frozenset[str]
    triples: frozenset[str]
    pairs: frozenset[str]


@lru_cache(maxsize=16_384)
def _triples(word: str) -> frozenset[str]:
    line = f" {word} "
    return frozenset([line[i : i + 3] for i in range(len(word))])


@lru_cache(maxsize=8192)
def read(text: str) -> Wording:
    """Take a question apart."""
    if len(text) > _LONGEST:
        text = text[: _LONGEST // 2] + " " + text[-_LONGEST // 2 :]
    text = normalised(text)
    words: list[str] = []
    stems: list[str] = []
    content: list[str] = []
    numbers: list[str] = []
    names: list[str] = []
    negations: list[str] = []
    end = -1
    shouted = text.isupper()  # capitals make no names then
    for found in (_ASCII_TOKEN if text.isascii() else _TOKEN).finditer(text):
        raw = found.group()
        token = _token(raw.lower() if shouted else raw)
        words += token.words
        stems += token.stems
        content += token.content
        if token.numbers:
            numbers += token.numbers
        if token.negations:
            negations += token.negations
        if token.name and end >= 0 and text[end : end + 1] not in _SENTENCE_ENDS:
            names.append(token.name)
        end = found.end()
    return Wording(
        tuple(words),
        tuple(stems),
        frozenset(words),
        frozenset(stems),
        frozenset(content),
        frozenset(numbers + symbols(text)),
        frozenset(names),
        tuple(sorted(negations)),
        text,
    )


@dataclass(frozen=True, slots=True)
class _Token:
    """What one token of a text says: see `Wording`."""

    words: tuple[str, ...]
    stems: tuple[str, ...]
    content: tuple[str, ...]
    numbers: tuple[str, ...]
    negations: tuple[str, ...]
    name: str


@lru_cache(maxsize=16_384)
def _token(raw: str) -> _Token:
    if raw[0].isdigit():
        words: tuple[str, ...] = (raw.replace(",", "") if _THOUSANDS.fullmatch(raw) else raw,)
    elif raw in _ACRONYMS:
        words = (_ACRONYMS[raw],)
    else:
        words = tuple(_written_out(raw.lower()))
    stems = tuple(map(stem, words))
    return _Token(
        words,
        stems,
        tuple(s for word, s in zip(words, stems, strict=True) if word not in _EMPTY),
        tuple(word for word in words if not word[0].isalpha()),
        tuple(word for word in words if word in NEGATIONS),
        stems[0] if raw[0].isupper() and words[0] not in _EMPTY else "",
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
            if base := word.removesuffix("n't"):
                yield base
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


def _asks(words: Sequence[str]) -> str:
    for i, word in enumerate(words):
        if word in _QUESTION_WORDS:
            follows = words[i + 1] if i + 1 < len(words) else ""
            return f"{word} {follows}" if word == "how" and follows in _MEASURED else word
    return ""


def has_meaning(text: str) -> bool:
    """Whether a text can be found by its meaning: not empty, and not too long to read."""
    return len(text) <= LONGEST_QUESTION and bool(read(text).content)


class Difference:
    """How a question differs from one that was answered; what is costly only when asked for.

    Args:
        new, old: The questions.
        lexicon: What is known about words.
    """

    def __init__(self, new: Wording, old: Wording, lexicon: Lexicon) -> None:
        self._new = new
        self._old = old
        self._lexicon = lexicon
        self.only_new = tuple(sorted(new.content - old.stem_set))
        """Content stems that the old one lacks, sorted."""
        self.only_old = tuple(sorted(old.content - new.stem_set))
        """Content stems that the new one lacks, sorted."""
        self.opposites = lexicon.opposites_among(self.only_new, self.only_old)
        """Pairs of opposites among them."""
        self.names_new = new.names - old.stem_set
        """Names that the old one lacks, however written."""
        self.names_old = old.names - new.stem_set
        """Names that the new one lacks."""

    @cached_property
    def inversions(self) -> float:
        """Share of pairs of shared content words that stand in the other order."""
        return 0.0 if self._exchanged else _inversions(self._new, self._old)

    @cached_property
    def turned(self) -> bool:
        """Whether both have the very same words, in another order that is not "B or A"."""
        new, old = self._new, self._old
        same = new.content == old.content and new.stems != old.stems
        return same and sorted(new.stems) == sorted(old.stems) and not self._exchanged

    @cached_property
    def _exchanged(self) -> bool:
        """Whether the sides of an "and" or "or" change places, and nothing else does."""
        new, old = self._new, self._old
        return new.content == old.content and old.stems in _exchanges(new.stems)

    @property
    def reordered(self) -> bool:
        """Whether both have the same content words, in another order."""
        return self._new.content == self._old.content and (self.inversions > 0 or self.turned)

    @property
    def strange(self) -> bool:
        """Whether each has a word left that the lexicon does not know: a name, another language."""
        pairing, knows = self.pairing, self._lexicon.knows
        return not (all(map(knows, pairing.rest_new)) or all(map(knows, pairing.rest_old)))

    @cached_property
    def pairing(self) -> Pairing:
        """`only_new` and `only_old` with kindred words paired off."""
        return _pair_off(self.only_new, self.only_old, self._lexicon)


@dataclass(frozen=True, slots=True)
class Pairing:
    """Words of two questions, kindred ones paired off.

    Args:
        rest_new, rest_old: What is left of both.
        synonyms, forms, misspellings: Pairs of each kind.
    """

    rest_new: tuple[str, ...]
    rest_old: tuple[str, ...]
    synonyms: int
    forms: int
    misspellings: int


def compare(new: Wording, old: Wording, lexicon: Lexicon) -> Difference:
    """How a new question differs from an old one."""
    return Difference(new, old, lexicon)


def _pair_off(only_new: Sequence[str], only_old: Sequence[str], lexicon: Lexicon) -> Pairing:
    counts = dict.fromkeys(KINSHIPS, 0)
    rest_new, rest_old = [], list(only_old)
    for word in only_new:
        for other in rest_old:
            if kinship := lexicon.kinship(word, other):
                counts[kinship] += 1
                rest_old.remove(other)
                break
        else:
            rest_new.append(word)
    return Pairing(tuple(rest_new), tuple(rest_old), **counts)


def _exchanges(stems: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The same words with a few on both sides of an "and" or "or" exchanged."""
    for i, word in enumerate(stems):
        if word not in _EITHER_WAY:
            continue
        for start in range(max(0, i - _LONGEST_SIDE), i):
            for end in range(i + 2, min(len(stems), i + 1 + _LONGEST_SIDE) + 1):
                left, right = stems[start:i], stems[i + 1 : end]
                yield (*stems[:start], *right, word, *left, *stems[end:])


def _inversions(new: Wording, old: Wording) -> float:
    shared = new.content & old.content
    n = len(shared)
    if n < 2:
        return 0.0
    place: dict[str, int] = {}
    for position, word in enumerate(old.stems):
        place.setdefault(word, position)
    order = [place[word] for word in dict.fromkeys(new.stems) if word in shared]
    if order == sorted(order):
        return 0.0
    swapped = sum(order[i] > order[j] for i in range(n) for j in range(i + 1, n))
    return swapped / (n * (n - 1) / 2)
