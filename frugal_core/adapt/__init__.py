"""Prompt adaptation: the other ways to pay less for a prompt (FrugalGPT, section 3.1).

`examples` shows a model only the examples that help with this query, `concatenate` asks several
queries in one request, and `rewrite` looks for a better prompt for a smaller model. Nothing here
does I/O: what must be asked is yielded, and the answers are sent in.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frugal_core.adapt.examples import ExamplePool
    from frugal_core.adapt.grouping import Grouping
    from frugal_core.adapt.rows import Example
    from frugal_core.adapt.spending import Spend

_HOMES = {
    "Example": "rows",
    "ExamplePool": "examples",
    "Grouping": "grouping",
    "Spend": "spending",
}

__all__ = ["Example", "ExamplePool", "Grouping", "Spend"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
