"""The questions to ask, and the recording that is being written while they are answered.

Each answer is appended to a journal beside the recording as soon as it arrives; every line of it is
a row of the recording with that one answer. Whenever a collection is opened or closed, the journal
is folded into the recording, which appears whole or not at all.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from frugal_core.cascade import Failure, Reply
from frugal_core.errors import RecordingError, describe
from frugal_core.files import writing
from frugal_core.reading import csv_rows
from frugal_core.recording import is_utf8


@dataclass(frozen=True, slots=True)
class Question:
    """A question to ask, and its gold answer where it is known."""

    id: str
    text: str
    reference: str | None = None


def read_questions(path: str | Path) -> list[Question]:
    """Read questions: one a line, or JSON Lines or CSV with `query`, `id`? and `reference`?.

    A question without an id gets one made from its text, so that lines may be added or moved
    between runs.

    Raises:
        RecordingError: naming file, line and field.
    """
    path = Path(path)
    try:
        rows = list(_rows(path))
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, csv.Error) as error:
        raise RecordingError(f"{path}: cannot be read: {error}") from error
    questions: dict[str, Question] = {}
    seen: Counter[str] = Counter()
    for where, row in rows:
        text = row.get("query")
        if not isinstance(text, str) or not text.strip():
            raise RecordingError(f"{where}, query: expected a question, found {text!r}")
        if not is_utf8(text):
            raise RecordingError(f"{where}, query: {text!r} holds half a character; mend it")
        if row.get("id") in (None, ""):
            seen[text] += 1
            id_ = hashlib.sha256(text.encode()).hexdigest()[:16]
            id_ += f"-{seen[text]}" if seen[text] > 1 else ""
        else:
            id_ = str(row["id"])
        if id_ in questions:
            raise RecordingError(
                f"{where}, id: {id_!r} was already used; leave ids out, or mend them"
            )
        gold = row.get("reference")
        questions[id_] = Question(id_, text, None if gold in (None, "") else str(gold))
    if not questions:
        raise RecordingError(f"{path}: holds no question; write one per line")
    return list(questions.values())


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        if ".csv" in path.suffixes:
            reader = csv_rows(file)
            for row in reader:
                yield f"{path}, line {reader.line_num}", row
            return
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            if ".jsonl" in path.suffixes:
                yield f"{path}, line {number}", _parse(line, f"{path}, line {number}")
            else:
                yield f"{path}, line {number}", {"query": line.strip()}


def _parse(line: str | bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise RecordingError(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise RecordingError(f"{where}: expected an object, found {type(row).__name__}")
    return row


class Collection:
    """A recording that is being written: what has been answered, and what has not.

    Args:
        path: The recording, `.jsonl` or `.jsonl.gz`; answers that it already holds are kept.
        questions: What is to be answered.
        system: The system prompt that all questions share; kept in every row, and a recording that
            was made with another one is refused.

    Raises:
        RecordingError: if the recording is broken, belongs to other questions or another system
            prompt, or is being written by another process.

    Example:
        >>> with Collection("answers.jsonl", questions) as collection:  # doctest: +SKIP
        ...     collection.add(questions[0], "small", Reply("4", 5, 1))
    """

    def __init__(
        self, path: str | Path, questions: Sequence[Question], system: str | None = None
    ) -> None:
        self.path = Path(path)
        self.questions = questions
        self.system = system
        self._rows: dict[str, dict[str, Any]] = {}
        self._journal_path = self.path.with_name(self.path.name + ".journal")
        # Half a character, as a model may well write, is no reason to lose an answer.
        self._journal: IO[str] = self._journal_path.open("a", encoding="utf-8", errors="replace")
        _lock(self._journal, self.path)
        try:
            if self.path.exists():
                self._read(self.path)
            if self._journal_path.stat().st_size:
                self._read(self._journal_path, torn=True)
                self._save()
            self._check()
            for question in questions:
                self._merge(self._row(question))
        except BaseException:
            if not self._journal_path.stat().st_size:
                self._remove_journal()
            self._journal.close()
            raise

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def missing(self, models: Sequence[str]) -> list[tuple[Question, str]]:
        """What these models have not answered yet, question by question."""
        return [
            (question, model)
            for question in self.questions
            for model in models
            if "text" not in (self._rows[question.id]["answers"].get(model) or {})
        ]

    def add(self, question: Question, model: str, reply: Reply | Failure) -> None:
        """Keep what a model said, or why it did not; a later answer takes a failure's place."""
        row = self._row(question)
        if isinstance(reply, Failure):
            row["failures"] = {model: describe(reply.error)}
        else:
            row["answers"] = {model: _answer(reply)}
        self._journal.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._journal.flush()
        self._merge(row)

    def close(self) -> None:
        """Fold the journal into the recording."""
        try:
            if any(row["answers"] or row.get("failures") for row in self._rows.values()):
                self._save()
            self._remove_journal()
        finally:
            self._journal.close()

    def _remove_journal(self) -> None:
        with suppress(PermissionError):  # Windows keeps an open file; it is empty
            self._journal_path.unlink()

    def _row(self, question: Question) -> dict[str, Any]:
        row: dict[str, Any] = {"id": question.id, "query": question.text}
        if question.reference is not None:
            row["reference"] = question.reference
        if self.system is not None:
            row["system"] = self.system
        return row | {"answers": {}}

    def _merge(self, row: Mapping[str, Any]) -> None:
        """Add a row's answers and failures to those of the same id."""
        own = self._rows.get(row["id"], {})
        answers = own.get("answers", {}) | row["answers"]
        failures = (own.get("failures") or {}) | (row.get("failures") or {})
        failures = {model: why for model, why in failures.items() if model not in answers}
        merged = {**own, **row, "answers": answers}
        merged.pop("failures", None)
        self._rows[row["id"]] = merged | ({"failures": failures} if failures else {})

    def _read(self, path: Path, *, torn: bool = False) -> None:
        """Merge the rows of a file; `torn`: its last line may have been cut off."""
        opener: Any = gzip.open if path.suffix == ".gz" else open
        try:
            with opener(path, "rb") as file:
                lines = file.read().split(b"\n")
        except (EOFError, gzip.BadGzipFile) as error:
            raise RecordingError(f"{path}: cannot be read: {error}") from error
        if torn:
            lines.pop()  # without its line end the last line was not written to the end
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            row = _parse(line, where)
            query, answers = row.get("query"), row.get("answers")
            if not isinstance(query, str) or not isinstance(answers, dict):
                raise RecordingError(f"{where}: not a row of a recording; use another name for -o")
            row["id"] = str(row.get("id", number))
            self._merge(row)

    def _check(self) -> None:
        """Refuse to mix answers to different prompts."""
        for question in self.questions:
            row = self._rows.get(question.id)
            if row is None:
                continue
            if row["query"] != question.text:
                raise RecordingError(
                    f"{self.path}, id {question.id!r}: its query is not the one in the questions; "
                    f"use another name for -o, or mend the ids"
                )
            if row["answers"] and row.get("system") != self.system:
                raise RecordingError(
                    f"{self.path} was collected with another system prompt; use another name for -o"
                )

    def _save(self) -> None:
        with writing(self.path, errors="replace") as file:  # on the disk before the journal goes
            for row in self._rows.values():
                if row["answers"] or row.get("failures"):
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._journal.truncate(0)


def _lock(journal: IO[str], path: Path) -> None:
    """Keep a second process from paying for the same answers."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        journal.close()
        raise RecordingError(f"{path}: another `frugal collect` is writing this file") from error


def _answer(reply: Reply) -> dict[str, Any]:
    """A reply as a row of a recording has it."""
    answer: dict[str, Any] = {
        "text": reply.text,
        "input_tokens": reply.input_tokens,
        "output_tokens": reply.output_tokens,
    }
    if reply.cached_tokens:
        answer["cached_tokens"] = reply.cached_tokens
    if reply.written_tokens:
        answer["written_tokens"] = reply.written_tokens
    if reply.confidence is not None:
        answer["confidence"] = reply.confidence
    if reply.defect is not None:
        answer["defect"] = reply.defect
    if not reply.metered:
        answer["estimated"] = True
    return answer
