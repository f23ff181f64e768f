"""What a search asks for, and what it may spend."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from frugal_core.adapt.rows import Example
from frugal_core.cascade import Failure, Reply
from frugal_core.errors import FrugalError, is_number
from frugal_core.pricing import Price
from frugal_core.tokens import estimate_tokens


@dataclass(frozen=True)
class Spend:
    """The most that a search may cost; both limits hold.

    Args:
        usd: In USD, of both models together. What a call costs is known after it: it is only made
            if it fits with an answer as long as the longest so far, so the last calls (eight rows
            at most) can go over by what their answers are longer than any before.
        calls: In calls, of both models together.

    Raises:
        FrugalError: if neither is given, or one is not positive.
    """

    usd: float | None = None
    calls: int | None = None

    def __post_init__(self) -> None:
        if self.usd is None and self.calls is None:
            raise FrugalError("spend: say what may be spent, Spend(usd=...) or Spend(calls=...)")
        for name in ("usd", "calls"):
            value = getattr(self, name)
            if value is not None and (not is_number(value) or not 0 < value < math.inf):
                raise FrugalError(f"spend: {name} {value!r} must be a number above 0")


@dataclass(frozen=True, slots=True)
class Propose:
    """Ask the large model this."""

    text: str


@dataclass(frozen=True, slots=True)
class Try:
    """Ask the small model a row's question under this prompt."""

    prompt: str
    row: Example


Request = Propose | Try

Left = tuple[float, float]
"""Calls and USD."""


@dataclass
class Purse:
    """What has been spent, and what may be."""

    spend: Spend
    price: Price | None
    proposer_price: Price | None
    calls: int = 0
    usd: float = 0.0

    @property
    def limit(self) -> str:
        """The spend in words."""
        usd = "" if self.spend.usd is None else f"{self.spend.usd:g} USD"
        calls = "" if self.spend.calls is None else f"{self.spend.calls} calls"
        return " and ".join(filter(None, [usd, calls]))

    def affords(self, request: Request, sent: int, received: int) -> bool:
        """Whether one more call may be made."""
        price = self.proposer_price if isinstance(request, Propose) else self.price
        calls = self.spend.calls is None or self.calls + 1 <= self.spend.calls
        return calls and (
            self.spend.usd is None
            or price is None
            or self.usd + price.cost(sent, received) <= self.spend.usd
        )

    def left(self, share: float = 1.0) -> Left:
        """A share of the calls and the USD that may still be spent."""
        calls = math.inf if self.spend.calls is None else self.spend.calls - self.calls
        usd = math.inf if self.spend.usd is None else self.spend.usd - self.usd
        return calls * share, usd * share

    def pay(self, request: Request, reply: Reply | Failure) -> None:
        """Count a call."""
        price = self.proposer_price if isinstance(request, Propose) else self.price
        self.calls += 1
        if price is not None:
            self.usd += price.cost_of(reply)


def metered(reply: Reply | Failure, sent: int) -> Reply | Failure:
    """A reply whose provider did not say what was bought, with an estimate."""
    if isinstance(reply, Failure) or reply.metered:
        return reply
    return replace(reply, input_tokens=sent, output_tokens=estimate_tokens(reply.text))
