"""What may be given to the constructor, and what becomes of it: shown, copied, written, pickled."""

from __future__ import annotations

import copy
import inspect
import json
import logging
import pickle
import tomllib
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.base.llms.types import MessageRole
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.loading import load_llm
from llama_index.core.llms.mock import MockLLM
from llama_index.core.llms.utils import resolve_llm
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import TransformComponent
from llama_index.core.types import PydanticProgramMode
from llama_index.llms.openai import OpenAI

from frugal_core import Promise
from frugal_core.errors import FrugalError, PolicyError
from llama_index_frugal import FrugalCascadeLLM, PromptCompressor, SemanticCacheCallback
from llama_index_frugal._arguments import sort_arguments
from tests.unit_tests.llama_index.fakes import Fake, right

KEY = "sk-very-secret"


def names(llm: FrugalCascadeLLM) -> list[str]:
    tiers: list[str] = llm.to_payload()["tiers"]
    return tiers


def models(llm: FrugalCascadeLLM) -> list[Any]:
    return llm._assembly.models


@pytest.mark.parametrize(
    ("ours", "base"),
    [
        *((FrugalCascadeLLM, base) for base in (BaseLLM, LLM, FunctionCallingLLM)),
        *((PromptCompressor, base) for base in (BaseNodePostprocessor, TransformComponent)),
        (SemanticCacheCallback, BaseCallbackHandler),
    ],
)
def test_class_hierarchy(ours: type, base: type) -> None:
    assert base.__name__ in [cls.__name__ for cls in ours.__mro__]


def test_what_llamahub_is_told() -> None:
    about = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))
    hub = about["tool"]["llamahub"]
    assert hub["import_path"] == "llama_index_frugal"
    assert set(hub["class_authors"]) == {
        "FrugalCascadeLLM",
        "PromptCompressor",
        "SemanticCacheCallback",
    }


def test_it_stands_where_openai_stood() -> None:
    llm = FrugalCascadeLLM("gpt-4o", temperature=0, max_tokens=9, timeout=3, api_key=KEY)
    assert names(llm) == ["gpt-4o-mini", "gpt-4o"]
    assert (llm.model, llm.temperature, llm.max_tokens) == ("gpt-4o", 0, 9)
    for tier in models(llm):
        assert isinstance(tier, OpenAI)
        assert (tier.temperature, tier.max_tokens, tier.timeout) == (0, 9, 3)
        assert tier.api_key == KEY


def test_every_argument_of_openai_is_taken() -> None:
    given = set(OpenAI.model_fields) | set(inspect.signature(OpenAI.__init__).parameters)
    for name in given - {"self", "kwargs"}:
        sort_arguments(FrugalCascadeLLM, {name: None})


