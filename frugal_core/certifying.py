"""The promise about quality, the certificate that it holds, and the test behind it.

With probability at least `confidence` over the rows of the test, accuracy(policy) is at least
accuracy(reference) - epsilon. The test is Tango's score test for paired proportions (T. Tango,
Statistics in Medicine 17, 1998) at an exact unconditional critical value, applied along a fixed
sequence of candidate policies (Learn-then-Test: Angelopoulos, Bates, Candes, Jordan, Lei, 2021).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from scipy import special

from frugal_core.errors import FrugalError, is_number

Labels = Literal["gold", "reference"]


@dataclass(frozen=True, slots=True)
class Promise:
    """How much quality may be lost, and how sure that must be.

    Args:
        epsilon: Largest loss of accuracy against the reference; 0.01 is one percentage point.
        confidence: Probability with which the promise holds, over the rows of the test.

    Raises:
        FrugalError: if epsilon is no number in [0, 1), or confidence none in [0.5, 1).
    """

    epsilon: float = 0.01
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not is_number(self.epsilon) or not 0 <= self.epsilon < 1:
            raise FrugalError(
                f"promise: epsilon {self.epsilon!r} must be a number in [0, 1); 0.01 is one point"
            )
        if not is_number(self.confidence) or not 0.5 <= self.confidence < 1:
            raise FrugalError(
                f"promise: confidence {self.confidence!r} must be a number in [0.5, 1); "
                f"0.95 is 95 %"
            )

    @property
    def doubt(self) -> float:
        """1 - confidence, without the dust of binary fractions."""
        return round(1 - self.confidence, 12)

    @classmethod
    def of(cls, value: Promise | float) -> Promise:
        """A promise, also from its epsilon alone."""
        if isinstance(value, Promise):
            return value
        return cls(float(value) if is_number(value) else value)  # NumPy's numbers are not JSON


@dataclass(frozen=True, slots=True)
class Certificate:
    """The evidence that a promise holds.

    Args:
        epsilon, confidence: The promise.
        n: Rows of the test; nothing was fitted on them.
        losses: Rows where the reference was right and the policy wrong.
        gains: Rows where the policy was right and the reference wrong.
        reference: The model whose quality is promised.
        labels: "gold": quality is accuracy; "reference": quality is agreement with the reference.
        date: Day of the test.
    """

    epsilon: float
    confidence: float
    n: int
    losses: int
    gains: int
    reference: str
    labels: Labels
    date: str

    @property
    def sentence(self) -> str:
        """The certificate in words."""
        points = f"{100 * self.epsilon:g} point{'' if self.epsilon == 0.01 else 's'}"
        kind = "below" if self.labels == "gold" else "of disagreement with"
        what = "answers" if self.labels == "gold" else "answers (no gold labels)"
        return (
            f"with {100 * self.confidence:g} % confidence at most {points} {kind} "
            f"{self.reference}, tested on {self.n:,} {what} "
            f"({self.losses} lost, {self.gains} gained) on {self.date}; "
            f"holds for the same kind of traffic"
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `Certificate(**value)` reads it back."""
        return asdict(self)


def tango_z(losses: Any, gains: Any, n: int, epsilon: float) -> Any:
    """Tango's score statistic for H0: P(loss) - P(gain) >= epsilon; small values speak against H0.

    Args:
        losses, gains: Discordant pairs; numbers or arrays of one shape.
        n: All pairs.
        epsilon: The margin.

    Returns:
        Z, of the shape of `losses`; asymptotically standard normal at the boundary.
    """
    b, c = np.asarray(losses, dtype=float), np.asarray(gains, dtype=float)
    linear = -b - c + (2 * n - b + c) * epsilon
    constant = -c * epsilon * (1 - epsilon)
    root = np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0.0))
    gain_probability = (root - linear) / (4 * n)
    variance = n * (2 * gain_probability + epsilon * (1 - epsilon))
    difference = b - c - n * epsilon
    with np.errstate(divide="ignore", invalid="ignore"):
        z = difference / np.sqrt(variance)
    # No discordant pair and epsilon 0: nothing speaks for or against.
    return np.where(variance > 0, z, 0.0)[()]


_MANY_PAIRS = 120  # discordant pairs from which on Z is normal for every purpose


