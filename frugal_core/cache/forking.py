"""What a child of a fork must not inherit: locks that the parent's threads hold, and its turns."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Renewed(Protocol):
    """Something with locks or with a process's own state."""

    def renew(self) -> None:
        """Begin anew in a child: with new locks, and without what the parent's threads do."""


_renewed: weakref.WeakSet[Renewed] = weakref.WeakSet()


def renew_in_children(thing: Renewed) -> None:
    """Have a thing renewed in every child of this process, as long as it lives."""
    _renewed.add(thing)


def _in_child() -> None:
    for thing in list(_renewed):
        thing.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
