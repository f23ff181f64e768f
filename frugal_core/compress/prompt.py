"""Compresses a prompt: which of its texts may be shortened, and what they are shortened for."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from frugal_core.compress.compressor import compress
from frugal_core.compress.protect import protected_spans
from frugal_core.compress.segment import segment
from frugal_core.compress.tokens import default_counter
from frugal_core.compress.values import Compression
from frugal_core.errors import FrugalError

_LABELLED = re.compile(
    r"^[ \t>*#]*(?:user(?:'s)? |the |my )?(?:question|query|q|frage|pregunta|domanda|вопрос|问题|"
    r"問題|質問|คำถาม|질문)\**[ \t]*[:：]\**[ \t]*\n?[ \t]*(\S[^\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_ASKS = re.compile(r"[?？؟][\"'”’」)\]]*$")
_LONGEST_FRAME = 600  # characters of a first or last line that is taken for an instruction
_LONGEST_QUESTION = 300
_FRAME_SHARE = 0.5  # of the budget


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
    min_tokens: int = 40,
    **options: Any,
) -> list[Compression | None]:
    """Shorten the long human texts of a prompt; all others, and the question, stay as they are.

    Args:
        turns: The texts of the prompt, in order.
        question: What is asked; by default it is looked for, see `find_question`.
        ratio: Keep at most 1/ratio of the tokens of the long human texts.
        token_budget: Keep at most so many tokens of all texts together.
        min_tokens: Human texts with fewer tokens are not long.
        options: Other arguments of `compress`.

    Returns:
        For each turn what became of it; None if it was not to be touched.

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
    long = [i for i, turn in enumerate(turns) if turn.human and tokens[i] >= max(min_tokens, 1)]
    fixed = sum(tokens) - sum(tokens[i] for i in long)
    share = 1.0
    if ratio is not None:
        share = 1 / ratio
    elif token_budget is not None and sum(tokens) > token_budget:
        share = (token_budget - fixed) / max(sum(tokens[i] for i in long), 1)
        if share <= 0 and options.get("on_overflow") != "keep":
            raise FrugalError(
                f"token_budget={token_budget}: the texts that are not to be compressed (system, AI "
                f"and tool messages, short ones) alone have {fixed} tokens"
            )
    asked = question or find_question(turns, min_tokens, count)
    found: list[Compression | None] = [None] * len(turns)
    for i in long:
        # A budget, also where a ratio was given: the whole prompt must not pass for short.
        limit = max(1, math.floor(tokens[i] * share)) if share < 1 else None
        frame = _frame(turns[i].text, asked, limit, count)
        protect = [*_listed(options.get("protect", ())), *map(_line_end, frame)]
        found[i] = compress(
            turns[i].text,
            asked,
            token_budget=limit,
            min_tokens=min_tokens,
            **{**options, "protect": protect},
        )
    return found


def find_question(turns: Sequence[Turn], min_tokens: int = 40, count: Any = None) -> str:
    """What the last human text asks; empty if that cannot be seen.

    A short text asks as a whole. Of a long one: what follows a label such as "Question:", else the
    last sentence with a question mark in its last three lines or its first, else its last line if
    that is short.

    Example:
        >>> find_question([Turn("Context: it rains.\\nQuestion: Where does it rain?\\nAnswer:")], 5)
        'Where does it rain?'
    """
    text = next((turn.text for turn in reversed(turns) if turn.human and turn.text.strip()), "")
    if (count or default_counter())(text) < min_tokens:
        return text.strip()
    labelled = _LABELLED.findall(text)
    if labelled:
        return str(labelled[-1]).strip()
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    for line in (*lines[:-4:-1], lines[0]):
        pieces = [line[p.start : p.end] for p in segment(line, protected_spans(line))]
        asking = [p for p in pieces if _ASKS.search(p) and len(p) <= _LONGEST_QUESTION]
        if asking:
            return asking[-1]
    last = lines[-1]
    is_short = len(lines) > 1 and len(last) <= _LONGEST_QUESTION and not last.endswith((":", "："))
    return last if is_short else ""


def _frame(text: str, question: str, limit: int | None, count: Any) -> list[str]:
    """The question and, where they are short, the first and the last line: the instructions."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    frame = [question] if question and question in text else []
    left = _FRAME_SHARE * (limit or math.inf) - sum(map(count, frame))
    for line in [lines[-1], lines[0]] if len(lines) > 2 else []:
        tokens = count(line)
        if len(line) <= _LONGEST_FRAME and tokens <= left:
            frame.append(line)
            left -= tokens
    return frame


def _line_end(text: str) -> re.Pattern[str]:
    """Finds a text at the end of a line; elsewhere a short one would match by chance."""
    return re.compile(rf"(?<!\w){re.escape(text)}[ \t]*$", re.MULTILINE)


def _listed(patterns: Any) -> list[Any]:
    return [patterns] if isinstance(patterns, str | re.Pattern) else list(patterns)
