"""Compresses a prompt: which of its texts may be shortened, and what they are shortened for."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from frugal_core.compress.compressor import compress
from frugal_core.compress.protect import protected_spans
from frugal_core.compress.segment import segment
from frugal_core.compress.values import Compression
from frugal_core.errors import FrugalError
from frugal_core.language import LABELLED_QUESTION
from frugal_core.tokens import Counter, default_counter

_ASKS = re.compile(r"[?？؟][\"'”’」)\]]*$")
_LONGEST_FRAME = 600  # characters of a first or last line that is taken for an instruction
_LONGEST_QUESTION = 300
_LONGEST_ASKING = 200  # tokens of a message that asks and does nothing else
_FRAME_SHARE = 0.2  # of the budget; a longer first line is likely context


@dataclass(frozen=True)
class Turn:
    """One text of a prompt.

    Args:
        text: The text.
        human: Whether the user says it; only then it may be shortened.
    """

    text: str
    human: bool = True


def compress_prompt(
    turns: Sequence[Turn],
    question: str | None = None,
    *,
    ratio: float | None = None,
    token_budget: int | None = None,
    min_tokens: int = 100,
    **options: Any,
) -> list[Compression | None]:
    """Shorten the long human texts of a prompt; all others, and the question, stay as they are.

    Args:
        turns: The texts of the prompt, in order.
        question: What is asked; by default what the last human text asks.
        ratio: Keep at most 1/ratio of the tokens of the long human texts.
        token_budget: Keep at most so many tokens of all texts together.
        min_tokens: Human texts with fewer tokens are not long; they stay unless nothing else can
            bring the prompt within the budget.
        options: Other arguments of `compress`.

    Returns:
        For each turn what became of it; None if it was not to be touched. Human texts that are too
        short are `unchanged`.

    Raises:
        FrugalError: if the texts that stay are over the budget alone; see `compress`.

    Example:
        >>> long = Turn("It rains. " * 30 + "\\n\\nWill it rain?")
        >>> found = compress_prompt([Turn("Be brief.", human=False), long], token_budget=12)
        >>> [one and one.text for one in found]
        [None, 'It rains.\\n\\nWill it rain?']
    """
    count = options.get("count_tokens") or default_counter()
    tokens = [count(turn.text) for turn in turns]
    over = token_budget is not None and sum(tokens) > token_budget
    open_to = _open(turns, tokens, min_tokens, over)
    asked = question or _asked(turns, open_to)
    fixed = sum(tokens) - sum(tokens[i] for i in open_to)
    share = 1.0
    if ratio is not None:
        share = 1 / ratio
    elif token_budget is not None and over:
        share = (token_budget - fixed) / max(sum(tokens[i] for i in open_to), 1)
        if share <= 0 and options.get("on_overflow") != "keep":
            raise FrugalError(
                f"token_budget={token_budget}: the texts that are not to be compressed (system, AI "
                f"and tool messages, the question) alone have {fixed} tokens. Allow more, or keep "
                f'them with on_overflow="keep"'
            )
    found: list[Compression | None] = [None] * len(turns)
    for i, turn in enumerate(turns):
        if i not in open_to:
            continue
        limit = max(1, math.floor(tokens[i] * share)) if share < 1 else None
        frame = _frame(turn.text, asked, limit, count)
        protect = [*_listed(options.get("protect", ())), *map(_line_end, frame)]
        found[i] = compress(
            turn.text,
            asked,
            ratio=ratio,
            token_budget=None if ratio else limit,
            min_tokens=0 if over else min_tokens,
            **{**options, "protect": protect},
        )
    return found


def _open(turns: Sequence[Turn], tokens: Sequence[int], least: int, over: bool) -> set[int]:
    """Numbers of the turns that may be shortened."""
    human = [i for i, turn in enumerate(turns) if turn.human and turn.text.strip()]
    longest = max((tokens[i] for i in human), default=0)
    # A short last message after longer ones is the question.
    asks = len(human) > 1 and tokens[human[-1]] < min(_LONGEST_ASKING, longest)
    free = human[:-1] if asks else human
    long = [i for i in free if tokens[i] >= least]
    return set(long if over and long else free)


def _asked(turns: Sequence[Turn], open_to: Collection[int]) -> str:
    """What the last human text asks; one that stays as it is asks as a whole."""
    human = [i for i, turn in enumerate(turns) if turn.human and turn.text.strip()]
    if not human:
        return ""
    last = turns[human[-1]].text
    return find_question(last) if human[-1] in open_to else last.strip()


def find_question(text: str) -> str:
    """The question in a prompt that is one text; empty if none can be seen.

    It is what follows a label such as "Question:", else the last sentence with a question mark in
    the last three lines or the first, else the last line or the first, if that is short.

    Example:
        >>> find_question("Context: it rains.\\nQuestion: Where does it rain?\\nAnswer:")
        'Where does it rain?'
    """
    labelled = LABELLED_QUESTION.findall(text)
    if labelled:
        return str(labelled[-1]).strip()
    lines = _lines(text)
    if not lines:
        return ""
    for line in (*lines[:-4:-1], lines[0]):
        pieces = [line[p.start : p.end] for p in segment(line, protected_spans(line))]
        asking = [p for p in pieces if _ASKS.search(p) and len(p) <= _LONGEST_QUESTION]
        if asking:
            return asking[-1]
    ends = [lines[-1], lines[0]] if len(lines) > 1 else []
    short = (line for line in ends if len(line) <= _LONGEST_QUESTION)
    return next((line for line in short if not line.endswith((":", "："))), "")


def _frame(text: str, question: str, limit: int | None, count: Counter) -> list[str]:
    """The question and, where they are short, the first and the last line: the instructions."""
    lines = _lines(text)
    frame = [question] if question and question in text else []
    left = _FRAME_SHARE * (limit or math.inf)
    for line in [lines[-1], lines[0]] if len(lines) > 2 else []:
        tokens = 0 if question and line.endswith(question) else count(line)
        if len(line) <= _LONGEST_FRAME and tokens <= left:
            frame.append(line)
            left -= tokens
    return frame


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _line_end(text: str) -> re.Pattern[str]:
    """Finds a text at the end of a line; elsewhere a short one would match by chance."""
    return re.compile(rf"(?<!\w){re.escape(text)}[ \t]*$", re.MULTILINE)


def _listed(patterns: Any) -> list[Any]:
    return [patterns] if isinstance(patterns, str | re.Pattern) else list(patterns)
