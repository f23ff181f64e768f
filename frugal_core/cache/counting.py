"""Counts of lookups, scope by scope: what a journal of them comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_LATEST = 500
"""Lookups, and up to twice as many, that tell what the traffic of a scope is like."""
_TOTAL = "total"


@dataclass
class Tally:
    """Events of one scope.

    Args:
        all: Of all time.
        latest: Of the latest lookups.
    """

    all: Counter[str] = field(default_factory=Counter)
    latest: Counter[str] = field(default_factory=Counter)

    def add(self, events: Mapping[str, int]) -> None:
        """Count more events, the latest so far."""
        self.all.update(events)
        self.latest.update(events)
        while self.latest["lookup"] > 2 * _LATEST:
            self.latest = Counter({event: n // 2 for event, n in self.latest.items()})


class Counts:
    """What the notes of a journal come to, read one after another.

    A note is the events of one scope, or a total: what all notes before it came to.
    """

    def __init__(self) -> None:
        self._scopes: dict[str, Tally] = {}

    def read(self, note: Mapping[str, Any]) -> None:
        """Take the next note into account."""
        if _TOTAL in note:
            self._scopes = {
                scope: Tally(Counter(kept["all"]), Counter(kept["latest"]))
                for scope, kept in note[_TOTAL].items()
            }
            return
        events = {event: n for event, n in note.items() if event != "scope"}
        self._scopes.setdefault(note.get("scope", ""), Tally()).add(events)

    def of(self, scope: str) -> Tally:
        """Events of one scope."""
        return self._scopes.get(scope, Tally())

    def all(self) -> Counter[str]:
        """Events of all scopes."""
        return sum((tally.all for tally in self._scopes.values()), Counter())

    def to_json(self) -> dict[str, Any]:
        """The note that stands for all those that were read."""
        return {
            _TOTAL: {
                scope: {"all": tally.all, "latest": tally.latest}
                for scope, tally in self._scopes.items()
            }
        }


def note_of(scope: str, events: Mapping[str, int]) -> dict[str, Any]:
    """A note of events of one scope."""
    return {"scope": scope, **events}


def totalled(notes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One note in the place of many.

    Example:
        >>> totalled([note_of("a", {"lookup": 1}), note_of("a", {"lookup": 2})])
        [{'total': {'a': {'all': Counter({'lookup': 3}), 'latest': Counter({'lookup': 3})}}}]
    """
    counts = Counts()
    for note in notes:
        counts.read(note)
    return [counts.to_json()]
