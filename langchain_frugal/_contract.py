"""What an answer must satisfy beyond being right: tools, tool arguments, a response format."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from operator import add
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers.transform import BaseCumulativeTransformOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import Runnable, RunnableSequence
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.json import parse_json_markdown, parse_partial_json

STRUCTURED = "structured_output"
"""The call argument that carries a `StructuredOutput`."""

FORMAT_ARGUMENTS = frozenset(
    {
        STRUCTURED,
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "strict",
        "response_format",
        "functions",
        "function_call",
        "ls_structured_output_format",
    }
)
"""Call arguments that shape the answer; a call without them is a plain one."""


@dataclass(frozen=True)
class StructuredOutput:
    """A schema that the answer must fit, and how to ask for it.

    Args:
        schema: A pydantic class (v2 or v1), a TypedDict, a JSON schema, or None for any JSON.
        options: `method`, `strict`, ... as given to `with_structured_output`; what is absent is
            left to each tier's own default.
    """

    schema: Any
    options: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        # Enters cache keys, so it must say everything and no memory address.
        return json.dumps([self.name, self.json_schema, dict(self.options)], default=str)

    @property
    def json_schema(self) -> dict[str, Any] | None:
        """The schema as JSON schema."""
        if self.schema is None:
            return None
        parameters: dict[str, Any] = self._function.get("parameters", {})
        return parameters

    @property
    def name(self) -> str | None:
        """The name that a tool call with this schema has."""
        return None if self.schema is None else str(self._function["name"])

    @property
    def is_class(self) -> bool:
        """Whether the answer becomes an object of a pydantic class."""
        return hasattr(self.schema, "model_validate") or hasattr(self.schema, "parse_obj")

    @property
    def _function(self) -> dict[str, Any]:
        function: dict[str, Any] = convert_to_openai_tool(self.schema)["function"]
        return function

    def ask(self, tier: BaseChatModel, kwargs: Mapping[str, Any]) -> Runnable[Any, Any]:
        """The tier, bound to whatever its provider needs to answer in this schema."""
        chain = tier.with_structured_output(self.schema, **self.options, **kwargs)
        if not isinstance(chain, RunnableSequence):
            raise NotImplementedError(f"{type(tier).__name__} has no structured output to bind")
        # Every integration builds "bound model | parser"; we parse ourselves, after accepting.
        bound = chain.first
        format_: Any = getattr(bound, "kwargs", {}).get("response_format")
        if inspect.isclass(format_):
            # Given a class, the OpenAI client raises on a violation and the bill is lost with the
            # answer. As a schema it asks for the same thing, and hands over what was bought.
            import openai

            class_: Any = format_
            function: Any = openai.pydantic_function_tool(class_)["function"]
            schema = {"name": function["name"], "schema": function["parameters"], "strict": True}
            return bound.bind(response_format={"type": "json_schema", "json_schema": schema})
        return bound

    def parse(self, message: AIMessage) -> Any:
        """The answer as the caller wants it.

        Raises:
            OutputParserException: if it is not JSON or does not fit a pydantic class.
        """
        if message.tool_calls and self.options.get("tools"):
            return None  # other tools were offered too, and are called first
        value = self.read(message, partial=False)
        if not self.is_class:
            return value
        schema = self.schema
        try:
            if hasattr(schema, "model_validate"):
                return schema.model_validate(value)
            return schema.parse_obj(value)
        except ValueError as error:
            name = getattr(schema, "__name__", "the schema")
            raise OutputParserException(
                f"the answer does not fit {name}: {error}", llm_output=json.dumps(value)
            ) from error

    def read(self, message: AIMessage, *, partial: bool) -> Any:
        """The JSON value in the answer: a tool call's arguments, or its text."""
        for call in message.tool_calls:
            if call["name"] == self.name:
                return call["args"]
        text = message.text
        try:
            return parse_json_markdown(text, parser=parse_partial_json if partial else json.loads)
        except ValueError as error:
            if partial:
                return None
            raise OutputParserException(
                f"the answer is not JSON: {text[:200]!r}", llm_output=text
            ) from error


