"""Errors that a user can mend: each message says what is wrong, where, and what to do."""

from __future__ import annotations


class FrugalError(ValueError):
    """Base of every error that this library raises on purpose."""


class RecordingError(FrugalError):
    """A recording that cannot be read or used; names the file, line and field."""


class UnpricedModelError(FrugalError):
    """A model without a price; names the model."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"unpriced model {model!r}: the price table does not know it. Give its price in USD per "
            f'million input and output tokens: prices={{"{model}": [0.15, 0.60]}}, or in the file '
            f"named by --prices."
        )
        self.model = model


class PolicyError(FrugalError):
    """A policy file that is broken, hostile, or does not fit the tiers it is used with."""


class FitError(FrugalError):
    """A recording from which no policy can be fitted; says what is missing."""
