"""How a cascade is put together, and what is refused."""

from __future__ import annotations

import json
import logging
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import HumanMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import ConfigurableField
from langchain_openai import ChatOpenAI
from pydantic import ValidationError

from frugal_core import Certificate, Promise
from frugal_core.cascade import Plan, Reply, Tier
from frugal_core.errors import FrugalError, PolicyError
from frugal_core.ladders import AS_OF, LADDERS, cheaper_models, find_ladder
from frugal_core.pricing import PriceBook
from frugal_core.scoring import FunctionScorer
from langchain_frugal import FrugalCascadeLLM
from tests.unit_tests.langchain.fakes import Fake, right
from tests.unit_tests.langchain.test_calls import joined

KEY = "sk-very-secret"


def names(llm: FrugalCascadeLLM) -> list[str]:
    return [tier["name"] for tier in llm._identifying_params["tiers"]]


def models(llm: FrugalCascadeLLM) -> list[Any]:
    return [tier.model for tier in llm._assembly.tiers]


def policy(
    *tiers: str, certificate: Certificate | None = None, student: Any = None, digest: str = "d1"
) -> Any:
    """What the adapter needs of a policy."""
    plan = Plan(
        tuple(Tier(tier) for tier in tiers),
        (0.5,) * (len(tiers) - 1),
        FunctionScorer(right),
        student=student,
        certificate=certificate,
    )
    return SimpleNamespace(plan=plan, reference=tiers[-1], digest=digest)


def certificate(epsilon: float = 0.01, confidence: float = 0.95) -> Certificate:
    return Certificate(epsilon, confidence, 500, 3, 9, "strong", "gold", "2026-11-23")


# The literal swap


def test_chat_openai_can_be_swapped() -> None:
    arguments: dict[str, Any] = {
        "model": "gpt-4o",
        "temperature": 0,
        "max_tokens": 50,
        "timeout": 7,
        "max_retries": 5,
        "api_key": KEY,
        "base_url": "http://127.0.0.1:9/v1",
        "organization": "org",
        "seed": 1,
        "top_p": 0.9,
        "stop": ["\n"],
        "logprobs": True,
        "top_logprobs": 2,
        "presence_penalty": 0.1,
        "model_kwargs": {"user": "me"},
        "default_headers": {"X": "y"},
        "use_responses_api": False,
        "verbosity": "low",
        "extra_body": {"a": 1},
        "service_tier": "flex",
    }
    theirs = ChatOpenAI(**arguments)
    cheap, strong = models(FrugalCascadeLLM(**arguments))
    assert (cheap.model_name, strong.model_name) == ("gpt-4o-mini", "gpt-4o")
    for tier in (cheap, strong):
        for name, value in arguments.items():
            field = {"model": "model_name"}.get(name, name)
            if field in ChatOpenAI.model_fields and name != "model":
                assert getattr(tier, name) == getattr(theirs, name), (name, value)
        assert tier.request_timeout == 7
        assert tier.openai_api_key.get_secret_value() == KEY
        assert tier.openai_api_base == "http://127.0.0.1:9/v1"


def test_every_argument_of_chat_openai_is_taken() -> None:
    from langchain_frugal._arguments import sort_arguments

    for name, field in ChatOpenAI.model_fields.items():
        for spelling in filter(None, (name, field.alias)):
            sort_arguments(FrugalCascadeLLM, {spelling: None})


def test_arguments_keep_their_names_as_attributes() -> None:
    llm = FrugalCascadeLLM(model="gpt-4o", temperature=0.5, max_completion_tokens=9, api_key=KEY)
    assert (llm.model, llm.model_name, llm.temperature, llm.max_tokens) == (
        "gpt-4o",
        "gpt-4o",
        0.5,
        9,
    )


