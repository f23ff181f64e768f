"""Numbered queries in one request, and their answers in one JSON object."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

_INSTRUCTION = (
    "Answer each of these {n} numbered queries on its own, exactly as if it were asked alone. "
    "Reply with one JSON object and nothing else: its keys are the numbers, its values the answers "
    "as strings."
)
_ABOVE = "What stands above applies to every query. "


def request(queries: Sequence[str], shared: str = "") -> str:
    """The text that asks several queries at once.

    Args:
        queries: Without what they share.
        shared: What stood before each of them.

    Example:
        >>> print(request(["2 + 2", "3 + 3"], "Add: ").splitlines()[-2])
        "2": "3 + 3"
    """
    numbered = _numbered(queries)
    instruction = _INSTRUCTION.format(n=len(queries))
    if not shared:
        return f"{instruction}\n{numbered}"
    return f"{shared.rstrip()}\n\n{_ABOVE}{instruction}\n{numbered}"


def reply(answers: Sequence[str]) -> str:
    """The answer that `request` asks for."""
    return json.dumps({str(i): text for i, text in enumerate(answers, 1)}, ensure_ascii=False)


def schema(n: int, answers: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON schema of the answer to `request`.

    Args:
        n: Queries.
        answers: The only answers that are possible, if they are known.
    """
    value: dict[str, Any] = {"type": "string"}
    if answers:
        value["enum"] = list(answers)
    names = [str(i) for i in range(1, n + 1)]
    return {
        "title": "answers",
        "description": "The answers to the numbered queries.",
        "type": "object",
        "properties": {name: value for name in names},
        "required": names,
        "additionalProperties": False,
    }


def _numbered(queries: Sequence[str]) -> str:
    # One query a line, escaped: no text of a query can pass for another number.
    numbers = {str(i): text for i, text in enumerate(queries, 1)}
    return json.dumps(numbers, ensure_ascii=False, indent=0)


def read_answers(text: str, n: int) -> dict[int, str]:
    """The answers in a reply to `request`.

    The reply may have words or a code fence around its JSON object. Of an object that breaks off,
    the pairs before that count. A number that stands there twice with different answers counts as
    missing, as do empty answers and null.

    Args:
        text: The reply.
        n: Queries that were asked.

    Returns:
        Answers by 0-based position; what is missing or malformed is not in it.

    Example:
        >>> read_answers('{"1": "up", "2": "", "3": "do', n=3)
        {0: 'up'}
    """
    answers: dict[int, str | None] = {}
    pairs = _numbered_pairs(_THOUGHT.sub(" ", text), n)
    numbers = {str(i): i - 1 for i in range(1, n + 1)}
    if any(name.isdecimal() and name not in numbers for name, _ in pairs):
        return {}  # it counts in another way than it was asked to: whose answers are these?
    for name, value in pairs:
        if name not in numbers:
            continue
        position, said = numbers[name], _written(value)
        answers[position] = said if answers.get(position, said) == said else None
    return {position: said for position, said in answers.items() if said is not None}


def _numbered_pairs(text: str, n: int) -> list[tuple[str, Any]]:
    """The pairs of the object with the most numbers, the last of equals: drafts come first.

    Objects one after another are one, as long as no number comes back, and none is beyond n.
    """
    best: list[tuple[str, Any]] = []
    joined: list[tuple[str, Any]] = []
    most = read = 0
    for start in islice(re.finditer(r"\{", text), _TRIES):
        if start.start() < read:
            continue  # an answer that is an object, too, has its own numbers
        pairs, end = _pairs(text, start.start())
        numbers = {name for name, _ in pairs if name.isdecimal()}
        if not numbers:
            continue
        known = {name for name, _ in joined}
        follows = _BETWEEN.fullmatch(text, read, start.start()) is not None
        if follows and known.isdisjoint(numbers) and not any(_beyond(name, n) for name in numbers):
            joined = joined + pairs
        else:
            joined = pairs
        read = end
        found = sum(name.isdecimal() for name, _ in joined)
        if found >= most:
            best, most = joined, found
    return best


def _beyond(name: str, n: int) -> bool:
    """Whether a decimal is greater than n; it may have too many digits to be read."""
    return len(name) > 9 or int(name) > n


# A thought that does not end has no answer after it: what is in it are drafts.
_THOUGHT = re.compile(r"<think(?:ing)?>[\s\S]*?(?:</think(?:ing)?>|\Z)", re.IGNORECASE)
_TRIES = 200  # braces in a reply at which an object may begin
_DECODER = json.JSONDecoder(strict=False)  # models write line breaks into strings as they are
_SPACE = re.compile(r"\s*")
_BETWEEN = re.compile(r"\}[\s,]*")  # objects of JSON Lines, or of an array


def _pairs(text: str, at: int) -> tuple[list[tuple[str, Any]], int]:
    """The pairs of the JSON object that begins at a position, as far as it can be read, and how
    far that is."""
    pairs: list[tuple[str, Any]] = []
    while 0 <= at < len(text) and text[at] != "}":
        try:
            name, at = _DECODER.raw_decode(text, _after(text, at + 1))
            at = _after(text, at)
            if not isinstance(name, str) or text[at : at + 1] != ":":
                break
            value, at = _DECODER.raw_decode(text, _after(text, at + 1))
        except (ValueError, RecursionError):
            break
        at = _after(text, at)
        if text[at : at + 1] == '"' and isinstance(value, str):
            at -= 1  # small models forget the comma
        elif text[at : at + 1] not in (",", "}"):
            break  # a number may have been cut in the middle
        pairs.append((name, value))
    if len(pairs) == 1 and isinstance(pairs[0][1], dict) and not pairs[0][0].isdigit():
        pairs = list(pairs[0][1].items())  # {"answers": {"1": ...}}
    return pairs, at


def _after(text: str, at: int) -> int:
    """The next position that is not white space."""
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _written(value: Any) -> str | None:
    """An answer as text; objects and lists as JSON, as a model asked alone would write them."""
    if value is None:
        return None
    if isinstance(value, str):
        return value.strip() or None
    return json.dumps(value, ensure_ascii=False)
