"""Language: what the forms of an English word share, and how a prompt labels its question."""

from __future__ import annotations

import re
from functools import lru_cache

LABELLED_QUESTION = re.compile(
    r"^[ \t>*#]*(?:user(?:'s)? |the |my )?(?:question|query|q|frage|pregunta|domanda|вопрос|问题|"
    r"問題|質問|คำถาม|질문)\**[ \t]*[:：]\**[ \t]*\n?[ \t]*(\S[^\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
"""Finds the question of a prompt that names it."""


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """A lower-case word without its commonest English endings."""
    if len(word) <= 3:
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            base = word[: -len(ending)]
            if len(base) > 3 and base[-1] == base[-2] and base[-1] not in "sl":
                base = base[:-1]
            return base.rstrip("e")
    if word.endswith("es") and len(word) > 4 and word[-3] in "sxzh":
        return word[:-2].rstrip("e")
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return word.rstrip("e") if len(word) > 4 else word
