"""Cache keys, serialising, copying: two cascades are the same only if they answer the same."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.load import dumps, load
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langchain_frugal import FrugalCascadeLLM
from tests.unit_tests.langchain.fakes import Fake, right
from tests.unit_tests.langchain.test_construction import certificate, policy


@pytest.fixture
def cache() -> Iterator[InMemoryCache]:
    shared = InMemoryCache()
    set_llm_cache(shared)
    yield shared
    set_llm_cache(None)


CALL: Any = {"name": "look", "args": {}}


def openai_pair(**kwargs: Any) -> FrugalCascadeLLM:
    return FrugalCascadeLLM(**{"model": "gpt-4o", "api_key": "k", "temperature": 0, **kwargs})


def objects(strong_temperature: float) -> FrugalCascadeLLM:
    return FrugalCascadeLLM(
        tiers=[
            ChatOpenAI(model="gpt-4o-mini", api_key=SecretStr("k")),
            ChatOpenAI(model="gpt-4o", api_key=SecretStr("k"), temperature=strong_temperature),
        ]
    )


def says(text: str) -> FrugalCascadeLLM:
    fake = GenericFakeChatModel(messages=iter([AIMessage(text)]), cache=False)
    return FrugalCascadeLLM(tiers={"only": fake})


def of_policy(**kwargs: Any) -> FrugalCascadeLLM:
    return FrugalCascadeLLM(tiers={"a": Fake(), "b": Fake()}, policy=policy("a", "b", **kwargs))


def scored_by(power: int) -> FrugalCascadeLLM:
    tiers = [Fake(model="a"), Fake(model="b")]
    return FrugalCascadeLLM(tiers=tiers, scorer=lambda q, a: 0.5**power)


def changed_copy() -> tuple[FrugalCascadeLLM, FrugalCascadeLLM]:
    llm = openai_pair()
    llm._get_llm_string()  # LangChain keeps what it has written down
    return llm, llm.model_copy(update={"threshold": 0.1})


DIFFERENT = {
    "model": (openai_pair(), openai_pair(model="gpt-4.1")),
    "temperature": (openai_pair(), openai_pair(temperature=1)),
    "endpoint": (openai_pair(), openai_pair(base_url="http://127.0.0.1:9/v1")),
    "any argument": (openai_pair(), openai_pair(verbosity="low")),
    "threshold": (openai_pair(), openai_pair(threshold=0.5)),
    "on_failure": (openai_pair(), openai_pair(on_failure="raise")),
    "a tier's parameters": (objects(0), objects(1)),
    "policy": (of_policy(digest="d1"), of_policy(digest="d2")),
    "scorer": (scored_by(0), FrugalCascadeLLM(tiers=[Fake(model="a"), Fake(model="b")])),
    "the scorer's closure": (scored_by(0), scored_by(1)),
    "a changed copy": changed_copy(),
    "tiers that say nothing of themselves": (says("x"), says("y")),
}


@pytest.mark.parametrize("pair", list(DIFFERENT.values()), ids=list(DIFFERENT))
def test_different_cascades_share_no_cache_entry(pair: tuple[Any, Any]) -> None:
    one, other = pair
    assert one._get_llm_string() != other._get_llm_string()
    assert one._identifying_params != other._identifying_params


def test_equal_cascades_share_their_cache_entries() -> None:
    assert openai_pair()._get_llm_string() == openai_pair()._get_llm_string()
    assert openai_pair()._get_llm_string() == openai_pair(api_key="other")._get_llm_string()


def test_cache_is_per_cascade(cache: InMemoryCache) -> None:
    assert [says("x").invoke("Q").content, says("y").invoke("Q").content] == ["x", "y"]


async def test_cached_answer_is_not_asked_for_again(cache: InMemoryCache) -> None:
    cheap = Fake(model="a", says=["right", "never said"])
    llm = FrugalCascadeLLM(tiers={"a": cheap, "b": Fake()}, scorer=right)
    assert llm.invoke("Q").content == llm.invoke("Q").content == "right"
    assert (await llm.ainvoke("Q")).content == "right"
    assert len(cheap.calls) == 1


@pytest.mark.parametrize("own", [True, False], ids=["its own cache", "its tiers' caches"])
async def test_a_hit_is_a_new_message_that_cost_nothing(own: bool) -> None:
    """A graph would put a second message with the same id in the place of the first."""
    shared = None if own else InMemoryCache()
    said = AIMessage([{"type": "text", "text": "so"}], tool_calls=[{**CALL, "id": "1"}])
    tiers = [Fake(model=name, says=[said], cache=shared) for name in ("a", "b")]
    llm = FrugalCascadeLLM(tiers=tiers, scorer=right, cache=InMemoryCache() if own else None)
    with get_usage_metadata_callback() as bought:
        first, *hits = llm.invoke("Q"), llm.invoke("Q"), await llm.ainvoke("Q")
    assert [len(tier.calls) for tier in tiers] == [1, 1]
    assert bought.usage_metadata["b"]["total_tokens"] == 30
    assert len({message.id for message in (first, *hits) if message.id}) == (1 if own else 3)
    for hit in hits:
        assert hit.usage_metadata is not None
        assert hit.usage_metadata["total_tokens"] == 0
        assert not any(s["input_tokens"] for s in hit.response_metadata["frugal"]["trail"])
    if own:
        assert hits[0].response_metadata["frugal"]["usd"] == 0
        assert hits[0].response_metadata["frugal"]["cached"] is True
        assert hits[0].tool_calls[0]["id"] != "1"
        assert isinstance(hits[0].content, list)
        hits[0].content.append("spoilt")
        assert llm.invoke("Q").content == first.content


def test_what_a_tiers_cache_gives_was_not_bought(cache: InMemoryCache) -> None:
    cheap = Fake(model="a", says=["wrong"])
    cheap.invoke("Q")
    llm = FrugalCascadeLLM(tiers={"a": cheap, "b": Fake(says=["right"], cache=False)}, scorer=right)
    message = llm.invoke("Q")
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] == 15
    assert message.response_metadata["frugal"]["trail"][0]["input_tokens"] == 0


def test_the_caller_cannot_change_what_is_cached(cache: InMemoryCache) -> None:
    cheap = Fake(model="a", says=["wrong"])
    llm = FrugalCascadeLLM(tiers={"a": cheap, "b": Fake(says=["right"])}, scorer=right)
    assert "frugal" not in cheap.invoke("Q").response_metadata
    llm.invoke("Q")
    assert "frugal" not in cheap.invoke("Q").response_metadata


def test_what_only_the_scorer_asked_for_stays_in_the_cache(cache: InMemoryCache) -> None:
    """The tier's cached answer is shared; without its log-probabilities it could not be scored."""
    tokens = {"content": [{"token": "x", "logprob": -0.01}]}
    sure = AIMessage("x", response_metadata={"logprobs": tokens})
    llm = FrugalCascadeLLM(tiers={"a": Fake(says=[sure, "no"]), "b": Fake()}, cache=False)
    for _ in range(3):
        trail = llm.invoke("Q").response_metadata["frugal"]["trail"]
        assert [step["decision"] for step in trail] == ["accepted"]


