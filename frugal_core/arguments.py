"""Constructor arguments of a cascade: which are its own, and which go to its tiers.

A class that stands where a provider's class stood takes that class's arguments; a misspelt one must
not vanish, since it may be the one that says who pays.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Set
from typing import Any

from frugal_core.errors import FrugalError
from frugal_core.secrecy import without_user


def sort_arguments(
    owner: str, given: Mapping[str, Any], own: Set[str], theirs: Mapping[str, str], advice: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Separate the arguments of a cascade from those meant for its tiers.

    Args:
        owner: The cascade's class, for messages.
        given: Everything the caller passed.
        own: Names that the class declares.
        theirs: Every name that the provider's class takes, with the field it sets.
        advice: Where an argument belongs that only a provider knows.

    Returns:
        Arguments for the class, and those for the tiers, by the names of the fields.

    Raises:
        FrugalError: for an argument that neither has, with the nearest name that exists.

    Example:
        >>> sort_arguments("C", {"tiers": [], "key": 1}, {"tiers"}, {"key": "api_key"}, "")
        ({'tiers': []}, {'api_key': 1})
    """
    mine = {name: value for name, value in given.items() if name in own}
    gathered: dict[str, Any] = {}
    for name, value in given.items():
        if name in own:
            continue
        if name not in theirs:
            near = difflib.get_close_matches(name, [*own, *theirs], n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise FrugalError(f"{owner} has no argument {name!r}.{hint} {advice}")
        target = mine if theirs[name] in own else gathered
        target[theirs[name]] = value
    return mine, gathered


def described(value: Any, model: Callable[[Any], str | None]) -> Any:
    """An argument in plain values: no key, no client, no weights.

    Args:
        value: As the user gave it.
        model: What a framework's model is called; None for anything else.

    Returns:
        Numbers and texts as they are (addresses without users), lists and mappings of descriptions,
        else a short text.
    """
    if isinstance(value, str):
        return without_user(value)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): described(one, model) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [described(one, model) for one in value]
    kind = type(value).__name__
    if (name := model(value)) is not None:
        return f"{kind}({name})"
    if hasattr(value, "plan"):
        tiers = " > ".join(tier.model for tier in value.plan.tiers)
        return f"Policy({tiers}; {value.digest[:12]})"
    if hasattr(value, "judge"):
        return f"{kind}({value.id})"
    if callable(value):
        return f"{kind} {getattr(value, '__qualname__', '')}".rstrip()
    return str(value)  # of a secret: asterisks