class StructuredOutputParser(BaseCumulativeTransformOutputParser[Any]):
    """Turns the accepted answer, whichever tier gave it, into the caller's type."""

    target: Any

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Parse an answer; a partial one gives None until there is something to show."""
        generation = result[0]
        message = generation.message if isinstance(generation, ChatGeneration) else None
        if not isinstance(message, AIMessage):
            raise OutputParserException("structured output can be read from chat messages only")
        target: StructuredOutput = self.target
        if not partial:
            return target.parse(message)
        value = target.read(message, partial=True)
        if not target.is_class:
            return value
        try:
            return target.parse(message)
        except OutputParserException:
            return None

    def parse(self, text: str) -> Any:
        """Parse plain text."""
        return self.parse_result([ChatGeneration(message=AIMessage(text))])

    def _transform(self, input: Iterator[Any]) -> Iterator[Any]:
        chunks: list[AIMessage] = []
        last = None
        for last in super()._transform(_kept(input, chunks)):
            yield last
        # What the stream amounts to must be right: until now it was a part, and parsed kindly.
        if (final := self._whole(chunks)) != last:
            yield final

    async def _atransform(self, input: AsyncIterator[Any]) -> AsyncIterator[Any]:
        chunks: list[AIMessage] = []
        last = None
        async for last in super()._atransform(_akept(input, chunks)):
            yield last
        if (final := self._whole(chunks)) != last:  # as in _transform
            yield final

    def _whole(self, chunks: list[AIMessage]) -> Any:
        target: StructuredOutput = self.target
        return target.parse(reduce(add, chunks)) if chunks else None

    @property
    def _type(self) -> str:
        return "frugal-structured-output"


def _kept(messages: Iterator[Any], kept: list[AIMessage]) -> Iterator[Any]:
    for message in messages:
        kept.append(message)
        yield message


async def _akept(messages: AsyncIterator[Any], kept: list[AIMessage]) -> AsyncIterator[Any]:
    async for message in messages:
        kept.append(message)
        yield message


@dataclass(frozen=True)
class Contract:
    """What is required of the answers to one call.

    Args:
        tools: JSON schema of the arguments by tool name; None if any tool may be called.
        must_call: Whether an answer without a tool call is a failure.
        structured: The structured output asked for.
        schema: JSON schema that a text answer must fit; `{}` for any JSON.
    """

    tools: Mapping[str, Any] | None = field(default_factory=dict)
    must_call: bool = False
    structured: StructuredOutput | None = None
    schema: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, kwargs: Mapping[str, Any]) -> Contract | None:
        """The contract of a call with these arguments, or None if the answer is plain text."""
        if FORMAT_ARGUMENTS.isdisjoint(kwargs) or not any(map(kwargs.get, FORMAT_ARGUMENTS)):
            return None
        structured = kwargs.get(STRUCTURED)
        if structured is not None:
            return cls(tools=None, structured=structured)
        choice = kwargs.get("tool_choice")
        if isinstance(choice, dict):
            choice = choice.get("type", "any")
        return cls(
            tools=_argument_schemas(kwargs.get("tools") or ()),
            must_call=bool(choice) and choice not in ("auto", "none"),
            schema=_response_schema(kwargs.get("response_format")),
        )

    def breach(self, message: AIMessage) -> str | None:
        """How an answer breaks the contract, in words, or None."""
        if self.structured is not None:
            return _structured_breach(self.structured, message)
        for call in message.tool_calls:
            if self.tools is None:
                break
            if call["name"] not in self.tools:
                return f"called an unknown tool: {call['name']}"
            problem = _violation(self.tools[call["name"]], call["args"])
            if problem:
                return f"wrong arguments for {call['name']}: {problem}"
        if message.tool_calls:
            return None
        if self.must_call:
            return "no tool call though one was required"
        if self.schema is not None:
            try:
                return _schema_breach(self.schema, json.loads(message.text))
            except ValueError:
                return "not JSON"
        return None


def as_openai_tool(tool: Any, strict: bool | None) -> dict[str, Any]:
    """A tool in OpenAI's form, or as it is if it is a provider's own."""
    if isinstance(tool, dict) and tool.get("type", "object") not in ("function", "object"):
        return tool  # {"type": "web_search_20250305", "name": "web_search"}
    try:
        return convert_to_openai_tool(tool, strict=strict)
    except ValueError:
        if isinstance(tool, dict):
            return tool  # {"google_search": {}}
        raise


def _structured_breach(target: StructuredOutput, message: AIMessage) -> str | None:
    try:
        parsed = target.parse(message)
    except OutputParserException as error:
        cause: Any = error.__cause__
        if not hasattr(cause, "errors"):
            return "schema: not JSON"
        first = cause.errors()[0]  # of pydantic, either version
        return f"schema: {'.'.join(map(str, first['loc']))}: {first['msg']}"
    # A class has validated itself, and may accept what its JSON schema does not say.
    schema = target.json_schema if isinstance(parsed, dict) else None
    return None if schema is None else _schema_breach(schema, parsed)


def _schema_breach(schema: Mapping[str, Any], value: Any) -> str | None:
    problem = _violation(schema, value)
    return f"schema: {problem}" if problem else None


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
    return None if worst is None else str(worst.message)[:200]


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for
    from referencing import Registry

    loaded = json.loads(schema)
    # An empty registry: a schema from elsewhere must not make us fetch what it refers to.
    return validator_for(loaded, default=Draft202012Validator)(loaded, registry=Registry())
