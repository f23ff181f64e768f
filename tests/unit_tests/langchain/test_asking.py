"""Models asked one by one, as a cascade asks them."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

from frugal_core.cascade import Failure, Reply
from frugal_core.errors import FrugalError
from langchain_frugal.asking import asking, chat_models, reply_of
from tests.unit_tests.langchain.fakes import Fake


def test_models_are_made_by_name_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    models = chat_models(["openai:gpt-4o", "openai:house"], {"temperature": 0.5})
    assert list(models) == ["openai:gpt-4o", "openai:house"]
    for model, log_probs in zip(models.values(), (True, None), strict=True):
        assert isinstance(model, ChatOpenAI)
        assert (model.temperature, model.logprobs) == (0.5, log_probs)


def test_a_missing_key_is_named_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(FrugalError, match=r"tier 'openai:gpt-4o': .*OPENAI_API_KEY"):
        chat_models(["openai:gpt-4o"])


def test_one_key_is_not_sent_to_several_providers() -> None:
    with pytest.raises(FrugalError, match="api_key cannot serve several providers"):
        chat_models(["openai:gpt-4o", "anthropic:claude"], {"api_key": "x"})


def test_asking_sends_the_prompt_and_reads_the_reply() -> None:
    model = Fake(says=["four"])
    reply = asking(model, lambda question: [("system", "Be brief."), ("human", question)])("{2+2}?")
    assert isinstance(reply, Reply)
    assert (reply.text, reply.input_tokens, reply.output_tokens) == ("four", 10, 5)
    ((messages, _),) = model.calls
    assert messages == [SystemMessage("Be brief."), HumanMessage("{2+2}?")]


def test_a_failure_is_returned_not_raised() -> None:
    error = TimeoutError("slow")
    failure = asking(Fake(says=[error]), lambda question: question)("?")
    assert isinstance(failure, Failure)
    assert failure.error is error


def test_a_message_without_usage_is_not_metered() -> None:
    reply = reply_of(AIMessage("", response_metadata={"finish_reason": "length"}))
    assert (reply.metered, reply.defect) == (False, "cut short")
