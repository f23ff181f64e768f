"""A policy fitted on a recording, through its file, into a cascade."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from frugal_core import Policy, Promise, Recording, fit
from frugal_core.errors import FrugalError, PolicyError
from langchain_frugal import FrugalCascadeLLM
from tests.unit_tests.langchain.fakes import Fake

PRICES = {"small": [0.1, 0.4], "large": [2.5, 10.0]}


@pytest.fixture(scope="module")
def recording() -> Recording:
    """The small model knows sports and guesses on politics; the large one knows both."""
    draw = random.Random(0)
    rows: list[dict[str, Any]] = []
    for number in range(1200):
        topic = draw.choice(["sports", "politics"])
        right = draw.choice(["yes", "no"])
        wrong = {"yes": "no", "no": "yes"}[right]
        small = right if topic == "sports" or draw.random() < 0.5 else wrong
        large = right if draw.random() < 0.98 else wrong
        said = {"small": small, "large": large}
        answers = {
            model: {"text": text, "input_tokens": 20, "output_tokens": 1}
            for model, text in said.items()
        }
        query = f"{topic} question {draw.randrange(10**6)}"
        rows.append({"id": number, "query": query, "reference": right, "answers": answers})
    return Recording.from_rows(rows, prices=PRICES)


@pytest.fixture(scope="module")
def policy_file(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policies") / "topics.frugal"
    fit(recording, promise=0.05, reference="large", student=False).save(path)
    return path


def tiers() -> dict[str, Fake]:
    return {"small": Fake(says=["yes"]), "large": Fake(says=["no"])}


def test_the_policy_decides(policy_file: Path) -> None:
    llm = FrugalCascadeLLM.from_policy(policy_file, tiers=tiers(), promise=0.05)
    sports = llm.invoke("sports question 1").response_metadata["frugal"]
    politics = llm.invoke("politics question 1").response_metadata["frugal"]
    assert [step["model"] for step in sports["trail"]] == ["small"]
    assert [step["model"] for step in politics["trail"]] == ["small", "large"]
    assert "at most 5 points below large" in sports["promise"]
    # Prices are the policy's; 4 of 10 input tokens came from the provider's cache.
    assert sports["usd"] == pytest.approx((10 * 0.1 + 5 * 0.4) / 1e6)


def test_the_file_and_the_policy_make_the_same_cascade(policy_file: Path) -> None:
    by_path = FrugalCascadeLLM(tiers=tiers(), policy=policy_file)
    by_value = FrugalCascadeLLM(tiers=tiers(), policy=Policy.load(policy_file))
    assert by_path._identifying_params == by_value._identifying_params
    assert by_path._identifying_params["policy"] == Policy.load(policy_file).digest


def test_tools_and_formats_are_outside_the_promise(policy_file: Path) -> None:
    llm = FrugalCascadeLLM(tiers=tiers(), policy=policy_file)
    tools = [{"name": "look", "description": "", "parameters": {}}]
    assert "no promise" in str(llm.bind_tools(tools).invoke("sports question 2"))


def test_fit_makes_a_cascade(recording: Recording, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    recording.save(path)
    llm = FrugalCascadeLLM.fit(
        path, tiers=tiers(), promise=0.05, reference="large", prices=PRICES, student=False
    )
    assert llm.invoke("sports question 3").response_metadata["model_name"] == "fake"
    assert llm.policy.reference == "large"


def test_fit_uses_only_the_tiers_that_are_there(recording: Recording) -> None:
    llm = FrugalCascadeLLM.fit(recording, tiers={"large": Fake()}, promise=0.05, student=False)
    assert [tier["name"] for tier in llm._identifying_params["tiers"]] == ["large"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tiers": []}, "tiers is empty"),
        ({"tiers": {"medium": Fake()}}, "no answers of medium; it has small, large"),
        ({"promise": "abc"}, "promise: epsilon 'abc' must be a number"),
        ({"promise": None, "budget": "x"}, "budget 'x' must be a number"),
    ],
)
def test_fit_says_what_is_wrong(recording: Recording, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(FrugalError, match=message):
        FrugalCascadeLLM.fit(recording, **{"promise": 0.05, **wrong})


def test_nothing_is_promised_for_scores_without_the_confidence_they_rest_on() -> None:
    """A policy that was tested with log-probabilities, run on a tier that gives none."""
    draw = random.Random(0)
    rows: list[dict[str, Any]] = []
    for number in range(600):
        sure = draw.choice([0.3, 0.99])
        answers: dict[str, dict[str, Any]] = {
            "small": {"correct": draw.random() < sure, "confidence": math.log(sure)},
            "large": {"correct": draw.random() < 0.95, "confidence": -0.1},
        }
        said = {"text": f"it is {number}", "input_tokens": 20, "output_tokens": 1}
        answers = {model: said | answer for model, answer in answers.items()}
        rows.append({"query": f"question {number}", "answers": answers})
    policy = fit(Recording.from_rows(rows, prices=PRICES), promise=0.1, reference="large")
    assert policy.chain.tiers == ("small", "large")
    token = {"logprob": -0.001}
    sure_of_it = AIMessage("yes", response_metadata={"logprobs": {"content": [token]}})
    promises = []
    for says in (sure_of_it, "yes"):
        tiers = {"small": Fake(says=[says]), "large": Fake(says=["no"])}
        message = FrugalCascadeLLM.from_policy(policy, tiers=tiers).invoke("question")
        promises.append(message.response_metadata["frugal"]["promise"])
    assert promises[0].startswith("with 95 % confidence at most 10 points below large")
    assert promises[1].startswith("no promise: small gave no log-probabilities")


def test_a_cascade_with_a_policy_can_be_dumped(recording: Recording) -> None:
    """Without the policy's weights, which are no JSON, and a megabyte."""
    policy = fit(recording, promise=0.05, reference="large", student=False)
    llm = FrugalCascadeLLM.from_policy(policy, tiers=tiers(), promise=Promise(0.05))
    shown = json.loads(llm.model_dump_json())
    assert shown == json.loads(json.dumps(llm.model_dump()))
    assert shown["policy"] == f"Policy(small > large; {policy.digest[:12]})"
    assert shown["tiers"] == {"small": "Fake(fake)", "large": "Fake(fake)"}
    assert shown["promise"] == "Promise(epsilon=0.05, confidence=0.95)"
    assert len(repr(llm)) < 1000


def test_a_policy_is_a_policy_or_its_path() -> None:
    with pytest.raises(PolicyError, match="policy is a dict: give a Policy, or the path of one"):
        FrugalCascadeLLM(tiers=tiers(), policy={"format": 1})
