"""What an answer must satisfy beyond being right: known tools, fitting arguments, a schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

FORMAT_ARGUMENTS = frozenset(
    {
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "strict",
        "response_format",
        "functions",
        "function_call",
    }
)
"""Call arguments, by OpenAI's names, that shape the answer; a call without them is a plain one."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that a model called.

    Args:
        name: The tool's.
        arguments: A JSON object; None if what the model wrote is not valid JSON.
    """

    name: str
    arguments: Mapping[str, Any] | None

    @classmethod
    def of(cls, name: str, written: Any) -> ToolCall:
        """A call whose arguments are an object or, as providers write them, its JSON."""
        if isinstance(written, str):
            try:
                written = json.loads(written or "{}")
            except ValueError:
                written = None
        return cls(name, written if isinstance(written, dict) else None)

    def __str__(self) -> str:
        """The call as text, the same for the same call."""
        return f"{self.name}({json.dumps(self.arguments, sort_keys=True, ensure_ascii=False)})"


@dataclass(frozen=True)
class Contract:
    """What is required of the answers to one call.

    Args:
        tools: JSON schema of the arguments by tool name; None if any tool may be called.
        must_call: Whether an answer without a tool call is a failure.
        schema: JSON schema that a text answer must fit; `{}` for any JSON.

    Example:
        >>> contract = Contract({"look": {"required": ["city"]}})
        >>> contract.breach("", [ToolCall("look", {"city": "Paris"})])
        >>> contract.breach("", [ToolCall("jump", {})])
        'called an unknown tool: jump'
    """

    tools: Mapping[str, Any] | None = field(default_factory=dict)
    must_call: bool = False
    schema: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Contract | None:
        """The contract of a call with these arguments, in OpenAI's form; None for plain text."""
        if not any(map(arguments.get, FORMAT_ARGUMENTS)):
            return None
        # The functions of OpenAI's first form are tools without the frame.
        functions = [{"function": function} for function in arguments.get("functions") or ()]
        return cls(
            tools=_argument_schemas([*(arguments.get("tools") or ()), *functions]),
            must_call=requires_call(arguments.get("tool_choice") or arguments.get("function_call")),
            schema=_response_schema(arguments.get("response_format")),
        )

    def breach(self, text: str, calls: Sequence[ToolCall]) -> str | None:
        """How an answer breaks the contract, in words, or None.

        Args:
            text: What the answer says beside its tool calls.
            calls: Its tool calls.
        """
        for call in calls:
            if self.tools is None:
                break
            if call.name not in self.tools:
                return f"called an unknown tool: {call.name}"
            problem = _violation(self.tools[call.name], call.arguments)
            if problem:
                return f"wrong arguments for {call.name}: {problem}"
        if calls:
            return None
        if self.must_call:
            return "no tool call though one was required"
        if self.schema is not None:
            try:
                return schema_breach(self.schema, json.loads(text))
            except ValueError:
                return "not JSON"
        return None


def requires_call(choice: Any) -> bool:
    """Whether a `tool_choice`, in OpenAI's form or a provider's dict, demands a call."""
    if isinstance(choice, dict):
        choice = choice.get("type", "any")
    return bool(choice) and choice not in ("auto", "none")


def schema_breach(schema: Mapping[str, Any], value: Any) -> str | None:
    """How a JSON value breaks a JSON schema, in words, or None."""
    problem = _violation(schema, value)
    return f"schema: {problem}" if problem else None


def validation_breach(error: Any) -> str:
    """What a class of pydantic's, either version, found wrong first, in the same words."""
    first = error.errors()[0]
    return f"schema: {'.'.join(map(str, first['loc']))}: {first['msg']}"


def _argument_schemas(tools: Sequence[Any]) -> dict[str, Any] | None:
    """Schema by tool name; None if a tool is the provider's own, whose calls we cannot know."""
    schemas: dict[str, Any] = {}
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not function:
            return None
        schemas[function["name"]] = function.get("parameters") or {}
    return schemas


def _response_schema(response_format: Any) -> Mapping[str, Any] | None:
    """The JSON schema in a `response_format`; `{}` where any JSON will do."""
    if response_format is None:
        return None
    if hasattr(response_format, "model_json_schema"):
        schema: dict[str, Any] = response_format.model_json_schema()
        return schema
    if not isinstance(response_format, dict) or response_format.get("type") == "text":
        return None
    inner = response_format.get("json_schema")
    return inner.get("schema", {}) if isinstance(inner, dict) else {}


def _violation(schema: Mapping[str, Any], value: Any) -> str | None:
    """The most telling violation of a JSON schema, or None."""
    from jsonschema.exceptions import best_match

    validator = _validator(json.dumps(schema, sort_keys=True, default=str))
    try:
        worst = best_match(validator.iter_errors(value))
    except Exception:  # a schema that cannot be read is not the answer's fault
        return None
    return None if worst is None else _words(worst)


def _words(violation: Any) -> str:
    """Where and how a schema is broken, without the value: a rejected draft is shown nowhere."""
    where = ".".join(map(str, violation.absolute_path))
    said, value = str(violation.message), repr(violation.instance)
    if said.startswith(value):
        said = f"{where or 'it'}{said.removeprefix(value)}"
    elif where:
        said = f"{where}: {said}"
    return said[:200]


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for
    from referencing import Registry

    loaded = json.loads(schema)
    # An empty registry: a schema from elsewhere must not make us fetch what it refers to.
    return validator_for(loaded, default=Draft202012Validator)(loaded, registry=Registry())
