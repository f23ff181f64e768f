"""The cache over a real language model and real vectors, through the real `OpenAI`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.llms import ChatMessage

from frugal_core.local_model import LocalModel
from tests.integration_tests.test_llama_index_cache_engines import (
    ASKED,
    OTHER,
    REWORDED,
    callback,
    query,
)

pytestmark = [pytest.mark.local_model, pytest.mark.timeout(120)]


def local(model: LocalModel, **arguments: Any) -> Any:
    """The local model, whose name `OpenAI` does not know."""
    settings: dict[str, Any] = {"api_base": model.base_url, "api_key": "none", "temperature": 0.0}
    settings |= {"reuse_client": False, **arguments}
    like: Any = import_module("llama_index.llms.openai_like")  # which has no types
    return like.OpenAILike(model=model.name, is_chat_model=True, context_window=2048, **settings)


async def test_chats_and_streams(local_model: LocalModel) -> None:
    # Answers that are cut short are not kept: a stop word ends them in time.
    llm = callback().wrap(local(local_model, max_tokens=60, additional_kwargs={"stop": ["."]}))
    messages = [ChatMessage("What is the capital of France? Answer with one short sentence.")]
    pieces = [piece async for piece in await llm.astream_chat(messages)]
    if len(pieces) >= 60:
        pytest.skip("the model said too much")
    hit = llm.chat(messages)
    assert hit.additional_kwargs["frugal_cache"]["layer"] == "exact"
    assert hit.message.content == pieces[-1].message.content
    replayed = list(llm.stream_chat(messages))
    assert len(replayed) > 1 and replayed[-1].message.content == hit.message.content


async def test_a_query_engine(local_model: LocalModel, index: VectorStoreIndex) -> None:
    llm = local(local_model, max_tokens=80, additional_kwargs={"stop": [".", "\n"]})
    cache = callback()
    engine = cache.attach(index.as_query_engine(llm=llm, similarity_top_k=1))
    first = await query(engine, ASKED, asynchronous=False)
    with cache.hits() as hits:
        again = await query(engine, ASKED, asynchronous=True)
    if not hits:
        pytest.skip("the model said too much, or nothing")
    assert again == first
    with cache.hits() as hits:
        assert await query(engine, REWORDED, asynchronous=True) == first
        assert [hit.layer for hit in hits] == ["semantic"]
        await query(engine, OTHER, asynchronous=False)
    assert len(hits) == 1
