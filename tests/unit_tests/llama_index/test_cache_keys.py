"""What tells one call from another, and what must not: models, messages, secrets."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from llama_index.core.base.llms.types import MessageRole, ThinkingBlock, ToolCallBlock
from llama_index.core.llms import LLM, ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from openai import OpenAI as Client
from pydantic import BaseModel, Field, PrivateAttr

from frugal_core.cache.calls import Asked
from llama_index_frugal import SemanticCacheCallback
from llama_index_frugal._cache_identity import described, identity
from llama_index_frugal._cache_messages import PLACE, Frame, How, asked_chat, asked_completion
from tests.unit_tests.llama_index.fakes import Fake

QUESTION = "How do I renew a passport while living abroad?"
SECRETS = ("sk-1", "sk-2")


def read(
    *messages: ChatMessage, llm: LLM | None = None, how: How | None = None, **kw: Any
) -> Asked:
    asked = asked_chat(llm or Fake(), messages, kw, how or How())
    assert asked is not None
    return asked


def user(text: str = QUESTION) -> ChatMessage:
    return ChatMessage(role="user", content=text)


def openai(**arguments: Any) -> OpenAI:
    return OpenAI(**{"model": "gpt-4o-mini", "api_key": "k", **arguments})


class Composite(Fake):
    """A model of models."""

    tiers: list[Any] = Field(default_factory=list)
    scorer: Any = Field(default=None, exclude=True)
    _style: str = PrivateAttr(default="plain")
    _counter: int = PrivateAttr(default=0)


class Other(Fake):
    pass


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (Fake(model="a"), Fake(model="b")),
        (Fake(), Other()),
        (Fake(system_prompt="a"), Fake(system_prompt="b")),
        (Composite(tiers=[Fake(model="a")]), Composite(tiers=[Fake(model="b")])),
        (Composite(scorer=lambda q: 1), Composite(scorer=lambda q: 2)),
        (Fake(completion_to_prompt=lambda p: p), Fake(completion_to_prompt=lambda p: p + "!")),
        (openai(api_base="http://a/v1"), openai(api_base="http://b/v1")),
        (openai(default_headers={"x-tenant": "a"}), openai(default_headers={"x-tenant": "b"})),
        (openai(), openai(openai_client=Client(api_key="k", base_url="http://a/v1"))),
        (openai(logprobs=True), openai()),
        (openai(), openai(temperature=0.2)),
    ],
)
def test_models_that_may_answer_otherwise_are_told_apart(one: Any, two: Any) -> None:
    assert read(user(), llm=one).partition != read(user(), llm=two).partition
    assert read(user(), llm=one) == read(user(), llm=one)


def test_private_settings_count_and_counters_do_not() -> None:
    one, two = Composite(), Composite()
    two._counter = 7
    assert identity(one) == identity(two)
    two._style = "flowery"
    assert identity(one) != identity(two)


def make(kind: str, secret: str) -> Any:
    if kind == "nested":
        return Composite(tiers=[openai(api_key=secret, logprobs=True)])
    if kind == "header":
        return openai(default_headers={"Authorization": secret, "x-api-key": secret})
    if kind == "url":
        return openai(api_base=f"http://{secret}:{secret}@host/v1")
    return openai(api_key=secret, logprobs=kind == "not plain", max_retries=len(secret))


@pytest.mark.parametrize("kind", ["plain", "not plain", "nested", "header", "url"])
def test_no_secret_is_in_a_key(kind: str) -> None:
    one, two = (make(kind, secret) for secret in SECRETS)
    assert read(user(), llm=one) == read(user(), llm=two)
    assert not any(secret in json.dumps(identity(one), default=repr) for secret in SECRETS)


def test_properties_of_a_schema_are_no_secrets() -> None:
    def asked(kind: str) -> Any:
        schema = {"properties": {name: {"type": kind} for name in ("password", "timeout")}}
        return read(user(), response_format={"json_schema": {"schema": schema}})

    assert asked("string") != asked("integer")


def test_a_wrapped_model_has_the_key_of_the_model() -> None:
    for llm in (Fake(), openai(), openai(logprobs=True)):
        assert read(user(), llm=SemanticCacheCallback(":memory:").wrap(llm)) == read(
            user(), llm=llm
        )


def test_keys_are_the_same_in_another_process() -> None:
    def partitions() -> list[str]:
        # An object that says nothing about itself is never the same twice.
        models = [Composite(tiers=[openai()], scorer=scorer) for scorer in (make, object())]
        return [read(user(), llm=model).partition for model in models]

    program = (
        "from tests.unit_tests.llama_index.test_cache_keys import *\n"
        "models = [Composite(tiers=[openai()], scorer=scorer) for scorer in (make, object())]\n"
        "print(*[read(user(), llm=model).partition for model in models])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    there = done.stdout.split()
    assert [one == other for one, other in zip(partitions(), there, strict=True)] == [True, False]


# Messages


def test_the_last_user_message_is_the_question() -> None:
    system = ChatMessage(role="system", content="s")
    one, two = read(system, user()), read(system, user("How is a passport renewed abroad?"))
    assert (one.question, one.by_meaning) == (QUESTION, True)
    assert one.partition == two.partition != read(user()).partition
    other = ChatMessage(role="system", content="t")
    assert one.partition != read(other, user()).partition
    assert not read(user(), ChatMessage(role="assistant", content="Hm.")).by_meaning
    assert not read(system).by_meaning


def test_ids_of_tool_calls_are_no_part_of_the_key() -> None:
    def history(id_: str, city: str = "Paris") -> Asked:
        call = ToolCallBlock(tool_call_id=id_, tool_name="f", tool_kwargs={"city": city})
        return read(
            user("Weather?"),
            ChatMessage(role="assistant", blocks=[call], additional_kwargs={"tool_calls": [id_]}),
            ChatMessage(role="tool", content="sun", additional_kwargs={"tool_call_id": id_}),
        )

    assert history("a") == history("b") != history("a", "Rome")
    assert not history("a").by_meaning


@pytest.mark.parametrize(
    ("arguments", "by_meaning"),
    [
        ({}, True),
        ({"temperature": 0.3}, True),
        ({"temperature": 0.8}, False),
        ({"n": 2}, False),
        ({"tools": [{"type": "function"}]}, False),
        ({"tools": None}, True),
        ({"response_format": {"type": "json_object"}}, False),
        ({"some_new_argument": 1}, False),
    ],
)
@pytest.mark.parametrize("llm", [Fake(), openai(), openai(logprobs=True)])
def test_arguments(llm: LLM, arguments: dict[str, Any], by_meaning: bool) -> None:
    asked = read(user(), llm=llm, **arguments)
    assert asked.by_meaning is by_meaning
    changed = {name: value for name, value in arguments.items() if value is not None}
    assert (asked.partition == read(user(), llm=llm).partition) is (not changed)


@pytest.mark.parametrize(
    "llm",
    [
        openai(additional_kwargs={"response_format": {"type": "json_object"}}),
        openai(temperature=0.9),
        Composite(tiers=[openai(temperature=0.9), openai()]),
        openai(additional_kwargs={"n": 2}),
    ],
)
def test_settings_of_the_model_count_too(llm: LLM) -> None:
    assert not read(user(), llm=llm).by_meaning


def test_frames() -> None:
    around = [ChatMessage(role="user", content=f"Context.\n{PLACE}")]
    framed = How(Frame(QUESTION, around))
    asked = read(user(f"Context.\n{QUESTION}"), how=framed)
    assert (asked.question, asked.by_meaning) == (QUESTION, True)
    # A prompt that is not what the template gave.
    other = read(user(f"Another context.\n{QUESTION}"), how=framed)
    assert not other.by_meaning and other.partition != asked.partition
    exact = read(user(f"Context.\n{QUESTION}"), how=How(exact=True))
    assert not exact.by_meaning
    completion = asked_completion(
        Fake(), f"a {QUESTION}", True, {}, How(Frame(QUESTION, f"a {PLACE}"))
    )
    assert completion is not None and (completion.question, completion.by_meaning) == (
        QUESTION,
        True,
    )
    loose = asked_completion(Fake(), f"b {QUESTION}", True, {}, How(Frame(QUESTION, f"a {PLACE}")))
    assert loose is not None and not loose.by_meaning


def test_thoughts_are_part_of_the_key() -> None:
    def after(thought: str) -> str:
        blocks = [ThinkingBlock(content=thought)]
        said = ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)
        return read(user("Hi there, you"), said, user()).partition

    assert after("a") == after("a") != after("b")


# Values


class Person(BaseModel):
    name: str


def look(city: str) -> str:
    """Look."""
    return city


def test_values_are_described() -> None:
    tool = FunctionTool.from_defaults(look)
    shown = described({"tools": [tool], "cls": Person, "it": Person(name="a"), "set": {"b", "a"}})
    assert shown["tools"][0]["function"]["name"] == "look"
    assert shown["cls"][1]["properties"].keys() == {"name"}
    assert shown["it"][1] == {"name": "a"} and shown["set"] == ["a", "b"]
    assert described(look) == described(look) != described(make)
    assert json.dumps(shown)
    one, two = object(), object()
    assert described(one) != described(two)
    assert described({"api_key": "x", "max_tokens": 1, "timeout": 2, "password": 3}) == {
        "max_tokens": 1
    }
