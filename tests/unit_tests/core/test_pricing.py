"""Prices: the user's over the table's over an error; never a silent zero."""

from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TieredPrices
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.errors import FrugalError, UnpricedModelError
from frugal_core.pricing import Price, PriceBook


def tiered_models(provider_id: str) -> list[str]:
    """Models of a provider whose price rises with the length of the prompt."""
    provider = next(p for p in get_snapshot().providers if p.id == provider_id)
    return [
        model.id
        for model in provider.models
        if isinstance(model.prices, ModelPrice)
        and isinstance(model.prices.input_mtok, TieredPrices)
        and not model.deprecated
    ]


def conditional_models(provider_id: str) -> list[str]:
    """Models of a provider whose price depends on the date or the hour."""
    provider = next(p for p in get_snapshot().providers if p.id == provider_id)
    return [m.id for m in provider.models if isinstance(m.prices, list) and not m.deprecated]


def table_cost(
    provider: str, model: str, paid: int, bought: int, cached: int, written: int = 0
) -> float:
    usage = Usage(
        input_tokens=paid,
        output_tokens=bought,
        cache_read_tokens=cached or None,
        cache_write_tokens=written or None,
    )
    now = dt.datetime.now(tz=dt.UTC)
    found = calc_price(usage, model, provider_id=provider, genai_request_timestamp=now)
    return float(found.total_price)


