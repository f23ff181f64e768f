"""PromptRewriter on prompts of every kind, against a scripted provider."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from frugal_core import Recording
from frugal_core.adapt import Spend
from frugal_core.errors import FrugalError
from langchain_frugal import PromptRewriter
from langchain_frugal.rewrite import RewrittenPrompt
from tests.conftest import StartScripted
from tests.servers import Answer, Request, ScriptedServer

LONG = "Please be so kind as to read the question and to answer it with great care."
ROWS = [{"question": f"question {i}", "tone": "dry", "answer": "yes"} for i in range(240)]


def scripted_models(scripted: StartScripted, proposals: list[str]) -> ScriptedServer:
    """A large model with proposals, and a small one that is right under every prompt but "bad"."""

    def small(request: Request) -> Answer:
        everything = " ".join(str(message["content"]) for message in request.messages)
        return Answer("no" if "bad" in everything else "yes")

    reply = json.dumps({str(i): text for i, text in enumerate(proposals, 1)})
    return scripted({"small": small, "large": reply})


def rewriter(server: ScriptedServer, **options: Any) -> PromptRewriter:
    small, large = (
        ChatOpenAI(model=name, base_url=server.base_url, api_key=SecretStr("test"), max_retries=0)
        for name in ("small", "large")
    )
    prices = {"small": [0.1, 0.4], "large": [2.5, 10.0]}
    options = {"spend": Spend(calls=600), "promise": 0.05, "prices": prices, **options}
    return PromptRewriter(small | StrOutputParser(), large, **options)


async def test_a_text_becomes_the_system_message(scripted: StartScripted) -> None:
    for asynchronous in (False, True):
        server = scripted_models(scripted, ["Answer:", "bad"])
        search = rewriter(server)
        found: RewrittenPrompt
        if asynchronous:
            found = await search.arewrite(LONG, ROWS)
        else:
            found = search.rewrite(LONG, ROWS)
        assert found.improved and found.prompt == "Answer:"
        assert found.certificate is not None and "original prompt" in found.verdict
        assert found.evidence.calls == len(server.requests) <= 600
        roles = {tuple(m["role"] for m in r.messages) for r in server.requests[1:]}
        assert roles == {("system", "user")}
        assert server.calls["large"] == 1


@pytest.mark.parametrize(
    ("prompt", "proposals", "changed"),
    [
        ("{question} " + LONG, ["{question} Answer.", "No {placeholder}"], "{question} Answer."),
        (
            PromptTemplate.from_template(LONG + " {tone}: {question}"),
            ["{tone}: {question}"],
            PromptTemplate.from_template("{tone}: {question}"),
        ),
        (
            ChatPromptTemplate([("system", LONG + " Be {tone}."), ("human", "{question}")]),
            ["Be {tone}.", "Answer:"],
            ChatPromptTemplate([("system", "Be {tone}."), ("human", "{question}")]),
        ),
        (
            ChatPromptTemplate([SystemMessage(LONG + ' {"a": 1}'), ("human", "{question}")]),
            ["Answer in {braces}:"],
            ChatPromptTemplate([SystemMessage("Answer in {braces}:"), ("human", "{question}")]),
        ),
        (
            ChatPromptTemplate([("human", LONG + " {question}"), ("ai", "Well,")]),
            ["{question}"],
            ChatPromptTemplate([("human", "{question}"), ("ai", "Well,")]),
        ),
    ],
)
def test_gives_back_the_kind_of_prompt_that_it_was_given(
    scripted: StartScripted, prompt: Any, proposals: list[str], changed: Any
) -> None:
    server = scripted_models(scripted, proposals)
    found = rewriter(server).rewrite(prompt, ROWS)
    assert found.prompt == changed
    values = {"question": "Is it?", "tone": "dry"}
    if not isinstance(changed, str):
        assert found.prompt.invoke(values) == changed.invoke(values)


def test_the_original_stays_as_it_was(scripted: StartScripted) -> None:
    server = scripted_models(scripted, ["bad"])
    prompt = ChatPromptTemplate([("system", LONG), ("human", "{question}")])
    found = rewriter(server).rewrite(prompt, ROWS)
    assert found.prompt is prompt and not found.improved and found.certificate is None
    assert "keep the original" in found.verdict


def test_the_spend_may_be_in_usd(scripted: StartScripted) -> None:
    server = scripted_models(scripted, ["Answer:"])
    found = rewriter(server, spend=0.02).rewrite(LONG, ROWS)
    assert found.evidence.usd is not None and 0 < found.evidence.usd <= 0.02
    with pytest.raises(FrugalError, match="prices of both models"):
        rewriter(server, spend=0.02, prices={}).rewrite(LONG, ROWS)


def test_a_recording_saves_what_was_asked_already(scripted: StartScripted) -> None:
    server = scripted_models(scripted, ["Answer:"])
    rows = [
        {
            "query": row["question"],
            "reference": "yes",
            "answers": {"small": {"text": "yes", "input_tokens": 90, "output_tokens": 1}},
        }
        for row in ROWS
    ]
    found = rewriter(server).rewrite(LONG, Recording.from_rows(rows), model="small")
    assert found.prompt == "Answer:"
    assert not any(LONG in str(r.messages) for r in server.requests if r.model == "small")


@pytest.mark.parametrize(
    ("prompt", "rows", "complaint"),
    [
        (7, ROWS, "not int"),
        ("", ROWS, "not str"),
        ("{one} and {two}", ROWS, "have no 'one', 'two'; they have 'question'"),
        (LONG, ROWS[:5], "5 rows with a right answer"),
        (LONG, "rows.jsonl", "a list of examples"),
    ],
)
def test_says_what_is_wrong(
    scripted: StartScripted, prompt: Any, rows: Any, complaint: str
) -> None:
    server = scripted_models(scripted, ["Answer:"])
    with pytest.raises(FrugalError, match=complaint):
        rewriter(server).rewrite(prompt, rows)
    assert server.requests == [], "nothing is bought before the arguments are checked"
