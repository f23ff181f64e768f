"""What may be served and kept by meaning."""

from __future__ import annotations

import pytest

from frugal_core.cache.admission import (
    carries_material,
    layers_of_answer,
    leans_on_history,
    stands_for_itself,
)


@pytest.mark.parametrize(
    ("question", "leans"),
    [
        ("And the second one?", True),
        ("Why?", True),
        ("", True),
        ("Could you explain that in a bit more detail?", True),
        ("Summarise everything so far in three short sentences", True),
        ("What are the opening hours of the office in Berlin?", False),
        ("How do I renew a passport while living abroad?", False),
    ],
)
def test_follow_ups(question: str, leans: bool) -> None:
    assert leans_on_history(question) is leans
    assert stands_for_itself(question or "x", follows=True) is not leans
    assert stands_for_itself(question or "x"), "without history there is nothing to lean on"


def test_circumstances() -> None:
    question = "How do I learn Python quickly?"
    assert stands_for_itself(question, temperature=0.3)
    assert not stands_for_itself(question, temperature=0.31)
    assert not stands_for_itself(question, constrained=True)
    assert not stands_for_itself(question, text_only=False)
    assert not stands_for_itself(question, choices=2)
    assert not stands_for_itself("  ")


@pytest.mark.parametrize(
    ("prompt", "carries"),
    [
        ("Context information is below.\n---\nRefunds take a week.\n---\nQuery: how long?", True),
        ("Use the context below.\nRefunds take a week. How long do refunds take?", True),
        ("<context>Refunds take a week.</context> How long do refunds take?", True),
        ("## Passage\nRefunds take a week.\nHow long do refunds take?", True),
        ("Answer from the following.\n\nRefunds take a week.\n\nHow long do they take?", True),
        ("Translate: " + "word " * 60, True),
        ("```\nx = 1\n```\nWhat is x in this code?", True),
        ("What is the context of this novel by Tolstoy?", False),
        ("Hello! I hope you are well. How do I renew a passport while living abroad?", False),
        ("Text me the answer\nto this question about passports, please?", False),
    ],
)
def test_prompts_that_bring_what_they_are_about(prompt: str, carries: bool) -> None:
    assert carries_material(prompt) is carries
    assert stands_for_itself(prompt) is not carries


def test_answers() -> None:
    assert layers_of_answer() == "semantic"
    assert layers_of_answer(text=False) == "exact"
    assert layers_of_answer(tool_calls=True) == "none"
    assert layers_of_answer(tool_calls=True, keep_tool_calls=True) == "exact"
    assert layers_of_answer(defect="cut short", keep_tool_calls=True) == "none"
