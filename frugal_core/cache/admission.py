"""What may be served or kept by meaning, what only word for word, and what not at all.

The certified threshold speaks of questions that stand for themselves and of answers that are read.
Whatever else a model is asked or says is left to the exact layer.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import Literal

from frugal_core.answers import Answer
from frugal_core.cache.asking import asked_in
from frugal_core.cache.refusals import refuses

_LOG = logging.getLogger("frugal_core")

Layers = Literal["none", "exact", "semantic"]
"""Where an answer is kept: nowhere, for the same words alone, or for other wordings too."""

WARM = 0.3
"""Temperature above which answers are meant to differ."""
_ACTS = re.compile(
    r"^\s*Action:.*?^\s*Action Input:|<execute>", re.IGNORECASE | re.MULTILINE | re.DOTALL
)
_OBSERVES = re.compile(r"\A\s*Observation:", re.IGNORECASE)
_SCHEMA = re.compile(r"\bJSON schema (?:to follow|below)\b", re.IGNORECASE)
_WORK = (
    r"(?:translat|transliterat|proofread|spell-?check|rewrit|rephras|reword|paraphras)\w*"
    r"|correct|edit|count\ (?:the\ |all\ )?(?:words|letters|characters|syllables)"
)
_WORKS_ON_WORDING = re.compile(
    rf"""(?:^|[.!?:\n]|\byour\ (?:task|job)\ is\ to\b|\byou\b)\s*
            (?:please\ |always\ |will\ )?(?:{_WORK})\b
        |\byou\ are\ an?\ [\w ]{{0,30}}(?:translator|proofreader|copy\ ?editor|grammar|spell)
        |\b(?:the|this|user's|following)\ (?:message|text|input|sentence)\b[^.!?\n]{{0,60}}
            \b(?:grammar|spelling|upper-?\ ?case|lower-?\ ?case|slug|written\ in)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_WORK_FIRST = re.compile(
    rf"""\W*(?:please\ |(?:can|could|would)\ you\ (?:please\ )?)?
        (?:{_WORK}|summari[sz]e(?:\ (?:this|the\ following)|(?=:)))\b""",
    re.IGNORECASE | re.VERBOSE,
)
_SHORT = 6
"""Words; a shorter follow-up rarely says what it is about."""
_LEANING = re.compile(
    r"""\b(
        it|its|it's|this|that|that's|these|those|they|them|their|theirs
        |he|him|his|she|her|hers|there|one|ones|both|either|neither
        |former|latter|above|previous|earlier|before|again|same|other|others|another|else|instead
        |more|less|rather|also|too|first|second|third|fourth|last|next
        |continue|elaborate|rephrase|shorten|translate|summari[sz]e
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)


def leans_on_history(question: str) -> bool:
    """Whether a question after others may mean what they were about; if in doubt, it does.

    Args:
        question: The last thing the user said, with earlier turns before it.

    Example:
        >>> leans_on_history("And the second one?")
        True
        >>> leans_on_history("Context: The old town is large.\\nQuestion: And in Rome?")
        True
        >>> leans_on_history("Why is it that expensive in the north of the country?")
        True
        >>> leans_on_history("How do I renew a passport while living in another country?")
        True
        >>> leans_on_history("How do I renew a passport while living abroad?")
        False
    """
    short = len(asked_in(question).split()) < _SHORT  # what it brings with it says nothing of that
    return short or _LEANING.search(question) is not None


def acts(answer: str) -> bool:
    """Whether an answer calls a tool in words, as agents that reason in text do, or runs code.

    Args:
        answer: Its text.

    Example:
        >>> acts("Thought: I look it up.\\nAction: search\\nAction Input: {'query': 'Paris'}")
        True
        >>> acts("Thought: I can answer.\\nAnswer: Paris")
        False
    """
    return _ACTS.search(answer) is not None


def unfit(answer: Answer) -> str | None:
    """What is wrong with an answer that may be of use to who asked, but not to others; or None.

    Args:
        answer: One without a defect of its own; see `Answer.reply`.

    Example:
        >>> unfit(Answer("I'm sorry, but I can't help with that.", ended="stop"))
        'a refusal in words'
        >>> unfit(Answer("Lima is", ended="overloaded"))
        "it ended for 'overloaded'"
        >>> unfit(Answer("Sorry to hear that! You can return it within 30 days.", ended="stop"))
    """
    if not answer.finished:
        _tell_of(answer.ended[:40])
        return f"it ended for {answer.ended!r}"
    return "a refusal in words" if refuses(answer.text) else None


@lru_cache(maxsize=64)  # once for each
def _tell_of(ended: str) -> None:
    _LOG.warning(
        "answers that end for %r are not kept, since nothing here knows that as the end of a whole "
        "answer: if it is one, please report it",
        ended,
    )


def wants_schema(prompt: str) -> bool:
    """Whether a prompt asks in words for JSON of a schema, as output parsers have it do.

    A program reads the answer then, as if an output schema were bound.

    Args:
        prompt: Any of the messages.
    """
    return _SCHEMA.search(prompt) is not None


def wants_json(prompt: str) -> bool:
    """Whether it is JSON that such a prompt asks for: some ask for YAML of a JSON schema."""
    return wants_schema(prompt) and "YAML" not in prompt


@lru_cache(maxsize=32)  # the same at every call, and long
def works_on_wording(instructions: str) -> bool:
    """Whether a model is told to work on the words it is sent, not to answer what they ask.

    Args:
        instructions: The system prompt.

    Example:
        >>> works_on_wording("Proofread the user's text.")
        True
        >>> works_on_wording("You answer questions about our products.")
        False
    """
    return _WORKS_ON_WORDING.search(instructions) is not None


def constrains(text: str, instructs: bool) -> bool:
    """Whether a message leaves the answer to the very same prompt.

    Args:
        text: Of the message.
        instructs: Whether it tells the model what to do with what the others say.
    """
    return wants_schema(text) or (instructs and works_on_wording(text))


def stands_for_itself(
    question: str,
    *,
    follows: bool = False,
    text_only: bool = True,
    constrained: bool = False,
    temperature: float | None = None,
    choices: int = 1,
) -> bool:
    """Whether a call may be answered by what was said to another wording of its question.

    Args:
        question: The last thing the user said.
        follows: Whether there are earlier turns.
        text_only: Whether there is nothing but text; of images and files the embedder sees nothing.
        constrained: Whether tools or an output schema are bound. Programs act on such answers, and
            names and numbers in their arguments are copied from the wording.
        temperature: As it was asked for; None if it was not.
        choices: Answers asked for at once.
    """
    if not question.strip() or not text_only or constrained or choices > 1:
        return False
    if _OBSERVES.search(question) or wants_schema(question) or _WORK_FIRST.match(question):
        return False
    # Who sets a high temperature wants another answer each time, to other words at least.
    if temperature is not None and temperature > WARM:
        return False
    return not (follows and leans_on_history(question))


def layers_of_answer(
    *,
    defect: str | None = None,
    tool_calls: bool = False,
    text: bool = True,
    keep_tool_calls: bool = False,
) -> Layers:
    """Where an answer may be kept.

    Args:
        defect: What is wrong with it: cut short, refused, empty, a broken tool call.
        tool_calls: Whether it calls tools: a repeated call acts on the world once more.
        text: Whether its content is text.
        keep_tool_calls: Whether the user wants tool calls kept; then word for word.
    """
    if defect is not None or (tool_calls and not keep_tool_calls):
        return "none"
    return "semantic" if text and not tool_calls else "exact"
