"""A `Selection` as a condition of SQLite."""

from __future__ import annotations

import json
from typing import Any

from frugal_core.cache.store.base import Selection, StoreError

# `json.dumps` would make an encoder for each call.
_encode = json.JSONEncoder(allow_nan=False).encode


def encoded(value: Any) -> str:
    """JSON in ASCII: NUL bytes and lone surrogates, which SQLite's text cannot hold, are escaped.

    Raises:
        StoreError: JSON cannot hold the value.
    """
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"only what JSON can hold is stored: {error}") from error


def condition(selection: Selection, now: float) -> tuple[str, list[Any]]:
    """A condition on `entries`, and its parameters; texts of the user are never part of it."""
    terms = ["1"]
    parameters: list[Any] = []
    for term, value in (
        ("scope = ?", None if selection.scope is None else encoded(selection.scope)),
        ("space = ?", None if selection.space is None else encoded(selection.space)),
        (
            "id IN (SELECT entry FROM tags WHERE tag = ?)",
            None if selection.tag is None else encoded(selection.tag),
        ),
        ("created < ?", selection.created_before),
        (
            "id IN (SELECT value FROM json_each(?))",
            None if selection.ids is None else json.dumps([int(id) for id in selection.ids]),
        ),
        ("expires <= ?", now if selection.dead else None),
    ):
        if value is not None:
            terms.append(term)
            parameters.append(value)
    for name, value in selection.where.items():
        term, values = _field(value)
        terms.append(
            "EXISTS (SELECT 1 FROM json_each(entries.answer) AS field WHERE json_type(entries."
            f"answer) = 'object' AND field.key = json_extract(?, '$') AND {term})"
        )
        parameters += [encoded(name), *values]
    return " AND ".join(terms), parameters


def _field(value: Any) -> tuple[str, list[str]]:
    """That a field of the answer equals a value; in SQL alone true were 1 and null unknown."""
    if value is None or isinstance(value, bool):
        return "field.type = ?", [encoded(value)]
    if isinstance(value, str):
        kinds = "('text')"
    elif isinstance(value, (int, float)):
        kinds = "('integer', 'real')"
    else:
        kinds = "('array', 'object')"
    return f"field.type IN {kinds} AND field.value = json_extract(?, '$')", [encoded(value)]
