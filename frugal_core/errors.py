"""Errors that a user can mend: each message says what is wrong, where, and what to do."""

from __future__ import annotations

import os
import re
from numbers import Real
from typing import Any


class FrugalError(ValueError):
    """Base of every error that this library raises on purpose."""


class RecordingError(FrugalError):
    """A recording that cannot be read or used; names the file, line and field."""


class UnpricedModelError(FrugalError):
    """A model without a price; names the model."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"unpriced model {model!r}: the price table does not know it. Give its price in USD "
            f'per million input and output tokens: prices={{"{model}": [0.15, 0.60]}}, or in the '
            f"file named by --prices."
        )
        self.model = model


class PolicyError(FrugalError):
    """A policy file that is broken, hostile, or does not fit the tiers it is used with."""


class FitError(FrugalError):
    """A recording from which no policy can be fitted; says what is missing."""


def is_number(value: object) -> bool:
    """Whether a value that a user gave is a real number, NumPy's included; True and "1" are none.

    Example:
        >>> is_number(0.01), is_number(True), is_number("0.01")
        (True, False, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool)


def check_whole(name: str, value: Any, least: int) -> None:
    """Refuse what is no whole number, or a smaller one; infinity and NaN are none.

    Raises:
        FrugalError: saying what was expected.

    Example:
        >>> check_whole("k", 3, least=1)
    """
    if not is_number(value) or value % 1 or value < least:
        raise FrugalError(f"{name} {value!r}: a whole number >= {least} is expected")


_SECRET = re.compile(
    r"(?i)(\bsk-|\bbearer\s+|key[\"']?\s*[=:]\s*[\"']?|\bkey\s+provided:\s*|\bapi[-_]key\s+)"
    r"[^\s\"',&]+"
)
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")


def describe(error: BaseException) -> str:
    """An error in one line, without any key: providers quote them, and this is shown and stored.

    Example:
        >>> describe(ValueError("bad key: sk-123456"))
        'ValueError: bad key: ***'
    """
    lines = str(error).strip().splitlines()
    text = _SECRET.sub(r"\1***", lines[0]) if lines else "no message"
    for name, value in os.environ.items():
        if len(value) >= 6 and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    # Cut last: half a key would not be found.
    return f"{type(error).__name__}: {text[:200]}"
