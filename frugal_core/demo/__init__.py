"""The whole story on real text and a real model, with no key and no account.

A small language model on this machine tells satire from news. Its answers to some headlines are
recorded, a policy is fitted on them, and other headlines are then answered live, once as before and
once through the cascade.
"""

from __future__ import annotations

from frugal_core.demo.results import Live, Report
from frugal_core.demo.running import run

__all__ = ["Live", "Report", "run"]
