"""Streams of LangChain's own models: no cache is asked, but what they said can be kept."""

from __future__ import annotations

import copy
import json
from typing import Any

from langchain_core.outputs import ChatGenerationChunk, LLMResult

from frugal_core.cache.calls import Asked
from langchain_frugal._cache_messages import asked, prompt_of
from langchain_frugal._cache_router import Run

_ENDINGS = ("finish_reason", "stop_reason", "stopReason", "done_reason", "status")


def keep(run: Run, response: LLMResult) -> None:
    """Keep a finished stream's answer under the prompt that an `invoke` would look up.

    Args:
        run: The stream's run.
        response: How it ended.
    """
    generation = response.generations[0][0] if response.generations[0] else None
    # An answer in one piece comes from an invoke that was not to be cached.
    if not isinstance(generation, ChatGenerationChunk):
        return
    if not any(generation.message.response_metadata.get(name) for name in _ENDINGS):
        return  # the connection may have been lost
    prompt = _asked(run)
    if prompt is not None:
        run.calls.cache.threads.aside(lambda: run.calls.update(prompt, [generation]))


def _asked(run: Run) -> Asked | None:
    if not all(isinstance(message.content, str) for message in run.messages):
        return None  # tracers are shown images in another form than models
    try:
        return asked(prompt_of(run.messages), _llm_string(run))
    except (TypeError, ValueError):
        return None


def _llm_string(run: Run) -> str:
    """Model and parameters as `BaseChatModel._get_llm_string` writes them."""
    if run.serialized.get("type") != "constructor":
        return str(sorted(run.params.items()))
    model = copy.deepcopy(run.serialized)
    _clean(model, depth=1)
    given = {k: v for k, v in run.options.items() if k != "ls_structured_output_format"}
    return json.dumps(model, sort_keys=True) + "---" + str(sorted(given.items()))


def _clean(serialized: Any, depth: int) -> None:
    """Leave out what LangChain leaves out of cache keys."""
    if depth > 100 or not isinstance(serialized, dict):
        return
    if serialized.get("type") == "not_implemented":
        serialized.pop("repr", None)
    serialized.pop("graph", None)
    for value in serialized.get("kwargs", {}).values():
        _clean(value, depth + 1)
