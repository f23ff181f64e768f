"""Quality and savings on recorded answers, on rows that nothing was fitted on.

    python -m benchmarks.recordings [--resplits 200] [--json results/recordings.json]

Every row of the output is the mean over resplits: the recording is cut at random into rows for
fitting and rows for reporting, the policy is fitted on the first and reported on the second.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from frugal_core import Evaluation, Policy, Recording, fit

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data" / "recordings"


@dataclass(frozen=True)
class Row:
    """One line of the table: means over resplits."""

    claim: str
    data: str
    resplits: int
    accuracy: float
    reference_accuracy: float
    saving_vs_reference: float
    saving_vs_dearest: float
    certified: float
    broken: float
    seconds: float
    reached: str


def load(name: str, prices: str = "prices_labels.json") -> Recording:
    """One recording, or both files of a chain together."""
    if (RECORDINGS / f"{name}.jsonl.gz").is_file():
        return Recording.load(RECORDINGS / f"{name}.jsonl.gz", prices=RECORDINGS / prices)
    parts = [load(f"{name}_{part}", prices) for part in ("train", "test")]
    return Recording(parts[0].queries + parts[1].queries, parts[0].prices)


def labelled_at_most(recording: Recording, rows: int) -> Recording:
    """The recording with gold labels for its first rows alone."""
    blind = recording.unlabelled().queries
    return Recording(recording.queries[:rows] + blind[rows:], recording.prices)


def measure(
    claim: str,
    data: str,
    splits: Iterator[tuple[Recording, Recording]],
    fitted: Callable[[Recording, int], Policy],
    reached: Callable[[list[Evaluation]], str],
) -> Row:
    """Fit and evaluate on every split."""
    results: list[Evaluation] = []
    started = time.perf_counter()
    for seed, (rows, held_out) in enumerate(splits):
        results.append(fitted(rows, seed).evaluate(held_out))
    seconds = (time.perf_counter() - started) / len(results)
    certified = [r for r in results if r.certificate is not None]
    broken = [r for r in certified if r.certificate and not r.certificate.holds]

    def mean(values: list[float]) -> float:
        return float(np.mean(values))

    return Row(
        claim,
        data,
        len(results),
        mean([r.accuracy for r in results]),
        mean([r.reference.accuracy for r in results]),
        mean([r.saving_vs_reference for r in results]),
        mean([r.saving_vs_dearest for r in results]),
        len(certified) / len(results),
        len(broken) / len(results),
        seconds,
        reached(results),
    )
