"""Prices: tokens to USD, never a silent zero.

A price comes from the user, else from the `genai-prices` table, else there is an error that names
the model. Prices are read once and kept with their date, so that a saved policy can say what its
savings were computed with.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from frugal_core.errors import FrugalError, UnpricedModelError
from frugal_core.providers import in_table, split_provider

_MILLION = 1e6


class Bought(Protocol):
    """Tokens that were paid for, as an answer, recorded or live, tells them."""

    @property
    def input_tokens(self) -> int:
        """All input tokens."""
        ...

    @property
    def output_tokens(self) -> int:
        """Output tokens."""
        ...

    @property
    def cached_tokens(self) -> int:
        """The part of the input tokens read from the provider's prompt cache."""
        ...

    @property
    def written_tokens(self) -> int:
        """The part of the input tokens written to the provider's prompt cache."""
        ...


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in USD per million tokens.

    Args:
        input: Price of uncached input tokens.
        output: Price of output tokens.
        cached_input: Price of input tokens read from the provider's prompt cache; None means that
            they cost the same as other input tokens.
        above: Dearer prices for long prompts, as (tokens, price) with ascending tokens: a prompt
            with more input tokens than `tokens` pays `price` for *all* of its tokens.
        cache_write: Price of input tokens written to the provider's prompt cache (Anthropic's is
            dearer than other input); None means that they cost the same as other input tokens.

    Example:
        >>> Price(2.5, 10.0, cached_input=1.25).cost(1000, 100, cached_tokens=400)
        0.003
    """

    input: float
    output: float
    cached_input: float | None = None
    above: tuple[tuple[int, Price], ...] = ()
    cache_write: float | None = None

    def cost(
        self,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        written_tokens: int = 0,
    ) -> float:
        """USD for one call; `cached_tokens` and `written_tokens` are part of `input_tokens`."""
        price = self
        for tokens, dearer in self.above:
            if input_tokens > tokens:
                price = dearer
        cached_rate = price.input if price.cached_input is None else price.cached_input
        write_rate = price.input if price.cache_write is None else price.cache_write
        cached = min(max(cached_tokens, 0), input_tokens)
        written = min(max(written_tokens, 0), input_tokens - cached)
        paid = (input_tokens - cached - written) * price.input
        paid += cached * cached_rate + written * write_rate
        return (paid + output_tokens * price.output) / _MILLION

    def cost_of(self, bought: Bought) -> float:
        """USD for one call, of which an answer tells what was bought."""
        return self.cost(
            bought.input_tokens, bought.output_tokens, bought.cached_tokens, bought.written_tokens
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `Price.from_json` reads back."""
        value: dict[str, Any] = {"input": self.input, "output": self.output}
        if self.cached_input is not None:
            value["cached_input"] = self.cached_input
        if self.cache_write is not None:
            value["cache_write"] = self.cache_write
        if self.above:
            value["above"] = [[tokens, price.to_json()] for tokens, price in self.above]
        return value

    @classmethod
    def from_json(cls, model: str, value: Any) -> Price:
        """Read `[input, output]`, `[input, output, cached_input]` or an object of `to_json`'s.

        Raises:
            FrugalError: naming the model, when the value is none of these or not a finite number.
        """
        names = ("input", "output", "cached_input")
        try:
            if isinstance(value, Price):
                price = value
            elif isinstance(value, Mapping) or _is_list(value, most=len(names)):
                named = isinstance(value, Mapping)
                given = value if named else dict(zip(names, value, strict=False))
                fields = {name: rate for name, rate in given.items() if rate is not None}
                above = sorted(
                    (int(tokens), cls.from_json(model, price))
                    for tokens, price in fields.pop("above", [])
                )
                price = cls(**{k: float(v) for k, v in fields.items()}, above=tuple(above))
            else:
                raise TypeError
            rates = (price.input, price.output, price.cached_input or 0, price.cache_write or 0)
            if not all(math.isfinite(rate) and rate >= 0 for rate in rates):
                raise ValueError
        except (TypeError, ValueError) as error:
            raise FrugalError(
                f"price of {model!r} is {value!r}: give [input, output] in USD per million tokens, "
                f'for example {{"{model}": [0.15, 0.60]}}'
            ) from error
        return price


def _is_list(value: Any, most: int) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) <= most