def test_the_address_by_its_other_name() -> None:
    llm = FrugalCascadeLLM(model="gpt-4o", base_url="http://localhost:1/v1", api_key=KEY)
    assert [tier.api_base for tier in models(llm)] == ["http://localhost:1/v1"] * 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": "gpt-4o", "temprature": 0}, "no argument 'temprature'. Did you mean 'temperat"),
        ({"model": "gpt-4o", "zzz": 0}, "additional_kwargs"),
        ({}, "say which models"),
        ({"model": "my-model"}, "no cheaper models"),
        ({"tiers": []}, "tiers is empty"),
        ({"tiers": "gpt-4o"}, "give a list"),
        ({"tiers": Fake()}, "give a list"),
        ({"tiers": [1]}, 'give an LLM or "provider:model"'),
        ({"tiers": [Fake()], "temperature": 0}, "every tier is an LLM of yours"),
        ({"tiers": [Fake()], "scorer": 3}, "scorer is a int"),
        ({"tiers": [Fake()], "policy": "/no/such.frugal"}, "no such policy file"),
        ({"tiers": [Fake()], "promise": 0.01}, "needs a policy"),
        ({"tiers": ["nobody:model"]}, "pip install llama-index-llms-nobody"),
        ({"tiers": ["openai:gpt-4o", "anthropic:claude"], "api_key": KEY}, "several providers"),
        ({"tiers": ["gpt-4o-mini", "gpt-4o"], "model": "gpt-4o-mini"}, "must be the last"),
    ],
)
def test_what_cannot_be_understood_is_one_clear_error(
    arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(FrugalError) as raised:
        FrugalCascadeLLM(**arguments)
    assert words in str(raised.value)
    assert KEY not in str(raised.value)


def test_models_that_openai_s_class_does_not_know() -> None:
    like = pytest.importorskip("llama_index.llms.openai_like")
    llm = FrugalCascadeLLM(
        tiers=["qwen2.5:7b", "openai:my-model"], api_base="http://localhost:1/v1", api_key=KEY
    )
    assert all(isinstance(tier, like.OpenAILike) for tier in models(llm))
    assert [tier.model for tier in models(llm)] == ["qwen2.5:7b", "my-model"]
    assert llm.metadata.is_chat_model and llm.metadata.is_function_calling_model


def test_names_of_tiers() -> None:
    twice = FrugalCascadeLLM(tiers=[Fake(model="m"), Fake(model="m")])
    assert names(twice) == ["m", "m#2"]
    assert names(FrugalCascadeLLM(tiers={"x": Fake(), "y": Fake()})) == ["x", "y"]
    assert names(FrugalCascadeLLM(tiers=[MockLLM()])) == ["MockLLM"]


def test_metadata_is_the_honest_minimum() -> None:
    small = Fake(model="s", window=1000, output=50, calls_functions=False)
    large = Fake(model="l", window=9000, output=-1, system_role=MessageRole.USER)
    metadata = FrugalCascadeLLM(tiers=[small, large]).metadata
    assert (metadata.context_window, metadata.num_output) == (1000, 50)
    assert metadata.is_chat_model and not metadata.is_function_calling_model
    assert (metadata.model_name, metadata.system_role) == ("l", MessageRole.USER)
    assert FrugalCascadeLLM(tiers=[large, large]).metadata.num_output == -1


def test_the_ladder_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="frugal_core"):
        FrugalCascadeLLM(model="gpt-4.1", api_key=KEY)
    assert "gpt-4.1-nano -> gpt-4.1-mini -> gpt-4.1" in caplog.text


# What is shown and written down


def full(**kwargs: Any) -> FrugalCascadeLLM:
    return FrugalCascadeLLM(
        tiers=["openai:gpt-4o-mini", OpenAI("gpt-4o", api_key=KEY, default_headers={"x": KEY})],
        api_key=KEY,
        default_headers={"Authorization": KEY},
        api_base=f"http://me:{KEY}@host/v1",
        additional_kwargs={"extra_headers": {"a": KEY}, "user": "me"},
        **kwargs,
    )


def test_secrets_stay_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        llm = full()
        shown = [repr(llm), str(llm), json.dumps(llm.to_dict()), llm.to_json(), llm.json()]
        shown += [str(llm.model_dump()), llm.model_dump_json(), str(llm.to_payload())]
    assert KEY not in "".join(shown) + caplog.text
    assert "gpt-4o-mini" in repr(llm) and "http://host/v1" in llm.to_json()


def test_written_down_and_made_again() -> None:
    llm = full(temperature=0.5, threshold=0.9, system_prompt="Be brief.", on_failure="raise")
    data = json.loads(llm.to_json())
    for again in (FrugalCascadeLLM.from_dict(data, api_key=KEY), load_llm(data)):
        assert isinstance(again, FrugalCascadeLLM)
        assert names(again) == names(llm)
        assert again.to_dict() == llm.to_dict()
        assert again.to_payload() == llm.to_payload()
        assert (again.temperature, again.system_prompt) == (0.5, "Be brief.")
        assert models(again)[0].additional_kwargs == {"user": "me"}


