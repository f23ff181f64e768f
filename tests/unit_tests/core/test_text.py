"""Text features: the same for one text and for many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.text import Vectoriser, find_scaffold, strip_scaffold

TEXTS = [f"gold rises {i % 7} % while silver falls $ {i}" for i in range(40)]


def test_one_text_has_the_features_of_its_row() -> None:
    vectoriser = Vectoriser.fit(TEXTS)
    unseen = [*TEXTS, "", "gold gold gold", "completely unknown", "GOLD Rises"]
    matrix = vectoriser.matrix(unseen)
    for i, text in enumerate(unseen):
        columns, values = vectoriser.vector(text)
        row = np.zeros(len(vectoriser.terms))
        row[columns] = values
        np.testing.assert_array_equal(matrix[i].toarray()[0], row)


def test_an_empty_text_and_no_text_have_no_features() -> None:
    vectoriser = Vectoriser.fit(TEXTS)
    assert vectoriser.matrix(["", "?!"]).nnz == 0
    assert vectoriser.matrix([]).shape == (0, len(vectoriser.terms))


def test_case_is_folded_and_rare_words_weigh_more() -> None:
    vectoriser = Vectoriser.fit(["the common word", "the rare word", "the other word"])
    assert "rare" in vectoriser.terms and "Rare" not in vectoriser.terms
    idf = dict(zip(vectoriser.terms, vectoriser.idf, strict=True))
    assert idf["rare"] > idf["word"]
    for a, b in (("THE RARE Word", "the rare word"), ("STRASSE", "straße")):
        np.testing.assert_array_equal(vectoriser.vector(a)[0], vectoriser.vector(b)[0])


def test_terms_of_one_query_are_left_out_of_large_recordings() -> None:
    texts = [f"gold unique{chr(97 + i % 26)}{i}" for i in range(500)]
    terms = Vectoriser.fit(texts).terms
    assert "gold" in terms and not any(term.startswith("unique") for term in terms)
    small = Vectoriser.fit(texts[:100]).terms
    assert any(term.startswith("unique") for term in small)


def test_the_number_of_terms_is_bounded_and_the_most_frequent_stay() -> None:
    texts = [f"gold w{i} v{i}" for i in range(300)]
    terms = Vectoriser.fit(texts, most_terms=50).terms
    assert len(terms) == 50 and "gold" in terms


def test_scripts_without_spaces_give_features() -> None:
    vectoriser = Vectoriser.fit(["金价上涨", "金价下跌", "股市上涨"])
    shared = set(vectoriser.vector("金价上涨")[0]) & set(vectoriser.vector("金价暴跌")[0])
    assert shared


def test_a_very_long_text_is_read_at_both_ends_in_bounded_time() -> None:
    vectoriser = Vectoriser.fit(["first words", "last words", "middle"])
    known = {vectoriser.terms[i] for i in vectoriser.vector(f"first {'x ' * 200_000} last")[0]}
    assert {"first", "last"} <= known


PROMPT = "Answer in one word.\n\nQ: old example\nA: up\n\n"


def test_the_scaffold_of_a_prompt_is_found_and_left_out() -> None:
    texts = [f"{PROMPT}Q: question {i}\nA:" for i in range(20)]
    scaffold = find_scaffold(texts)
    assert "Answer in one word." in scaffold and "A:" in scaffold
    assert strip_scaffold(texts[3], scaffold) == "Q: question 3"
    vectoriser = Vectoriser.fit(texts)
    assert "example" not in vectoriser.terms and "question" in vectoriser.terms
    columns, _ = vectoriser.vector(texts[3])
    np.testing.assert_array_equal(columns, vectoriser.vector("Q: question 3")[0])


def test_a_text_that_is_all_scaffold_is_kept_whole() -> None:
    assert strip_scaffold("A:\nB:", frozenset({"A:", "B:"})) == "A:\nB:"
    assert strip_scaffold("A:\n  ", frozenset({"A:"})) == "A:\n  "


def test_a_few_texts_have_no_scaffold() -> None:
    assert find_scaffold([PROMPT] * 9) == frozenset()
    assert find_scaffold([]) == frozenset()


@given(st.lists(st.text(max_size=40), max_size=8), st.text(max_size=60))
def test_any_text_gives_finite_features_of_bounded_length(texts: list[str], text: str) -> None:
    vectoriser = Vectoriser.fit(texts)
    columns, values = vectoriser.vector(text)
    assert len(set(columns.tolist())) == len(columns) == len(values)
    assert np.isfinite(values).all() and (values > 0).all()
    assert values @ values <= 2 + 1e-9
    assert ((columns >= 0) & (columns < len(vectoriser.terms))).all()


@pytest.mark.parametrize("odd", ["\ud83d", "\x00", "🪙🪙", "٣ نعم", "a\u0301", "\u202e"])
def test_odd_characters_are_taken(odd: str) -> None:
    vectoriser = Vectoriser.fit([odd, f"gold {odd}"])
    assert np.isfinite(vectoriser.vector(odd)[1]).all()


def test_a_word_said_twice_weighs_more_but_not_twice_as_much() -> None:
    vectoriser = Vectoriser.fit(TEXTS)
    columns, values = vectoriser.vector("gold gold silver")
    weight = {
        vectoriser.terms[c]: v / vectoriser.idf[c] for c, v in zip(columns, values, strict=True)
    }
    assert weight["gold"] / weight["silver"] == pytest.approx(1 + np.log(2))
