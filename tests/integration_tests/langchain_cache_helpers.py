"""What the tests of the LangChain cache share: questions, models and a clean global cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI

from langchain_frugal import SemanticCacheCallback
from tests.servers import Answer, Request, ScriptedServer

ASKED = "How do I learn Python quickly?"
REWORDED = "How can I learn Python quickly?"
OTHER = "What is the capital of Mongolia?"


def echo(request: Request) -> Answer:
    """Every call has an answer of its own."""
    return Answer(f"answer {request.number} to {request.prompt}")


def callback(**settings: Any) -> SemanticCacheCallback:
    return SemanticCacheCallback(**{"location": ":memory:", "error_bound": 0.05, **settings})


def chat(server: ScriptedServer, **arguments: Any) -> ChatOpenAI:
    settings = {"model": "m", "base_url": server.base_url, "api_key": "k", "max_retries": 0}
    return ChatOpenAI(**{**settings, **arguments})


def with_(*handlers: BaseCallbackHandler) -> RunnableConfig:
    return {"callbacks": list(handlers)}


def layer(message: BaseMessage) -> str | None:
    """From which layer of the cache a message came."""
    marker = message.response_metadata.get("frugal_cache")
    return None if marker is None else marker["layer"]


@pytest.fixture(autouse=True)
def no_global_cache() -> Iterator[None]:
    """Every test begins and ends without a global cache."""
    set_llm_cache(None)
    yield
    set_llm_cache(None)
    assert get_llm_cache() is None
