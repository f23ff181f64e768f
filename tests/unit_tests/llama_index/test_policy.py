"""A policy fitted on a recording, through its file, into a cascade."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.tools import FunctionTool

from frugal_core import Promise, Recording, fit
from frugal_core.errors import FrugalError, PolicyError
from llama_index_frugal import FrugalCascadeLLM
from tests.unit_tests.llama_index.asking import WAYS, ask
from tests.unit_tests.llama_index.fakes import Fake

PRICES = {"small": [0.1, 0.4], "large": [2.5, 10.0]}


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Both models know everything; the question says it all, too."""
    draw = random.Random(0)
    rows: list[dict[str, Any]] = []
    for number in range(1200):
        gold = draw.choice(["yes", "no"])
        text = {"yes": "agreed", "no": "denied"}[gold]
        answers = {
            model: {"text": gold, "input_tokens": 20, "output_tokens": 1} for model in PRICES
        }
        query = f"was it {text}, question {draw.randrange(10**6)}"
        rows.append({"id": number, "query": query, "reference": gold, "answers": answers})
    return Recording.from_rows(rows, prices=PRICES)


@pytest.fixture(scope="module")
def policy_file(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policies") / "topics.frugal"
    fit(recording, promise=0.05, reference="large").save(path)
    return path


def tiers() -> dict[str, Fake]:
    return {"small": Fake(model="small", says=["yes"]), "large": Fake(model="large", says=["no"])}


@pytest.mark.parametrize("way", WAYS)
async def test_the_student_answers_by_itself(way: str, policy_file: Path) -> None:
    llm = FrugalCascadeLLM.from_policy(policy_file, tiers=tiers(), promise=0.05)
    said = await ask(llm, way, "was it denied, question 7")
    assert (said.text, said.models) == ("no", ["student"])
    assert (said.extra["total_tokens"], said.extra["frugal"]["usd"]) == (0, 0)
    assert "at most 5 points below large" in said.extra["frugal"]["promise"]


def test_tools_are_asked_of_a_model_and_outside_the_promise(policy_file: Path) -> None:
    llm = FrugalCascadeLLM(tiers=tiers(), policy=policy_file)
    assert llm.to_payload()["tiers"][0] == "student"
    assert llm.metadata.is_function_calling_model
    tool = FunctionTool.from_defaults(lambda x: x, name="f")
    trail = llm.chat_with_tools([tool], "was it denied").additional_kwargs["frugal"]
    assert [step["decision"] for step in trail["trail"]][:1] == ["skipped"]
    assert "no promise" in trail["promise"]


def test_fit_makes_a_cascade(recording: Recording, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    recording.save(path)
    llm = FrugalCascadeLLM.fit(
        path, tiers=tiers(), prices=PRICES, promise=0.05, reference="large", student=False
    )
    llm.policy.save(tmp_path / "my.frugal")
    again = FrugalCascadeLLM(policy=tmp_path / "my.frugal", tiers=tiers(), promise=Promise(0.05))
    assert again.to_payload() == llm.to_payload()
    assert again.to_dict()["policy"] == str(tmp_path / "my.frugal")
    data = json.loads(again.to_json())
    assert data["policy_digest"] == llm.policy.digest
    assert FrugalCascadeLLM.from_dict(data, tiers=tiers()).to_payload() == llm.to_payload()
    assert again.complete("was it agreed").additional_kwargs["frugal_tier"] == "small"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"promise": 0.01}, "only promises"),
        ({"threshold": 0.5}, "the policy brings its own"),
        ({"model": "other"}, "is not in the policy"),
    ],
)
def test_what_does_not_fit_the_policy(
    policy_file: Path, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(FrugalError, match=words):
        FrugalCascadeLLM(policy=policy_file, tiers=tiers(), **arguments)


def test_a_tier_of_the_policy_that_is_missing(recording: Recording, tmp_path: Path) -> None:
    path = tmp_path / "p.frugal"
    fit(recording, promise=0.05, reference="large", student=False).save(path)
    with pytest.raises(PolicyError, match="the policy needs the tier 'small'"):
        FrugalCascadeLLM(policy=str(path), tiers={"x": Fake()})
