"""What may be served and kept by meaning."""

from __future__ import annotations

import pytest

from frugal_core.cache.admission import (
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


def test_answers() -> None:
    assert layers_of_answer() == "semantic"
    assert layers_of_answer(text=False) == "exact"
    assert layers_of_answer(tool_calls=True) == "none"
    assert layers_of_answer(tool_calls=True, keep_tool_calls=True) == "exact"
    assert layers_of_answer(defect="cut short", keep_tool_calls=True) == "none"
