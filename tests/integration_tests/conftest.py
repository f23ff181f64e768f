"""What several integration tests stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from llama_index.core import VectorStoreIndex


@pytest.fixture(scope="module")
def index() -> VectorStoreIndex:
    """The licence of this library, in passages."""
    from tests.integration_tests.licence_index import licence_index  # takes seconds to import

    return licence_index()
