"""Questions changed by rules, to teach the cache's score what embeddings do not see.

The rules draw words from WordNet's antonyms and from the questions themselves. They are not those
of `benchmarks.edits`, which test the score.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from frugal_core.cache.lexicon import Lexicon
from frugal_core.cache.wording import read
from frugal_core.language import stem

MOST_OF_A_KIND = 420
_WORD = re.compile(r"[A-Za-z][A-Za-z'’]*")
_AUXILIARY = "can do does is are should will could would did was have has"
_FUNCTION_WORDS = (
    "with without, before after, more less, best worst, all no, always never, most least, to from, "
    "in outside, first last, today tomorrow, now later, he she, his her, my your, I you, "
    "men women, boy girl"
)
_ASKING = "how why, what who, when where"


@dataclass(frozen=True)
class Changed:
    """A question, what became of it, and whether the old answer still serves."""

    kind: str
    original: str
    changed: str
    same: bool


def changed(texts: Sequence[str], lexicon: Lexicon, seed: int = 0) -> list[Changed]:
    """Questions changed in every way that applies, at most some hundreds of each kind."""
    chance = random.Random(seed)
    rules = _Rules(texts, lexicon, chance)
    found = []
    for text in texts:
        options = [
            (kind, new, same) for kind, new, same in rules.apply(text) if new and new != text
        ]
        chance.shuffle(options)
        kinds: set[str] = set()
        for kind, new, same in options:
            if kind not in kinds:
                kinds.add(kind)
                found.append(Changed(kind, text, new, same))
    chance.shuffle(found)
    taken: Counter[str] = Counter()
    kept = []
    for change in found:
        taken[change.kind] += 1
        if taken[change.kind] <= MOST_OF_A_KIND:
            kept.append(change)
    return kept


class _Rules:
    def __init__(self, texts: Sequence[str], lexicon: Lexicon, chance: random.Random) -> None:
        self.chance = chance
        words = Counter(word for text in texts for word in _WORD.findall(text))
        lower = {word: count for word, count in words.items() if word.islower()}
        self.content = [w for w, n in lower.items() if n >= 3 and len(w) > 3 and read(w).content]
        self.names = [w for w in words if w[0].isupper() and w.lower() not in lower]
        self.by_stem: dict[str, str] = {}
        for word in sorted(lower, key=lambda w: (lower[w], w)):
            self.by_stem[stem(word)] = word
        self.opposites: dict[str, list[str]] = {}
        for one, others in lexicon.opposites.items():
            if known := [self.by_stem[other] for other in sorted(others) if other in self.by_stem]:
                self.opposites[one] = known
        groups: dict[int, list[str]] = {}
        for word, numbers in lexicon.meanings.items():
            for number in numbers:
                groups.setdefault(number, []).append(word)
        self.synonyms = {
            word: sorted(
                {
                    self.by_stem[o]
                    for n in numbers
                    for o in groups[n]
                    if o in self.by_stem and o != word
                }
            )
            for word, numbers in lexicon.meanings.items()
        }
        self.swaps = _both_ways(_FUNCTION_WORDS)
        self.asking = _both_ways(_ASKING)

    def apply(self, text: str) -> list[tuple[str, str, bool]]:
        """(kind, changed text, whether the answer stays) for every rule that applies."""
        words = list(_WORD.finditer(text))
        options: list[tuple[str, str, bool]] = []
        for number in re.finditer(r"\d+", text):
            if len(number.group()) < 10:
                other = str(int(number.group()) + self.chance.choice([1, 2, 3, 5, 10]))
                options.append(("number", _put(text, number, other), False))
        for position, word in enumerate(words):
            options += self._one_word(text, word, position == 0)
        options += self._order(text, words)
        options += self._harmless(text)
        return options

    def _one_word(self, text: str, word: re.Match[str], first: bool) -> list[tuple[str, str, bool]]:
        raw, low = word.group(), word.group().lower()
        root = stem(low)
        options = []

        def put(kind: str, other: str, same: bool = False) -> None:
            options.append((kind, _put(text, word, other), same))

        if low in self.swaps:
            put("function word", self.swaps[low])
        if first and low in self.asking:
            put("question word", self.asking[low])
        if low in _AUXILIARY.split():
            put("negation", raw + self.chance.choice([" not", " never"]))
        if root in self.opposites:
            put("opposite", self.chance.choice(self.opposites[root]))
        if raw[0].isupper() and not first and read(low).content and self.names:
            put("name", self.chance.choice(self.names))
        if raw.islower() and len(raw) > 3 and read(raw).content:
            put("another word", self.chance.choice(self.content))
            i = self.chance.randrange(1, len(raw) - 2)
            put("typo", raw[:i] + raw[i + 1] + raw[i] + raw[i + 2 :], same=True)
            if synonyms := self.synonyms.get(root):
                put("synonym", self.chance.choice(synonyms), same=True)
        return options

    def _order(self, text: str, words: list[re.Match[str]]) -> list[tuple[str, str, bool]]:
        options = []
        pattern = r"\b(\w+) (to|than|from|into|of|over|after|before) (\w+)\b"
        if (found := re.search(pattern, text)) and found[1].lower() != found[3].lower():
            options.append(("order", _put(text, found, f"{found[3]} {found[2]} {found[1]}"), False))
        content = [word for word in words if len(word.group()) > 3 and read(word.group()).content]
        if len(content) > 1:
            one, other = sorted(self.chance.sample(range(len(content)), 2))
            a, b = content[one], content[other]
            between = text[a.end() : b.start()]
            swapped = text[: a.start()] + b.group() + between + a.group() + text[b.end() :]
            if a.group().lower() != b.group().lower():
                options.append(("order", swapped, False))
        return options

    def _harmless(self, text: str) -> list[tuple[str, str, bool]]:
        start = self.chance.choice(
            ["Please tell me: ", "Can you tell me ", "Hi, ", "Could you explain "]
        )
        written = self.chance.choice(
            [
                text.lower(),
                text.rstrip("?.!"),
                text.upper(),
                text.replace("What is", "What's").replace("I am", "I'm"),
            ]
        )
        article = re.sub(r"\b(the|a|an) ", "", text, count=1)
        return [
            ("politeness", start + text[0].lower() + text[1:], True),
            ("writing", written, True),
            ("article", article, True),
        ]


def _both_ways(pairs: str) -> dict[str, str]:
    return {
        a.lower(): b
        for pair in pairs.split(", ")
        for a, b in (pair.split(), reversed(pair.split()))
    }


def _put(text: str, found: re.Match[str], other: str) -> str:
    if found.group()[0].isupper():
        other = other[0].upper() + other[1:]
    return text[: found.start()] + other + text[found.end() :]
