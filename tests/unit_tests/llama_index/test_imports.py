"""What importing the package loads."""

from __future__ import annotations

import pytest

import llama_index_frugal
from tests.unit_tests.core.test_imports import loaded_by


def test_nothing_of_llama_index_is_loaded_until_it_is_used() -> None:
    assert "llama_index" not in loaded_by("import llama_index_frugal, frugal_core")


def test_langchain_s_parts_load_nothing_of_llama_index_and_the_other_way_round() -> None:
    langchain = loaded_by("from langchain_frugal import FrugalCascadeLLM")
    assert not langchain & {"llama_index", "llama_index_frugal"}
    llama = loaded_by("from llama_index_frugal import FrugalCascadeLLM")
    assert not llama & {"langchain_frugal", "langchain"}


def test_public_names() -> None:
    assert llama_index_frugal.__all__ == sorted(llama_index_frugal.__all__)
    for name in llama_index_frugal.__all__:
        assert getattr(llama_index_frugal, name) is not None
    assert dir(llama_index_frugal) == llama_index_frugal.__all__
    with pytest.raises(AttributeError, match="no attribute 'Cascade'"):
        llama_index_frugal.Cascade  # noqa: B018
