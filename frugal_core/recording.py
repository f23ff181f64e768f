"""Recordings: queries with the answers of every model, and whether they were right.

One line per query:

    {"id": "7", "query": "...", "reference": "up",
     "answers": {"gpt-4o": {"text": "up", "input_tokens": 84, "output_tokens": 1,
                            "confidence": -0.02, "correct": true}}}

`reference` is the gold answer and may be missing, for some rows or for all. `confidence` is the log
of the model's own confidence (<= 0). `correct` is taken from the file, else from a grader.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from frugal_core.errors import RecordingError
from frugal_core.pricing import PriceBook

Grader = Literal["exact", "normalised", "number", "contains"] | Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class Answer:
    """One model's recorded answer to one query.

    Args:
        text: What the model said.
        input_tokens, output_tokens: What was bought.
        cached_tokens: The part of `input_tokens` read from the provider's prompt cache.
        confidence: Log of the model's own confidence in the answer (<= 0), or None.
        correct: Whether the answer is right; None where no gold label is known.
        defect: Why a cascade rejects the answer whatever its score (truncated, refused), or None.
    """

    text: str
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    confidence: float | None = None
    correct: bool | None = None
    defect: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One query with the answers of the models that answered it.

    A model that failed is in `failures` with its error and has no answer.
    """

    id: str
    text: str
    answers: Mapping[str, Answer]
    reference: str | None = None
    failures: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Recording:
    """Queries with every model's answers, and the prices of the models.

    Args:
        queries: The rows.
        prices: What the models cost.
        grader: How `correct` was decided where the rows did not say; a policy keeps the name.

    Example:
        >>> rows = [{"id": 1, "query": "2 + 2", "reference": "4", "answers": {
        ...     "small": {"text": "4", "input_tokens": 5, "output_tokens": 1}}}]
        >>> recording = Recording.from_rows(rows, prices={"small": [0.1, 0.1]})
        >>> recording.queries[0].answers["small"].correct
        True
    """

    queries: tuple[Query, ...]
    prices: PriceBook
    grader: str = "normalised"

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Mapping[str, Any]],
        prices: PriceBook | Mapping[str, Any] | str | Path | None = None,
        grader: Grader = "normalised",
    ) -> Recording:
        """Build a recording from dictionaries in the format above.

        Args:
            rows: One mapping per query.
            prices: See `PriceBook.load`.
            grader: Decides `correct` where a row has a gold `reference` and the file does not say.

        Raises:
            RecordingError: naming the row and the field.
        """
        numbered = ((f"row {number}", row) for number, row in enumerate(rows, start=1))
        return cls(_parse(numbered, _grader(grader)), PriceBook.load(prices), _name(grader))

    @classmethod
    def load(
        cls,
        path: str | Path,
        prices: PriceBook | Mapping[str, Any] | str | Path | None = None,
        grader: Grader = "normalised",
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
            queries = _parse(_read(path), _grader(grader))
        except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
            raise RecordingError(f"{path}: cannot be read: {error}") from error
        if not queries:
            raise RecordingError(f"{path}: holds no query; one JSON object per line is expected")
        return cls(queries, PriceBook.load(prices), _name(grader))

    def save(self, path: str | Path) -> None:
        """Write JSON Lines, compressed if the name ends in `.gz`.

        Raises:
            RecordingError: if the name says CSV or Parquet, which are read only.
        """
        path = Path(path)
        if {".csv", ".parquet"} & {suffix.lower() for suffix in path.suffixes}:
            raise RecordingError(f"{path}: recordings are written as .jsonl or .jsonl.gz")
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "wt", encoding="utf-8") as file:
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


def normalise(text: str) -> str:
    """Case, white space, surrounding punctuation and quotes removed: for comparing short answers.

    Example:
        >>> normalise('  "Up." ')
        'up'
    """
    return " ".join(text.casefold().split()).strip(" \t.,;:!?\"'`*()[]")


_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def _last_number(text: str) -> float | None:
    found = _NUMBER.findall(text.replace(",", ""))
    return float(found[-1]) if found else None


def _same_number(answer: str, gold: str) -> bool:
    said, wanted = _last_number(answer), _last_number(gold)
    return said is not None and wanted is not None and math.isclose(said, wanted, rel_tol=1e-9)


