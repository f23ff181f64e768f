"""What is public, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import langchain_frugal


def modules_after(code: str) -> set[str]:
    """Modules loaded in a fresh interpreter."""
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {"langchain_openai", "openai", "langchain", "langgraph", "sklearn", "scipy", "genai_prices"}


def test_all_is_sorted_and_there() -> None:
    assert langchain_frugal.__all__ == sorted(langchain_frugal.__all__)
    assert "FrugalCascadeLLM" in langchain_frugal.__all__
    for name in langchain_frugal.__all__:
        assert getattr(langchain_frugal, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        langchain_frugal.Nothing  # noqa: B018  # the look-up is the test


def test_importing_the_package_loads_next_to_nothing() -> None:
    loaded = modules_after("import langchain_frugal")
    assert not HEAVY & loaded
    assert "langchain_core.language_models.chat_models" not in loaded


def test_importing_the_class_loads_no_provider() -> None:
    loaded = modules_after("from langchain_frugal import FrugalCascadeLLM")
    assert not (HEAVY | {"jsonschema"}) & loaded
