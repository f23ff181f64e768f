"""What an answer must satisfy beyond being right: tools, tool arguments, a response format."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
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

from frugal_core import contract

STRUCTURED = "structured_output"
"""The call argument that carries a `StructuredOutput`."""

_FORMAT = "ls_structured_output_format"

FORMAT_ARGUMENTS = contract.FORMAT_ARGUMENTS | {STRUCTURED, _FORMAT}
"""Call arguments that shape the answer; a call without them is a plain one."""


@dataclass(frozen=True)
class StructuredOutput:
    """A schema that the answer must fit, and how to ask for it.

    Args:
        schema: A pydantic class (v2 or v1), a TypedDict, a JSON schema, one of OpenAI's forms
            around one, or None for any JSON.
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
        return None if self.schema is None else self._form[1]

    @property
    def name(self) -> str | None:
        """The name that a tool call with this schema has, if it can have one."""
        return None if self.schema is None else self._form[0]

    @property
    def is_class(self) -> bool:
        """Whether the answer becomes an object of a pydantic class."""
        return hasattr(self.schema, "model_validate") or hasattr(self.schema, "parse_obj")

    @property
    def _form(self) -> tuple[str | None, dict[str, Any]]:
        """Its name, if it has one, and its JSON schema."""
        form = self.schema
        if isinstance(form, dict):
            form = form.get("json_schema", form)  # in {"type": "json_schema", "json_schema": form}
            if "schema" in form:  # {"name": ..., "schema": ..., "strict": ...}
                return form.get("name"), form["schema"]
        try:
            function = convert_to_openai_tool(form)["function"]
        except ValueError:
            if isinstance(form, dict):  # a JSON schema without a title; JSON mode asks for no name
                return None, form
            raise
        return str(function["name"]), function.get("parameters", {})

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
        terms: Tools, their arguments and a response format.
        structured: The structured output asked for, instead of them.
    """

    terms: contract.Contract
    structured: StructuredOutput | None = None

    @classmethod
    def of(cls, kwargs: Mapping[str, Any]) -> Contract | None:
        """The contract of a call with these arguments, or None if the answer is plain text."""
        if FORMAT_ARGUMENTS.isdisjoint(kwargs):
            return None
        if (structured := kwargs.get(STRUCTURED)) is not None:
            return cls(contract.Contract(tools=None), structured)
        terms = contract.Contract.of(kwargs)
        if terms is None and kwargs.get(_FORMAT):
            terms = contract.Contract()
        return None if terms is None else cls(terms)

    def breach(
        self, message: AIMessage, text: str, calls: Sequence[contract.ToolCall]
    ) -> str | None:
        """How an answer breaks the contract, in words, or None."""
        if self.structured is not None:
            return _structured_breach(self.structured, message)
        return self.terms.breach(text, calls)


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
        return contract.validation_breach(cause)
    # A class has validated itself, and may accept what its JSON schema does not say.
    schema = target.json_schema if isinstance(parsed, dict) else None
    return None if schema is None else contract.schema_breach(schema, parsed)
