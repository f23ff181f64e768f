"""The cache behind the doors of both frameworks, as one: for tests of what both promise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_openai import ChatOpenAI
from llama_index.core.llms import ChatMessage, ChatResponse
from llama_index.llms.openai import OpenAI

import langchain_frugal
import llama_index_frugal

ASKED = "How do I learn Python quickly?"
REWORDED = "How can I learn Python quickly?"
OTHER = "What is the capital of Mongolia?"
MODEL = "gpt-4o-mini"

Turns = str | Sequence[tuple[str, str]]


@dataclass
class Heard:
    """An answer, in no framework's terms."""

    text: str
    marker: dict[str, Any] | None
    tokens: int
    metadata: dict[str, Any]
    original: Any

    @property
    def layer(self) -> str | None:
        """From which layer of the cache it came."""
        return None if self.marker is None else self.marker["layer"]


class Door(ABC):
    """A framework's cache and its model.

    Args:
        url: Of the server.
        cache: Arguments of the cache.
    """

    def __init__(self, url: str, **cache: Any) -> None:
        self.url = url
        self.cache: Any = self.open({"location": ":memory:", "error_bound": 0.05, **cache})

    @abstractmethod
    def open(self, cache: dict[str, Any]) -> Any:
        """The framework's cache."""

    @abstractmethod
    def ask(self, said: Turns, **arguments: Any) -> Heard:
        """Ask a model with these arguments."""

    @abstractmethod
    async def aask(self, said: Turns, **arguments: Any) -> Heard:
        """Ask, asynchronously."""

    def layers(self, *said: str) -> list[str | None]:
        """The layers that serve one question after the other."""
        return [self.ask(one).layer for one in said]


def turns_of(said: Turns) -> list[tuple[str, str]]:
    return [("user", said)] if isinstance(said, str) else list(said)


class LangChainDoor(Door):
    """The callback of `langchain_frugal`, and `ChatOpenAI`."""

    def open(self, cache: dict[str, Any]) -> Any:
        return langchain_frugal.SemanticCacheCallback(**cache)

    def model(self, **arguments: Any) -> ChatOpenAI:
        base: dict[str, Any] = {"model": MODEL, "base_url": self.url, "api_key": "k"}
        return ChatOpenAI(**{**base, "temperature": 0.1, "max_retries": 0, **arguments})

    def ask(self, said: Turns, **arguments: Any) -> Heard:
        llm = self.model(**arguments)
        return self._heard(llm.invoke(turns_of(said), {"callbacks": [self.cache]}))

    async def aask(self, said: Turns, **arguments: Any) -> Heard:
        llm = self.model(**arguments)
        return self._heard(await llm.ainvoke(turns_of(said), {"callbacks": [self.cache]}))

    def _heard(self, message: BaseMessage) -> Heard:
        usage = getattr(message, "usage_metadata", None) or {}
        metadata = message.response_metadata
        tokens = usage.get("total_tokens", -1)
        return Heard(str(message.text), metadata.get("frugal_cache"), tokens, metadata, message)


class LlamaIndexDoor(Door):
    """The callback of `llama_index_frugal`, and `OpenAI`."""

    def open(self, cache: dict[str, Any]) -> Any:
        return llama_index_frugal.SemanticCacheCallback(**cache)

    def model(self, **arguments: Any) -> OpenAI:
        base: dict[str, Any] = {"model": MODEL, "api_base": self.url, "api_key": "k"}
        base |= {"temperature": 0.1, "max_retries": 0, "reuse_client": False}
        if "base_url" in arguments:
            arguments["api_base"] = arguments.pop("base_url")
        known = {
            name: arguments.pop(name) for name in list(arguments) if name in OpenAI.model_fields
        }
        return OpenAI(**{**base, **known}, additional_kwargs=arguments)

    def ask(self, said: Turns, **arguments: Any) -> Heard:
        return self._heard(self.cache.wrap(self.model(**arguments)).chat(_messages(said)))

    async def aask(self, said: Turns, **arguments: Any) -> Heard:
        return self._heard(await self.cache.wrap(self.model(**arguments)).achat(_messages(said)))

    def _heard(self, response: ChatResponse) -> Heard:
        extra = response.additional_kwargs
        tokens = extra.get("total_tokens", -1)
        return Heard(
            response.message.content or "", extra.get("frugal_cache"), tokens, extra, response
        )


def _messages(said: Turns) -> list[ChatMessage]:
    return [ChatMessage(role=role, content=text) for role, text in turns_of(said)]


DOORS: list[type[Door]] = [LangChainDoor, LlamaIndexDoor]
