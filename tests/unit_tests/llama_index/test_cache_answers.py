"""Answers as JSON and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.output_parsers import PydanticOutputParser
from pydantic import BaseModel

from frugal_core.cache import Hit
from frugal_core.errors import FrugalError
from llama_index_frugal import SemanticCacheCallback
from llama_index_frugal._cache_answers import Responses, Said
from llama_index_frugal._cache_messages import How, asked_chat, breach_of
from tests.unit_tests.llama_index.fakes import Fake

KEPT = Responses(keep_tool_calls=True)
NOT_KEPT = Responses(keep_tool_calls=False)


def hit(answer: Any, layer: str = "exact") -> Hit:
    return Hit(answer, layer, 1.0, "", 12.3456, 7)


def said(*blocks: Any, raw: Any = None, structured: bool = False, **extra: Any) -> Said:
    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=list(blocks))
    response = ChatResponse(message=message, raw=raw, additional_kwargs=extra)
    return Said.of([response], Fake(model="m"), None, structured)


def round_trip(one: Said) -> Said:
    packed, _ = KEPT.pack(one)
    found = KEPT.unpack(hit(json.loads(json.dumps(packed))))
    assert found is not None
    return found


def test_a_round_trip_keeps_what_the_model_said() -> None:
    call = ToolCallBlock(tool_call_id="t1", tool_name="f", tool_kwargs={"x": 1})
    thought = ThinkingBlock(content="hm")
    one = said(thought, TextBlock(text="hi"), call, prompt_tokens=3, frugal_tier="b", odd=object())
    copy = round_trip(one)
    assert copy.message.content == "hi" and copy.message.blocks[0] == thought
    again = copy.message.blocks[2]
    assert isinstance(again, ToolCallBlock) and again.tool_call_id != "t1"
    assert again.tool_kwargs == {"x": 1}
    assert copy.message.additional_kwargs["tool_calls"][0]["id"] == again.tool_call_id
    marker = {"layer": "exact", "score": 1.0, "age_s": 12.346, "id": 7}
    usage = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0)
    assert copy.extra == {"frugal_tier": "b", "frugal_cache": marker, **usage}
    assert call.tool_call_id == "t1", "the answer itself stays as it is"


@given(st.text(min_size=1).filter(str.strip))
def test_any_text_survives(text: str) -> None:
    assert round_trip(said(TextBlock(text=text))).completion().text == text


def test_log_probabilities_survive() -> None:
    likely = [[LogProb(token="a", logprob=-0.5)]]
    response = CompletionResponse(text="a", logprobs=likely)
    one = round_trip(Said.of([response], Fake(), None, False))
    assert one.completion().logprobs == one.chat().logprobs == likely


def test_where_answers_are_kept() -> None:
    def layers(one: Said, codec: Responses = NOT_KEPT) -> str:
        return codec.pack(one)[1]

    call = ToolCallBlock(tool_name="f", tool_kwargs={})
    ended = {"choices": [{"finish_reason": "length"}], "model": "m"}
    fine = {"choices": [{"finish_reason": "stop"}], "model": "m"}
    assert layers(said(TextBlock(text="fine"))) == "semantic"
    assert layers(said(TextBlock(text="fine"), raw=fine)) == "semantic"
    assert layers(said(TextBlock(text="so"), raw=ended)) == "none"
    assert layers(said(TextBlock(text="so"), raw={"choices": [{}]})) == "none", "broken off"
    assert layers(said(TextBlock(text=" "))) == layers(said()) == "none"
    assert layers(said(call)) == "none" and layers(said(call), KEPT) == "exact"
    assert layers(said(call, structured=True)) == "exact"
    assert layers(said(TextBlock(text="a"), ImageBlock(url="http://u/"))) == "exact"
    assert layers(said(TextBlock(text="draft"), frugal={"degraded": True})) == "none"
    act = TextBlock(text="Thought: I look.\nAction: f\nAction Input: {}")
    assert layers(said(act)) == "none" and layers(said(act), KEPT) == "exact"


def test_answers_to_a_schema_must_fit_it() -> None:
    schema = {"type": "object", "required": ["age"]}
    asked = {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
    for text, layer in (('{"age": 1}', "semantic"), ("{}", "none"), ("hm", "none")):
        response = ChatResponse(message=ChatMessage(role="assistant", content=text))
        assert NOT_KEPT.pack(Said.of([response], Fake(), breach_of(asked, ""), False))[1] == layer


def test_the_trail_of_a_cascade_is_emptied() -> None:
    trail = {"accepted": "b", "usd": 0.5, "trail": [1], "degraded": False}
    assert round_trip(said(TextBlock(text="a"), frugal=trail)).extra["frugal"] == {
        **trail,
        "usd": 0.0,
        "trail": [],
    }


def test_tool_calls_of_others_on_the_same_location_are_not_served() -> None:
    packed, _ = KEPT.pack(said(ToolCallBlock(tool_name="f", tool_kwargs={})))
    assert KEPT.unpack(hit(packed)) is not None
    assert NOT_KEPT.unpack(hit(packed)) is None
    assert KEPT.unpack(hit(packed, "semantic")) is None


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "text",
        {},
        {"message": {"role": "assistant"}},
        {"message": {"role": "nobody", "blocks": []}},
        {"message": {"role": "assistant", "blocks": [{"block_type": "os.system"}]}},
        {"text": "a", "logprobs": [[{"token": []}]]},
    ],
)
def test_an_odd_store_is_a_miss(answer: Any) -> None:
    assert KEPT.unpack(hit(answer)) is None


def test_an_answer_of_a_models_own() -> None:
    cache = SemanticCacheCallback(":memory:")
    for answer in (CompletionResponse(text="x"), ChatResponse(message=ChatMessage("x"))):
        with pytest.raises(FrugalError, match="did not come from the cache"):
            cache.report_wrong(answer)
    with pytest.raises(FrugalError, match="what `hits\\(\\)` has collected"):
        cache.report_wrong("an engine's response")


@pytest.mark.parametrize("escaped", [True, False], ids=["as LlamaIndex writes it", "as it is"])
def test_answers_to_a_schema_in_words_must_fit_it(escaped: bool) -> None:
    class Person(BaseModel):
        name: str
        born: dict[str, int]

    parser = PydanticOutputParser(Person)
    prompt = f"Who is it?\n\n{parser.get_format_string(escape_json=escaped)}"
    breach = breach_of({}, prompt)
    assert breach is not None
    assert breach('Sure: {"name": "Ada", "born": {"year": 1815}}', ()) is None
    assert breach('{"name": "Ada"}', ()) and breach("hm", ()) and breach("{no", ())
    assert breach_of({}, "Who is it?") is None
    # In a system message it stays away from the question, but binds the answer all the same.
    messages = [ChatMessage(prompt, role="system"), ChatMessage("How do passports look?")]
    assert breach_of({}, messages) is not None
    asked = asked_chat(Fake(), messages, {}, How())
    assert asked is not None and not asked.by_meaning
