"""What a large model is asked for better prompts, and which of its proposals can be tried."""

from __future__ import annotations

from collections.abc import Sequence
from string import Formatter

from frugal_core.adapt.numbered import read_answers
from frugal_core.adapt.rows import Example

_ASK = """\
You write prompts for a small, cheap language model. Below is the prompt it gets today, and some \
queries with the answers that would be right. Write {n} other prompts for the same task. Make them \
differ: some much shorter than today's, some clearer about what a right answer is and how it must \
be written. Keep everything the task needs. Do not copy the queries below into a prompt.{names}

<prompt>
{prompt}
</prompt>

{examples}

Reply with one JSON object and nothing else: its keys are the numbers "1" to "{n}", its values the \
prompts as strings."""

_NAMES = (
    " Each prompt must hold these placeholders exactly as they stand, once each, and no other "
    "braces: {names}."
)


def ask_for_prompts(
    prompt: str, examples: Sequence[Example], n: int, names: Sequence[str] = ()
) -> str:
    """The request for better prompts.

    Args:
        prompt: Today's.
        examples: To show what is asked and what is right; none of those that will test.
        n: How many prompts are wanted.
        names: Placeholders that the prompt fills in.
    """
    shown = "\n\n".join(
        f"<query>\n{example.text}\n</query>\n<answer>\n{example.answer}\n</answer>"
        for example in examples
    )
    braces = _NAMES.format(names=", ".join(f"{{{name}}}" for name in names)) if names else ""
    return _ASK.format(n=n, names=braces, prompt=prompt, examples=shown)


def read_prompts(
    text: str, prompt: str, n: int, names: Sequence[str] = ()
) -> tuple[list[str], list[tuple[str, str]]]:
    """The prompts in a reply to `ask_for_prompts`.

    Args:
        text: The reply.
        prompt: Today's prompt; it is no proposal.
        n: How many were wanted.
        names: Placeholders that each must hold.

    Returns:
        Those that can be tried, and the others, each with the reason.
    """
    usable: list[str] = []
    refused: list[tuple[str, str]] = []
    seen = {_spaced(prompt)}
    for proposal in read_answers(text, n).values():
        why = _unfit(proposal, names)
        if _spaced(proposal) in seen:
            why = "proposed twice, or today's prompt"
        if why is None:
            usable.append(proposal)
        else:
            refused.append((proposal, why))
        seen.add(_spaced(proposal))
    return usable, refused


def placeholders(template: str) -> list[str]:
    """The names in the braces of a template, each once; none if the braces are no template's.

    Example:
        >>> placeholders("Answer {question} in {language}.")
        ['question', 'language']
    """
    try:
        names = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError:
        return []
    return list(dict.fromkeys(names)) if all(name.isidentifier() for name in names) else []


def _unfit(proposal: str, names: Sequence[str]) -> str | None:
    if not names:
        return None
    try:
        found = [name for _, name, _, _ in Formatter().parse(proposal) if name is not None]
    except ValueError:
        return "its braces are not those of a template"
    if sorted(set(found)) != sorted(set(names)):
        return f"its placeholders are {found}, not {list(names)}"
    return None


def _spaced(text: str) -> str:
    return " ".join(text.split())