@lru_cache(maxsize=1024)
def critical_value(n: int, epsilon: float, alpha: float) -> float:
    """The largest z for which P(Z <= z) <= alpha whatever the unknown P(gain) is.

    Exact and unconditional: for a grid of P(gain) = q and P(loss) = q + epsilon (the boundary of
    H0), the joint distribution of the discordant pairs is enumerated and the alpha-quantile of Z is
    read off; the smallest over the grid counts.
    """
    worst = float(special.ndtri(alpha))
    if n * epsilon >= _MANY_PAIRS:
        return worst
    largest, few = (1 - epsilon) / 2, min((1 - epsilon) / 2, _MANY_PAIRS / n)
    grid = [0.0, *np.geomspace(0.02 / n, few, 80), *np.linspace(few, largest, 12)]
    for q in grid:
        z, p = _null_distribution(n, epsilon, float(q))
        low = z <= worst + 1e-9
        z, p = z[low], p[low]
        if p.sum() <= alpha:
            continue
        order = np.argsort(z, kind="stable")
        z, p = z[order], p[order]
        # Ties of Z are one event: take a value only if all of it fits under alpha.
        last_of_tie = np.append(np.diff(z) > 1e-12, True)
        fits = np.cumsum(p)[last_of_tie] <= alpha
        first_over = float(z[last_of_tie][int(np.argmin(fits))])
        # Everything below the first value that does not fit may be accepted.
        worst = min(worst, float(np.nextafter(first_over, -math.inf)) - 1e-9)
    return worst


def _null_distribution(n: int, epsilon: float, q: float) -> tuple[np.ndarray, np.ndarray]:
    """Z and its probabilities at P(gain) = q, P(loss) = q + epsilon, over all likely pairs."""
    loss = q + epsilon
    b, c = _likely(n, loss)[:, None], _likely(n, q)[None, :]
    rest = n - b - c
    possible = rest >= 0
    rest = np.maximum(rest, 0)
    log_p = special.xlogy(b, loss) + special.xlogy(c, q) + special.xlogy(rest, max(1 - loss - q, 0))
    log_p -= sum(special.gammaln(k + 1) for k in (b, c, rest)) - special.gammaln(n + 1)
    z = tango_z(b, c, n, epsilon)
    return z[possible], np.exp(log_p[possible])


def _likely(n: int, share: float) -> np.ndarray:
    """Numbers of rows out of n, all but those that are rarer than one in a billion."""
    if not 0 < share < 1:
        return np.array([n * share])
    low, high = special.bdtrik([1e-9, 1 - 1e-9], n, share)
    return np.arange(math.floor(low), math.ceil(high) + 1.0)


def keeps_promise(losses: int, gains: int, n: int, promise: Promise) -> bool:
    """Whether n paired rows show that at most epsilon is lost, at the promise's confidence.

    Args:
        losses: Rows where only the reference is right.
        gains: Rows where only the policy is right.
        n: All rows.

    Example:
        >>> keeps_promise(losses=3, gains=9, n=500, promise=Promise(0.01))
        True
        >>> keeps_promise(losses=0, gains=0, n=100, promise=Promise(0.01))
        False
    """
    if n == 0:
        return False
    z = float(tango_z(losses, gains, n, promise.epsilon))
    return z <= critical_value(n, promise.epsilon, promise.doubt)


def last_passing(discordant: Iterable[tuple[int, int]], n: int, promise: Promise) -> int | None:
    """Fixed-sequence test: the last candidate before the first that fails, or None.

    Args:
        discordant: (losses, gains) of each candidate, in an order fixed without these rows.
        n: Rows of the test.
        promise: Epsilon and confidence.
    """
    selected = None
    for position, (losses, gains) in enumerate(discordant):
        if not keeps_promise(losses, gains, n, promise):
            break
        selected = position
    return selected


_MOST_ROWS = 200_000
"""Nobody labels more of them."""


def rows_needed(promise: Promise, loss_rate: float = 0.0, gain_rate: float = 0.0) -> int | None:
    """About how many test rows a policy with these true rates needs to pass half of the time.

    Args:
        promise: Epsilon and confidence.
        loss_rate, gain_rate: Share of rows lost to and gained on the reference.

    Returns:
        Rows, or None if no number of rows would do (it loses epsilon or more).
    """
    margin = promise.epsilon - (loss_rate - gain_rate)
    if margin <= 0:
        return None

    def discordant(n: int) -> tuple[int, int]:
        # Rounded against us: a rate that is not zero shows at least one loss.
        return math.ceil(loss_rate * n), math.floor(gain_rate * n)

    normal = float(special.ndtri(promise.doubt))

    def nearly_passes(n: int) -> bool:
        return float(tango_z(*discordant(n), n, promise.epsilon)) <= normal

    low, high = 0, 50
    while not nearly_passes(high):
        low, high = high, 2 * high
        if high > _MOST_ROWS:
            return None
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if nearly_passes(middle) else (middle, high)
    if not loss_rate and not gain_rate:  # no discordant row, which chance alone may show too
        high = max(high, math.ceil(math.log(promise.doubt) / math.log1p(-promise.epsilon)))
    # The exact critical value is a little lower, and takes much longer.
    step = max(1, high // 100)
    while not keeps_promise(*discordant(high), high, promise):
        high, step = high + step, 2 * step
        if high > _MOST_ROWS:
            return None
    return high