@pytest.mark.parametrize(
    ("provider", "models"),
    [
        ("openai", ["gpt-4o", "gpt-4o-mini", "gpt-4.1-nano"]),
        ("google", tiered_models("google")[:3]),
        ("openai", tiered_models("openai")[:3]),
        ("openai", conditional_models("openai")[:3]),
        ("deepseek", conditional_models("deepseek")[:2]),
    ],
)
def test_the_table_is_read_as_its_own_library_reads_it(provider: str, models: list[str]) -> None:
    assert models, f"the table has no such model of {provider}"
    book = PriceBook()
    for model in models:
        for paid in (0, 1, 999, 127_999, 128_000, 128_001, 200_000, 200_001, 272_001, 600_000):
            for cached in (0, paid // 3):
                ours = book.cost(f"{provider}:{model}", paid, 777, cached)
                theirs = table_cost(provider, model, paid, 777, cached)
                assert ours == pytest.approx(theirs, rel=1e-9), (model, paid, cached)


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-3-haiku-20240307"])
def test_what_is_written_to_a_providers_cache_is_priced_as_the_tables_library_does(
    model: str,
) -> None:
    price = PriceBook().price(f"anthropic:{model}")
    for paid, cached, written in [(1000, 0, 1000), (1000, 300, 600), (250_000, 100_000, 50_000)]:
        ours = price.cost(paid, 777, cached, written)
        theirs = table_cost("anthropic", model, paid, 777, cached, written)
        assert ours == pytest.approx(theirs, rel=1e-9), (paid, cached, written)
    assert price.cost(1000, 0, 0, 1000) > price.cost(1000, 0)


def test_a_model_is_found_without_its_provider_and_by_its_framework_name() -> None:
    book = PriceBook()
    assert book.price("gpt-4o") == book.price("openai:gpt-4o")
    assert book.price("google_genai:gemini-2.5-pro") == book.price("google:gemini-2.5-pro")


HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"


@pytest.mark.parametrize("provider", ["aws", "bedrock", "bedrock_converse", "amazon_bedrock"])
def test_a_name_with_a_colon_is_found_in_the_table(provider: str) -> None:
    ours = PriceBook().cost(f"{provider}:{HAIKU}", 1000, 500)
    assert ours == pytest.approx(table_cost("aws", HAIKU, 1000, 500, 0), rel=1e-9)


@pytest.mark.parametrize(
    ("priced", "model", "found"),
    [
        (HAIKU, f"bedrock_converse:{HAIKU}", True),
        ("llama3:8b", "ollama:llama3:8b", True),
        ("ft:gpt-4o-mini:acme::x1", "openai:ft:gpt-4o-mini:acme::x1", True),
        ("gpt-4o", "github-copilot:gpt-4o", True),  # a provider of the table's alone
        ("8b", "llama3:8b", False),
        ("x1", "ft:gpt-4o-mini:acme::x1", False),
        ("0", HAIKU, False),
    ],
)
def test_the_users_price_of_a_name_with_a_colon(priced: str, model: str, found: bool) -> None:
    price = PriceBook({priced: [1, 2]}, table=False).find(model)
    assert price == (Price(1, 2) if found else None)


@pytest.mark.parametrize("tag", ["deepseek-r1:7b", "ollama:deepseek-r1:7b", "ft:acme:o3"])
def test_a_tag_has_no_price_of_the_model_that_it_is_called_after(tag: str) -> None:
    assert PriceBook().find(tag) is None


def test_the_users_price_wins_over_the_table() -> None:
    assert PriceBook({"gpt-4o": [1, 2]}).cost("gpt-4o", 1_000_000, 500_000) == 2.0
    assert PriceBook({"gpt-4o": [0, 0]}).cost("gpt-4o", 1_000_000, 500_000) == 0.0


@pytest.mark.parametrize("book", [PriceBook(), PriceBook({"gpt-4o": [1, 2]}, table=False)])
def test_an_unknown_model_is_an_error_that_names_it(book: PriceBook) -> None:
    assert book.find("my-own-model") is None
    for ask in (book.price, lambda model: book.cost(model, 1, 1)):
        with pytest.raises(UnpricedModelError, match=r"unpriced.*'my-own-model'") as caught:
            ask("my-own-model")
        assert caught.value.model == "my-own-model"


def test_the_table_can_be_left_out() -> None:
    with pytest.raises(UnpricedModelError):
        PriceBook({}, table=False).price("gpt-4o")


def test_cached_tokens_are_part_of_the_input() -> None:
    price = Price(2.0, 0.0, cached_input=0.5)
    assert price.cost(1_000_000, 0, 400_000) == pytest.approx(1.2 + 0.2)
    assert price.cost(100, 0, 500) == price.cost(100, 0, 100)
    assert Price(2.0, 0.0).cost(1_000_000, 0, 400_000) == 2.0
    dearer = Price(2.0, 0.0, cached_input=0.5, cache_write=2.5)
    assert dearer.cost(1_000_000, 0, 400_000, 100_000) == pytest.approx(1.0 + 0.2 + 0.25)
    assert dearer.cost(100, 0, 60, 500) == dearer.cost(100, 0, 60, 40)


def test_a_long_prompt_pays_the_higher_price_for_all_its_tokens() -> None:
    price = Price(1.0, 2.0, above=((1000, Price(3.0, 4.0)), (5000, Price(5.0, 6.0))))
    assert price.cost(1000, 10) == pytest.approx((1000 * 1 + 10 * 2) / 1e6)
    assert price.cost(1001, 10) == pytest.approx((1001 * 3 + 10 * 4) / 1e6)
    assert price.cost(6000, 10) == pytest.approx((6000 * 5 + 10 * 6) / 1e6)


def test_the_steps_of_a_tiered_price_may_come_in_any_order() -> None:
    steps = [[5000, [5, 6]], [1000, [3, 4]]]
    price = Price.from_json("m", {"input": 1, "output": 2, "above": steps})
    assert price.cost(6000, 0) == pytest.approx(6000 * 5 / 1e6)
    assert price.cost(2000, 0) == pytest.approx(2000 * 3 / 1e6)


@pytest.mark.parametrize(
    "value",
    [
        [-1, 2],
        [1, math.nan],
        [1, math.inf],
        [1],
        [],
        [1, 2, 3, 4],
        "cheap",
        None,
        7,
        ["a", "b"],
        {"input": 1},
        {"input": 1, "output": 2, "per": 3},
        {"input": 1, "output": 2, "cached_input": -1},
        {"input": 1, "output": 2, "cache_write": -1},
        {"input": 1, "output": 2, "above": 5},
        {"input": 1, "output": 2, "above": [[1000, [-1, 2]]]},
        Price(-1, 2),
        Price(1, math.nan),
    ],
)
def test_what_is_no_price_is_refused_naming_the_model(value: Any) -> None:
    with pytest.raises(FrugalError, match="'my-model'"):
        PriceBook({"my-model": value})


rates = st.floats(0, 1000)
flat_prices = st.builds(Price, rates, rates, st.none() | rates, cache_write=st.none() | rates)


@given(flat_prices, st.dictionaries(st.integers(1, 10**6), flat_prices, max_size=3))
def test_prices_survive_json(base: Price, steps: dict[int, Price]) -> None:
    price = Price(base.input, base.output, base.cached_input, tuple(sorted(steps.items())))
    assert Price.from_json("m", json.loads(json.dumps(price.to_json()))) == price


@given(flat_prices, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(-5, 2 * 10**6))
def test_a_cost_is_never_negative(price: Price, paid: int, bought: int, cached: int) -> None:
    assert price.cost(paid, bought, cached) >= 0


def test_a_price_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text('{"m": [1, 2], "n": {"input": 1, "output": 2, "cached_input": null}}')
    book = PriceBook.load(path)
    assert book.price("m") == Price(1.0, 2.0) == book.price("n")
    assert PriceBook.load(str(path)).prices == book.prices
    assert PriceBook.load(book) is book
    assert PriceBook.load({"m": [1, 2]}).price("m") == Price(1.0, 2.0)
    assert PriceBook.load(None).prices == {}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot read"),
        (b"{", "not JSON"),
        (b"\xff\xff", "not JSON"),
        (b"[1, 2]", "must hold an object"),
        (b'{"m": [1]}', "'m'"),
    ],
)
def test_a_broken_price_file_is_named(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "prices.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FrugalError, match=says):
        PriceBook.load(path)


def test_a_book_says_where_its_prices_come_from_and_when() -> None:
    book = PriceBook({"m": [1, 2]}, date="2026-01-31")
    assert "genai-prices" in book.source and "2026-01-31" in book.source
    own = PriceBook({"m": [1, 2]}, table=False, date="2026-01-31")
    assert own.source == "the user's prices, 2026-01-31"
    assert PriceBook().date == dt.date.today().isoformat()


def test_prices_that_are_neither_a_mapping_nor_a_path_are_refused() -> None:
    wrong: Any = [0.1, 0.2]
    with pytest.raises(FrugalError, match="prices are a list: give a mapping"):
        PriceBook.load(wrong)
