"""What providers say beside the text, each in its own way: usage, endings, confidence, calls."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    LogProb,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms.llm import ToolSelection

from frugal_core.answers import Bill
from frugal_core.contract import ToolCall
from llama_index_frugal._responses import (
    answer_of,
    answer_of_stream,
    is_text,
    joined,
    query_of,
    says_something,
)
from tests.unit_tests.llama_index.fakes import Fake

MODEL = Fake()


def response(raw: Any = None, content: Any = "text", **kwargs: Any) -> ChatResponse:
    beside = kwargs.pop("beside", {})
    message = ChatMessage(role="assistant", content=content, additional_kwargs=beside)
    return ChatResponse(message=message, raw=raw, **kwargs)


RESPONSES = {
    "input_tokens": 7,
    "output_tokens": 3,
    "input_tokens_details": {"cached_tokens": 5},
}
OPENAI = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@pytest.mark.parametrize(
    ("said", "bill"),
    [
        (response({"usage": OPENAI}), Bill(7, 3)),
        (
            response({"usage": {**OPENAI, "prompt_tokens_details": {"cached_tokens": 5}}}),
            Bill(7, 3, 5),
        ),
        (response(additional_kwargs=OPENAI), Bill(7, 3)),
        (CompletionResponse(text="t", raw={"usage": OPENAI}), Bill(7, 3)),
        (response({"usage": {"input_tokens": 7, "output_tokens": 3}}), Bill(7, 3)),
        (
            response(
                {"usage": {"input_tokens": 1, "output_tokens": 3, "cache_read_input_tokens": 6}}
            ),
            Bill(7, 3, 6),
        ),
        (
            response(
                {"usage": {"input_tokens": 1, "output_tokens": 3, "cache_creation_input_tokens": 6}}
            ),
            Bill(7, 3, 0, 6),
        ),
        (response(beside={"usage": {"input_tokens": 7, "output_tokens": 3}}), Bill(7, 3)),
        (
            response(
                {
                    "usage_metadata": {
                        "prompt_token_count": 7,
                        "candidates_token_count": 2,
                        "thoughts_token_count": 1,
                        "cached_content_token_count": 4,
                    }
                }
            ),
            Bill(7, 3, 4),
        ),
        (response({"prompt_eval_count": 7, "eval_count": 3}), Bill(7, 3)),
        (response({"usage": OPENAI}, additional_kwargs={"frugal": {}, **OPENAI}), Bill(7, 3)),
        (response({"usage": RESPONSES}), Bill(7, 3, 5)),
        (response("an event", additional_kwargs={"usage": RESPONSES}), Bill(7, 3, 5)),
        (response({"usage": None}), None),
        (response(), None),
        (response("a string"), None),
    ],
)
def test_bills(said: Any, bill: Bill | None) -> None:
    assert answer_of(said, MODEL).bill == bill


@pytest.mark.parametrize(
    ("said", "ended"),
    [
        (response({"choices": [{"finish_reason": "length"}]}), "length"),
        (response({"stop_reason": "max_tokens"}), "max_tokens"),
        (response({"done_reason": "stop"}), "stop"),
        (response({"candidates": [{"finish_reason": "SAFETY"}]}), "SAFETY"),
        (response(beside={"stop_reason": "refusal"}), "refusal"),
        (response(additional_kwargs={"finish_reason": "length"}), "length"),
        (response({"incomplete_details": {"reason": "max_output_tokens"}}), "max_output_tokens"),
        (
            response({"response": {"incomplete_details": {"reason": "content_filter"}}}),
            "content_filter",
        ),
        (response({"incomplete_details": None}), ""),
        (response({"choices": []}), ""),
        (response(), ""),
    ],
)
def test_endings(said: Any, ended: str) -> None:
    assert answer_of(said, MODEL).ended == ended


def test_an_early_end_of_the_responses_api_is_no_answer() -> None:
    said = response({"incomplete_details": {"reason": "max_output_tokens"}})
    assert answer_of(said, MODEL).reply(None, None).defect == "cut short"


def test_confidence_by_either_form() -> None:
    tokens = [{"logprob": -1.0}, {"logprob": -3.0}]
    assert answer_of(response({"choices": [{"logprobs": {"content": tokens}}]}), MODEL).confidence
    said = answer_of(response({"choices": [{"logprobs": {"content": tokens}}]}), MODEL)
    assert said.confidence == -2.0
    general = [[LogProb(token="a", logprob=-1.0), LogProb(token="b", logprob=-5.0)], []]
    assert answer_of(response(logprobs=general), MODEL).confidence == -1.0
    assert answer_of(response(logprobs=[]), MODEL).confidence is None


def test_calls_by_either_form() -> None:
    blocks = [
        TextBlock(text="so"),
        ToolCallBlock(tool_name="f", tool_kwargs={"a": 1}),
        ToolCallBlock(tool_name="g", tool_kwargs=""),
        ToolCallBlock(tool_name="h", tool_kwargs="[1]"),
    ]
    said = answer_of(response(content=blocks), MODEL)
    assert said.calls == (ToolCall("f", {"a": 1}), ToolCall("g", {}), ToolCall("h", None))

    class Old(Fake):
        def get_tool_calls_from_response(self, *args: Any, **kwargs: Any) -> list[ToolSelection]:
            return [ToolSelection(tool_id="1", tool_name="old", tool_kwargs={})]

    assert answer_of(response(beside={"tool_calls": ["?"]}), Old()).calls == (ToolCall("old", {}),)


def test_what_is_no_text() -> None:
    image = ImageBlock(image=b"1px")
    assert answer_of(response(content=[image]), MODEL).other
    assert not answer_of(response(content=[ThinkingBlock(content="hm")]), MODEL).other
    assert is_text([ChatMessage("q"), ChatMessage(role="assistant", blocks=[image])])
    assert not is_text([ChatMessage(role="user", blocks=[TextBlock(text="q"), image])])


def test_the_question() -> None:
    turns = [("system", "s"), ("user", "old"), ("assistant", "a"), ("user", "new"), ("tool", "t")]
    assert query_of([ChatMessage(role=role, content=text) for role, text in turns]) == "new\nt"


@pytest.mark.parametrize(
    ("piece", "says"),
    [
        (response(content="", delta=""), False),
        (response(content="", beside={"usage": None, "stop_reason": None}), False),
        (response(content="", beside={"usage": OPENAI}), False),
        (response(content="w", delta="w"), True),
        (response(content="", beside={"tool_calls": ["f"]}), True),
        (response(content="", additional_kwargs={"thinking_delta": "hm"}), True),
        (response(content=[ThinkingBlock(content="hm")]), True),
        (CompletionResponse(text="", delta=""), False),
        (CompletionResponse(text="w", delta="w"), True),
    ],
)
def test_what_says_something(piece: Any, says: bool) -> None:
    assert says_something(piece) is says


def test_a_stream_ends_in_several_pieces() -> None:
    pieces = [
        response(content="one"),
        response({"choices": [{"finish_reason": "length"}]}, content="one two"),
        response({"choices": [], "usage": OPENAI}, content=""),
    ]
    assert joined(pieces).message.content == "one two"
    answer = answer_of_stream(pieces, MODEL)
    assert (answer.text, answer.ended, answer.bill) == ("one two", "length", Bill(7, 3))
