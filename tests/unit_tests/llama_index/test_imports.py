"""What importing the package loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

import llama_index_frugal
from tests.unit_tests.core.test_imports import loaded_by


def test_nothing_of_llama_index_is_loaded_until_it_is_used() -> None:
    assert "llama_index" not in loaded_by("import llama_index_frugal, frugal_core")


def test_langchain_s_parts_load_nothing_of_llama_index_and_the_other_way_round() -> None:
    langchain = loaded_by("from langchain_frugal import FrugalCascadeLLM")
    assert not langchain & {"llama_index", "llama_index_frugal"}
    llama = loaded_by("from llama_index_frugal import FrugalCascadeLLM")
    assert not llama & {"langchain_frugal", "langchain", "langchain_core"}


@pytest.mark.parametrize("name", ["FrugalCascadeLLM", "SemanticCacheCallback", "PromptCompressor"])
def test_without_llama_index_the_command_that_installs_it_is_named(name: str) -> None:
    program = f"""
import sys
sys.modules["llama_index"] = None  # as if it were not installed
import llama_index_frugal
try:
    llama_index_frugal.{name}
except ImportError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said.stdout.startswith(f"{name} needs llama_index")
    assert 'pip install "frugal-cascade[llama-index]"' in said.stdout


def test_public_names() -> None:
    assert llama_index_frugal.__all__ == sorted(llama_index_frugal.__all__)
    for name in llama_index_frugal.__all__:
        assert getattr(llama_index_frugal, name) is not None
    assert dir(llama_index_frugal) == llama_index_frugal.__all__
    with pytest.raises(AttributeError, match="no attribute 'Cascade'"):
        llama_index_frugal.Cascade  # noqa: B018
