"""Questions with their answers, as users have them: recordings, mappings, pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from frugal_core.cascade import Reply
from frugal_core.errors import FrugalError
from frugal_core.recording import Recording, text_groups
from frugal_core.rows import Query

_INPUTS = ("input", "question", "query", "text", "sentence", "prompt", "x")
_OUTPUTS = ("output", "answer", "reference", "label", "ideal", "target", "response", "y")


@dataclass(frozen=True, slots=True)
class Example:
    """A question with its answer.

    Args:
        text: What is asked.
        answer: The right answer, or None where it is not known.
        fields: The row as the user gave it; handed back untouched.
    """

    text: str
    answer: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


def examples_of(
    source: Iterable[Any], input_key: str | None = None, output_key: str | None = None
) -> list[Example]:
    """Read examples.

    Args:
        source: A recording or its queries, mappings, pairs (question, answer), or `Example`s.
        input_key, output_key: Where a mapping has question and answer. By default they are known
            by name ("question", "input", "query", ...; "answer", "output", "reference", ...), and
            in a mapping of two fields the first is the question.

    Raises:
        FrugalError: naming the example and what it lacks.

    Example:
        >>> examples_of([{"question": "2 + 2?", "answer": 4}])[0].answer
        '4'
    """
    if isinstance(source, str | bytes | Mapping):
        raise FrugalError(
            f"examples: expected a list of examples or a recording, not a {type(source).__name__}"
        )
    read = []
    for number, row in enumerate(source, start=1):
        if isinstance(row, Example):
            read.append(row)
            continue
        if isinstance(row, Query):
            row = {"query": row.text, "reference": row.reference}
        elif isinstance(row, tuple) and len(row) == 2:
            row = {"input": row[0], "output": row[1]}
        if not isinstance(row, Mapping) or not row:
            raise FrugalError(
                f"example {number}: expected a mapping such as {{'question': ..., 'answer': ...}}, "
                f"found {row!r:.80}"
            )
        asked, answered = _keys(number, row, input_key, output_key)
        answer = row[answered] if answered is not None else None
        read.append(Example(str(row[asked]), None if answer is None else str(answer), row))
    return read


def _keys(
    number: int, row: Mapping[str, Any], input_key: str | None, output_key: str | None
) -> tuple[str, str | None]:
    """Where a mapping has its question and its answer."""
    for name, key in (("input_key", input_key), ("output_key", output_key)):
        if key is not None and key not in row:
            there = ", ".join(map(repr, row))
            raise FrugalError(f"example {number}: {name} {key!r} is not among its fields, {there}")
    asked = input_key or next((key for key in _INPUTS if key in row and key != output_key), None)
    answered = output_key or next((key for key in _OUTPUTS if key in row and key != asked), None)
    if len(row) == 2 and (asked is None) != (answered is None):
        (other,) = set(row) - {asked, answered}
        asked, answered = asked or other, answered or other
    elif len(row) == 2 and asked is None:
        asked, answered = row
    elif len(row) == 1 and asked is None:
        (asked,) = row
    if asked is None:
        raise FrugalError(
            f"example {number}: which of its fields ({', '.join(map(repr, row))}) is the "
            f"question? Say input_key=... and output_key=..."
        )
    return asked, answered


def recorded_replies(source: Any, model: str | None) -> list[Reply | None]:
    """What a model said to each row of a recording; empty if no model is named.

    Raises:
        FrugalError: if that model is not in it.
    """
    if model is None:
        return []
    if not isinstance(source, Recording) or model not in source.models:
        there = ", ".join(source.models) if isinstance(source, Recording) else "no recording"
        raise FrugalError(f"model {model!r} is not in the recording ({there})")
    replies: list[Reply | None] = []
    for query in source:
        said = query.answers.get(model)
        if said is None:
            replies.append(None)
        else:
            sent, received = said.input_tokens, said.output_tokens
            replies.append(
                Reply(said.text, sent, received, said.cached_tokens, said.written_tokens)
            )
    return replies


def split_examples(
    examples: Sequence[Example], share: float, most: int, seed: int
) -> tuple[list[Example], list[Example]]:
    """Cut examples in two at random; equal questions stay together.

    Args:
        examples: All of them.
        share: Of the second part, in (0, 1).
        most: Of the second part, in examples.
        seed: Decides the cut.

    Returns:
        The rest, and the second part.
    """
    groups = text_groups([example.text for example in examples])
    order = np.random.default_rng(seed).permutation(groups.max(initial=-1) + 1)
    size, taken = min(round(share * len(examples)), most), set()
    counts = np.bincount(groups, minlength=len(order))
    count = 0
    for group in order:
        if count >= size:
            break
        taken.add(int(group))
        count += int(counts[group])
    held = [e for e, group in zip(examples, groups, strict=True) if int(group) in taken]
    rest = [e for e, group in zip(examples, groups, strict=True) if int(group) not in taken]
    return rest, held
