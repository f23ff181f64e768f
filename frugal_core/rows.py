"""One query with its answers, and the row of a file that says so; both ways."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from frugal_core.errors import RecordingError
from frugal_core.grading import Grade


@dataclass(frozen=True, slots=True)
class Answer:
    """One model's recorded answer to one query.

    Args:
        text: What the model said.
        input_tokens, output_tokens: What was bought.
        cached_tokens: The part of `input_tokens` read from the provider's prompt cache.
        written_tokens: The part of `input_tokens` written to it.
        confidence: Log of the model's own confidence in the answer (<= 0), or None.
        correct: Whether the answer is right; None where no gold label is known.
        defect: Why a cascade rejects the answer whatever its score (truncated, refused), or None.
    """

    text: str
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    written_tokens: int = 0
    confidence: float | None = None
    correct: bool | None = None
    defect: str | None = None

    @property
    def sound(self) -> bool:
        """Whether a cascade may accept it for its score: at run time, nothing is a defect too."""
        return self.defect is None and bool(self.text.strip())


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
        for name in ("cached_tokens", "written_tokens", "confidence", "correct", "defect"):
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


def parse_rows(rows: Iterable[tuple[str, Mapping[str, Any]]], grade: Grade) -> tuple[Query, ...]:
    """Read rows as queries, and check every field.

    Args:
        rows: ("file, line n", row) of each query.
        grade: Decides `correct` where a row has a gold `reference` and does not say.

    Returns:
        The queries; those without an id are numbered.

    Raises:
        RecordingError: naming the place and the field.
    """
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


def _parse_query(where: str, row: Mapping[str, Any], position: int, grade: Grade) -> Query:
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
    for name in ("input_tokens", "output_tokens", "cached_tokens", "written_tokens"):
        value: Any = fields.get(name)
        if value is None and name in ("cached_tokens", "written_tokens"):
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
