"""Cheaper models of the same family: what stands below a reference model if nobody says.

A plain table, kept by hand, so that a given release of this library always builds the same cascade.
A ladder stays within one provider and one family, where the parameters of the reference (sampling,
tools, response formats) mean the same for every rung. Every name is in the price table, and every
rung is cheaper than the next; the tests check both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

AS_OF = "2026-11-23"
"""The day the table was last compared with the providers' price lists."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """A family of models.

    Args:
        provider: As LangChain's `init_chat_model` calls it.
        rungs: Models from cheap to dear.
        log_probs: Whether the provider returns log-probabilities for them.
    """

    provider: str
    rungs: tuple[str, ...]
    log_probs: bool = False


LADDERS = (
    Ladder("openai", ("gpt-4o-mini", "gpt-4o"), log_probs=True),
    Ladder("openai", ("gpt-4.1-nano", "gpt-4.1-mini", "gpt-4.1"), log_probs=True),
    Ladder("openai", ("gpt-4o-mini", "gpt-4"), log_probs=True),
    Ladder("openai", ("gpt-4o-mini", "gpt-4-turbo"), log_probs=True),
    Ladder("openai", ("gpt-4o-mini", "gpt-3.5-turbo"), log_probs=True),
    Ladder("openai", ("gpt-5-nano", "gpt-5-mini", "gpt-5")),
    Ladder("openai", ("gpt-5-nano", "gpt-5-mini", "gpt-5.1")),
    Ladder("openai", ("gpt-5-nano", "gpt-5-mini", "gpt-5.2")),
    Ladder("openai", ("gpt-5.4-nano", "gpt-5.4-mini", "gpt-5.4")),
    Ladder("openai", ("gpt-5.4-nano", "gpt-5.4-mini", "gpt-5.5")),
    Ladder("openai", ("gpt-5.6-luna", "gpt-5.6-terra", "gpt-5.6-sol")),
    Ladder("openai", ("gpt-6-luna", "gpt-6-sol", "gpt-6-astra")),
    Ladder("openai", ("gpt-6-luna", "gpt-6.1-terra", "gpt-6.1-sol")),
    Ladder("openai", ("o4-mini", "o3")),
    Ladder("openai", ("o3-mini", "o1")),
    Ladder("anthropic", ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5")),
    Ladder("anthropic", ("claude-haiku-5-5", "claude-sonnet-5", "claude-opus-5")),
    Ladder("anthropic", ("claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-8")),
    Ladder("anthropic", ("claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-7")),
    Ladder("anthropic", ("claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-6")),
    Ladder("anthropic", ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5")),
    Ladder("google_genai", ("gemini-2.5-flash-lite", "gemini-2.5-flash", "gemini-2.5-pro")),
    Ladder(
        "google_genai", ("gemini-3.1-flash-lite", "gemini-3-flash-preview", "gemini-3-pro-preview")
    ),
    Ladder("google_genai", ("gemini-3.1-flash-lite", "gemini-3.1-pro-preview")),
    Ladder("google_genai", ("gemini-3.5-flash-lite", "gemini-3.8-flash", "gemini-4-argon")),
    Ladder("mistralai", ("mistral-small-2603", "mistral-large-2512")),
    Ladder("mistralai", ("mistral-small-latest", "mistral-large-4")),
    Ladder("mistralai", ("mistral-small-latest", "mistral-medium-latest")),
)

# 2024-08-06, 20251001, 0613, "latest", "001": which snapshot of a model, not which model.
_SNAPSHOT = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{3,4}|latest)$")


def find_ladder(model: str) -> Ladder | None:
    """The ladder on which `model` stands highest, or None if the table does not know it.

    Args:
        model: A model's name without its provider; a snapshot ("gpt-4o-2024-08-06") counts as its
            model.
    """
    for name in (model, _SNAPSHOT.sub("", model)):
        ladders = [ladder for ladder in LADDERS if name in ladder.rungs]
        if ladders:
            return max(ladders, key=lambda ladder: ladder.rungs.index(name))
    return None


def cheaper_models(reference: str) -> tuple[str, ...]:
    """The models below `reference`, from cheap to dear; empty if there are none or none is known.

    Example:
        >>> cheaper_models("gpt-4o-2024-08-06")
        ('gpt-4o-mini',)
    """
    ladder = find_ladder(reference)
    if ladder is None:
        return ()
    name = reference if reference in ladder.rungs else _SNAPSHOT.sub("", reference)
    return ladder.rungs[: ladder.rungs.index(name)]
