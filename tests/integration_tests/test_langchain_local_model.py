"""A cascade over a real language model, through the real `ChatOpenAI`."""

from __future__ import annotations

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from frugal_core.local_model import LocalModel
from langchain_frugal import FrugalCascadeLLM

pytestmark = [pytest.mark.local_model, pytest.mark.timeout(120)]


def tier(model: LocalModel, max_tokens: int, logprobs: bool = True) -> ChatOpenAI:
    return ChatOpenAI(
        model=model.name,
        base_url=model.base_url,
        api_key=SecretStr("none"),
        temperature=0,
        max_completion_tokens=max_tokens,
        logprobs=logprobs,
    )


def cascade(model: LocalModel, threshold: float) -> FrugalCascadeLLM:
    tiers = {"short": tier(model, 24), "long": tier(model, 25)}
    prices = {"short": [0.1, 0.4], "long": [2.5, 10.0]}
    return FrugalCascadeLLM(tiers=tiers, threshold=threshold, prices=prices)


async def test_the_models_own_log_probabilities_decide(local_model: LocalModel) -> None:
    question = "What is the capital of France? Answer with one word."
    certain, strict = cascade(local_model, 0.0), cascade(local_model, 1.0)
    with get_usage_metadata_callback() as usage:
        messages = [certain.invoke(question), await strict.ainvoke(question)]
    trails = [message.response_metadata["frugal"]["trail"] for message in messages]
    if trails[0][0]["why"] != "cut short":
        assert [len(trail) for trail in trails] == [1, 2]
        assert 0 < trails[0][0]["score"] < 1
    assert all(message.text for message in messages)
    reported = sum(m.usage_metadata["total_tokens"] for m in messages if m.usage_metadata)
    assert reported == sum(of["total_tokens"] for of in usage.usage_metadata.values())
    assert messages[1].response_metadata["frugal"]["usd"] > 0


async def test_streams_are_what_invoke_says(local_model: LocalModel) -> None:
    llm = cascade(local_model, 1.0)
    whole = llm.invoke("Count from one to five.")
    chunks = list(llm.stream("Count from one to five."))
    achunks = [chunk async for chunk in llm.astream("Count from one to five.")]
    for streamed in (chunks, achunks):
        assert "".join(str(chunk.text) for chunk in streamed) == whole.text
        (usage,) = [chunk.usage_metadata for chunk in streamed if chunk.usage_metadata]
        assert whole.usage_metadata is not None
        assert usage["total_tokens"] == whole.usage_metadata["total_tokens"]
    assert len(chunks) > 5, "the last tier streams live"
