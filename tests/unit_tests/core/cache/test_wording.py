from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.cache.guard import objection, passes_away
from frugal_core.cache.lexicon import Lexicon, english
from frugal_core.cache.wording import compare, read
from frugal_core.language import stem

SMALL = Lexicon.of(
    {"buy": 3.0, "cheap": 4.0},
    9.0,
    [["buy", "purchas"], ["cheap", "inexpensiv"], ["hous", "home"]],
    [["buy", "sell"], ["cheap", "dear"]],
    [["decid", "decision"]],
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What's it?", "what is it"),
        ("I can't, won't and don't", "i can not will not and do not"),
        ("Ann's house", "ann house"),
        ("two and 1,000 and 3.5%", "2 and 1000 and 3.5 %"),
        ("İstanbul 東京 naïve", "i stanbul 東京 naïve"),
        ("", ""),
    ],
)
def test_words_are_written_out(text: str, words: str) -> None:
    assert " ".join(read(text).words).replace("i̇", "i ") == words


def test_a_contraction_alone_is_read() -> None:
    assert read("N'T").words == ("not",)


def test_an_acronym_is_not_the_small_word_that_is_spelled_so() -> None:
    assert {"usa", "IT"} <= read("Do US firms need IT?").content
    assert read("What does it do to us?").content.isdisjoint({"usa", "IT"})
    assert "usa" in read("Is living in the U.S. cheap?").content
    assert not read("WHAT DOES IT DO TO US?").names


def test_names_are_capitals_within_a_sentence() -> None:
    assert read("Why did Apple sue Samsung? Because of I.").names == {stem("apple"), "samsung"}


def test_of_long_texts_beginning_and_end_are_read() -> None:
    long = "start " + "x" * 5000 + " end"
    assert read(long).words[0] == "start" and read(long).words[-1] == "end"
    assert len(read("word " * 500_000).words) < 1000


@pytest.mark.parametrize(
    ("one", "other"),
    [("cities", "city"), ("running", "run"), ("stopped", "stop"), ("houses", "house")],
)
def test_stems_join_the_forms_of_a_word(one: str, other: str) -> None:
    assert stem(one) == stem(other)


def test_what_is_left_of_a_difference_are_words_without_a_partner() -> None:
    new, old = read("How to buy a cheap house in Paris"), read("How to purchase a cheap home")
    difference = compare(new, old, SMALL)
    assert difference.pairing.synonyms == 2
    assert difference.pairing.rest_new == ("paris",) and difference.pairing.rest_old == ()


def test_opposites_are_no_synonyms() -> None:
    difference = compare(read("buy shares"), read("sell shares"), SMALL)
    assert difference.opposites == 1 and difference.pairing.rest_new == ("buy",)


def test_a_misspelling_is_paired_off_but_not_two_known_words() -> None:
    pairs = [
        ("acommodation", "accommodation"),
        ("form", "farm"),
        ("iran", "iraq"),
        ("xyzza", "xyzzb"),
    ]
    found = [
        compare(read(one), read(other), english()).pairing.misspellings for one, other in pairs
    ]
    assert found == [1, 0, 0, 0]


ORIGINAL = "How do I transfer money from Chase to Wells Fargo in 2015?"


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("How do I transfer money from Chase to Wells Fargo in 2016?", "numbers"),
        ("How do I not transfer money from Chase to Wells Fargo in 2015?", "negation"),
        ("How do I transfer money from Wells Fargo to Chase in 2015?", "order"),
        ("How do I transfer money from Wachovia to Wells Fargo in 2015?", "names"),
        ("How can I transfer money from Chase to Wells Fargo in 2015?", None),
        ("How can I transfer money from Chase to Wells Fargo?", None),
        ("how do i transfer money from chase to wells fargo in 2015", None),
        ("HOW DO I TRANSFER MONEY FROM CHASE TO WELLS FARGO IN 2015", None),
    ],
)
def test_guards(asked: str, why: str | None) -> None:
    new, old = read(asked), read(ORIGINAL)
    assert objection(new, old, compare(new, old, english())) == why


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I learn C?", "How do I learn C++?"),
        ("What is the square root of 4?", "What is the square root of -4?"),
        ("What is 20 of 300?", "What is 20% of 300?"),
    ],
)
def test_signs_change_the_meaning_even_of_one_question(one: str, other: str) -> None:
    for new, old in ((read(one), read(other)), (read(other), read(one))):
        assert objection(new, old, compare(new, old, english())) == "numbers"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Is it legal to record calls?", "Is it illegal to record calls?"),
        ("How do I increase my weight?", "How do I decrease my weight?"),
        ("Is it possible to learn two languages?", "Is it impossible to learn two languages?"),
    ],
)
def test_opposites_are_guarded(one: str, other: str) -> None:
    new, old = read(one), read(other)
    assert objection(new, old, compare(new, old, english())) == "opposites"


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("What is the weather today?", True),
        ("What is on TV this week?", True),
        ("What time is it in Tokyo?", True),
        ("How many days are left until Christmas?", True),
        ("Wie ist das Wetter heute in Rom?", True),
        ("Quel temps fait-il aujourd'hui ?", True),
        ("今天北京天气怎么样？", True),
        ("What is the capital of France?", False),
        ("How long does it take to learn to wait until one is asked?", False),
        ("How many weeks are in a year?", False),
    ],
)
def test_what_depends_on_the_moment_passes_away(text: str, passes: bool) -> None:
    assert passes_away(read(text)) is passes


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_two_texts_can_be_compared(one: str, other: str) -> None:
    new, old = read(one), read(other)
    difference = compare(new, old, english())
    assert 0 <= difference.inversions <= 1
    assert set(difference.pairing.rest_new) <= set(difference.only_new)
    same = compare(new, new, english())
    assert same.only_new == same.only_old == () and objection(new, new, same) is None