_GRADERS: dict[str, Callable[[str, str], bool]] = {
    "exact": lambda answer, gold: answer == gold,
    "normalised": lambda answer, gold: normalise(answer) == normalise(gold),
    "number": _same_number,
    "contains": lambda answer, gold: normalise(gold) in normalise(answer),
}


def _name(grader: Grader) -> str:
    return grader if isinstance(grader, str) else "a function of the user's"


def _grader(grader: Grader) -> Callable[[str, str], bool]:
    if callable(grader):
        return grader
    if grader not in _GRADERS:
        raise RecordingError(
            f"grader {grader!r}: choose one of {', '.join(_GRADERS)} or a function"
        )
    return _GRADERS[grader]


def to_row(query: Query) -> dict[str, Any]:
    """The JSON object of one query; the inverse of reading it."""
    row: dict[str, Any] = {"id": query.id, "query": query.text}
    if query.reference is not None:
        row["reference"] = query.reference
    row["answers"] = {}
    for model, answer in query.answers.items():
        fields: dict[str, Any] = {
            "text": answer.text,
            "input_tokens": answer.input_tokens,
            "output_tokens": answer.output_tokens,
        }
        for name in ("cached_tokens", "confidence", "correct", "defect"):
            if value := getattr(answer, name):
                fields[name] = value
        if answer.correct is False:
            fields["correct"] = False
        if answer.confidence == 0.0:
            fields["confidence"] = 0.0
        row["answers"][model] = fields
    if query.failures:
        row["failures"] = dict(query.failures)
    return row


