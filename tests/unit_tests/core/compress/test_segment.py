"""Where texts are cut, and where never."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.compress.protect import protected_spans
from frugal_core.compress.segment import segment


def pieces(text: str, longest: int = 400) -> list[str]:
    return [text[p.start : p.end] for p in segment(text, protected_spans(text), longest)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["Dr. No was released in 1962.", "It cost $1.1 million!", "Why?"],
        ['He said "I came. I saw. I won."', "Then he left."],
        ["“I came. I left,” he said.", "‘I don’t know. He’s here,’ she said.", "'No. Never.'"],
        ["„Nein. Nie.“", "»Ja. Gut,« sagte er.", "« Non. Jamais », dit-il.", "”Nej. Aldrig.”"],
        ["The dogs' bones are here.", "Don't cut.", "The '90s were good.", "It's O'Neil's."],
        ["See e.g. Fig. 3 by J. R. R. Tolkien of the U.S. Army.", "It is good."],
        ["The rate is 3.14 in v1.2.3.", "See https://a.b/c?d=1.2 for more.", "Ok."],
        ["Nach Art. 5 sind es z. B. 3,5 Mio. Euro.", "Das ist viel."],
        ["La Sra. Gil vino, p. ej. Ayer.", "Стоит 5 млн. Это много."],
        ["Am 3. Oktober ist frei.", "Am 9. November 1989 fiel die Mauer."],
        ["नमस्ते दुनिया।", "यह दूसरा वाक्य है।"],
        ["هذا نص عربي.", "وهذه جملة ثانية؟", "نعم."],
        ["Это первое предложение.", "А это второе!"],
        ["1. The first point is short.", "2. The second, too."],
        ["Is `a. B. c` code?", "It is."],
    ],
)
def test_sentences(sentences: list[str]) -> None:
    assert pieces(" ".join(sentences)) == sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("これはペンです。次の文！終わり", ["これはペンです。", "次の文！", "終わり"]),
        ("他说「不。不行」就走了。好。", ["他说「不。不行」就走了。", "好。"]),
        ("Wrapped here\nand going on. New.", ["Wrapped here\nand going on.", "New."]),
        ("A title\nA line\n- an item", ["A title", "A line", "- an item"]),
        (
            "def f(x):\n    y = 1. \n\n    return y\nNext.",
            ["def f(x):\n    y = 1. \n\n    return y", "Next."],
        ),
        (
            "Before.\n```python\nx = 1\n\ny = 'A. B'\n```\nAfter.",
            ["Before.", "```python\nx = 1\n\ny = 'A. B'\n```", "After."],
        ),
        (
            "def f(x):\n"
            "    # First. Second.\n    return {\n        'a': 1. \n    }\n\n\ndef g():\n    pass",
            [
                "def f(x):\n    # First. Second.\n    return {\n        'a': 1. \n    }",
                "def g():\n    pass",
            ],
        ),
        (
            "int main() {\n  // One. Two.\n}\nText here. More.",
            ["int main() {\n  // One. Two.\n}", "Text here.", "More."],
        ),
        ('She said "It is.\nIt was." Then.', ['She said "It is.\nIt was."', "Then."]),
        ("See <code>a. B\n\nc. D</code> now. Yes.", ["See <code>a. B\n\nc. D</code> now.", "Yes."]),
        ("  Indented. All.\n  Of it.", ["Indented.", "All.", "Of it."]),
        ("", []),
        (" \n\t ", []),
    ],
)
def test_cuts(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


def test_thai_is_cut_at_spaces_but_not_into_crumbs() -> None:
    clause = "สถานที่แห่งนี้ก่อตั้งขึ้นเมื่อนานมาแล้วในเมืองหลวง"
    assert pieces(f"{clause} {clause}") == [clause, clause]
    assert pieces("ไทย ลาว พม่า") == ["ไทย ลาว พม่า"]


@pytest.mark.parametrize("text", ["word " * 400, "我们" * 500, "one, two; three " * 100])
def test_what_is_too_long_is_cut(text: str) -> None:
    found = pieces(text, longest=120)
    assert max(map(len, found)) <= 120
    assert "".join(found).replace(" ", "") == text.replace(" ", "")


def test_a_long_word_and_a_long_number_stay_whole() -> None:
    text = f"{'x' * 900} 12 345 678 {'y' * 900}"
    assert any("12 345 678" in piece for piece in pieces(text, longest=20))


@pytest.mark.parametrize(
    "amount", ["$1,299.99 per month", "3.5 million", "USD 450 million", "12 km", "3,5 Mio."]
)
def test_a_number_and_its_unit_stay_together(amount: str) -> None:
    text = f"it is said that those who counted it all found {amount} of it in the end " * 3
    for longest in range(24, 80):
        assert sum(piece.count(amount) for piece in pieces(text, longest)) == 3


@given(st.text(st.sampled_from("aB1 .!?\n\"'`{}[]()-。我ก、") | st.characters(), max_size=200))
def test_nothing_but_white_space_is_between_the_pieces(text: str) -> None:
    position = 0
    for piece in segment(text, protected_spans(text), 20):
        assert piece.start < piece.end
        assert not text[position : piece.start].strip()
        position = piece.end
    assert not text[position:].strip()
