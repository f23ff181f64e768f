"""Faults of the cache's own: they cost a hit, not an answer, and each is told once."""

from __future__ import annotations

import logging
import re

from frugal_core.errors import describe

_LOG = logging.getLogger("frugal_core")
_NUMBERS = re.compile(r"\d+")
_MOST = 50  # for what says something else each time


class Faults:
    """What has been told.

    Example:
        >>> faults = Faults()
        >>> faults.tell("lookup", OSError("disk full"))  # logs one line
        >>> faults.tell("store", OSError("disk full"))  # logs nothing: it is the same fault
    """

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(self, what: str, error: Exception) -> None:
        """Log a fault, if it is a new one.

        Args:
            what: What was tried, for whoever reads the log.
            error: What happened; numbers in its text make no new fault of it.
        """
        said = describe(error)
        fault = _NUMBERS.sub("#", said)
        if fault not in self._told and len(self._told) < _MOST:
            self._told.add(fault)
            _LOG.warning("the cache does without (%s): %s", what, said)
