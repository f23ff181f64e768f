"""Tokens are counted exactly where that is possible without a download, else never too few."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugal_core import tokens
from frugal_core.tokens import default_counter, estimate_tokens

TEXTS = [
    "The quick brown fox jumps over the lazy dog, and nobody noticed that it had happened.",
    "Das Bundesverfassungsgericht entschied über die Verfassungsbeschwerde der Klägerin.",
    "Привет, как дела? Это довольно длинный русский текст о погоде.",
    "安いコンピューターを買いました。とても速いです。今天的天气很好。",
    "ภาษาไทยเป็นภาษาที่มีระดับเสียงของคำแน่นอน",
    "안녕하세요 저는 한국 사람입니다. مرحبا بالعالم كيف حالك اليوم",
    "for i in range(10):\n    print(f'{i:>4} {i**2}')\n",
    "https://example.com/a/b?c=1&d=2 costs $1,234.56 (+7.5 %)",
]


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tokens, "_folders", lambda: iter([tmp_path]))
    default_counter.cache_clear()


@pytest.mark.parametrize("text", TEXTS)
def test_the_estimate_is_cautious_and_not_absurd(text: str) -> None:
    exact = default_counter()
    if exact is estimate_tokens:
        pytest.skip("tiktoken's data is not on this machine")
    assert exact(text) <= estimate_tokens(text) <= 3 * exact(text)


@pytest.mark.usefixtures("no_data")
def test_without_data_tokens_are_estimated_and_nothing_is_asked_of_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr("socket.socket.connect", connect)
    assert default_counter() is estimate_tokens
    default_counter.cache_clear()


@pytest.mark.usefixtures("no_data")
def test_altered_data_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4").write_text("aGVsbG8= 0\n")
    assert default_counter() is estimate_tokens
    default_counter.cache_clear()


def test_nothing_has_no_tokens() -> None:
    assert estimate_tokens("") == default_counter()("") == 0
