from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np
import pytest

from frugal_core.cache.store.base import ClosedStoreError, StoreError, Vector
from frugal_core.cache.store.index import Page, View

TOPICS = 300


class Repeating:
    """Rows in pages, of which row n is about topic n modulo `TOPICS`."""

    def __init__(self, size: int) -> None:
        chance = np.random.default_rng(0)
        self.topics = unit(chance.normal(size=(TOPICS, 64)))
        rows = self.topics[np.arange(size) % TOPICS]
        self.vectors = unit(rows + 0.05 * chance.normal(size=rows.shape))

    def pages(self, after: int) -> Iterator[Page]:
        for start in range(after, len(self.vectors), 999):
            page = self.vectors[start : start + 999]
            yield np.arange(start + 1, start + 1 + len(page)), page

    def count(self) -> int:
        return len(self.vectors)

    def version(self) -> object:
        return 0


def unit(rows: Vector) -> Vector:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_lists_are_learned_from_rows_of_every_kind_though_they_repeat() -> None:
    """Every third row of a page, say, would be always the same third of the topics."""
    rows = Repeating(40_000)
    view = View(rows)
    view.search(rows.vectors[0], 5)
    view.settle()
    built: Any = view._index
    index: Any = faiss.downcast_index(built._index)
    centres = index.quantizer.reconstruct_n(0, index.nlist)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    assert index.nlist == 512
    near = (rows.topics @ centres.T).max(axis=1) > 0.9
    assert near.mean() > 0.8


@pytest.mark.parametrize(
    ("error", "warnings"), [(ClosedStoreError("closed"), 0), (StoreError("the disk is gone"), 1)]
)
def test_a_store_that_is_closed_meanwhile_is_no_fault(
    error: StoreError, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    class Unlearnable(Repeating):
        def count(self) -> int:
            raise error

    rows = Unlearnable(3000)
    view = View(rows)
    assert view.search(rows.vectors[7], 1) == [8]
    view.settle()
    assert len(caplog.records) == warnings
