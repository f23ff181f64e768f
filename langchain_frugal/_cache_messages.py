"""What LangChain tells a cache as a question: what is asked, and what else shapes the answer."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Sequence
from typing import Any

from langchain_core.load import dumps
from langchain_core.messages import BaseMessage

from frugal_core.cache.admission import (
    stands_for_itself,
    wants_json,
    wants_schema,
    works_on_wording,
)
from frugal_core.cache.answers import numbered
from frugal_core.cache.calls import Asked
from frugal_core.cache.partition import digest
from frugal_core.cache.plain_chat import plain_chat

_CONSTRAINTS = (
    "tools|functions|response_format|response_schema|response_json_schema|response_mime_type"
    "|output_format|output_config|format|text|guided_json|structured_output"
)
# In LangChain's llm_string, parameters stand as JSON ("n": 2) or as Python tuples (('n', 2)).
_CONSTRAINED = re.compile(rf"""["'](?:{_CONSTRAINTS})["'][:,] (?!null|None|\[\]|{{}}|""|'')""")
_JSON = re.compile(r"""["'](?:json_object|json_schema)["']|["']format["'][:,] ["']json["']""")
_NUMBER = r"""["']{}["'][:,] ([\d.eE+-]+)"""
_TEMPERATURE = re.compile(_NUMBER.format("temperature"))
_CHOICES = re.compile(_NUMBER.format("n"))

_NOT_SENT = {"id", "response_metadata", "usage_metadata", "artifact", "example", "chunk_position"}
_NOT_SENT |= {"tool_call_chunks"}
"""What messages carry along that does not shape the answer."""

_CHAT_OPENAI = ["langchain", "chat_models", "openai", "ChatOpenAI"]
_SENT_AS = {"model_name": "model"}
_NOT_SENT_ARGUMENTS = frozenset(
    """max_retries request_timeout openai_api_key openai_organization openai_proxy streaming
    disable_streaming verbose name tags metadata callbacks cache rate_limiter profile
    tiktoken_model_name include_response_headers stream_chunk_timeout""".split()
)
"""Arguments of `ChatOpenAI` that do not shape the answer."""
_SERVERS = ("OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT", "ANTHROPIC_BASE_URL", "OLLAMA_HOST")
_ROLES = {"human": "user", "ai": "assistant", "system": "system"}


def asked(prompt: str, llm_string: str) -> Asked:
    """The question in the arguments of `BaseCache.lookup`.

    Args:
        prompt: Messages as LangChain writes them down, or a plain prompt.
        llm_string: Model and parameters.
    """
    messages = _messages(prompt)
    if messages is not None and (found := _plain(messages, llm_string)) is not None:
        return found
    how: dict[str, Any] = {
        "constrained": _CONSTRAINED.search(llm_string) is not None,
        "temperature": _largest(_TEMPERATURE, llm_string),
        "choices": int(_largest(_CHOICES, llm_string) or 1),
    }
    if messages is None:
        partition = digest("prompt", llm_string, _servers())
        return Asked(prompt, partition, stands_for_itself(prompt, **how))
    ids = [call.get("id") for message in messages for call in message.get("tool_calls") or []]
    sent = numbered([_sent(message) for message in messages], ids)
    system = [_masked(m.get("content"))[0] for m in sent if m.get("type") == "system"]
    how["constrained"] |= wants_schema(prompt) or any(map(works_on_wording, system))
    as_json = wants_json(prompt) or _JSON.search(llm_string) is not None
    last = max((i for i, m in enumerate(sent) if m.get("type") == "human"), default=len(sent) - 1)
    question, masked = _masked(sent[last].get("content"))
    by_meaning = sent[last].get("type") == "human" and last == len(sent) - 1
    by_meaning = by_meaning and stands_for_itself(
        question,
        follows=any(message.get("type") != "system" for message in sent[:last]),
        text_only=all(is_text(message) for message in sent),
        **how,
    )
    sent[last] = {**sent[last], "content": masked}
    partition = digest("messages", llm_string, _servers(), sent)
    return Asked(question, partition, by_meaning, as_json)


def _plain(messages: list[dict[str, Any]], llm_string: str) -> Asked | None:
    """The question in a plain chat of `ChatOpenAI`, whose key other frameworks share."""
    turns = []
    for message in map(_sent, messages):
        role = _ROLES.get(message["type"])
        if role is None or set(message) != {"type", "content"}:
            return None
        if not isinstance(message["content"], str):
            return None
        turns.append((role, message["content"]))
    parameters = _parameters(llm_string)
    if parameters is None:
        return None
    return plain_chat(parameters.pop("openai_api_base", None), parameters, turns)


def _parameters(llm_string: str) -> dict[str, Any] | None:
    """What `ChatOpenAI` sends, by OpenAI's names; None for other models."""
    try:
        model, end = json.JSONDecoder().raw_decode(llm_string)
        if model["type"] != "constructor" or model["id"] != _CHAT_OPENAI:
            return None
        given = dict(ast.literal_eval(llm_string[end:].removeprefix("---")))
        made = dict(model["kwargs"])
    except (ValueError, TypeError, KeyError, SyntaxError):
        return None
    extra = made.pop("model_kwargs", None) or {}
    if made.pop("use_responses_api", None) or set(extra) & set(made):
        return None
    parameters: dict[str, Any] = {}
    for name, value in [*made.items(), *extra.items(), *given.items()]:
        # A call says that it has no `stop` of its own.
        if name not in _NOT_SENT_ARGUMENTS and (name, value) != ("stop", None):
            parameters[_SENT_AS.get(name, name)] = value  # a call's own come last
    return parameters


def prompt_of(messages: Sequence[BaseMessage]) -> str:
    """Messages as LangChain's models write them down for a cache."""
    return dumps([m.model_copy(update={"id": None}) if m.id is not None else m for m in messages])


def _messages(prompt: str) -> list[dict[str, Any]] | None:
    """The fields of each message, if the prompt is a list of messages."""
    if not prompt.startswith('[{"lc"'):
        return None
    try:
        return [dict(message["kwargs"]) for message in json.loads(prompt)]
    except (ValueError, TypeError, KeyError):
        return None


def _sent(message: dict[str, Any]) -> dict[str, Any]:
    """What of a message shapes the answer."""
    sent = {k: v for k, v in message.items() if k not in _NOT_SENT and v not in (None, [], {})}
    sent["type"] = str(sent.get("type", "")).removesuffix("MessageChunk").lower()
    extra = {k: v for k, v in sent.pop("additional_kwargs", {}).items() if v is not None}
    extra.pop("parsed", None)
    return {**sent, "additional_kwargs": extra} if extra else sent


def _masked(content: Any) -> tuple[str, Any]:
    """The text of a content, and the content without it."""
    if isinstance(content, str):
        return content, None
    texts, rest = [], []
    for block in content or []:
        if isinstance(block, str):
            texts.append(block)
        elif isinstance(block, dict) and block.get("type") == "text":
            texts.append(str(block.get("text", "")))
            rest.append({name: value for name, value in block.items() if name != "text"})
        else:
            rest.append(block)
    return "\n".join(texts), rest


def is_text(message: dict[str, Any]) -> bool:
    content = message.get("content")
    if not isinstance(content, list):
        return True
    return all(isinstance(block, str) or block.get("type") == "text" for block in content)


def _servers() -> list[tuple[str, str]]:
    """What clients read from the environment themselves: LangChain does not write it down."""
    return [(name, os.environ[name]) for name in _SERVERS if os.environ.get(name)]


def _largest(parameter: re.Pattern[str], llm_string: str) -> float | None:
    """A parameter that the call gives, else the largest of its model's: a cascade has several."""
    model, _, call = llm_string.rpartition("---[")
    for part in (call, model):
        if numbers := [float(n) for n in parameter.findall(part) if _is_float(n)]:
            return max(numbers)
    return None


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
