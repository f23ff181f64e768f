"""Which units of some documents are kept, so that the rest fits the budget."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from frugal_core.compress.lossless import records
from frugal_core.compress.passages import LONGEST, units_of
from frugal_core.compress.rank import (
    Unit,
    near_duplicates,
    rank_by_question,
    rank_by_salience,
)
from frugal_core.compress.select import Texts, assemble, render, select, shorten, trim
from frugal_core.compress.values import Part
from frugal_core.errors import FrugalError
from frugal_core.tokens import Counter

if TYPE_CHECKING:
    from frugal_core.embedding import Embedder

Overflow = Literal["error", "keep", "drop"]
"""What to do if what is protected is over the budget: an error, keep it all the same, or let code,
JSON and template variables go with their relevance, always whole."""

_SHORTEST = 12  # letters of a unit


@dataclass(frozen=True)
class Task:
    """What is to be made shorter, and how; see `compress`.

    Args:
        texts: The documents by number.
        titles: The title of every document that was given.
        question: What is asked; empty if nothing is.
        budget: Tokens that may be used.
        count: How they are counted.
        patterns: What must be kept.
        embedder: To be heard beside the words.
        word_ratio: How much may come from dropping function words.
        on_overflow: What to do where the budget is too small.
        is_text: Whether it is one text, such as a prompt, and not documents that were found.
    """

    texts: Texts
    titles: Sequence[str]
    question: str
    budget: int
    count: Counter
    patterns: Sequence[re.Pattern[str]]
    embedder: Embedder | None
    word_ratio: float
    on_overflow: Overflow
    is_text: bool


def choose(task: Task) -> tuple[Texts, list[Part]]:
    """Keep the best sentences that fit; where not one fits, the best parts of sentences.

    Of a text that is a JSON array of objects, whole objects are kept, in an array again.

    Returns:
        What is left of the documents, and all their parts.

    Raises:
        FrugalError: if what is protected, or the best part alone, is over the budget.
    """
    rows = records(task.texts.get(0, "")) if len(task.titles) == 1 else []
    return _choose_records(task, rows) if len(rows) > 1 else _choose(task)


def _choose_records(task: Task, rows: Sequence[str]) -> tuple[Texts, list[Part]]:
    def array(lines: str) -> str:
        return f"[{lines.replace(chr(10), ',')}]"  # there is no line end in minified JSON

    def count(lines: str) -> int:
        return task.count(render({0: array(lines)}, task.titles))

    texts, titles = dict(enumerate(rows)), [""] * len(rows)
    texts, parts = _choose(replace(task, texts=texts, titles=titles, count=count, is_text=False))
    return {0: array(render(texts, titles))}, [replace(part, document=0) for part in parts]


def _choose(task: Task) -> tuple[Texts, list[Part]]:
    keeps_structure = task.is_text and task.on_overflow != "drop"
    whole = render(task.texts, task.titles)
    fitting = round(task.budget * len(whole) / max(1, task.count(whole)))  # letters in the budget
    for longest in (LONGEST, *(max(_SHORTEST, fitting // part) for part in (1, 2, 4))):
        units, passages = units_of(
            task.texts, task.titles, task.patterns, longest, keeps_structure, fitting // 2
        )
        if not units:  # white space
            return dict.fromkeys(task.texts, "") if task.is_text else {}, []
        order, repeated = _order(task, units, passages)
        most = math.floor(task.budget * task.word_ratio)
        taken = select(units, order, task.titles, most, task.count, partial(_tokens, task, units))
        shortened: dict[int, str] = {}
        if task.word_ratio > 1:
            excess = _tokens(task, units, taken) - task.budget
            shortened = shorten(taken, units, task.question, excess, task.count)
        tokens_of = partial(_tokens, task, units, shortened=shortened)
        taken = trim(taken, task.budget, units, tokens_of)
        if taken and tokens_of(taken) <= task.budget:
            break
    else:
        taken, shortened = taken or order[:1], {}
        if task.on_overflow != "keep":
            raise FrugalError(_complaint(task, units, taken))
    kept = set(taken)
    parts = [
        part
        for index, unit in enumerate(units)
        for part in _parts(unit, index in kept, index in repeated, shortened.get(index))
    ]
    return assemble(units, kept, task.texts, shortened), parts


def _order(
    task: Task, units: Sequence[Unit], passages: Sequence[str]
) -> tuple[list[int], set[int]]:
    """Numbers of the units, best first, and which of all only repeat what better ones say."""
    # What is kept anyway, the question in its prompt for one, is no measure for the others.
    free = [index for index, unit in enumerate(units) if not unit.kept]
    rest = [units[index] for index in free]
    if task.question:
        best = rank_by_question(rest, passages, task.question, task.embedder)
    else:
        best = rank_by_salience(rest, passages)
        if task.is_text and rest:  # instructions stand at its beginning or at its end
            best = list(dict.fromkeys([0, len(rest) - 1, *best]))
    kept = [index for index, unit in enumerate(units) if unit.kept]
    ranked = kept + [free[index] for index in best]
    repeated = near_duplicates(units, ranked) - set(kept)
    order = [index for index in ranked if index not in repeated]
    # The same words under another title say something else: they come last.
    said = {(passages[units[index].passage], units[index].text) for index in order}
    others = [
        index
        for index in ranked
        if index in repeated
        and len(task.titles) > 1
        and (passages[units[index].passage], units[index].text) not in said
    ]
    return [*order, *others], repeated


def _tokens(
    task: Task,
    units: Sequence[Unit],
    kept: Iterable[int],
    shortened: Mapping[int, str] | None = None,
) -> int:
    return task.count(render(assemble(units, kept, task.texts, shortened), task.titles))


def _complaint(task: Task, units: Sequence[Unit], taken: Sequence[int]) -> str:
    protected = any(units[index].kept for index in taken)
    what = "what is protected alone" if protected else "the best piece alone"
    instead = ""
    if task.is_text and task.on_overflow == "error":
        instead = ', or let code and JSON go with on_overflow="drop"'
    return (
        f"the budget of {task.budget} tokens is too small: {what} has "
        f'{_tokens(task, units, taken)}. Allow more, or keep it with on_overflow="keep"{instead}'
    )


def _parts(unit: Unit, kept: bool, repeated: bool, shortened: str | None) -> Iterator[Part]:
    if not kept:
        yield Part(unit.document, unit.text, "near-duplicate" if repeated else "relevance")
        return
    yield Part(unit.document, unit.text if shortened is None else shortened)
    if shortened is not None and shortened != unit.text:
        yield Part(unit.document, unit.text, "function words")
