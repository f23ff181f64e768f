"""What can be saved without losing anything: white space in JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_DECODER = json.JSONDecoder()
_JSON_START = re.compile(r'\{\s*"|\[\s*[\[{"]|\[\s*-?\d|\[\s*(?:true|false|null)\b')
_STRING_OR_SPACE = re.compile(r'("(?:[^"\\]|\\.)*")|\s+')
_FENCE = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[^\n]*\n(?:[\s\S]*?^[ \t]*\1[`~]*[ \t]*$|[\s\S]*\Z)"
    r"|(?<!`)`[^`\n]{1,500}`(?!`)|<(pre|code)\b[^<>\n]{0,200}>"
    r"[^<]*+(?:<(?!/?\2\b)[^<]*+)*+</\2>",
    re.M,
)
_PROGRAM = re.compile(r"(?:=|\breturn\b|\()[ \t]*\Z")


def json_blocks(text: str) -> Iterator[tuple[int, int]]:
    """Where JSON objects and arrays stand in a text, code that is marked as such left out.

    A list on one line without a string in it, such as the citation [1], is no JSON here.

    Yields:
        Start and end of each outermost block.
    """
    if "{" not in text and "[" not in text:
        return
    marked = any(mark in text for mark in ("`", "~~~", "<pre", "<code"))
    fences = [found.span() for found in _FENCE.finditer(text)] if marked else []
    position = 0
    while match := _JSON_START.search(text, position):
        start = match.start()
        fence = next((end for begin, end in fences if begin <= start < end), None)
        if fence is not None:
            position = fence
            continue
        try:
            _, end = _DECODER.raw_decode(text, start)
        except ValueError:
            position = start + 1
            continue
        except RecursionError:  # nested a thousand deep: no data of anybody
            return
        if text[start] == "{" or '"' in text[start:end] or "\n" in text[start:end]:
            yield start, end
        position = end


def records(text: str) -> list[str]:
    """The objects of a JSON array of objects, as they stand; none where a text is anything else.

    Example:
        >>> records('[{"a":1},{"b":2}]')
        ['{"a":1}', '{"b":2}']
    """
    found: list[str] = []
    text, position = text.strip(), 1
    while text.startswith("{", position) and text.startswith("["):
        try:
            _, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            return []
        found.append(text[position:end])
        position = end + 1
        if text[end:] == "]":
            return found
        if not text.startswith(",", end):
            return []
    return []


def minify_json(text: str) -> str:
    """Take the white space out of the JSON in a text; all else, and every value, stays as it is.

    The numbers keep their digits and repeated keys stay, because nothing is parsed and written
    anew. Escapes of characters (what `json.dumps` makes of "é") are undone where that is safe.

    Example:
        >>> minify_json('Answer with: { "name": "Zo\\\\u00e9",  "pi": 3.140 }')
        'Answer with: {"name":"Zoé","pi":3.140}'
    """
    parts, done = [], 0
    for start, end in json_blocks(text):
        if _PROGRAM.search(text, max(0, text.rfind("\n", 0, start)), start):
            continue  # a value in a program
        parts += [text[done:start], _STRING_OR_SPACE.sub(_smaller, text[start:end])]
        done = end
    return "".join([*parts, text[done:]])


def _smaller(match: re.Match[str]) -> str:
    string = match[1]
    if string is None or "\\u" not in string:
        return string or ""
    value = json.loads(string, strict=False)
    if any("\ud800" <= character <= "\udfff" for character in value):
        return string  # half a surrogate pair cannot be written in UTF-8
    shorter = json.dumps(value, ensure_ascii=False)
    # U+2028 and its like end a line for some readers of JSON.
    return shorter if shorter[1:-1].isprintable() else string
