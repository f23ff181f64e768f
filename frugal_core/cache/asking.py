"""What in a text is asked, and what stands around it: context must match exactly.

Prompts often hold retrieved passages and the question in one message. Passages about "city 3" and
"city 4" mean nearly the same to an embedder.
"""

from __future__ import annotations

import re

from frugal_core.cache.wording import has_meaning
from frugal_core.language import LABELLED_QUESTION

_MATERIAL = re.compile(
    r"""^\s*[#<\[*]*\s*
        (?:(?:context|document|passage|source|excerpt|article|transcript|background|history)s?
           |text|content|data|input|information|e-?mail|conversation|facts)
        \b[^\n?]{0,40}[:>\]]
      |^\s*(?:-{3,}|={3,}|`{3}|"{3}|\#{2,}\s)
      |\bcontext\s+(?:information\s+is\s+)?below\b""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_MATERIAL_SIGNS = (":", "：", ">", "]", "---", "===", "```", '"""', "##", "below")
"""Of which any material or label has one; few questions do, and every lookup looks for it."""
_LABELS = re.compile(
    r"""\s*[A-Z][\w ]{1,30}[:：]\s.*
        (?:[.!?…]\s|\b(?:question|query|frage|pregunta|domanda)\ ?:)""",
    re.VERBOSE,
)
"""A label, and more than one sentence: what stands before the question may be its context."""
_LONG = 50
"""Words; longer than any question that the shipped certificate rests on, and than most others."""
_SENTENCES = re.compile(r"[.!?…]\s")
_PLACE = "\0"


def split(text: str) -> tuple[str, str] | None:
    """A text as the question in it and the rest; None if it is not clear what is asked.

    Args:
        text: One line is a question, unless it is long or brings its context. Of several lines, the
            question is what follows a label such as "Question:", or the only line with a question
            mark, if that is one sentence.

    Returns:
        The question, which has words to compare, and the text without it, empty for one line.

    Example:
        >>> split("What is the capital of Peru?")
        ('What is the capital of Peru?', '')
        >>> split("Context: Lima is old.\\nQuestion: How old is Lima?")
        ('How old is Lima?', 'Context: Lima is old.\\nQuestion: \\x00')
        >>> split("Mend this:\\nreturn x - 1")
        >>> split("Knowledge: The order is shipped. Question: Where is my order?")
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        brings_context = len(text.split()) > _LONG or _brings_material(text)
        return None if brings_context or not has_meaning(text) else (text, "")
    asking = [str(found).strip() for found in LABELLED_QUESTION.findall(text)]
    asking = asking or [line for line in lines if line.endswith(("?", "？", "؟"))]
    # A question mark says less than a label: what stands before it on its line may be context.
    if not LABELLED_QUESTION.search(text) and any(map(_SENTENCES.search, asking)):
        return None
    if len(asking) != 1 or text.count(asking[0]) != 1 or not has_meaning(asking[0]):
        return None
    return asking[0], text.replace(asking[0], _PLACE)


def _brings_material(text: str) -> bool:
    lower = text.lower()
    if not any(sign in lower for sign in _MATERIAL_SIGNS):
        return False
    return _MATERIAL.search(text) is not None or _LABELS.match(text) is not None


def asked_in(text: str) -> str:
    """The question in a text; the text itself where that is not clear."""
    found = split(text)
    return found[0] if found else text
