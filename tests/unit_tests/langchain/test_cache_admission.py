"""What may be served and kept by meaning."""

from __future__ import annotations

import time

import pytest

from frugal_core.answers import Answer
from frugal_core.cache.admission import (
    layers_of_answer,
    leans_on_history,
    stands_for_itself,
    unfit,
    works_on_wording,
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
        ("Context: Rome has many museums.\nQuestion: And in Rome?", True),
        ("Context: Rome has many museums.\nQuestion: Which museums of Rome are open?", False),
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
    ("instructions", "on_wording"),
    [
        ("Proofread the user's text. Return the corrected text.", True),
        ("Your task is to translate into formal German.", True),
        ("Count the words in the user's message.", True),
        ("Is the user's message in upper case? Answer yes or no.", True),
        ("You are a professional translator.", True),
        ("You are a helpful assistant. Be polite and use correct grammar.", False),
        ("Answer in the user's language.", False),
        ("You are an English teacher; correct answers are praised.", False),
    ],
)
def test_instructions_about_the_words_themselves(instructions: str, on_wording: bool) -> None:
    assert works_on_wording(instructions) is on_wording


@pytest.mark.parametrize("said", ["Translate to German: hello there", "Could you rephrase this: a"])
def test_work_on_words_does_not_stand_for_itself(said: str) -> None:
    assert not stands_for_itself(said)
    assert stands_for_itself("How do I translate a PDF file?")


def test_answers() -> None:
    assert layers_of_answer() == "semantic"
    assert layers_of_answer(text=False) == "exact"
    assert layers_of_answer(tool_calls=True) == "none"
    assert layers_of_answer(tool_calls=True, keep_tool_calls=True) == "exact"
    assert layers_of_answer(defect="cut short", keep_tool_calls=True) == "none"


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, I can\u2019t assist with that request.",
        "As an AI language model, I cannot provide medical advice.",
        "Unfortunately, I am unable to answer this.",
        "I apologize, but I must decline to share that.",
        "I won't help with this.",
        "I'm sorry, but as an AI language model, I cannot provide that.",
        "I apologize for the confusion, but I can't share this information.",
        "I'm afraid I can't help with that.",
        "Leider kann ich dabei nicht helfen.",
        "Es tut mir leid, aber dabei kann ich nicht helfen.",
        "Je suis désolé, mais je ne peux pas répondre.",
        "Lo siento, pero no puedo ayudarte con eso.",
        "很抱歉，我无法回答这个问题。",
    ],
)
def test_refusals_in_words_are_not_kept(text: str) -> None:
    assert unfit(Answer(text, ended="stop")) == "a refusal in words"


@pytest.mark.parametrize(
    "text",
    [
        "Paris",
        "I'm sorry to hear that! You can return it within 30 days.",
        "You cannot help with that before the age of 18.",
        "Sorry is a song by Justin Bieber; the chorus goes like this.",
        "Unfortunately, the museum is closed on Mondays.",
        "Unfortunately, we cannot offer refunds on digital goods.",
        "I can't give legal advice, but in general a tenant must give three months' notice.",
        "I can't see any problem: your code will produce the right output.",
        "I can't wait to help you plan! Day 1: Louvre.",
        "I can't help but notice that the second line is longer.",
        "As an admin, I am not allowed to create users in another tenant.",
        "We won't share your data with third parties.",
        '"I can\'t answer that" is "No puedo responder a eso" in Spanish.',
        "I can't answer that = No puedo responder a eso",
        "Es tut mir leid zu hören, dass das Paket nicht ankam. Gehen Sie auf Bestellungen.",
        "很抱歉，超过30天的商品无法退款。",
    ],
)
def test_other_answers_are_kept(text: str) -> None:
    assert unfit(Answer(text, ended="stop")) is None


@pytest.mark.parametrize("text", [" " * 4000, "." * 4000, "but " * 1000, "As an AI " + "a " * 2000])
def test_no_answer_takes_long_to_read(text: str) -> None:
    started = time.process_time()
    for length in (399, 4000):
        assert unfit(Answer(text[:length] + "x", ended="stop")) is None
    assert time.process_time() - started < 0.1


ENDS = (
    "stop STOP end_turn eos_token stopstop FINISH_REASON_UNSPECIFIEDSTOP FinishReason.STOP 1 "
    "normalnormal stopped nullstop tool_calls"
)


@pytest.mark.parametrize("ended", ["", *ENDS.split()])
def test_what_came_to_its_end_is_kept(ended: str) -> None:
    assert unfit(Answer("Paris", ended=ended)) is None


@pytest.mark.parametrize("ended", ["pause_turn", "overloaded", "stopped by an operator"])
def test_what_ended_for_a_reason_that_nobody_knows_is_not_kept(
    ended: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert ended in (unfit(Answer("Paris is", ended=ended)) or "")
    assert unfit(Answer("Paris is", ended=ended))
    assert caplog.text.count(ended) == 1, "said once"