# Serialising


def test_serialising_there_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from the environment")
    tier = ChatOpenAI(model="gpt-4o-mini", temperature=0.3)
    llm = FrugalCascadeLLM(
        tiers=[tier, "openai:gpt-4o"], temperature=0, threshold=0.7, verbosity="low", api_key="k"
    )
    loaded = load(
        json.loads(dumps(llm)),
        allowed_objects=[FrugalCascadeLLM, ChatOpenAI],
        valid_namespaces=["langchain_frugal"],
        secrets_from_env=True,
    )
    assert loaded._identifying_params == llm._identifying_params
    assert loaded.tier_arguments == {"verbosity": "low"}
    assert loaded.openai_api_key.get_secret_value() == "from the environment"


def test_dumping_hides_secrets_and_describes_objects() -> None:
    secret = "sk-very-secret"
    tier = ChatOpenAI(
        model="gpt-4o-mini",
        api_key=SecretStr(secret),
        default_headers={"Authorization": f"Bearer {secret}"},
    )
    for key in (secret, lambda: secret):
        llm = FrugalCascadeLLM(
            tiers=[tier, "openai:gpt-4o"],
            api_key=key,
            scorer=right,
            timeout=httpx.Timeout(3.0),
            prices={"gpt-4o": [1.0, 2.0]},
            default_headers={"Authorization": f"Bearer {secret}"},
        )
        shown = llm.model_dump()
        assert json.loads(llm.model_dump_json()) == shown
        assert shown["tiers"] == ["ChatOpenAI(gpt-4o-mini)", "openai:gpt-4o"]
        assert shown["scorer"] == "function right"
        assert shown["prices"] == {"gpt-4o": [1.0, 2.0]}
        assert secret not in json.dumps(shown) + repr(llm) + str(llm)


SECRETS: dict[str, dict[str, Any]] = {
    "user of the address": {"base_url": "http://me:sk-secret@127.0.0.1:9/v1"},
    "headers": {"default_headers": {"Tenant": "sk-secret"}},
    "query": {"default_query": {"api-key": "sk-secret"}},
    "proxy": {"openai_proxy": "http://me:sk-secret@127.0.0.1:9"},
    "headers of the call": {"model_kwargs": {"extra_headers": {"Tenant": "sk-secret"}}},
    "body": {"extra_body": {"options": [{"access_token": "sk-secret"}]}},
}


@pytest.mark.parametrize("secret", list(SECRETS.values()), ids=list(SECRETS))
@pytest.mark.parametrize("of_tier", [True, False])
def test_nothing_secret_is_written_down(secret: dict[str, Any], of_tier: bool) -> None:
    if of_tier:
        tier = ChatOpenAI(model="gpt-4o", api_key=SecretStr("k"), **secret)
        llm = FrugalCascadeLLM(tiers=[tier])
    else:
        llm = openai_pair(**secret)
    shown = [dumps(llm), llm._get_llm_string(), str(llm._identifying_params), repr(llm)]
    shown += [llm.model_dump_json(), dumps(llm.bind(stop=["x"]))]
    assert "sk-secret" not in "".join(shown)
    assert llm._get_llm_string() != openai_pair()._get_llm_string()
    assert "sk-secret" in str(llm._assembly.tiers[-1].model), "the tier itself has it"


@pytest.mark.parametrize("pickler", ["pickle", "cloudpickle"])
def test_pickling(pickler: str) -> None:
    llm = openai_pair(verbosity="low")
    again = pickle.loads(pytest.importorskip(pickler).dumps(llm))  # noqa: S301  # our own bytes
    assert again._identifying_params == llm._identifying_params
    assert again._assembly.tiers[0].model.verbosity == "low"


def test_copying() -> None:
    llm = openai_pair()
    for twin in (copy.copy(llm), copy.deepcopy(llm), llm.model_copy(deep=True)):
        assert twin._identifying_params == llm._identifying_params
    assert certificate() == copy.deepcopy(certificate())
