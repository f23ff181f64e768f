"""Prompt adaptation over the real local model."""

from __future__ import annotations

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from frugal_core.local_model import LocalModel, LocalModelError, load_headlines
from langchain_frugal import ConcatenatedQueries, ExampleSelector

pytestmark = [pytest.mark.local_model, pytest.mark.timeout(120)]

SYSTEM = SystemMessage("Is the headline real news or satire? Answer with one word: news or satire.")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    try:
        headlines = load_headlines()
    except LocalModelError as error:
        pytest.skip(str(error))
    return [{"input": headline.text, "output": headline.label} for headline in headlines[:400]]


@pytest.fixture
def llm(local_model: LocalModel) -> ChatOpenAI:
    return ChatOpenAI(
        model=local_model.name,
        base_url=local_model.base_url,
        api_key=SecretStr("none"),
        temperature=0,
        max_completion_tokens=3,
    )


def turns(shown: list[dict[str, str]]) -> list[BaseMessage]:
    messages: list[BaseMessage] = [SYSTEM]
    for row in shown:
        messages += [HumanMessage(row["input"]), AIMessage(row["output"])]
    return messages


def test_queries_are_answered_together_for_fewer_tokens(
    llm: ChatOpenAI, rows: list[dict[str, str]]
) -> None:
    inputs = [[*turns(rows[:6]), HumanMessage(row["input"])] for row in rows[6:14]]
    bought = []
    for size in (1, 4):
        ask = ConcatenatedQueries(
            llm,
            group_size=size,
            answers=("news", "satire"),
            fold_turns=True,
            response_format=True,
        )
        with get_usage_metadata_callback() as usage:
            said = ask.invoke(inputs, {"max_concurrency": 2})
        billed = sum(of["total_tokens"] for of in usage.usage_metadata.values())
        assert sum(message.usage_metadata["total_tokens"] for message in said) == billed
        bought.append(billed)
    assert {message.text for message in said} <= {"news", "satire"}
    assert bought[1] < 0.7 * bought[0]


def test_the_model_itself_says_how_many_examples_it_needs(
    llm: ChatOpenAI, rows: list[dict[str, str]]
) -> None:
    selector = ExampleSelector.fit(rows[:100], llm, sizes=(0, 2), held_out=0.12)
    assert selector.fitted is not None
    none, two = selector.fitted.measured
    assert (none.size, two.size) == (0, 2)
    assert 0 < none.tokens < two.tokens
    assert selector.k == (2 if two.accuracy > none.accuracy + 0.3 else selector.fitted.k)
