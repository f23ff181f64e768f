"""ExampleSelector in LangChain's own prompts, and fitted on a chain."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage
from langchain_core.prompts import (
    ChatPromptTemplate,
    FewShotChatMessagePromptTemplate,
    FewShotPromptTemplate,
    PromptTemplate,
)
from langchain_core.runnables import Runnable, RunnableLambda

from frugal_core import Recording
from frugal_core.errors import FrugalError
from langchain_frugal import ExampleSelector

ROWS = [
    {"headline": "gold price rises", "trend": "up"},
    {"headline": "oil price falls", "trend": "down"},
    {"headline": "tin price stays", "trend": "none"},
]


def chat_prompt(selector: ExampleSelector, **names: str) -> ChatPromptTemplate:
    turns = FewShotChatMessagePromptTemplate(
        example_selector=selector,
        example_prompt=ChatPromptTemplate([("human", "{headline}"), ("ai", "{trend}")]),
        input_variables=["headline"],
    )
    return ChatPromptTemplate([("system", "Up, down or none?"), turns, ("human", "{headline}")])


async def test_takes_the_place_of_langchains_selectors() -> None:
    prompt = chat_prompt(ExampleSelector(ROWS, k=1))
    for value in (
        prompt.invoke({"headline": "oil falls again"}),
        await prompt.ainvoke({"headline": "oil falls again"}),
    ):
        texts = [message.text for message in value.to_messages()]
        assert texts == ["Up, down or none?", "oil price falls", "down", "oil falls again"]
    text = FewShotPromptTemplate(
        example_selector=ExampleSelector(ROWS, k=1),
        example_prompt=PromptTemplate.from_template("{headline}: {trend}"),
        suffix="{headline}:",
    )
    assert text.format(headline="gold rises") == "gold price rises: up\n\ngold rises:"


@pytest.mark.parametrize(
    "variables",
    [
        {"headline": "oil falls"},
        {"input": "oil falls"},
        {"style": "gold", "headline": "oil falls"},
        {"history": [AIMessage("gold rises")], "question": "oil falls"},
    ],
)
def test_finds_the_question_among_the_prompts_variables(variables: dict[str, Any]) -> None:
    (chosen,) = ExampleSelector(ROWS, k=1).select_examples(variables)
    assert chosen == ROWS[1] and chosen is not ROWS[1]


def test_says_what_it_takes() -> None:
    with pytest.raises(FrugalError, match="takes the prompt's variables"):
        ExampleSelector(ROWS).select_examples(["gold"])  # type: ignore[arg-type]  # as users do


async def test_examples_can_be_added() -> None:
    selector = ExampleSelector(k=1)
    assert selector.select_examples({"input": "zinc"}) == []
    selector.add_example({"input": "zinc soars", "output": "up"})
    await selector.aadd_example({"input": "lead sinks", "output": "down"})
    assert await selector.aselect_examples({"input": "lead"}) == [
        {"input": "lead sinks", "output": "down"}
    ]
    assert len(selector.examples) == 2


def test_takes_embeddings_recordings_and_pickles() -> None:
    rows = [{"query": "gold rises", "reference": "up", "answers": {}}]
    embeddings = DeterministicFakeEmbedding(size=8)
    selector = ExampleSelector(Recording.from_rows(rows), embeddings=embeddings)
    assert selector.select_examples({"query": "gold"}) == [
        {"query": "gold rises", "reference": "up"}
    ]
    plain = ExampleSelector(ROWS, k=2)
    again = pickle.loads(pickle.dumps(plain))  # noqa: S301  # our own
    assert again.select_examples({"headline": "tin"}) == plain.select_examples({"headline": "tin"})


def many(n: int) -> list[dict[str, str]]:
    words = ("red", "green", "blue")
    return [{"headline": f"{words[i % 3]} thing {i}", "trend": words[i % 3]} for i in range(n)]


def copier(shown: list[Any]) -> Runnable[Any, Any]:
    """A model that gives the answer of the example with the same first word, if it sees one."""

    def answer(value: Any) -> AIMessage:
        *before, question = [message.text for message in value.to_messages()]
        shown.append(len(before))
        turns = zip(before[1::2], before[2::2], strict=True)
        word = question.split()[0]
        return AIMessage(next((said for asked, said in turns if asked.split()[0] == word), "?"))

    return RunnableLambda(answer)


async def test_fits_the_number_of_examples_on_the_users_own_chain() -> None:
    shown: list[Any] = []

    def chain(selector: ExampleSelector) -> Runnable[Any, Any]:
        return chat_prompt(selector) | copier(shown)

    selector = ExampleSelector.fit(many(120), chain, sizes=(0, 1, 4), promise=0.2)
    assert selector.fitted is not None and selector.k == 1
    assert selector.fitted.judge == "model" and len(selector.examples) == 120
    assert set(shown) == {1, 3, 9}  # the system message, and two for each example
    same = await ExampleSelector.afit(many(120), chain, sizes=(0, 1, 4), promise=0.2)
    assert same.fitted == selector.fitted
    assert len(selector.select_examples({"headline": "blue"})) == 1


def test_fits_on_a_chat_model_or_without_one() -> None:
    from tests.unit_tests.langchain.fakes import Fake

    model = Fake(says=("red",))
    asked = ExampleSelector.fit(many(60), model, sizes=(1, 2)).fitted
    assert asked is not None and asked.judge == "model"
    assert len(model.calls) == 2 * 18
    assert [message.type for message in model.calls[0][0]][-3:] == ["human", "ai", "human"]
    voted = ExampleSelector.fit(many(60)).fitted
    assert voted is not None and voted.judge == "vote" and voted.measured[0].accuracy > 0.9


def test_a_function_that_makes_no_chain_is_named() -> None:
    with pytest.raises(FrugalError, match="must return a chain"):
        ExampleSelector.fit(many(60), lambda selector: "no chain")  # type: ignore[arg-type,return-value]
