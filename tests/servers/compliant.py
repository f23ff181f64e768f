"""A scripted model that does what it is asked: calls tools, fills schemas, answers in text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tests.servers.replies import Answer, Request, text_of
from tests.servers.schema import SchemaFiller


@dataclass(frozen=True)
class Compliant:
    """A behaviour good enough for LangChain's standard tests of chat models.

    - Forced by ``tool_choice``, or asked in words for something a tool's name promises, it calls
      the tool with arguments that satisfy its schema, taken from the prompt where possible.
    - After a tool has answered it answers in text; if it is forced to call again, it prefers a
      tool it has not called yet, so agents with a structured final answer come to an end.
    - With ``response_format`` it answers in JSON: by the schema, or with the keys the prompt
      quotes.

    Args:
        text: What it says when nothing else is asked of it.
    """

    text: str = "Hello! How can I help you today?"

    def __call__(self, request: Request) -> Answer:
        tool = _wanted_tool(request)
        filler = SchemaFiller(request.prompt)
        if tool is not None:
            return Answer.calling(tool["name"], filler.fill(tool.get("parameters") or {}))
        wanted = request.body.get("response_format") or {}
        if wanted.get("type") == "json_schema":
            return Answer.json(filler.fill(wanted["json_schema"]["schema"]))
        if wanted.get("type") == "json_object":
            said = " ".join(text_of(message) for message in request.messages)
            keys = re.findall(r"""['"](\w+)['"]""", said) or ["answer"]
            return Answer.json({key: f"some {key}" for key in keys})
        return Answer(self.text)


def _wanted_tool(request: Request) -> dict[str, Any] | None:
    """The function to call now, or None."""
    tools = {tool["function"]["name"]: tool["function"] for tool in request.body.get("tools") or []}
    choice = request.body.get("tool_choice") or "auto"
    if not tools or choice == "none":
        return None
    if isinstance(choice, dict):
        named: dict[str, Any] = tools[choice["function"]["name"]]
        return named
    called = _called_since_last_question(request)
    # The sort is stable: among equals the tool declared first wins.
    ranked = sorted(tools, key=lambda name: (name in called, -_relevance(name, request.prompt)))
    best = ranked[0]
    asked_for = request.messages[-1]["role"] == "user" and _relevance(best, request.prompt) > 0
    return tools[best] if choice != "auto" or asked_for else None


def _called_since_last_question(request: Request) -> set[str]:
    names: set[str] = set()
    for message in request.messages:
        if message["role"] == "user":
            names.clear()
        names.update(call["function"]["name"] for call in message.get("tool_calls") or [])
    return names


def _relevance(tool: str, prompt: str) -> int:
    words = set(re.findall(r"[a-z]{4,}", prompt.lower()))
    # "Use the tool" asks for any of them.
    return len(words & set(re.findall(r"[a-z]{4,}", tool.lower()))) + ("tool" in words)