@dataclass
class PriceBook:
    """Prices by model name: the user's own over the price table over an error.

    Args:
        prices: The user's prices by model name (see `Price.from_json`). They win over the table.
        table: Whether the `genai-prices` table may be asked for models without a price of the user.
        date: The day the prices were true; today unless given.

    Example:
        >>> book = PriceBook({"my-model": [1.0, 2.0]})
        >>> book.cost("my-model", input_tokens=1000, output_tokens=500)
        0.002
    """

    prices: Mapping[str, Any] = field(default_factory=dict)
    table: bool = True
    date: str = field(default_factory=lambda: dt.date.today().isoformat())

    def __post_init__(self) -> None:
        self.prices = {name: Price.from_json(name, value) for name, value in self.prices.items()}
        self._from_table: dict[str, Price | None] = {}

    @classmethod
    def load(cls, source: PriceBook | Mapping[str, Any] | str | Path | None) -> PriceBook:
        """A price book from a mapping, a JSON file, None (the table alone) or a price book."""
        if isinstance(source, PriceBook):
            return source
        if source is None:
            return cls()
        if isinstance(source, Mapping):
            return cls(source)
        if not isinstance(source, str | os.PathLike):
            raise FrugalError(
                f"prices are a {type(source).__name__}: give a mapping "
                f'{{"model": [input, output]}}, or the path of a JSON file that holds one'
            )
        path = Path(source)
        try:
            loaded = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise FrugalError(f"prices: cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise FrugalError(f"prices: {path} is not JSON: {error}") from error
        if not isinstance(loaded, dict):
            raise FrugalError(f'prices: {path} must hold an object: {{"model": [input, output]}}')
        return cls(loaded)

    def find(self, model: str) -> Price | None:
        """The price of `model`, or None if neither the user nor the table knows it.

        "provider:model" also finds the user's price of "model".
        """
        for name in (model, split_provider(model)[1]):
            if name in self.prices:
                price: Price = self.prices[name]
                return price
        if not self.table:
            return None
        if model not in self._from_table:
            self._from_table[model] = _table_price(model)
        return self._from_table[model]

    def price(self, model: str) -> Price:
        """The price of `model`.

        Raises:
            UnpricedModelError: if neither the user nor the table knows it.
        """
        found = self.find(model)
        if found is None:
            raise UnpricedModelError(model)
        return found

    def cost(
        self, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0
    ) -> float:
        """USD for one call of `model`; `cached_tokens` are part of `input_tokens`."""
        return self.price(model).cost(input_tokens, output_tokens, cached_tokens)

    @property
    def source(self) -> str:
        """Where the prices come from and the day they were read, for people."""
        if not self.table:
            return f"the user's prices, {self.date}"
        from importlib.metadata import version

        return f"the user's prices, then genai-prices {version('genai-prices')}, {self.date}"


def _table_price(model: str) -> Price | None:
    """Look a model up in genai-prices; "provider:model" names its provider."""
    # Imported late: the table takes a tenth of a second to load, and a policy carries its prices.
    from genai_prices.data_snapshot import get_snapshot
    from genai_prices.types import TieredPrices

    provider, name = split_provider(model)
    if not provider and ":" in name:  # a tag of somebody's own server, a fine-tuned model
        return None
    try:
        _, info = get_snapshot().find_provider_model(name, None, in_table(provider) or None, None)
    except LookupError:
        return None
    rates = info.get_prices(dt.datetime.now(tz=dt.UTC))
    read, write = rates.cache_read_mtok, rates.cache_write_mtok

    def rate(value: Any, prompt_tokens: int) -> float | None:
        if isinstance(value, TieredPrices):
            reached = [tier.price for tier in value.tiers if prompt_tokens > tier.start]
            return float(reached[-1] if reached else value.base)
        return None if value is None else float(value)

    def price_at(prompt_tokens: int) -> Price | None:
        paid, bought = rate(rates.input_mtok, prompt_tokens), rate(rates.output_mtok, prompt_tokens)
        if paid is None or bought is None:
            return None
        cached, written = rate(read, prompt_tokens), rate(write, prompt_tokens)
        return Price(paid, bought, cached, cache_write=written)

    base = price_at(0)
    if base is None:
        return None
    starts = sorted(
        {
            tier.start
            for value in (rates.input_mtok, rates.output_mtok, read, write)
            if isinstance(value, TieredPrices)
            for tier in value.tiers
        }
    )
    above = tuple((start, price) for start in starts if (price := price_at(start + 1)))
    return replace(base, above=above)
