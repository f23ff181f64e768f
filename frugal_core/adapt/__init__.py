"""Prompt adaptation: the other ways to pay less for a prompt (FrugalGPT, section 3.1).

`examples` shows a model only the examples that help with this query, `concatenate` asks several
queries in one request, and `rewrite` looks for a better prompt for a smaller model. Nothing here
does I/O: what must be asked is yielded, and the answers are sent in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frugal_core.lazy import lazily

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

__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
