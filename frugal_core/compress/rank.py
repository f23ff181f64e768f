"""Puts the units of a text in the order in which they should be kept."""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frugal_core.compress.words import answer_likeness, content_words, terms

if TYPE_CHECKING:
    from frugal_core.embedding import Embedder

_K1, _B = 1.2, 0.75
_PASSAGE, _LIKENESS, _BRIDGE, _EMBEDDING = 0.7, 0.15, 1.0, 2.0
_BRIDGES_FROM = 3
_SHINGLE, _SEEN = 4, 0.8


@dataclass(frozen=True, slots=True)
class Unit:
    """A sentence, line or block of a text.

    Args:
        text: As it stands.
        document: Which document it is in.
        passage: Which passage it is in: a document, or a paragraph of the only document.
        place: How many units of its passage stand before it.
        start: Where it begins in the text of its document.
        end: Where it ends.
        kept: Whether it must be kept whatever its score.
    """

    text: str
    document: int
    passage: int
    place: int
    start: int
    end: int
    kept: bool = False


def bm25(texts: Sequence[Sequence[str]], query: Sequence[str]) -> list[float]:
    """Okapi BM25 of each text; the statistics are those of the texts themselves.

    Robertson and Zaragoza 2009, The Probabilistic Relevance Framework. Each term of the query
    counts once.

    Example:
        >>> [round(score, 2) for score in bm25([["lima", "peru"], ["rome"]], ["lima"])]
        [0.61, 0]
    """
    wanted = set(query)
    counts = [Counter(word for word in text if word in wanted) for text in texts]
    found_in = Counter(word for count in counts for word in count)
    mean = sum(map(len, texts)) / max(len(texts), 1) or 1.0
    idf = {w: math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for w, n in found_in.items()}
    return [
        sum(
            idf[word] * tf * (_K1 + 1) / (tf + _K1 * (1 - _B + _B * len(text) / mean))
            for word, tf in count.items()
        )
        for text, count in zip(texts, counts, strict=True)
    ]


def rank_by_question(
    units: Sequence[Unit], titles: Sequence[str], question: str, embedder: Embedder | None = None
) -> list[int]:
    """The units, best first, by what they have to do with a question.

    The score is BM25 of the sentence and of its passage, both with the title, each divided by its
    largest value, and a little for what looks like an answer. Then a second hop: passages whose
    title is named in one of the three best sentences of another passage gain, their beginning most.
    With an embedder the cosines of sentence and passage with the question are added.

    Args:
        units: What can be kept.
        titles: The titles of the passages, by number.
        question: What is asked.
        embedder: To be heard beside the words.

    Returns:
        Numbers of units.
    """
    query = terms(question)
    of_titles = [terms(title) for title in titles]
    of_units = [terms(unit.text) for unit in units]
    of_passages = [list(words) for words in of_titles]
    for unit, words in zip(units, of_units, strict=True):
        of_passages[unit.passage] += words
    titled = [of_titles[u.passage] + words for u, words in zip(units, of_units, strict=True)]
    by_unit, by_passage = _scaled(bm25(titled, query)), _scaled(bm25(of_passages, query))
    likeness = answer_likeness(question)
    scores = [
        score + _PASSAGE * by_passage[unit.passage] + _LIKENESS * likeness(unit.text)
        for score, unit in zip(by_unit, units, strict=True)
    ]
    if embedder is not None:
        cosines = _cosines(units, titles, question, embedder)
        scores = [s + _EMBEDDING * cosine for s, cosine in zip(scores, cosines, strict=True)]
    bridged = _bridged(units, titles, _best_first(scores)[:_BRIDGES_FROM])
    scores = [
        score + (_BRIDGE / (1 + 0.5 * unit.place) if unit.passage in bridged else 0.0)
        for score, unit in zip(scores, units, strict=True)
    ]
    return _best_first(scores)


