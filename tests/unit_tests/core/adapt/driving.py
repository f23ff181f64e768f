"""Drives the loops of `frugal_core.adapt` with a function in the place of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from frugal_core.cascade import Failure, Reply


def drive(loop: Any, answer: Callable[[Any], Reply | Failure]) -> Any:
    """The result of a loop, each of whose requests `answer` answers."""
    try:
        calls = next(loop)
        while True:
            calls = loop.send([answer(call) for call in calls])
    except StopIteration as stop:
        return stop.value