def test_secrets_stay_secret(caplog: pytest.LogCaptureFixture) -> None:
    from langchain_core.load import dumps

    headers = {"Authorization": f"Bearer {KEY}"}
    with caplog.at_level(logging.DEBUG):
        llm = FrugalCascadeLLM(model="gpt-4o", api_key=KEY, default_headers=headers)
    shown = [repr(llm), str(llm), dumps(llm), str(llm._identifying_params), llm._get_llm_string()]
    assert KEY not in "".join(shown) + caplog.text


@pytest.mark.parametrize("wrong", [{"threshold": 3}, {"on_failure": "pray"}, {"temprature": 0}])
def test_errors_do_not_show_the_key(wrong: dict[str, Any]) -> None:
    with pytest.raises((FrugalError, ValidationError)) as raised:
        FrugalCascadeLLM(model="gpt-4o", api_key=KEY, **wrong)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize(
    ("wrong", "meant"), [("temprature", "temperature"), ("tier", "tiers"), ("modle", "model")]
)
def test_unknown_arguments_are_refused_with_a_hint(wrong: str, meant: str) -> None:
    with pytest.raises(FrugalError, match=f"{wrong!r}.*Did you mean '{meant}"):
        FrugalCascadeLLM(model="gpt-4o", api_key=KEY, **{wrong: 0})


def test_changing_a_field_later_is_refused_not_ignored() -> None:
    llm = FrugalCascadeLLM(model="gpt-4o", api_key=KEY)
    with pytest.raises(ValidationError, match="frozen"):
        llm.temperature = 1.0
    copy = llm.model_copy(update={"temperature": 1.0})
    assert [tier.temperature for tier in models(copy)] == [1.0, 1.0]


def test_what_limits_requests_is_the_tiers() -> None:
    limiter = InMemoryRateLimiter()
    llm = FrugalCascadeLLM(model="gpt-4o", api_key=KEY, rate_limiter=limiter)
    configurable = llm.configurable_fields(temperature=ConfigurableField(id="t"))
    configured: Any = configurable.prepare({"configurable": {"t": 0.7}})[0]  # type: ignore[attr-defined]
    for one in (llm, configured):
        assert one.rate_limiter is None, "it would be asked once more for the call"
        assert [tier.rate_limiter for tier in models(one)] == [limiter, limiter]
    with pytest.raises(FrugalError, match=r"rate_limiter: .* set this on the tiers"):
        FrugalCascadeLLM(tiers=[Fake()], rate_limiter=limiter)


@pytest.mark.parametrize("source", ["constructor", "call"])
def test_several_answers_are_refused(source: str) -> None:
    with pytest.raises(FrugalError, match="n must be 1"):
        if source == "constructor":
            FrugalCascadeLLM(model="gpt-4o", api_key=KEY, n=2)
        FrugalCascadeLLM(tiers=[Fake()]).invoke("Q", n=2)


# Ladders


@pytest.mark.parametrize("ladder", LADDERS, ids=lambda ladder: ladder.rungs[-1])
def test_every_rung_is_priced_and_cheaper_than_the_next(ladder: Any) -> None:
    book = PriceBook()
    prices = [book.price(rung) for rung in ladder.rungs]
    assert len(prices) > 1
    for cheap, dear in pairwise(prices):
        assert 0 < cheap.input < dear.input
        assert 0 < cheap.output < dear.output


@pytest.mark.parametrize(
    ("reference", "cheaper"),
    [
        ("gpt-4o", ("gpt-4o-mini",)),
        ("gpt-4o-2024-08-06", ("gpt-4o-mini",)),
        ("gpt-4-0613", ("gpt-4o-mini",)),
        ("gpt-4.1", ("gpt-4.1-nano", "gpt-4.1-mini")),
        ("gpt-4.1-mini", ("gpt-4.1-nano",)),
        ("claude-opus-4-5", ("claude-haiku-4-5", "claude-sonnet-4-5")),
        ("claude-sonnet-4-5-20250929", ("claude-haiku-4-5",)),
        ("gpt-4o-mini", ()),
        ("nobody-knows-me", ()),
    ],
)
def test_cheaper_models(reference: str, cheaper: tuple[str, ...]) -> None:
    assert cheaper_models(reference) == cheaper


