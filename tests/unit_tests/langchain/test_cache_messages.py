"""Questions out of prompts, and answers as JSON and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, Generation
from pydantic import BaseModel

from frugal_core.cache import Hit
from frugal_core.cache.calls import Asked
from frugal_core.errors import FrugalError
from langchain_frugal._cache_answers import Generations, hit_of
from langchain_frugal._cache_messages import asked, prompt_of

KEPT = Generations(keep_tool_calls=True)
NOT_KEPT = Generations(keep_tool_calls=False)

MODEL = '{"id": ["x"], "kwargs": {"model_name": "m"}}---[(\'stop\', None)]'


def read(*messages: BaseMessage, llm_string: str = MODEL) -> Asked:
    return asked(prompt_of(messages), llm_string)


def hit(answer: Any, layer: str = "exact") -> Hit:
    return Hit(answer, layer, 1.0, "", 12.3456, 7)


def round_trip(message: AIMessage) -> AIMessage:
    packed, _ = KEPT.pack([ChatGeneration(message=message)])
    found = KEPT.unpack(hit(json.loads(json.dumps(packed))))
    assert found is not None and isinstance(found[0], ChatGeneration)
    assert isinstance(found[0].message, AIMessage)
    return found[0].message


def test_the_last_human_message_is_the_question() -> None:
    one = read(SystemMessage("s"), HumanMessage("What is a monad?"))
    two = read(SystemMessage("s"), HumanMessage("What's a monad?"))
    assert (one.question, one.by_meaning) == ("What is a monad?", True)
    assert one.partition == two.partition
    assert one.partition != read(SystemMessage("t"), HumanMessage("What is a monad?")).partition
    assert one.partition != read(HumanMessage("What is a monad?")).partition


def test_what_does_not_shape_the_answer_is_no_part_of_the_key() -> None:
    def history(mark: str) -> Asked:
        return read(
            HumanMessage("Weather?", id=mark),
            AIMessage(
                "",
                id=mark,
                tool_calls=[{"name": "f", "args": {}, "id": mark}],
                response_metadata={"id": mark, "frugal_cache": {"age_s": 1}},
                usage_metadata={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
            ),
            ToolMessage("sunny", tool_call_id=mark, id=mark),
        )

    assert history("a") == history("b")
    assert not history("a").by_meaning
    said = read(HumanMessage("a"), AIMessage("a"), HumanMessage("What is the name of the sea?"))
    other = read(HumanMessage("b"), AIMessage("a"), HumanMessage("What is the name of the sea?"))
    assert said.partition != other.partition


def test_blocks() -> None:
    picture = {"type": "image_url", "image_url": {"url": "u"}}
    text = read(
        HumanMessage([{"type": "text", "text": "What is"}, {"type": "text", "text": "it?"}])
    )
    assert (text.question, text.by_meaning) == ("What is\nit?", True)
    seen = read(HumanMessage([{"type": "text", "text": "What is it?"}, picture]))
    assert (seen.question, seen.by_meaning) == ("What is it?", False)
    later = [HumanMessage([picture]), AIMessage("A cat."), HumanMessage("Where do wild cats live?")]
    assert not read(*later).by_meaning


@pytest.mark.parametrize(
    ("parameters", "by_meaning"),
    [
        ("[('stop', None)]", True),
        ("[('temperature', 0.0)]", True),
        ("[('temperature', 0.8)]", False),
        ("[('tools', [{'type': 'function'}])]", False),
        ("[('tools', [])]", True),
        ("[('response_format', {'type': 'json_object'})]", False),
        ("[('response_format', None)]", True),
        ("[('n', 3)]", False),
        ("[('n', 1)]", True),
    ],
)
def test_parameters(parameters: str, by_meaning: bool) -> None:
    question = HumanMessage("What is a monad in Haskell?")
    for llm_string in ('{"kwargs": {"temperature": 0.1}}---' + parameters, parameters):
        assert read(question, llm_string=llm_string).by_meaning is by_meaning
    warm = '{"kwargs": {"temperature": 0.9}}---'
    assert not read(question, llm_string=warm + "[]").by_meaning
    assert read(question, llm_string=warm + "[('temperature', 0.1)]").by_meaning
    tiers = '{"tiers": [{"temperature": 0.9}, {"temperature": 0}]}---'
    assert not read(question, llm_string=tiers + "[]").by_meaning, "the first may answer"
    assert read(question, llm_string=tiers + "[('temperature', 0)]").by_meaning


def test_who_works_on_words_is_served_the_very_same_ones_alone() -> None:
    for model in (MODEL, "another model"):
        system = SystemMessage("Proofread what the user writes.")
        assert not read(system, HumanMessage("how can i lern python"), llm_string=model).by_meaning
        system = SystemMessage("Answer what the user asks.")
        assert read(system, HumanMessage("how can i lern python"), llm_string=model).by_meaning


def test_other_prompts() -> None:
    assert asked("Say hi to all", MODEL) == Asked(
        "Say hi to all", asked("Say bye", MODEL).partition, True
    )
    assert asked('[{"lc": broken', MODEL).question == '[{"lc": broken'
    assert asked("[]", MODEL).question == "[]"
    assert not read(SystemMessage("Say hi")).by_meaning


def test_a_round_trip_keeps_what_the_model_said() -> None:
    message = AIMessage(
        [
            {"type": "text", "text": "hi"},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
        ],
        id="run-1",
        name="bot",
        additional_kwargs={"refusal": None, "tool_calls": [{"id": "t1", "type": "function"}]},
        response_metadata={"model_name": "m", "token_usage": {"total_tokens": 3}, "odd": object()},
        tool_calls=[{"name": "f", "args": {"x": 1}, "id": "t1"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    )
    copy = round_trip(message)
    new = copy.tool_calls[0]["id"]
    assert new != "t1" and isinstance(copy.content, list)
    assert isinstance(copy.content[1], dict) and copy.content[1]["id"] == new
    assert copy.additional_kwargs["tool_calls"][0]["id"] == new
    assert (copy.id, copy.name, copy.tool_calls[0]["args"]) == (None, "bot", {"x": 1})
    marker = {"layer": "exact", "score": 1.0, "age_s": 12.346, "id": 7}
    assert copy.response_metadata == {"model_name": "m", "frugal_cache": marker}
    assert copy.usage_metadata == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert hit_of(copy).id == 7
    assert message.tool_calls[0]["id"] == "t1" and "token_usage" in message.response_metadata


FUNCTION = {"function_call": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    "said",
    [
        AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "t1"}]),
        AIMessage("", additional_kwargs=FUNCTION),
    ],
)
def test_tool_calls_of_others_on_the_same_location_are_not_served(said: AIMessage) -> None:
    packed, _ = KEPT.pack([ChatGeneration(message=said)])
    assert KEPT.unpack(hit(packed)) is not None
    assert NOT_KEPT.unpack(hit(packed)) is None
    assert KEPT.unpack(hit(packed, "semantic")) is None


@given(st.text(min_size=1).filter(str.strip))
def test_any_text_survives(text: str) -> None:
    assert round_trip(AIMessage(text)).content == text


class Person(BaseModel):
    name: str


def test_parsed_output_is_made_again_from_the_content() -> None:
    said = AIMessage('{"name": "Ada"}', additional_kwargs={"parsed": Person(name="Ada")})
    assert round_trip(said).additional_kwargs["parsed"] == {"name": "Ada"}
    broken = AIMessage("no JSON", additional_kwargs={"parsed": Person(name="Ada")})
    packed, _ = NOT_KEPT.pack([ChatGeneration(message=broken)])
    assert KEPT.unpack(hit(packed)) is None


def test_what_is_not_packed() -> None:
    def layers(message: BaseMessage) -> str:
        return NOT_KEPT.pack([ChatGeneration(message=message)])[1]

    assert layers(AIMessage("fine")) == layers(AIMessageChunk(content="fine")) == "semantic"
    assert layers(HumanMessage("not an answer")) == "none"
    assert layers(AIMessage("draft", response_metadata={"frugal": {"degraded": True}})) == "none"
    assert layers(AIMessage("x", additional_kwargs={"signature": b"bytes"})) == "none"
    picture = AIMessage([{"type": "image_url", "image_url": {"url": "u"}}])
    assert layers(picture) == "exact"
    assert layers(AIMessage("", additional_kwargs={"audio": {"data": "AA"}})) == "exact"
    assert layers(AIMessage("", additional_kwargs=FUNCTION)) == "none"
    assert NOT_KEPT.pack([]) == (None, "none")
    cut = Generation(text="so", generation_info={"finish_reason": "length"})
    assert NOT_KEPT.pack([Generation(text="fine"), cut])[1] == "none"
    cut = Generation(text="so", generation_info={"done_reason": "length"})  # as OllamaLLM says
    assert NOT_KEPT.pack([cut])[1] == "none"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "text",
        {},
        {"generations": [{"message": {}}]},
        {"generations": [{"message": {"content": 1, "additional_kwargs": {}, "tool_calls": []}}]},
        {"generations": [{"lc": 1, "type": "constructor", "id": ["os", "system"]}]},
    ],
)
def test_an_odd_store_is_a_miss(answer: Any) -> None:
    assert KEPT.unpack(hit(answer)) is None


def test_a_message_of_a_models_own() -> None:
    with pytest.raises(FrugalError, match="did not come from the cache"):
        hit_of(AIMessage("x"))
