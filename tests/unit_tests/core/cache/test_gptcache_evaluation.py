"""Our decision inside GPTCache, through its own `put` and `get`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frugal_core.cache.semantic import SemanticCache
from frugal_core.cache.store.gptcache import FrugalEvaluation, import_gptcache
from frugal_core.embedding import MiniLM
from frugal_core.errors import FrugalError
from tests.unit_tests.core.cache.test_gptcache import manager

pytest.importorskip("gptcache")
Ask = Callable[[str], Any]

STORED = (
    "What is the best way to learn Python?",
    "Who won the world cup in 2015?",
    "How do I fly from Boston to Denver?",
    "Is coffee with milk good for you?",
)
ASKED = (
    *STORED,
    "what is the best way to learn python",
    "What is the fastest way to learn Rust?",
    "Who won the world cup in 2016?",
    "How do I fly from Denver to Boston?",
    "Is coffee without milk good for you?",
    "What is the weather today?",
)


def minilm(text: str, **_: Any) -> Any:
    return MiniLM().embed([text])[0]


def served(
    folder: Path, evaluation: Any, embed: Callable[..., Any] = minilm, threshold: float = 0.8
) -> Ask:
    """GPTCache with the stored questions; asks it."""
    gptcache = import_gptcache()
    from gptcache.adapter.api import get, put
    from gptcache.processor.pre import get_prompt

    cache = gptcache.Cache()
    cache.init(
        pre_embedding_func=get_prompt,
        embedding_func=embed,
        data_manager=manager(folder, len(embed("one"))),
        similarity_evaluation=evaluation,
        config=gptcache.Config(similarity_threshold=threshold),
    )
    for question in STORED:
        put(question, f"answer to {question}", cache_obj=cache)
    return lambda question: get(question, cache_obj=cache)


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    """What the semantic cache answers."""
    with SemanticCache(":memory:") as cache:
        for question in STORED:
            cache.store(question, f"answer to {question}")
        hits = {question: cache.lookup(question) for question in ASKED}
    return {question: hit and hit.answer for question, hit in hits.items()}


def test_gptcaches_default_serves_the_wrong_year_and_ours_does_not(tmp_path: Path) -> None:
    gptcache = import_gptcache()
    from gptcache.similarity_evaluation import SearchDistanceEvaluation

    assert gptcache.Config().similarity_threshold == 0.8
    for folder in ("theirs", "ours"):
        (tmp_path / folder).mkdir()
    theirs = served(tmp_path / "theirs", SearchDistanceEvaluation())
    asked, wrong = "Who won the world cup in 2016?", "answer to Who won the world cup in 2015?"
    assert theirs(asked) == wrong
    assert served(tmp_path / "ours", FrugalEvaluation())(asked) is None


@pytest.mark.parametrize("threshold", [0.0, 0.8, 1.0])
def test_it_serves_what_the_semantic_cache_serves(
    tmp_path: Path, ours: dict[str, Any], threshold: float
) -> None:
    ask = served(tmp_path, FrugalEvaluation(error_bound=0.01), threshold=threshold)
    assert {question: ask(question) for question in ASKED} == ours
    assert (
        ours["what is the best way to learn python"]
        == "answer to What is the best way to learn Python?"
    )
    assert ours["How do I fly from Denver to Boston?"] is None


def test_another_embedder_changes_no_decision(
    tmp_path: Path, ours: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def letters(text: str, **_: Any) -> Any:
        counts = [text.lower().count(chr(97 + i)) for i in range(26)]
        return np.array(counts, dtype="float32") / np.linalg.norm(counts)

    with caplog.at_level(logging.WARNING, "frugal_core"):
        ask = served(tmp_path, FrugalEvaluation(), letters)
        assert {question: ask(question) for question in ASKED} == ours
    assert caplog.text.count("embedding_func is not") == 1


def test_a_bound_of_zero_serves_the_same_question_alone(tmp_path: Path) -> None:
    evaluation = FrugalEvaluation(error_bound=0)
    assert not evaluation.certificate().serves
    ask = served(tmp_path, evaluation)
    assert ask(STORED[0]) is not None and ask("what is the best way to learn python") is None


def test_it_is_an_evaluation_of_gptcaches_and_never_raises() -> None:
    evaluation = FrugalEvaluation()
    from gptcache.manager.scalar_data.base import Question
    from gptcache.similarity_evaluation import SimilarityEvaluation

    assert isinstance(evaluation, SimilarityEvaluation)
    assert evaluation.range() == (0.0, 1.0)
    assert evaluation.evaluation({"question": "a"}, {"question": Question("a")}) == 1
    for broken in ({}, {"question": None}, {"question": 3}, {"question": "b", "embedding": "x"}):
        assert evaluation.evaluation({"question": "a"}, broken) == -1
    without = {"question": "what is the best way to learn python"}
    assert evaluation.evaluation(without, {"question": STORED[0]}) == 1


@pytest.mark.parametrize("arguments", [{"error_bound": 1}, {"confidence": 0.3}])
def test_senseless_arguments_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(FrugalError, match=next(iter(arguments))):
        FrugalEvaluation(**arguments)
