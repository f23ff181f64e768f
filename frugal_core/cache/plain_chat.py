"""Plain chats with servers that speak OpenAI's protocol: one key in every framework.

Frameworks write a model down in words of their own, so keys made of those words never agree. But
what a plain chat sends is the same whoever sends it: a URL, a model's name, a few numbers, and
texts. Where a request is nothing else, this is its key, and one framework is served what another
has stored. At anything more (a tool, an image, a header, a parameter not known here) a request is
not plain, and its key stays the framework's own: a miss is better than a wrong answer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from frugal_core.cache.admission import constrains, stands_for_itself, wants_json
from frugal_core.cache.calls import Asked
from frugal_core.cache.partition import digest
from frugal_core.secrecy import without_user

OPENAI = "https://api.openai.com/v1"
"""Where OpenAI's client sends what is not told where to go."""

_NUMBERS = frozenset(
    {"temperature", "top_p", "frequency_penalty", "presence_penalty", "max_tokens", "seed"}
)
_NAMES = {"max_completion_tokens": "max_tokens", "stop_sequences": "stop"}
_HOW = frozenset({"stream", "stream_options", "stream_usage"})
"""How an answer is transported, which does not shape it."""
_ROLES = frozenset({"system", "developer", "user", "assistant"})


def plain_chat(
    base_url: str | None, parameters: Mapping[str, Any], turns: Sequence[tuple[str, str]]
) -> Asked | None:
    """The prompt of a plain chat, as the cache sees it.

    Args:
        base_url: Where it is sent; None for where OpenAI's client sends it by default.
        parameters: What is sent with it, by OpenAI's names, the model among them; None is not sent.
        turns: (role, text) of all messages.

    Returns:
        None if the request is not plain.

    Example:
        >>> one = plain_chat(None, {"model": "m", "temperature": 0}, [("user", "What is a monad?")])
        >>> url = "https://api.openai.com/v1/"
        >>> sent = {"model": "m", "temperature": 0.0, "stop": None}
        >>> one == plain_chat(url, sent, [("user", "What is a monad?")])
        True
        >>> plain_chat(None, {"model": "m", "tools": [{}]}, [("user", "What is a monad?")])
    """
    sent = _sent(parameters)
    if sent is None or not turns or any(role not in _ROLES for role, _ in turns):
        return None
    last = max((i for i, (role, _) in enumerate(turns) if role == "user"), default=-1)
    if last < 0:
        return None
    question = turns[last][1]
    by_meaning = last == len(turns) - 1 and stands_for_itself(
        question,
        follows=any(role not in ("system", "developer") for role, _ in turns[:last]),
        constrained=any(constrains(text, role != "user") for role, text in turns),
        temperature=sent.get("temperature"),
    )
    around = [*turns[:last], ("user", None), *turns[last + 1 :]]
    partition = digest("plain chat", _url(base_url), sent, around)
    as_json = any(wants_json(text) for _, text in turns)
    return Asked(question, partition, by_meaning, as_json)


def _sent(parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """Parameters in one form for all frameworks; None if one of them is not known here."""
    sent: dict[str, Any] = {}
    for given, value in parameters.items():
        name = _NAMES.get(given, given)
        if value is None or name in _HOW or (name == "stop" and not value):
            continue
        if name in sent and sent[name] != value:
            return None
        if name == "model" and isinstance(value, str):
            sent[name] = value
        elif name == "stop" and _is_stop(value):
            sent[name] = [value] if isinstance(value, str) else list(value)
        elif name == "n" and value == 1:
            continue
        elif name in _NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
            sent[name] = float(value)
        else:
            return None
    return sent if "model" in sent else None


def _is_stop(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list | tuple) and all(isinstance(word, str) for word in value)
    )


def _url(base_url: str | None) -> str:
    url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
    return without_user(str(url)).rstrip("/")
