"""Recordings: queries with the answers of every model, and whether they were right.

One line per query:

    {"id": "7", "query": "...", "reference": "up",
     "answers": {"gpt-4o": {"text": "up", "input_tokens": 84, "output_tokens": 1,
                            "confidence": -0.02, "correct": true}}}

`reference` is the gold answer and may be missing, for some rows or for all. `confidence` is the log
of the model's own confidence (<= 0). `correct` is taken from the file, else from a grader (see
`frugal_core.grading` and, for free text, `frugal_core.semantic_grading`).
"""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from frugal_core.errors import RecordingError
from frugal_core.files import writing
from frugal_core.grading import Grader, grade_of, normalise
from frugal_core.pricing import PriceBook
from frugal_core.reading import read_rows
from frugal_core.rows import Answer, Query, parse_rows, to_row

__all__ = [
    "Answer",
    "Grader",
    "Query",
    "Recording",
    "is_utf8",
    "normalise",
    "text_groups",
    "to_row",
]


@dataclass(frozen=True)
class Recording:
    """Queries with every model's answers, and the prices of the models.

    Args:
        queries: The rows.
        prices: What the models cost.
        grader: Decided `correct` where the rows did not say; a policy keeps its name.

    Example:
        >>> rows = [{"id": 1, "query": "2 + 2", "reference": "4", "answers": {
        ...     "small": {"text": "4", "input_tokens": 5, "output_tokens": 1}}}]
        >>> recording = Recording.from_rows(rows, prices={"small": [0.1, 0.1]})
        >>> recording.queries[0].answers["small"].correct
        True
    """

    queries: tuple[Query, ...]
    prices: PriceBook
    grader: Grader | str = "normalised"

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Mapping[str, Any]],
        prices: PriceBook | Mapping[str, Any] | str | Path | None = None,
        grader: Grader | str = "normalised",
    ) -> Recording:
        """Build a recording from dictionaries in the format above.

        Args:
            rows: One mapping per query.
            prices: See `PriceBook.load`.
            grader: Decides `correct` where a row has a gold `reference` and the file does not say;
                "normalised" is `means_the_same` in `frugal_core.grading`.

        Raises:
            RecordingError: naming the row and the field.
        """
        numbered = ((f"row {number}", row) for number, row in enumerate(rows, start=1))
        return cls(parse_rows(numbered, grade_of(grader)), PriceBook.load(prices), grader)

    @classmethod
    def load(
        cls,
        path: str | Path,
        prices: PriceBook | Mapping[str, Any] | str | Path | None = None,
        grader: Grader | str = "normalised",
    ) -> Recording:
        """Read JSON Lines (`.jsonl`, `.jsonl.gz`), CSV or Parquet.

        In CSV and Parquet, an answer's fields are columns named `MODEL.text`,
        `MODEL.input_tokens` and so on, beside `id`, `query` and `reference`.

        Raises:
            RecordingError: naming file, line and field.
        """
        path = Path(path)
        if not path.is_file():
            raise RecordingError(f"{path}: no such file")
        try:
            queries = parse_rows(read_rows(path), grade_of(grader))
        except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
            raise RecordingError(f"{path}: cannot be read: {error}") from error
        if not queries:
            raise RecordingError(f"{path}: holds no query; one JSON object per line is expected")
        return cls(queries, PriceBook.load(prices), grader)

    def save(self, path: str | Path) -> None:
        """Write JSON Lines, compressed if the name ends in `.gz`; whole, or not at all.

        Raises:
            RecordingError: if the name says CSV or Parquet, which are read only.
            OSError: if the file cannot be written; what stood there before still does.
        """
        path = Path(path)
        if {".csv", ".parquet"} & {suffix.lower() for suffix in path.suffixes}:
            raise RecordingError(f"{path}: recordings are written as .jsonl or .jsonl.gz")
        with writing(path) as file:
            for query in self.queries:
                line = json.dumps(to_row(query), ensure_ascii=False)
                if not is_utf8(line):  # half a surrogate pair, as models sometimes write
                    line = json.dumps(to_row(query))
                file.write(line + "\n")

    def __len__(self) -> int:
        return len(self.queries)

    def __iter__(self) -> Iterator[Query]:
        return iter(self.queries)

    @property
    def models(self) -> list[str]:
        """Every model that answered at least one query, in order of appearance."""
        return list(dict.fromkeys(model for query in self.queries for model in query.answers))

    def select(self, rows: Sequence[int] | np.ndarray) -> Recording:
        """The queries at these positions, as a recording."""
        return replace(self, queries=tuple(self.queries[int(row)] for row in rows))

    def only(self, models: Sequence[str]) -> Recording:
        """The same queries with the answers of these models alone."""
        keep = set(models)
        queries = (
            replace(query, answers={m: a for m, a in query.answers.items() if m in keep})
            for query in self.queries
        )
        return replace(self, queries=tuple(queries))

    def unlabelled(self) -> Recording:
        """The same queries and answers without anything that says which answers are right."""
        queries = (
            replace(
                query,
                reference=None,
                answers={m: replace(a, correct=None) for m, a in query.answers.items()},
            )
            for query in self.queries
        )
        return replace(self, queries=tuple(queries))

    def agreeing_with(self, model: str) -> Recording:
        """The same answers, right where the grader takes them for the same as this model's.

        No gold label is looked at. Of rows without an answer of the model, nothing is known.
        """
        grade = grade_of(self.grader)

        def judged(query: Query) -> Query:
            theirs = query.answers.get(model)
            gold = None if theirs is None else theirs.text
            answers = {}
            for name, answer in query.answers.items():
                same = None if gold is None else name == model or bool(grade(answer.text, gold))
                answers[name] = replace(answer, correct=same)
            return replace(query, reference=gold, answers=answers)

        return replace(self, queries=tuple(map(judged, self.queries)))

    def split(self, *shares: float, seed: int = 0) -> list[Recording]:
        """Cut into shuffled parts with these shares; equal query texts stay together.

        Args:
            shares: Fractions that sum to at most 1, one per part.
            seed: Decides the shuffle.

        Example:
            >>> fit_rows, test_rows = recording.split(0.7, 0.3)  # doctest: +SKIP
        """
        if not shares or min(shares) < 0 or sum(shares) > 1 + 1e-9:
            raise RecordingError(
                f"split: shares must be positive and sum to at most 1, not {shares}"
            )
        groups = text_groups([query.text for query in self.queries])
        position = np.random.default_rng(seed).permutation(groups.max(initial=-1) + 1)
        order = np.argsort(position[groups], kind="stable")
        ranks = position[groups][order]
        parts, start = [], 0
        for share in np.cumsum(shares):
            stop = round(share * len(order))
            while 0 < stop < len(order) and ranks[stop] == ranks[stop - 1]:
                stop += 1
            parts.append(self.select(order[start:stop]))
            start = max(start, stop)
        return parts


def is_utf8(text: str) -> bool:
    """Whether a text can be written; half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_groups(texts: Sequence[str]) -> np.ndarray:
    """A number per text, equal for equal texts; shape (n,)."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.int64)