def test_ladders_agree_with_what_they_mean() -> None:
    assert find_ladder("gpt-5") is not None
    assert len({ladder.rungs for ladder in LADDERS}) == len(LADDERS)


def test_the_ladder_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="frugal_core"):
        FrugalCascadeLLM(model="gpt-4.1", api_key=KEY)
    assert "gpt-4.1-nano -> gpt-4.1-mini -> gpt-4.1" in caplog.text
    assert AS_OF in caplog.text


CHEAPEST = sorted({ladder.rungs[0] for ladder in LADDERS if not cheaper_models(ladder.rungs[0])})


@pytest.mark.parametrize("model", ["my-own-model", "openai:gpt-4o-mini", *CHEAPEST])
def test_without_a_ladder_the_tiers_must_be_named(model: str) -> None:
    assert "gpt-4o-mini" in CHEAPEST
    hint = rf"no cheaper models .* '{model}' .*: tiers=\[\"provider:cheaper-model\", \"{model}\"\]"
    with pytest.raises(FrugalError, match=hint):
        FrugalCascadeLLM(model=model, api_key=KEY)


def test_something_must_be_given() -> None:
    with pytest.raises(FrugalError, match="say which models"):
        FrugalCascadeLLM()


# Tiers


def test_tiers_by_name_object_and_mapping() -> None:
    fake = Fake(model="mine")
    assert names(FrugalCascadeLLM(tiers=[fake, "openai:gpt-4o"], api_key=KEY)) == ["mine", "gpt-4o"]
    assert names(FrugalCascadeLLM(tiers={"small": fake, "large": Fake()})) == ["small", "large"]
    assert names(FrugalCascadeLLM(tiers=[Fake(), Fake()])) == ["fake", "fake#2"]
    assert names(FrugalCascadeLLM(tiers=[fake], model="gpt-4o", api_key=KEY)) == ["mine", "gpt-4o"]
    llm = FrugalCascadeLLM(tiers=["gpt-4o-mini", "gpt-4o"], model="gpt-4o", api_key=KEY)
    assert names(llm) == ["gpt-4o-mini", "gpt-4o"]


