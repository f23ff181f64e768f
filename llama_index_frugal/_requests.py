"""What a caller asks of a cascade, and how each tier is asked the same.

A request comes in at one of two doors, `chat` or `complete`. Tools and schemas come in through
`chat` too, as call arguments of ours, so that every tier formats them in its own provider's way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.llms.llm import LLM
from llama_index.core.prompts import ChatPromptTemplate
from llama_index.core.tools.types import BaseTool
from pydantic import BaseModel

from frugal_core.answers import Breach
from frugal_core.cascade import Reply
from frugal_core.contract import FORMAT_ARGUMENTS, Contract, requires_call, schema_breach
from frugal_core.errors import FrugalError
from frugal_core.loop import VERIFICATION
from llama_index_frugal._responses import is_text, query_of

Prompt = Sequence[ChatMessage] | str
"""What is asked through `chat`, or through `complete`."""

TOOLS = "frugal_tools"
"""The call argument that carries a `ToolBox`."""

STRUCTURED = "frugal_structured"
"""The call argument that carries a `Target`."""


@dataclass(frozen=True)
class Endpoint:
    """The four methods of an LLM that ask the same thing."""

    call: str
    acall: str
    stream: str
    astream: str


CHAT = Endpoint("chat", "achat", "stream_chat", "astream_chat")
COMPLETE = Endpoint("complete", "acomplete", "stream_complete", "astream_complete")
WITH_TOOLS = Endpoint(
    "chat_with_tools", "achat_with_tools", "stream_chat_with_tools", "astream_chat_with_tools"
)
PREDICT = Endpoint(
    "structured_predict",
    "astructured_predict",
    "stream_structured_predict",
    "astream_structured_predict",
)


@dataclass(frozen=True)
class ToolBox:
    """Tools that may be called, and how.

    Args:
        tools: LlamaIndex's.
        options: `allow_parallel_tool_calls`, `tool_required`, `tool_choice`, ...
    """

    tools: tuple[BaseTool, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        # Enters cache keys, so it must say everything and no memory address.
        tools = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in self.tools]
        return json.dumps([tools, dict(self.options)], default=str)

    @property
    def contract(self) -> Contract:
        """What an answer must satisfy."""
        choice = self.options.get("tool_choice")
        return Contract(
            tools={tool.metadata.get_name(): _arguments_of(tool) for tool in self.tools},
            must_call=bool(self.options.get("tool_required")) or requires_call(choice),
        )


def _arguments_of(tool: BaseTool) -> dict[str, Any]:
    """JSON schema of a tool's arguments; others it does not take, and would fail on."""
    extra = (getattr(tool.metadata.fn_schema, "model_config", None) or {}).get("extra") == "allow"
    return {"additionalProperties": extra, **tool.metadata.get_parameters_dict()}


@dataclass(frozen=True)
class Target:
    """A class that the answer must become.

    Args:
        output_cls: Of pydantic.
        llm_kwargs: Call arguments for the tiers.
    """

    output_cls: type[BaseModel]
    llm_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        # As of ToolBox.
        schema = [self.output_cls.__name__, self.output_cls.model_json_schema()]
        return json.dumps([*schema, dict(self.llm_kwargs)], default=str)