def rank_by_salience(units: Sequence[Unit], titles: Sequence[str]) -> list[int]:
    """The units, best first, by how much of the whole they say that better ones have not said.

    SumBasic (Nenkova and Vanderwende 2005, The Impact of Frequency on Summarization): a sentence
    is worth the mean probability of its words, which is squared when the word has been said. Words
    of the title count twice; the beginning of a passage counts more.

    Returns:
        Numbers of units.
    """
    words = [terms(unit.text) for unit in units]
    said = Counter(word for text in words for word in text)
    said.update(word for title in titles for word in terms(title) if word in said)
    total = sum(said.values()) or 1
    chance = {word: count / total for word, count in said.items()}

    def worth(index: int) -> float:
        text = words[index]
        # Short sentences would win by a single frequent word.
        mean = sum(chance[word] for word in text) / max(len(text), 8)
        return mean * (1 + 0.5 / (1 + units[index].place))

    # Worths only fall, so that the first whose worth is up to date is the best.
    heap = [(-worth(index), index) for index in range(len(units))]
    heapq.heapify(heap)
    order: list[int] = []
    while heap:
        before, index = heapq.heappop(heap)
        now = -worth(index)
        if now > before and heap and (now, index) > heap[0]:
            heapq.heappush(heap, (now, index))
            continue
        order.append(index)
        for word in set(words[index]):
            chance[word] **= 2
    return order


def near_duplicates(units: Sequence[Unit], order: Sequence[int]) -> set[int]:
    """Units that say what one earlier in the order says.

    Four fifths of their groups of four words stand in better units (Broder 1997, On the resemblance
    and containment of documents), and all their content words in one of them: sentences that differ
    in a name, a number or a negation alone are no duplicates.
    """
    seen: set[tuple[str, ...]] = set()
    likely = set()
    for index in order:
        text = units[index].text.lower()
        words: Sequence[str] = text.split()
        if len(words) < _SHINGLE:
            words = text  # no spaces between words, or few words
        shingles = set(zip(*(words[i:] for i in range(_SHINGLE)), strict=False))
        if shingles and len(shingles & seen) >= _SEEN * len(shingles):
            likely.add(index)
        seen |= shingles
    repeated: set[int] = set()
    places: dict[str, set[int]] = {}  # of each content word, the units so far that have it
    for index in order if likely else ():
        content = content_words(units[index].text)
        if index in likely:
            having = sorted((places.get(word, set()) for word in content), key=len)
            if having and set.intersection(*having):
                repeated.add(index)
                continue  # what repeats this one repeats that one, too
        for word in content:
            places.setdefault(word, set()).add(index)
    return repeated


def _bridged(units: Sequence[Unit], titles: Sequence[str], best: Sequence[int]) -> set[int]:
    """Passages whose title, without what is in brackets, is named in a sentence of another."""
    found = set()
    for passage, title in enumerate(titles):
        core = title.partition(" (")[0].strip()
        if len(core) <= 3 and core.isascii():
            continue
        for index in best:
            unit = units[index]
            if (
                unit.passage != passage
                and core
                and core in unit.text
                and _is_phrase(core, unit.text)
            ):
                found.add(passage)
    return found


def _is_phrase(phrase: str, text: str) -> bool:
    if not phrase.isascii():
        return True  # where no spaces are written, words have no edges to look for
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text) is not None


def _cosines(
    units: Sequence[Unit], titles: Sequence[str], question: str, embedder: Embedder
) -> list[float]:
    """Cosine of sentence and question plus that of passage (mean of its sentences) and question."""
    import numpy as np

    texts = [": ".join(filter(None, [titles[unit.passage], unit.text])) for unit in units]
    vectors = np.asarray(embedder.embed([*texts, question]), dtype=float)
    sentences, asked = vectors[:-1], vectors[-1]
    passages = np.zeros((len(titles), vectors.shape[1]))
    np.add.at(passages, [unit.passage for unit in units], sentences)
    passages /= np.maximum(np.linalg.norm(passages, axis=1, keepdims=True), 1e-12)
    of_passage = passages @ asked
    return [float(s @ asked + of_passage[u.passage]) for s, u in zip(sentences, units, strict=True)]


def _scaled(values: Sequence[float]) -> list[float]:
    most = max(values, default=0.0)
    return [value / most for value in values] if most > 0 else list(values)


def _best_first(scores: Sequence[float]) -> list[int]:
    # Rounded, so that the order does not hang on how a machine adds up.
    return sorted(range(len(scores)), key=lambda index: (-round(scores[index], 9), index))
