"""Our faults never cost an answer: what cannot be compressed passes as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from frugal_core.errors import FrugalError, describe

_LOG = logging.getLogger("frugal_core")

Value = TypeVar("Value")


@dataclass
class Guard:
    """Runs what may fail, and says once that it did.

    Args:
        has_complained: Whether it was said.
    """

    has_complained: bool = False

    def run(self, shorten: Callable[[], Value], unchanged: Value) -> Value:
        """What `shorten` returns; `unchanged` if it fails for any reason but a user's mistake.

        Args:
            shorten: Compresses; what it raises as a FrugalError is the user's to mend.
            unchanged: What is there without it.
        """
        try:
            return shorten()
        except FrugalError:
            raise
        except Exception as error:
            if not self.has_complained:
                self.has_complained = True
                _LOG.warning(
                    "PromptCompressor: texts pass unchanged (said once): %s", describe(error)
                )
            return unchanged
