"""The framework-free core: recordings, scorer, router, certificate and the cascade loop.

Everything is imported on first use, so that `import frugal_core` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frugal_core._version import __version__
from frugal_core.lazy import lazily

if TYPE_CHECKING:
    from frugal_core.certifying import Certificate, Promise
    from frugal_core.evaluation import Curve, Evaluation
    from frugal_core.fitting import fit
    from frugal_core.policy import Policy
    from frugal_core.pricing import Price, PriceBook
    from frugal_core.recording import Recording
    from frugal_core.routing import Budget

_HOME = {
    "Budget": "routing",
    "Certificate": "certifying",
    "Curve": "evaluation",
    "Evaluation": "evaluation",
    "Policy": "policy",
    "Price": "pricing",
    "PriceBook": "pricing",
    "Promise": "certifying",
    "Recording": "recording",
    "fit": "fitting",
}

__all__ = [
    "Budget",
    "Certificate",
    "Curve",
    "Evaluation",
    "Policy",
    "Price",
    "PriceBook",
    "Promise",
    "Recording",
    "__version__",
    "fit",
]

__getattr__ = lazily(__name__, _HOME)


def __dir__() -> list[str]:
    return __all__
