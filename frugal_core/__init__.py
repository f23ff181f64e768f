"""The framework-free core: recordings, scorer, router, certificate and the cascade loop.

Everything is imported on first use, so that `import frugal_core` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from frugal_core._version import __version__

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


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"frugal_core.{_HOME[name]}"), name)
    raise AttributeError(f"module 'frugal_core' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