def test_a_promise_and_a_policy_are_written_by_value_and_by_path(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no such policy file"):
        FrugalCascadeLLM.from_dict({"policy": str(tmp_path / "p"), "promise": {"epsilon": 0.1}})
    with pytest.raises(PolicyError, match=r"epsilon 0.1 at confidence 0.95 needs a policy"):
        FrugalCascadeLLM(tiers=[Fake()], promise=Promise(0.1))


def test_what_shapes_an_answer_shapes_the_dictionary() -> None:
    """Ingestion caches are keyed by it."""
    tiers = [Fake(), Fake()]
    scorers: list[Any] = [lambda q, a: 0.0, lambda q, a: 1.0, None]
    written = [FrugalCascadeLLM(tiers=tiers, scorer=scorer).to_json() for scorer in scorers]
    assert len(set(written)) == 3
    assert "0x" not in "".join(written)


def test_an_llm_that_is_not_loaded_is_named() -> None:
    with pytest.raises(FrugalError, match="no LLM class 'Foreign' is loaded"):
        FrugalCascadeLLM.from_dict({"tiers": [{"class_name": "Foreign"}]})


def test_pickled_and_copied() -> None:
    manager = CallbackManager([])
    tier = OpenAI("gpt-4o-mini", api_key=KEY)
    tier._get_client()  # what keeps a plain LLM from being copied deeply
    llm = FrugalCascadeLLM(tiers=[tier, "openai:gpt-4o"], api_key=KEY, callback_manager=manager)
    again = pickle.loads(pickle.dumps(llm))  # noqa: S301  # our own bytes
    assert again.to_payload() == llm.to_payload()
    assert models(again)[0].api_key == KEY
    assert tier.callback_manager is manager, "pickling leaves the tiers as they are"
    for twin in (copy.copy(llm), copy.deepcopy(llm), llm.model_copy(deep=True)):
        assert twin.to_payload() == llm.to_payload()
        assert models(twin)[0] is tier


def test_changes_take_effect() -> None:
    llm = FrugalCascadeLLM(model="gpt-4o", api_key=KEY)
    llm.temperature = 0.7
    assert [tier.temperature for tier in models(llm)] == [0.7, 0.7]
    llm.pydantic_program_mode = PydanticProgramMode.FUNCTION
    assert {tier.pydantic_program_mode for tier in models(llm)} == {PydanticProgramMode.FUNCTION}
    assert models(llm.model_copy(update={"max_tokens": 5}))[0].max_tokens == 5
    mine = FrugalCascadeLLM(tiers=[Fake(), Fake()], scorer=right)
    with pytest.raises(FrugalError, match="set this on the tiers"):
        mine.temperature = 0.7
    assert mine.temperature is None
    mine.threshold = 0.3
    assert mine.to_payload()["thresholds"] == [0.3]


# Callbacks


@pytest.fixture
def settings() -> Any:
    kept = Settings._llm, Settings._callback_manager
    yield Settings
    Settings._llm, Settings._callback_manager = kept


def test_the_tiers_report_to_the_callbacks(settings: Any) -> None:
    given = CallbackManager([])
    tiers = [Fake(), Fake()]
    FrugalCascadeLLM(tiers=tiers, callback_manager=given)
    assert all(tier.callback_manager is given for tier in tiers)
    settings.callback_manager = CallbackManager([])
    settings.llm = FrugalCascadeLLM(tiers=tiers)
    assert settings.llm is not None
    assert all(tier.callback_manager is settings.callback_manager for tier in tiers)


def test_tiers_that_are_made_anew_report_to_the_same_callbacks() -> None:
    given = CallbackManager([])
    llm = FrugalCascadeLLM(model="gpt-4o", api_key=KEY, callback_manager=given)
    llm.temperature = 0.5
    for cascade in (llm, llm.model_copy(update={"max_tokens": 3})):
        assert all(tier.callback_manager is given for tier in models(cascade))


def test_callbacks_of_the_tiers_own_are_kept(settings: Any) -> None:
    own = CallbackManager([])
    tier = Fake(callback_manager=own)
    llm = FrugalCascadeLLM(tiers=[tier])
    resolve_llm(llm)
    assert tier.callback_manager is own