def _read(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield ("file, line n", row) for each query of a file."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if ".parquet" in suffixes:
        yield from ((where, _nest(row, where)) for where, row in _read_parquet(path))
        return
    opener = gzip.open if suffixes[-1:] == [".gz"] else open
    # Spreadsheets begin a file with a byte order mark: utf-8-sig reads it and files without it.
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        if ".csv" in suffixes:
            yield from _read_csv(path, file)
            return
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                yield where, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise RecordingError(f"{where}: not JSON: {error}") from error


def _read_csv(path: Path, file: Iterable[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    lines = csv.DictReader(file)
    for row in lines:
        where = f"{path}, line {lines.line_num}"
        if None in row:
            raise RecordingError(f"{where}: more cells than columns; quote cells that hold commas")
        # An empty cell says nothing, but for the texts of a query and of an answer that was paid.
        cells = {name: value for name, value in row.items() if value not in ("", None)}
        paid = {name.rpartition(".")[0] for name in cells if "." in name}
        texts = {"query", *(f"{model}.text" for model in paid)}
        yield where, _nest(cells | {n: "" for n in texts & set(row) - set(cells)}, where)


def _read_parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise RecordingError(
            f"{path}: reading Parquet needs pyarrow: pip install 'frugal-cascade[report]'"
        ) from error
    try:
        rows = parquet.read_table(path).to_pylist()
    except Exception as error:  # pyarrow has its own family of errors
        raise RecordingError(f"{path}: not a Parquet file: {error}") from error
    for number, row in enumerate(rows, start=1):
        yield f"{path}, row {number}", {k: v for k, v in row.items() if v is not None}


def _nest(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Turn `MODEL.field` columns into the nested `answers` object."""
    nested: dict[str, Any] = {}
    answers: dict[str, Any] = {}
    for name, value in row.items():
        model, dot, field = name.rpartition(".")
        if name in ("answers", "failures") and isinstance(value, str):
            try:
                nested[name] = json.loads(value)
            except (ValueError, RecursionError) as error:
                raise RecordingError(f"{where}, {name}: not JSON: {error}") from error
        elif dot and field in Answer.__dataclass_fields__:
            if isinstance(value, str) and field != "text":
                value = _cell(value, f"{where}, {name}")
            answers.setdefault(model, {})[field] = value
        else:
            nested[name] = value
    if answers and isinstance(nested.get("answers", {}), Mapping):
        nested["answers"] = {**nested.get("answers", {}), **answers}
    return {"answers": {}, **nested}


def _cell(value: str, place: str) -> float | bool | None:
    """A number or a truth value, as programs write them into text."""
    words = {"true": True, "false": False, "null": None, "none": None}
    if value.strip().casefold() in words:
        return words[value.strip().casefold()]
    try:
        return float(value)
    except ValueError as error:
        raise RecordingError(f"{place}: {value!r} is no number") from error


def _parse(
    rows: Iterable[tuple[str, Mapping[str, Any]]], grade: Callable[[str, str], bool]
) -> tuple[Query, ...]:
    queries: list[Query] = []
    seen: dict[str, str] = {}
    for where, row in rows:
        if not isinstance(row, Mapping):
            raise RecordingError(f"{where}: expected an object, found {type(row).__name__}")
        query = _parse_query(where, row, len(queries), grade)
        if query.id in seen:
            raise RecordingError(
                f"{where}, id: {query.id!r} was already used at {seen[query.id]}; "
                f"give every query an id of its own, or leave ids out"
            )
        seen[query.id] = where
        queries.append(query)
    return tuple(queries)


def _parse_query(
    where: str, row: Mapping[str, Any], position: int, grade: Callable[[str, str], bool]
) -> Query:
    text = row.get("query")
    if not isinstance(text, str):
        raise RecordingError(f"{where}, query: expected a string, found {type(text).__name__}")
    answers = row.get("answers")
    if not isinstance(answers, Mapping):
        raise RecordingError(f"{where}, answers: expected an object with one answer per model")
    gold = row.get("reference")
    if not isinstance(gold, str | int | float | None):
        raise RecordingError(f"{where}, reference: expected a string, found {type(gold).__name__}")
    missing = gold is None or (isinstance(gold, float) and math.isnan(gold))  # as pandas has it
    reference = None if missing else str(gold)
    parsed: dict[str, Answer] = {}
    failed = row.get("failures") or {}
    if not isinstance(failed, Mapping):
        raise RecordingError(f"{where}, failures: expected an object with one error per model")
    failures = {str(model): str(error) for model, error in failed.items() if error is not None}
    for model, fields in answers.items():
        place = f"{where}, answers.{model}"
        if fields is None:
            continue
        if not isinstance(fields, Mapping):
            raise RecordingError(f"{place}: expected an object, found {type(fields).__name__}")
        if fields.get("error"):
            failures[str(model)] = str(fields["error"])
            continue
        answer = _parse_answer(place, fields)
        if answer.correct is None and reference is not None:
            answer = replace(answer, correct=bool(grade(answer.text, reference)))
        parsed[str(model)] = answer
    given = row.get("id")
    number = str(position + 1 if given is None else given)
    return Query(number, text, parsed, reference, failures or None)


def _parse_answer(place: str, fields: Mapping[str, Any]) -> Answer:
    text = fields.get("text")
    if not isinstance(text, str):
        raise RecordingError(f"{place}.text: expected a string, found {type(text).__name__}")
    tokens = {}
    for name in ("input_tokens", "output_tokens", "cached_tokens"):
        value: Any = fields.get(name)
        if value is None and name == "cached_tokens":
            value = 0
        if not _is_count(value):
            raise RecordingError(f"{place}.{name}: expected a whole number >= 0, found {value!r}")
        tokens[name] = int(value)
    confidence = fields.get("confidence")
    if confidence is not None:
        if isinstance(confidence, bool) or not isinstance(confidence, int | float):
            raise RecordingError(f"{place}.confidence: expected a number, found {confidence!r}")
        if math.isnan(confidence):
            confidence = None
        elif confidence > 1e-6:
            raise RecordingError(
                f"{place}.confidence: {confidence!r} is above 0; it is the *log* of a probability"
            )
        else:
            confidence = min(float(confidence), 0.0)
    correct = fields.get("correct")
    if correct is not None and not isinstance(correct, bool) and correct not in (0, 1):
        raise RecordingError(f"{place}.correct: expected true or false, found {correct!r}")
    defect = fields.get("defect")
    return Answer(
        text,
        **tokens,
        confidence=confidence,
        correct=None if correct is None else bool(correct),
        defect=None if defect is None else str(defect),
    )


def _is_count(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value < 2**63 and value == int(value)