def test_models_with_colons_in_their_names() -> None:
    server = {"base_url": "http://127.0.0.1:9/v1", "api_key": "none"}
    llm = FrugalCascadeLLM(tiers=["qwen2.5:7b", "openai:llama3:70b"], **server)
    assert [tier.model_name for tier in models(llm)] == ["qwen2.5:7b", "llama3:70b"]
    tuned = FrugalCascadeLLM(tiers=["ft:gpt-4o-mini-2024-07-18:me::id", "gpt-4o"], api_key=KEY)
    assert models(tuned)[0].model_name == "ft:gpt-4o-mini-2024-07-18:me::id"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tiers": []}, "tiers is empty"),
        ({"tiers": "gpt-4o"}, "give a list"),
        ({"tiers": [Fake().bind(stop=["x"])]}, "belongs in its constructor"),
        ({"tiers": ["gpt-4o", "gpt-4o-mini"], "model": "gpt-4o"}, "must be the last"),
        ({"tiers": [Fake(), Fake()], "temperature": 0}, "set this on the tiers"),
        ({"tiers": ["anthropic:claude-haiku-4-5", "gpt-4o"], "api_key": "k"}, "several providers"),
        ({"tiers": ["nobody:model", "gpt-4o"]}, "no provider 'nobody'.*openai:nobody:model"),
        ({"tiers": ["mistralai:mistral-small-latest"]}, "pip install langchain-mistralai"),
        ({"tiers": [Fake()], "scorer": 3}, "scorer is a int"),
    ],
)
def test_impossible_tiers(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(FrugalError, match=message):
        FrugalCascadeLLM(**arguments)


def test_prices_of_the_user_and_of_the_table() -> None:
    llm = FrugalCascadeLLM(
        tiers={"mine": Fake(), "gpt-4o": Fake(), "nobody-knows-me": Fake()},
        prices={"mine": [100.0, 200.0]},
        scorer=right,
    )
    steps = llm.invoke("Q").response_metadata["frugal"]["trail"]
    assert steps[0]["usd"] == pytest.approx((10 * 100 + 5 * 200) / 1e6)
    assert steps[1]["usd"] == pytest.approx((6 * 2.5 + 4 * 1.25 + 5 * 10) / 1e6)
    assert steps[2]["usd"] is None, "unknown, not zero"
    assert llm.invoke("Q").response_metadata["frugal"]["usd"] is None


# Policies


def test_policy_tiers_are_matched_by_name() -> None:
    small, large = Fake(model="openai:gpt-4o-mini"), Fake(model="gpt-4o")
    llm = FrugalCascadeLLM(tiers=[large, small], policy=policy("gpt-4o-mini", "openai:gpt-4o"))
    assert models(llm) == [small, large]


def test_policy_alone_builds_its_tiers() -> None:
    llm = FrugalCascadeLLM.from_policy(policy("gpt-4o-mini", "gpt-4o"), temperature=0, api_key=KEY)
    assert [(m.model_name, m.temperature) for m in models(llm)] == [
        ("gpt-4o-mini", 0),
        ("gpt-4o", 0),
    ]


def test_policy_with_a_missing_tier() -> None:
    with pytest.raises(PolicyError, match=r"needs the tier 'large'.*small"):
        FrugalCascadeLLM(tiers={"small": Fake()}, policy=policy("small", "large"))


def test_policy_and_another_model() -> None:
    with pytest.raises(PolicyError, match=r"'gpt-4\.1' is not in the policy"):
        FrugalCascadeLLM(model="gpt-4.1", policy=policy("gpt-4o-mini", "gpt-4o"), api_key=KEY)


@pytest.mark.parametrize("own", [{"scorer": right}, {"threshold": 0.8}, {"prices": {"a": [1, 2]}}])
def test_what_a_policy_brings_is_refused_not_ignored(own: dict[str, Any]) -> None:
    with pytest.raises(FrugalError, match="the policy brings its own"):
        FrugalCascadeLLM(tiers={"a": Fake()}, policy=policy("a"), **own)


def test_policy_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no such policy file"):
        FrugalCascadeLLM(policy=tmp_path / "none.frugal")


@pytest.mark.parametrize(
    ("promise", "evidence", "message"),
    [
        (0.01, None, "no certificate"),
        (0.005, certificate(0.01), "only promises"),
        (Promise(0.01, 0.99), certificate(0.01, 0.95), "only promises"),
    ],
)
def test_promise_that_the_policy_does_not_keep(promise: Any, evidence: Any, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        FrugalCascadeLLM(
            tiers={"a": Fake(), "b": Fake()},
            policy=policy("a", "b", certificate=evidence),
            promise=promise,
        )


def test_promise_that_the_policy_keeps() -> None:
    llm = FrugalCascadeLLM(
        tiers={"a": Fake(says=["right"]), "b": Fake()},
        policy=policy("a", "b", certificate=certificate()),
        promise=0.02,
    )
    assert llm.invoke("Q").response_metadata["frugal"]["promise"] == certificate().sentence


@pytest.mark.parametrize("promise", ["abc", True, float("nan"), -1, 2])
def test_promise_that_is_none(promise: Any) -> None:
    with pytest.raises(FrugalError, match=r"promise: epsilon .* must be a number in"):
        FrugalCascadeLLM(tiers=[Fake()], promise=promise)


def test_promise_without_a_policy() -> None:
    with pytest.raises(PolicyError, match=r"needs a policy: fit one"):
        FrugalCascadeLLM(tiers=[Fake()], promise=0.01)


NOTHING = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


class _Student:
    def reply(self, query: str) -> Reply:
        return Reply("right" if "easy" in query else "wrong")


def test_student_answers_without_a_chat_model() -> None:
    strong = Fake(model="strong", says=["right indeed"])
    llm = FrugalCascadeLLM(tiers=[strong], policy=policy("student", "strong", student=_Student()))
    easy = llm.invoke("an easy one")
    assert (easy.content, easy.response_metadata["model_name"]) == ("right", "student")
    with get_usage_metadata_callback() as usage:
        for said in (llm.invoke("an easy one"), joined(list(llm.stream("an easy one")))):
            assert said.usage_metadata == NOTHING, "known to be nothing, not unknown"
    assert usage.usage_metadata == {"student": NOTHING}
    assert easy.usage_metadata == NOTHING
    assert strong.calls == []
    assert llm.invoke("a hard one").content == "right indeed"
    assert "".join(str(chunk.text) for chunk in llm.stream("an easy one")) == "right"
    tools = [{"name": "look", "description": "", "parameters": {}}]
    skipped = llm.bind_tools(tools).invoke("an easy one")
    assert skipped.response_metadata["frugal"]["trail"][0]["decision"] == "skipped"


# What it can do


def test_profile_is_what_all_tiers_can_do() -> None:
    llm = FrugalCascadeLLM(
        tiers=[
            Fake(model="a", profile={"tool_calling": True, "max_input_tokens": 1000}),
            Fake(model="b", profile={"tool_calling": False, "max_input_tokens": 2000}),
        ]
    )
    assert llm.profile == {"tool_calling": False, "max_input_tokens": 1000}
    assert FrugalCascadeLLM(tiers=[Fake(profile={"tool_calling": True}), Fake()]).profile is None


def test_tokens_are_counted_by_the_last_tier_or_estimated() -> None:
    class Counting(Fake):
        def get_num_tokens(self, text: str) -> int:
            return 42

    class Offline(Fake):
        def get_token_ids(self, text: str) -> list[int]:
            raise ConnectionError("no network")

    assert FrugalCascadeLLM(tiers=[Fake(), Counting()]).get_num_tokens("some text") == 42
    offline = FrugalCascadeLLM(tiers=[Fake(), Offline()])
    assert 0 < offline.get_num_tokens("some text") < 20
    assert 0 < offline.get_num_tokens_from_messages([("user", "some text")]) < 20  # type: ignore[list-item]  # LangChain takes pairs for messages


def test_streamed_usage_is_asked_for_unless_it_was_refused() -> None:
    """`ChatOpenAI` does not ask another endpoint than OpenAI's for it by itself."""
    elsewhere: dict[str, Any] = {"base_url": "http://127.0.0.1:9/v1", "api_key": "k"}
    silent = ChatOpenAI(model="b", stream_usage=False, **elsewhere)
    asking = ChatOpenAI(model="a", **elsewhere)
    llm = FrugalCascadeLLM(tiers=["c", asking, silent], **elsewhere)
    assert [model.stream_usage for model in models(llm)] == [True, True, False]
    assert asking.stream_usage is None, "the user's own object is left alone"


def test_a_student_is_not_shown_images() -> None:
    """It would read the text beside the image, and no promise was tested for that."""
    strong = Fake(model="strong", says=["a cat"])
    fitted = policy("student", "strong", student=_Student(), certificate=certificate())
    llm = FrugalCascadeLLM(tiers=[strong], policy=fitted)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    message = llm.invoke([HumanMessage([{"type": "text", "text": "an easy one"}, image])])
    assert message.content == "a cat"
    assert message.response_metadata["frugal"]["promise"].startswith("no promise")
    plain = llm.invoke([HumanMessage([{"type": "text", "text": "an easy one"}])])
    assert plain.content == "right"


def test_scores_may_be_numpy_numbers() -> None:
    """The trail is written as JSON."""
    tiers = [Fake(model="cheap", says=["yes"]), Fake(model="strong", says=["no"])]
    llm = FrugalCascadeLLM(tiers=tiers, scorer=lambda query, answer: np.float32(0.75))
    assert json.loads(json.dumps(llm.invoke("?").response_metadata["frugal"]))
