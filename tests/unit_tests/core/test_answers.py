"""What makes an answer of use: the same for every framework."""

from __future__ import annotations

from typing import Any

import pytest

from frugal_core.answers import (
    Answer,
    Bill,
    failure_of,
    mean_log_probability,
    pieces,
    question,
)
from frugal_core.contract import Contract, ToolCall

LOOK = Contract({"look": {"required": ["city"], "properties": {"city": {"type": "string"}}}})


@pytest.mark.parametrize(
    ("answer", "contract", "defect", "useless"),
    [
        (Answer("fine"), None, None, False),
        (Answer(""), None, "empty", True),
        (Answer(" \n"), None, "empty", True),
        (Answer("", other=True), None, None, False),
        (Answer("half", ended="length"), None, "cut short", False),
        (Answer("half", ended="MAX_TOKENS"), None, "cut short", False),
        (Answer("", ended="length"), None, "cut short", True),
        (Answer("no", ended="content_filter"), None, "refused", False),
        (Answer("no", ended="SAFETY"), None, "refused", False),
        (Answer("", refused=True), None, "refused", False),
        (Answer("", (ToolCall("look", None),)), None, "a tool call is not valid JSON", True),
        (Answer("", (ToolCall("look", {"city": "Rome"}),)), LOOK, None, False),
        (Answer("", (ToolCall("jump", {}),)), LOOK, "called an unknown tool: jump", True),
        (Answer("words"), LOOK, None, False),
        (Answer("words"), Contract(must_call=True), "no tool call though one was required", True),
        (Answer("words"), Contract(schema={}), "not JSON", True),
        (Answer('{"a": 1}'), Contract(schema={}), None, False),
    ],
)
def test_defects(answer: Answer, contract: Contract | None, defect: str, useless: bool) -> None:
    reply = answer.reply(None if contract is None else contract.breach, "payload")
    assert (reply.defect, reply.useless, reply.payload) == (defect, useless, "payload")


def test_what_is_written_and_bought() -> None:
    calls = (ToolCall("f", {"b": 1, "a": "é"}),)
    reply = Answer("so", calls, bill=Bill(7, 3, 2), confidence=-0.5).reply(None, None)
    assert reply.text == 'so\nf({"a": "é", "b": 1})'
    assert (reply.input_tokens, reply.output_tokens, reply.cached_tokens) == (7, 3, 2)
    assert reply.metered and reply.confidence == -0.5
    assert not Answer("x").reply(None, None).metered


@pytest.mark.parametrize(
    ("log_probs", "mean"),
    [([-1.0, -3.0], -2.0), ([], None), ([None], None), ([float("nan")], None), ([0.1], 0.0)],
)
def test_confidence(log_probs: list[Any], mean: float | None) -> None:
    assert mean_log_probability(log_probs) == mean


@pytest.mark.parametrize("text", ["", " ", "one", " two  words\n", "日本語"])
def test_pieces_make_the_whole(text: str) -> None:
    assert "".join(pieces(text)) == text


@pytest.mark.parametrize(
    ("turns", "asked"),
    [
        ([], ""),
        ([("system", "s")], "s"),
        ([("user", "a"), ("assistant", "b"), ("user", "c")], "c"),
        ([("user", "a"), ("assistant", "b"), ("tool", "t")], "a\nt"),
    ],
)
def test_the_question(turns: list[tuple[str, str]], asked: str) -> None:
    assert question(reversed(turns)) == asked


def test_an_error_with_a_bill() -> None:
    class Response:
        status_code = 200

        def json(self) -> Any:
            return {"usage": {"prompt_tokens": 4, "completion_tokens": 2}}

    error = ValueError("cut")
    assert failure_of(error).input_tokens == 0
    error.response = Response()  # type: ignore[attr-defined]  # as OpenAI's errors have it
    failure = failure_of(error)
    assert (failure.error, failure.input_tokens, failure.output_tokens) == (error, 4, 2)
