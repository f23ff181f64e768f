"""`compress`: what it keeps, what it says, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from frugal_core.compress import Document, Turn, compress, compress_prompt, find_question
from frugal_core.errors import FrugalError

FACTS = {
    "Lima": "Lima is the capital of Peru. It was founded in 1535. Its ceviche is famous.",
    "Quito": "Quito is the capital of Ecuador. It was founded in 1534. It lies very high.",
    "Rome": "Rome is the capital of Italy. It is very old. The Tiber runs through it.",
    "Oslo": "Oslo is the capital of Norway. It lies at a fjord. It has 700,000 people.",
}
DOCUMENTS = [Document(text, title) for title, text in FACTS.items()]
CODE = "```python\nimport os\n\nprint(os.name)\n```"


def words(text: str) -> int:
    """Tokens that a reader can count."""
    return len(text.split())


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("When was Quito founded?", "1534"),
        ("Which river runs through Rome?", "Tiber"),
        ("How many people has Oslo?", "700,000"),
        ("What is Peru's capital?", "Lima is the capital of Peru."),
    ],
)
def test_the_answer_survives(question: str, answer: str) -> None:
    found = compress(DOCUMENTS, question, token_budget=15, count_tokens=words)
    assert answer in found.text
    assert found.budget == 15
    assert found.tokens_after == words(found.text) <= 15


def test_the_second_hop_is_found_through_the_title() -> None:
    documents = [
        Document("The author of the novel Blue Rain is Ada Berg. It won a prize.", "Blue Rain"),
        Document("She was born in Bergen. She studied law.", "Ada Berg (writer)"),
        *[
            Document(f"A novel by somebody. Person {i} was born far away.", f"Person {i}")
            for i in range(9)
        ],
    ]
    question = "Where was the author of the novel Blue Rain born?"
    assert "Bergen" in compress(documents, question, ratio=4, count_tokens=words).text


@pytest.mark.parametrize(
    "documents",
    [
        FACTS["Lima"],
        DOCUMENTS[0],
        [FACTS["Lima"]],
        (FACTS["Lima"], DOCUMENTS[1]),
        (document for document in DOCUMENTS),
        Document(FACTS["Lima"], title=None, metadata=None),  # type: ignore[arg-type]
    ],
    ids=["text", "document", "list", "tuple", "generator", "nones"],
)
def test_what_documents_may_be(documents: Any) -> None:
    found = compress(documents, "When was Lima founded?", token_budget=14, count_tokens=words)
    assert "founded in 1535" in found.text


def test_nothing_to_do() -> None:
    for documents, count in ((FACTS["Lima"], 1), ([], 0), ("", 1), (["", ""], 2)):
        for limit in ({"token_budget": 100}, {"ratio": 3}, {}):
            found = compress(documents, **limit)  # type: ignore[arg-type]
            assert [d.text for d in found.documents] == (
                [documents] if count == 1 else list(documents)
            )
            assert found.dropped == []


def test_parts_say_what_was_dropped_and_why() -> None:
    text = FACTS["Lima"].replace(". ", ".\n")
    found = compress(
        [FACTS["Quito"], text, FACTS["Quito"], f"And {FACTS['Quito']}"],
        "When was Quito founded?",
        token_budget=18,
        count_tokens=words,
    )
    reasons = {(part.document, part.reason) for part in found.parts}
    assert {(0, ""), (1, "relevance"), (2, "duplicate"), (3, "near-duplicate")} <= reasons
    assert {part.document for part in found.parts if not part.reason} == set(found.sources)
    assert json.loads(json.dumps(found.to_json()))["tokens_after"] == found.tokens_after


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("signed in the year 1648", "signed in the year 1748"),
        ("signed by the king of Spain", "signed by the king of France"),
        ("kept by all of them", "not kept by all of them"),
    ],
)
def test_what_differs_in_one_telling_word_is_no_duplicate(one: str, other: str) -> None:
    texts = [
        f"The treaty of the seven northern cities and the islands was {x}." for x in (one, other)
    ]
    found = compress(
        [*texts, texts[0] + " ", "Filler. " * 30],
        "Which treaty?",
        token_budget=40,
        count_tokens=words,
    )
    assert set(found.sources) >= {0, 1} and 2 not in found.sources


def test_without_a_question_the_telling_and_the_new_is_kept() -> None:
    text = (
        "Summarise the report. The dam holds back the river. The river feeds the dam and the lake. "
        "The river feeds the dam and the lake. A bird sang. The dam powers the city. Be brief."
    )
    kept = compress(text, token_budget=20, count_tokens=words, min_tokens=0).text
    assert kept.startswith("Summarise the report.") and kept.endswith("Be brief.")
    assert kept.count("The river feeds the dam") == 1 and "bird" not in kept


def test_protected_content() -> None:
    text = f"{FACTS['Rome']}\n{CODE}\nThe {{name}} is left. Keep ID-77 here. {FACTS['Oslo']}"
    found = compress(text, "Which river?", token_budget=26, count_tokens=words, protect=r"ID-\d+")
    assert all(kept in found.text for kept in (CODE, "{name}", "ID-77", "The Tiber runs"))
    documents = [FACTS["Rome"], CODE, f"Keep ID-77. {FACTS['Oslo']}"]
    found = compress(
        documents, "Which river?", token_budget=9, count_tokens=words, protect=["ID-77"]
    )
    assert "ID-77" in found.text and "os.name" not in found.text


def test_a_list_of_one_document_is_a_list() -> None:
    document = f"{FACTS['Rome']}\n{CODE}\n{FACTS['Oslo']}"
    found = compress(
        [document], "Which river runs through Rome?", token_budget=6, count_tokens=words
    )
    assert found.text == "The Tiber runs through it."
    with pytest.raises(FrugalError, match="what is protected alone has 5"):
        compress(document, "Which river?", token_budget=4, count_tokens=words)
    found = compress(
        document, "Which river?", token_budget=5, count_tokens=words, on_overflow="drop"
    )
    assert found.text == "The Tiber runs through it."


@pytest.mark.parametrize(
    ("documents", "patterns"),
    [(CODE, ()), (FACTS["Rome"], "Rome.*"), ([FACTS["Rome"], "b"], ["Rome.*"]), ("x" * 500, ())],
)
def test_an_overflow_is_an_error_or_kept(documents: Any, patterns: Any) -> None:
    with pytest.raises(FrugalError, match=r"the budget of 2 tokens is too small.*on_overflow"):
        compress(documents, "Why?", token_budget=2, protect=patterns)
    kept = compress(documents, "Why?", token_budget=2, protect=patterns, on_overflow="keep")
    assert kept.text and kept.budget is not None and kept.tokens_after > kept.budget


@pytest.mark.parametrize(
    ("arguments", "unchanged"),
    [
        ({"ratio": 2, "min_tokens": 1000}, "short: 64 tokens, fewer than 1000"),
        ({"ratio": 2, "cached_share": 0.9}, "cheaper unchanged: "),
        ({"ratio": 20, "cached_share": 0.9}, ""),
        ({"ratio": 2, "cached_share": 0.2}, ""),
        ({"ratio": 2}, ""),
        ({"token_budget": 20, "min_tokens": 1000, "cached_share": 0.9}, ""),
    ],
)
def test_does_it_pay(arguments: dict[str, Any], unchanged: str) -> None:
    prices = {"m": [2.0, 8.0, 0.2]}
    found = compress(
        DOCUMENTS,
        "When?",
        model="m",
        prices=prices,
        count_tokens=words,
        **{"min_tokens": 0, **arguments},
    )
    assert found.unchanged.startswith(unchanged) and bool(found.unchanged) == bool(unchanged)
    assert found.usd_saved == pytest.approx((found.tokens_before - found.tokens_after) * 2e-6)
    assert (found.tokens_before == found.tokens_after) == bool(unchanged)


def test_an_embedder_is_heard() -> None:
    def embed(texts: list[str]) -> Sequence[Sequence[float]]:
        return [[float("fjord" in text or "sea" in text), 0.1] for text in texts]

    question = "Is it by the sea?"
    limit: dict[str, Any] = {"token_budget": 8, "count_tokens": words}
    assert "fjord" not in compress(DOCUMENTS, question, **limit).text
    assert "fjord" in compress(DOCUMENTS, question, embed=embed, **limit).text


def test_function_words_go_only_if_asked_for() -> None:
    text = "The bridge of the city is not the oldest of the land. " + FACTS["Rome"]
    limit: dict[str, Any] = {"token_budget": 16, "count_tokens": words, "min_tokens": 0}
    plain = compress(text, "Is the bridge old?", **limit)
    found = compress(text, "Is the bridge old?", word_ratio=1.3, **limit)
    assert all(part.text in text for part in plain.parts)
    assert found.tokens_after <= 16 and "not" in found.text and "bridge" in found.text
    assert [p.reason for p in found.dropped].count("function words") > 0
    assert len(found.text.split()) <= 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"documents": 7}, "give a string, a Document"),
        ({"documents": [7]}, "document 0 is int"),
        ({"documents": b"x"}, "documents are bytes"),
        ({"question": 7}, "question is int"),
        ({"ratio": 0.5}, "ratio=0.5"),
        ({"ratio": float("nan")}, "ratio=nan"),
        ({"ratio": "4"}, "ratio='4'"),
        ({"ratio": True}, "ratio=True"),
        ({"token_budget": 0}, "token_budget=0"),
        ({"token_budget": -5}, "token_budget=-5"),
        ({"ratio": 2, "token_budget": 9}, "give one of them"),
        ({"on_overflow": "what"}, "on_overflow='what'"),
        ({"protect": ["("]}, "regular expressions"),
        ({"word_ratio": 2}, "word_ratio=2"),
        ({"cached_share": 0.5}, "needs a price"),
        ({"model": "nobody-knows-me"}, "unpriced model"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(FrugalError, match=message):
        compress(**{"documents": "text", **arguments})


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Context: it rains.\nQuestion: Where?\nAnswer:", "Where?"),
        (
            "Question: Where does it rain?\nContext: It rains in Lima.\nAnswer:",
            "Where does it rain?",
        ),
        ("**Question:**\nWhere is it?\n\ntext", "Where is it?"),
        ("It rains. It pours.\n\nWho is wet? Tell me.", "Who is wet?"),
        ("Where is Lima?\n\n" + FACTS["Lima"], "Where is Lima?"),
        ("雨が降る。\n質問：どこで降りますか。", "どこで降りますか。"),
        (FACTS["Lima"] + "\n\nName the founder.", "Name the founder."),
        (FACTS["Lima"], ""),
        ("", ""),
        ("\n", ""),
    ],
)
def test_the_question_in_a_prompt(text: str, question: str) -> None:
    assert find_question(text) == question


def test_a_prompt_of_several_turns() -> None:
    turns = [Turn("Be brief. " * 9, human=False), Turn(" ".join(FACTS.values()) * 3), Turn("Who?")]
    found = compress_prompt(turns, token_budget=60, count_tokens=words)
    assert [one is None for one in found] == [True, False, True]
    assert found[1] is not None and found[1].tokens_after <= 60 - 18 - 1
    assert compress_prompt([], ratio=2) == []


@pytest.mark.parametrize("name", ["order 10023{}", "customer10023{}", "getUserName{}"])
def test_long_numbers_and_names_are_told_apart(name: str) -> None:
    texts = [f"The {name.format(n)} was shipped by truck on a rainy day." for n in range(400, 430)]
    for n in range(400, 430):
        found = compress(texts, f"How was {name.format(n)} shipped?", ratio=5)
        assert name.format(n) in found.text


def test_quotation_marks_around_a_whole_context_do_not_keep_or_drop_it() -> None:
    lines = [f"The bridge in town {n} was opened by mayor {n} in spring." for n in range(40)]
    text = 'Answer from the text.\n\n"""\n' + "\n".join(lines) + '\n"""'
    found = compress(text, "Who opened the bridge in town 17?", token_budget=120)
    assert "mayor 17" in found.text and found.tokens_after > 40


def test_paragraphs_of_other_systems_stay() -> None:
    text = "Lima is old.\r\n\r\nFog is common in winter.\r\n\r\nRain is rare in Lima, though."
    found = compress(text, "Is Lima old, and is rain rare in Lima?", token_budget=13, min_tokens=0)
    assert found.text == "Lima is old.\n\nRain is rare in Lima, though."


@pytest.mark.parametrize(
    "code",
    [
        'Use `{"a": 1}` here.',
        '<pre>{ "a": 1, "b": 2 }</pre>',
        'def f():\n    return {"a": 1, "b": [1, 2]}\n',
        'payload = ["x",\n  "b"]',
    ],
)
def test_json_in_code_stays_as_it_is(code: str) -> None:
    assert code in compress(code + "\n\nLima is old. " * 20, "Is Lima old?", token_budget=5000).text


@pytest.mark.parametrize("budget", [20, 40, 60, 100])
@pytest.mark.parametrize(
    "sentence",
    [
        "पेरू की राजधानी लीमा है और इसकी स्थापना सन् पंद्रह सौ "
        "पैंतीस में फ्रांसिस्को पिजारो ने की थी जो बाद में देश का "
        "सबसे बड़ा शहर बन गया और आज वहाँ लगभग एक करोड़ लोग रहते हैं "
        "जो देश की आबादी का तीसरा भाग हैं",
        "페루의 수도는 리마이며 이 도시는 천오백삼십오 년에 "
        "프란시스코 피사로가 세웠고 나중에 그 나라에서 가장 큰 "
        "도시가 되었으며 오늘날 약 천만 명이 살고 있어 전체 인구의 "
        "삼분의 일을 차지한다고 알려져 있으며 음식으로도 유명하다",
    ],
    ids=["Hindi", "Korean"],
)
def test_a_long_sentence_of_many_tokens_is_cut(sentence: str, budget: int) -> None:
    found = compress([sentence, sentence[::-1]], sentence[:20], token_budget=budget)
    assert budget / 2 < found.tokens_after <= budget


def test_long_code_without_a_fence_goes_by_groups_of_lines() -> None:
    methods = [
        f"    def method_{i}(self, value):\n        return self.helper_{i}(value) + {i}"
        for i in range(30)
    ]
    code = "\n\n".join(["class Store:\n    size = 1", *methods])
    found = compress(code, "What does method_17 return?", token_budget=200)
    assert "return self.helper_17(value) + 17" in found.text
    assert found.tokens_after > 150
    lines = iter(code.splitlines())
    assert all(line in lines for line in found.text.splitlines()), "whole, and in order"


def test_an_array_of_records_loses_whole_records() -> None:
    rows = [{"id": i, "city": f"Town {i}", "note": "a, b\n[c]"} for i in range(40)]
    text = json.dumps(rows, indent=2)
    found = compress(text, "Where is Town 17?", token_budget=200)
    left = json.loads(found.text)
    assert rows[17] in left and [row for row in rows if row in left] == left
    assert 150 < found.tokens_after <= 200
    assert len(found.parts) == len(rows) and {part.document for part in found.parts} == {0}
    with pytest.raises(FrugalError, match="too small"):
        compress(text, token_budget=5)


def test_what_stands_under_several_titles_fills_what_is_left() -> None:
    said = "Revenue grew by five percent in the year. Costs fell."
    reports = [Document(said, f"Report {year}") for year in range(2015, 2021)]
    assert len(compress(reports, "revenue", token_budget=60).documents) > 2
    again = [Document(said, "Report"), Document(f"{said} Fine.", "Report")]
    assert compress(again, "revenue", token_budget=22, count_tokens=words).text.count("fell") == 1


def test_importing_is_light() -> None:
    program = "import sys, frugal_core.compress; print({'numpy', 'scipy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout.strip() == "set()", ran.stderr
