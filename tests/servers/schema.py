"""Make a value that satisfies a JSON schema, from the words of a prompt where they fit."""

from __future__ import annotations

import math
import re
from typing import Any

Schema = dict[str, Any]

_BY_FORMAT = {
    "date": "2024-02-29",
    "date-time": "2024-02-29T12:00:00Z",
    "time": "12:00:00Z",
    "email": "someone@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class SchemaFiller:
    """Fills schemas; the quotations and numbers of the prompt are used up in order.

    Covers what pydantic generates for ordinary models. ``pattern`` and ``not`` are ignored.
    """

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt.lower()
        self._quotations = iter(re.findall(r"""(?<!\w)['"]([^'"]+)['"]""", prompt))
        self._numbers = iter(re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", prompt))

    def fill(self, schema: Schema) -> Any:
        """A value that satisfies the schema."""
        return self._value(schema, schema, "text")

    def _value(self, schema: Schema, root: Schema, name: str) -> Any:
        schema = _resolved(schema, root)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            mentioned = [value for value in schema["enum"] if str(value).lower() in self._prompt]
            return (mentioned or schema["enum"])[0]
        for alternatives in ("anyOf", "oneOf"):
            if alternatives in schema:
                return self._value(_first_real(schema[alternatives]), root, name)
        match _type(schema):
            case "object":
                properties: dict[str, Schema] = schema.get("properties", {})
                return {key: self._value(part, root, key) for key, part in properties.items()}
            case "array":
                if "prefixItems" in schema:
                    return [self._value(part, root, name) for part in schema["prefixItems"]]
                length = min(max(schema.get("minItems", 1), 1), schema.get("maxItems", math.inf))
                items = schema.get("items", {})
                return [self._value(items, root, name) for _ in range(int(length))]
            case "integer":
                return math.floor(self._number(schema, step=1))
            case "number":
                return self._number(schema, step=1e-6)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(schema, name)

    def _string(self, schema: Schema, name: str) -> str:
        if schema.get("format") in _BY_FORMAT:
            return _BY_FORMAT[schema["format"]]
        text = next(self._quotations, f"some {name}")
        return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]

    def _number(self, schema: Schema, step: float) -> float:
        low: float = max(
            schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf) + step
        )
        high: float = min(
            schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - step
        )
        wanted = float(next(self._numbers, 1))
        return max(low, min(wanted, high))


def _resolved(schema: Schema, root: Schema) -> Schema:
    """The schema with its reference followed and its ``allOf`` merged."""
    if "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return _resolved({**target, **rest}, root)
    for part in schema.get("allOf", []):
        schema = {**schema, **_resolved(part, root)}
    return schema


def _first_real(alternatives: list[Schema]) -> Schema:
    return next((part for part in alternatives if part.get("type") != "null"), alternatives[0])


def _type(schema: Schema) -> str | None:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((name for name in kind if name != "null"), "null")
    if kind is None and "properties" in schema:
        return "object"
    return kind
