"""What a cache is given, looked at before it is used: one error that says how to mend it."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from frugal_core.errors import FrugalError, check_whole, is_number


def check_settings(
    scope: str,
    error_bound: float,
    ttl: float | None,
    confidence: float,
    max_entries: int | None,
    judge: object,
    judge_rate: float,
) -> None:
    """Refuse settings of `SemanticCache` that make no sense, each by its name."""
    if not isinstance(scope, str):
        raise FrugalError(f"scope {scope!r}: give a text, such as 'tenant 7'")
    if not is_number(error_bound) or not 0 <= error_bound < 1:
        raise FrugalError(f"error_bound {error_bound!r}: a share from 0 to below 1; 0.01 is 1 %")
    if not is_number(confidence) or not 0.5 <= confidence < 1:
        raise FrugalError(f"confidence {confidence!r}: must be in [0.5, 1)")
    if ttl is not None and (not is_number(ttl) or not 0 < ttl < math.inf):
        raise FrugalError(f"ttl {ttl!r}: seconds above 0, or None for ever")
    if max_entries is not None:
        check_whole("max_entries", max_entries, least=1)
    if judge is not None and not callable(judge):
        raise FrugalError(
            f"judge {judge!r}: a function of (new question, stored question, stored answer), or "
            f"None for none"
        )
    if not is_number(judge_rate) or not 0 <= judge_rate <= 1:
        raise FrugalError(f"judge_rate {judge_rate!r}: a share from 0 to 1")


def check_question(question: object) -> None:
    """Refuse what is no text."""
    if not isinstance(question, str):
        raise FrugalError(f"question is {type(question).__name__}: give a string")


def check_selection(tag: object, older_than: Any, where: object) -> None:
    """Refuse what `SemanticCache.invalidate` cannot mean: a slip must not delete the rest."""
    if tag is not None and not isinstance(tag, str):
        raise FrugalError(f"tag {tag!r}: give a text, or None for entries of any tags")
    if older_than is not None and (not is_number(older_than) or not 0 <= older_than < math.inf):
        raise FrugalError(
            f"older_than {older_than!r}: seconds, 0 or more, such as 7 * 86400; or None for any age"
        )
    if where is not None and not (isinstance(where, Mapping) and is_json(dict(where))):
        raise FrugalError(
            f"where {reprlib.repr(where)}: fields of an answer and their JSON values, such as "
            f"{{'model': 'gpt-4o'}}"
        )


def tags_of(tags: Any) -> tuple[str, ...]:
    """Tags as they may be given: one, several, or None for none.

    Example:
        >>> tags_of("news"), tags_of(["a", "b"]), tags_of(None)
        (('news',), ('a', 'b'), ())
    """
    if tags is None or isinstance(tags, str):
        return () if tags is None else (tags,)
    found = tuple(tags) if isinstance(tags, Iterable) else (tags,)
    if not all(isinstance(tag, str) for tag in found):
        raise FrugalError(f"tags {reprlib.repr(tags)}: give a text, or a list of texts")
    return found


def label_of(where: str, value: object) -> bool:
    """What a judge, or a file, says of a decision; texts such as "no" and "0" would count as true.

    Args:
        where: It was said, for the error.
        value: A bool, NumPy's included, or 0 or 1.

    Raises:
        FrugalError: It is something else.

    Example:
        >>> label_of("judge", 0)
        False
    """
    if isinstance(value, bool | np.bool_) or (is_number(value) and value in (0, 1)):
        return bool(value)
    raise FrugalError(f"{where}: {reprlib.repr(value)} is no label, give True or False")


def labelled(pairs: Iterable[tuple[str, str, object]]) -> list[tuple[str, str, bool]]:
    """Labelled pairs of questions, looked at one by one."""
    found = []
    for number, pair in enumerate(pairs):
        where = f"pair {number}"
        try:
            stored, asked, same = pair
        except (TypeError, ValueError):
            raise FrugalError(
                f"{where}: {reprlib.repr(pair)} is no (stored question, new question, label)"
            ) from None
        check_question(stored)
        check_question(asked)
        found.append((stored, asked, label_of(where, same)))
    return found


def check_answer(answer: Any) -> None:
    """Refuse what JSON cannot hold, and keys that are no texts: they would come back as texts."""
    try:
        json.dumps(answer, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise FrugalError(f"store: the answer cannot be kept as JSON ({error})") from None
    for name in _names(answer):
        if not isinstance(name, str):
            raise FrugalError(
                f"store: the answer cannot be kept as JSON (the key {name!r} is no text)"
            )


def as_kept(answer: Any) -> Any:
    """An answer as every lookup gives it back: a copy, with lists in the place of tuples.

    Example:
        >>> as_kept({"both": (1, 2)})
        {'both': [1, 2]}
    """
    check_answer(answer)
    return json.loads(json.dumps(answer))


def is_json(value: Any) -> bool:
    """Whether JSON can hold a value, keys and all."""
    try:
        check_answer(value)
    except FrugalError:
        return False
    return True


def _names(answer: Any) -> Iterator[Any]:
    """The keys of all mappings in what JSON can hold."""
    left = [answer]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield from one
            left += one.values()
        elif isinstance(one, list | tuple):
            left += one