@dataclass(frozen=True)
class Request:
    """One question to a cascade.

    Args:
        messages: The conversation; None for a plain completion.
        prompt: The text to complete; None for a conversation.
        kwargs: Call arguments that every tier gets as they are.
        toolbox: Tools that may be called.
        target: What the answer must become.
        formatted: Of a prompt, whether it needs no further formatting.
    """

    messages: tuple[ChatMessage, ...] | None
    prompt: str | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    toolbox: ToolBox | None = None
    target: Target | None = None
    formatted: bool = False

    @property
    def query(self) -> str:
        """What the scorer reads."""
        return query_of(self.messages) if self.messages is not None else str(self.prompt)

    @property
    def plain(self) -> bool:
        """Whether question and answer are text, without tools or a format."""
        text = self.messages is None or is_text(self.messages)
        return text and self.target is None and self.contract is None

    @property
    def contract(self) -> Contract | None:
        """What an answer must satisfy; a target is checked by its own class."""
        return Contract.of(self.kwargs) if self.toolbox is None else self.toolbox.contract

    @property
    def breach(self) -> Breach | None:
        """What says how an answer breaks what was asked for; None if any text will do."""
        prompt = self.messages if self.messages is not None else str(self.prompt)
        return breach_of_contract(self.contract, prompt)

    @property
    def endpoint(self) -> Endpoint:
        """What the tiers are asked through."""
        if self.messages is None:
            return COMPLETE
        if self.target is not None:
            return PREDICT
        return CHAT if self.toolbox is None else WITH_TOOLS

    def arguments(self, extra: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of a call; copies, since LLMs append to lists and write into mappings.

        Args:
            extra: Call arguments for this tier alone.
        """
        kwargs = {**extra, **self.kwargs}
        if self.messages is None:
            return (self.prompt,), {"formatted": self.formatted, **kwargs}
        messages = list(self.messages)
        if self.target is not None:
            prompt = ChatPromptTemplate(message_templates=messages)
            llm_kwargs = {**kwargs, **self.target.llm_kwargs}
            return (self.target.output_cls, prompt), {"llm_kwargs": llm_kwargs}
        if self.toolbox is not None:
            tools = list(self.toolbox.tools)
            return (tools,), {"chat_history": messages, **self.toolbox.options, **kwargs}
        return (messages,), kwargs

    def verifying(self, draft: Reply, model: LLM) -> Request:
        """The request that asks a tier to judge its own draft."""
        unwanted = FORMAT_ARGUMENTS | {"stop"}
        kwargs = {name: value for name, value in self.kwargs.items() if name not in unwanted}
        if self.messages is None and not model.metadata.is_chat_model:
            prompt = f"{self.prompt}\n\n{draft.text}\n\n{VERIFICATION}"
            return Request(None, prompt, kwargs, formatted=self.formatted)
        asked = self.messages or (ChatMessage(role=MessageRole.USER, content=self.prompt),)
        said = ChatMessage(role=MessageRole.ASSISTANT, content=draft.text)
        check = ChatMessage(role=MessageRole.USER, content=VERIFICATION)
        return Request((*asked, said, check), kwargs=kwargs)


def conversation(messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> Request:
    """The request of a `chat`."""
    if isinstance(messages, str):
        raise FrugalError("messages is a text: give a list of ChatMessage, or call complete()")
    kwargs = dict(kwargs)
    toolbox, target = kwargs.pop(TOOLS, None), kwargs.pop(STRUCTURED, None)
    return Request(tuple(messages), kwargs=kwargs, toolbox=toolbox, target=target)


# LlamaIndex's PydanticOutputParser puts a schema into the prompt, and doubles its braces.
_SCHEMA = re.compile(r"Here's a JSON schema to follow:\n(.*?)\n\nOutput a valid JSON", re.DOTALL)
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)


def breach_of_contract(contract: Contract | None, prompt: Prompt) -> Breach | None:
    """What says how an answer breaks a contract, or a schema that the prompt asks for in words."""
    schema = _wanted_schema(prompt)
    otherwise = None if contract is None else contract.breach
    if schema is None:
        return otherwise

    def breach(text: str, calls: Any) -> str | None:
        if calls:
            return None if otherwise is None else otherwise(text, calls)
        written = _OBJECT.search(text)
        try:
            return schema_breach(schema, json.loads(written.group())) if written else "no JSON"
        except ValueError:
            return "not JSON"

    return breach


def _wanted_schema(prompt: Prompt) -> dict[str, Any] | None:
    """The JSON schema that a prompt asks an answer to fit; earlier turns were answered already."""
    if isinstance(prompt, str):
        texts = [prompt]
    else:
        binding = [message for message in prompt[:1] if message.role is MessageRole.SYSTEM]
        texts = [message.content or "" for message in (*binding, *prompt[-1:])]
    for found in filter(None, map(_SCHEMA.search, texts)):
        written = found.group(1)
        for form in (written, written.replace("{{", "{").replace("}}", "}")):
            try:
                return dict(json.loads(form))
            except (ValueError, TypeError):
                continue
    return None
