"""What broke for users of the nearest peer, row by row, and does not here.

The rows are those of a study of cascadeflow 1.2.0 under LangChain. Rows on streaming, structured
output, usage callbacks, failures and caches have whole files of their own beside this one.
"""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langchain_frugal import FrugalCascadeLLM
from tests.unit_tests.langchain.fakes import Fake


def said(text: str, probability: float) -> AIMessage:
    """An answer whose tokens have this probability."""
    import math

    tokens = [{"token": word, "logprob": math.log(probability)} for word in text.split()]
    return AIMessage(text, response_metadata={"logprobs": {"content": tokens}})


def cascade(draft: Any, **kwargs: Any) -> FrugalCascadeLLM:
    tiers = {"cheap": Fake(says=[draft]), "strong": Fake(says=["strong"])}
    return FrugalCascadeLLM(tiers=tiers, **kwargs)


def asked(message: AIMessage) -> list[str]:
    return [step["model"] for step in message.response_metadata["frugal"]["trail"]]


@pytest.mark.parametrize("answer", ["Paris", "4", "positive", '{"a": 1}', "It is Paris."])
def test_rows_1_2_short_right_answers_are_accepted(answer: str) -> None:
    assert asked(cascade(said(answer, 0.97)).invoke("Q")) == ["cheap"]


def test_row_3_a_perfect_cheap_model_saves_money() -> None:
    llm = FrugalCascadeLLM(
        tiers={"gpt-4o-mini": Fake(says=[said("up", 0.95)]), "gpt-4o": Fake()},
    )
    costs = [llm.invoke(str(i)).response_metadata["frugal"]["usd"] for i in range(300)]
    alone = (
        FrugalCascadeLLM(tiers={"gpt-4o": Fake()}).invoke("Q").response_metadata["frugal"]["usd"]
    )
    assert sum(costs) < 0.1 * 300 * alone


@pytest.mark.parametrize(
    ("answer", "probability"),
    [
        ("Berlin is the capital of France, and there the Statue of Liberty stands. " * 5, 0.6),
        ("Bla bla. " * 30, 0.4),
        ("I would rather not say anything about this matter. " * 5, 0.7),
        ("probably", 0.47),
    ],
)
def test_rows_4_5_length_and_half_confidence_convince_nobody(
    answer: str, probability: float
) -> None:
    assert asked(cascade(said(answer, probability)).invoke("Q")) == ["cheap", "strong"]


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "gpt-4.1", "gemini-2.5-pro", "gpt-5"])
def test_rows_8_9_10_every_provider_has_its_cost(model: str) -> None:
    """Usage is read from LangChain's own field, whatever the provider calls it."""
    step = FrugalCascadeLLM(tiers={model: Fake()}).invoke("Q").response_metadata["frugal"]
    assert step["usd"] > 0


def test_row_16_a_tool_that_does_not_exist() -> None:
    call = AIMessage("", tool_calls=[{"name": "nowhere", "args": {}, "id": "1"}])
    tools = [{"name": "somewhere", "description": "", "parameters": {}}]
    llm = cascade(call, scorer=lambda q, a: 1.0).bind_tools(tools)
    message = llm.invoke("Q")
    assert asked(message) == ["cheap", "strong"]
    assert "unknown tool" in message.response_metadata["frugal"]["trail"][0]["why"]


TECHNICAL = (
    "Prove that the eigenvalues of a Hermitian operator are real; optimise the algorithm. " * 9
)


@pytest.mark.parametrize(
    "messages",
    [
        [SystemMessage(TECHNICAL), HumanMessage("hi")],
        [HumanMessage(f"Context: {TECHNICAL}\n\nQuestion: what colour is the sky?")],
        [HumanMessage(TECHNICAL), AIMessage(TECHNICAL), HumanMessage("thanks")],
        [HumanMessage("Beweise, dass die Quadratwurzel aus zwei irrational ist.")],
    ],
    ids=["technical rules", "technical context", "a hard turn before", "German"],
)
def test_rows_17_18_answers_decide_not_words_in_the_prompt(messages: list[Any]) -> None:
    assert asked(cascade(said("fine", 0.95)).invoke(messages)) == ["cheap"]
    assert asked(cascade(said("fine", 0.5)).invoke(messages)) == ["cheap", "strong"]


def test_row_19_any_number_of_tiers() -> None:
    tiers = {str(i): Fake(says=[f"answer {i}"]) for i in range(5)}
    llm = FrugalCascadeLLM(tiers=tiers, scorer=lambda q, a: float(a == "answer 3"))
    assert asked(llm.invoke("Q")) == ["0", "1", "2", "3"]


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    cascade("draft", scorer=lambda q, a: 0.0).invoke("Q")
    assert capfd.readouterr() == ("", "")
