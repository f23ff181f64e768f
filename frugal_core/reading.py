"""Files of recorded answers: JSON Lines, CSV and Parquet become rows, each with its place."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from frugal_core.errors import RecordingError
from frugal_core.rows import Answer

_LONGEST_CELL = 2**24
"""Characters; the csv module's own limit of 131,072 is less than a long document has."""


def read_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Read a recording row by row.

    Args:
        path: JSON Lines, CSV (both `.gz` too) or Parquet, by its name.

    Yields:
        ("file, line n", row) for each query, with the answers of CSV and Parquet columns nested.

    Raises:
        RecordingError: naming the line, if it cannot be understood.
    """
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


def csv_rows(file: Iterable[str]) -> csv.DictReader[str]:
    """The rows of a CSV file by column, also where a cell holds a whole document."""
    # The limit is the process's: it is only ever raised, and left so, since others may read too.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    return csv.DictReader(file)


def _read_csv(path: Path, file: Iterable[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    lines = csv_rows(file)
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
