"""Faults of the cache's own: they cost a hit, not an answer, and are told once."""

from __future__ import annotations

import logging
import re
from collections import defaultdict

from frugal_core.errors import describe

_LOG = logging.getLogger("frugal_core")
_NUMBERS = re.compile(r"\d+|\b[0-9a-f-]{6,}\b")
_MOST = 3  # texts of one kind of error; some say something else each time


class Faults:
    """What has been told: an error of the same kind with the same words is the same fault.

    Example:
        >>> faults = Faults()
        >>> faults.tell("lookup", OSError("disk full"))  # logs one line
        >>> faults.tell("store", OSError("disk full"))  # logs nothing: it is the same fault
    """

    def __init__(self) -> None:
        self._told: defaultdict[str, set[str]] = defaultdict(set)

    def tell(self, what: str, error: Exception) -> None:
        """Log a fault, if it is a new one.

        Args:
            what: What was tried, for whoever reads the log.
            error: What happened; numbers in its text make no new fault of it.
        """
        said = describe(error)
        fault = _NUMBERS.sub("#", said)
        told = self._told[type(error).__name__]
        if fault not in told and len(told) < _MOST:
            told.add(fault)
            _LOG.warning("the cache does without (%s): %s", what, said)
