"""What is asked in a text, and what stands around it."""

from __future__ import annotations

import pytest

from frugal_core.cache import SemanticCache
from frugal_core.cache.asking import split

ASKED, REWORDED = "How do I learn Python quickly?", "How can I learn Python quickly?"


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (ASKED, ASKED),
        (f"Context: it is easy.\n\nQuestion: {ASKED}", ASKED),
        (f"<context>\nIt is easy.\n</context>\n{ASKED}\nAnswer:", ASKED),
        (f"{ASKED}\nUse only this: it is easy.", ASKED),
        (f"Context: it is easy. {ASKED}", None),
        (f"Knowledge: it is easy. Question: {ASKED}", None),
        (f"User profile: Lena Meyer. {ASKED}", None),
        (f"Programming: {ASKED}", f"Programming: {ASKED}"),
        ("Context information is below.\n---\nIt is easy.\n---\nQuery: how long?", "how long?"),
        (
            "Answer from this.\n\nIt takes a week.\n\nHow long does it take?",
            "How long does it take?",
        ),
        ("## Passage\nIt takes a week.\nHow long does it take?", "How long does it take?"),
        ("Use the context.\nIt takes a week. How long does it take?", None),
        ("<context>It takes a week.</context> How long does it take?", None),
        ("Translate: " + "word " * 60, None),
        ("What is the context of this novel by Tolstoy?",) * 2,
        ("Hello! I hope you are well. How do I renew a passport abroad?",) * 2,
        ("Mend this code:\nreturn x - 1", None),
        ("Why this?\nAnd why that?", None),
        (f"{ASKED}\n\n{ASKED}", None),
        ("It is easy. " * 50, None),
        ("", None),
        ("?\n?", None),
    ],
)
def test_the_question_is_found_or_none_is(text: str, question: str | None) -> None:
    found = split(text)
    assert (found and found[0]) == question


@pytest.mark.parametrize("form", ["Context: {}\n\nQuestion: {}", "{}\n\n{}", "{1}\nPassages:\n{0}"])
def test_context_must_match_exactly(form: str) -> None:
    passages = ["The dose is 1.5 mg.", "The dose is 15 mg.", "The dose is (1.5) mg."]
    with SemanticCache(":memory:", error_bound=0.05) as cache:
        cache.store(form.format(passages[0], ASKED), "from the first")
        hit = cache.lookup(form.format(passages[0], REWORDED))
        assert hit is not None and (hit.layer, hit.answer) == ("semantic", "from the first")
        for passage in passages[1:]:
            assert cache.lookup(form.format(passage, REWORDED)) is None
            assert cache.lookup(form.format(passage, ASKED)) is None
