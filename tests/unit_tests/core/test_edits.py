"""The generator of edits: repeatable, every kind, no edit without effect."""

from __future__ import annotations

import re

import pytest

from benchmarks.edits import CAP, Edit, edits, harmless

KINDS = ["number", "negation", "antonym", "entity", "order", "quantifier", "time", "person", "wh"]
TEXTS = [
    "How do I buy a cheap laptop in 3 days?",
    "Why do cats hate dogs?",
    "What is the best way to learn Python?",
    "How long does it take to fly from London to Paris?",
    "Should I upgrade to Windows 10 before 2017?",
    "Is it safe to take at least two pills without a doctor?",
    "Who is the current president of France?",
    "What should my wife do in the future?",
    "How do I reset my Instagram password?",
    "Are women always taller than men in Germany?",
    "What are the advantages of a fixed mortgage?",
    "What's the biggest city that I can't visit?",
]


def words(text: str) -> list[str]:
    return re.findall(r"[\w+#%$]+", text.lower())


def test_the_same_seed_makes_the_same_edits_whatever_the_order() -> None:
    assert edits(TEXTS, 7) == edits(TEXTS[::-1], 7)
    assert harmless(TEXTS, 7) == harmless(TEXTS[::-1], 7)
    assert edits(TEXTS, 7) != edits(TEXTS, 8)


def test_every_kind_is_made_and_every_edit_changes_words() -> None:
    made = edits(TEXTS, 0)
    assert {edit.kind for edit in made} == set(KINDS)
    for edit in made:
        assert edit.original in TEXTS
        assert words(edit.edited) != words(edit.original), edit


def test_a_text_is_edited_once_a_kind_and_a_kind_is_capped() -> None:
    many = [
        f"What should a man of {age} eat on day {day}?" for age in range(20) for day in range(20)
    ]
    for kind in KINDS:
        originals = [edit.original for edit in edits(many, 0) if edit.kind == kind]
        assert len(originals) == len(set(originals)) <= CAP


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("Why do cats hate dogs?", "order", "Why do dogs hate cats?"),
        ("Why does she love me?", "order", "Why do I love her?"),
        ("How do I get from London to Paris?", "order", "How do I get from Paris to London?"),
        ("Why is the sky blue?", "negation", "Why isn't the sky blue?"),
        (
            "What is an advantage of solar power?",
            "antonym",
            "What is a disadvantage of solar power?",
        ),
        ("Which shares did he buy?", "antonym", "Which shares did he sell?"),
        ("What is the minimum wage?", "quantifier", "What is the maximum wage?"),
    ],
)
def test_the_edit_of_one_text(text: str, kind: str, expected: str) -> None:
    assert Edit(kind, text, expected) in edits([text], 0)


def test_a_harmless_edit_differs_from_its_original() -> None:
    made = harmless(TEXTS, 0)
    assert made
    assert all(edit.kind == "harmless" and edit.edited != edit.original for edit in made)
