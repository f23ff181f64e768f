"""Tiers of no framework's: a model is a text in angle brackets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from frugal_core.assembly import assemble
from frugal_core.errors import FrugalError
from frugal_core.pricing import Price, PriceBook
from frugal_core.tiers import bare, named, price_of, same_model, split


class Toy:
    """A model that knows what it was made of."""

    def __init__(self, name: str, arguments: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.arguments = dict(arguments or {})


class Toys:
    kind: Any = Toy
    one = "a toy"
    many = "toys"
    endpoint = frozenset({"key", "url"})
    base_url = "url"

    def name_of(self, model: Toy) -> str:
        return model.name

    def provider_of(self, model: Toy) -> str | None:
        return None

    def build(self, spec: str, provider: str, model: str, arguments: Mapping[str, Any]) -> Toy:
        return Toy(f"<{provider} {model}>", arguments)

    def gives_log_probs(self, model: Toy) -> bool | None:
        return None

    def prepare(self, model: Toy) -> Toy:
        return model


def made(**given: Any) -> Any:
    names = ("model", "tiers", "policy", "scorer", "threshold", "promise", "prices")
    arguments = given.pop("arguments", {})
    return assemble(Toys(), **{name: given.get(name) for name in names}, arguments=arguments)


def test_a_ladder() -> None:
    assembly = made(model="gpt-4o", arguments={"t": 1})
    assert [tier.name for tier in assembly.tiers] == ["gpt-4o-mini", "gpt-4o"]
    assert [model.name for model in assembly.models] == ["<openai gpt-4o-mini>", "<openai gpt-4o>"]
    assert assembly.models[0].arguments == {"t": 1}
    assert assembly.tiers[0].draft_options == {"logprobs": True}
    assert assembly.plan.thresholds == (0.8,)
    assert assembly.plan.tiers[0].price is not None
    assert assembly.ladder is not None


def test_pinned_to_one_tier() -> None:
    assembly = made(tiers=["openai:gpt-4o-mini", "openai:gpt-4o"])
    pinned = assembly.pinned("openai:gpt-4o")
    assert [tier.name for tier in pinned.tiers] == ["gpt-4o"]
    with pytest.raises(FrugalError, match="gpt-4o-mini, gpt-4o"):
        assembly.pinned("gpt-3")


@pytest.mark.parametrize(
    ("spec", "at", "expected"),
    [
        ("openai:m", False, ("openai", "m")),
        ("anthropic:m", False, ("anthropic", "m")),
        ("claude-opus-4-8", False, ("anthropic", "claude-opus-4-8")),
        ("qwen2.5:7b", False, ("openai", "qwen2.5:7b")),
        ("ft:gpt-4o-mini:me", False, ("openai", "ft:gpt-4o-mini:me")),
        ("anthropic:m", True, ("openai", "anthropic:m")),
    ],
)
def test_providers(spec: str, at: bool, expected: tuple[str, str]) -> None:
    assert split(spec, custom_endpoint=at) == expected


def test_names() -> None:
    assert bare("openai:gpt-4o") == bare("openai/gpt-4o") == bare("gpt-4o") == "gpt-4o"
    assert same_model("openai:gpt-4o", "gpt-4o") and not same_model("gpt-4o-mini", "gpt-4o")
    given = [Toy("a"), Toy("a"), "groq:b", "ollama:gemma:7b", "gemma:7b"]
    assert [name for name, _ in named(Toys(), given)] == ["a", "a#2", "b", "gemma:7b", "gemma:7b#2"]


@pytest.mark.parametrize(
    "name", ["llama3:8b", "gemma:7b", "anthropic.claude-3-haiku-20240307-v1:0", "ft:gpt-4o:me::x"]
)
def test_a_colon_of_the_models_own_names_no_provider(name: str) -> None:
    assert bare(name) == bare(f"ollama:{name}") == name
    assert same_model(f"bedrock:{name}", name)
    assert not same_model(name, name.partition(":")[2])
    assert not same_model(name, name.rpartition(":")[2])
    assert price_of(Toys(), PriceBook({name: [1, 2]}), f"ollama:{name}", Toy("t")) == Price(1, 2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "say which models"),
        ({"tiers": Toy("a")}, "tiers is a toy"),
        ({"tiers": [3]}, "give a toy"),
        ({"tiers": [Toy("a")], "arguments": {"t": 1}}, "every tier is a toy of yours"),
        ({"tiers": ["openai:a", "x:b"], "arguments": {"key": 1}}, "cannot serve several providers"),
        ({"model": "gpt-4o", "promise": 0.1}, "needs a policy"),
        ({"model": "gpt-4o", "scorer": 1}, "scorer is a int"),
    ],
)
def test_what_makes_no_cascade(given: dict[str, Any], words: str) -> None:
    with pytest.raises(FrugalError, match=words):
        made(**given)
