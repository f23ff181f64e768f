"""`frugal eval`: what a policy does on a recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frugal_core.cli.console import (
    AsJson,
    Grader,
    Prices,
    RecordingPath,
    Yes,
    console,
    percent,
    print_json,
    saved,
    usd,
)
from frugal_core.cli.graded import load_graded

if TYPE_CHECKING:
    from frugal_core import Evaluation

EXAMPLE = "Example:  frugal eval my.frugal later.jsonl.gz --prices prices.json --json"

PolicyPath = Annotated[
    Path, typer.Argument(metavar="POLICY", help="A policy file; `frugal fit` writes one.")
]


def evaluate(
    policy: PolicyPath,
    recording: RecordingPath,
    prices: Prices = None,
    grader: Grader | None = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Replay a policy over recorded answers: quality, cost, savings, and whether the promise held.

    Use rows that the policy was not fitted on.
    """
    from frugal_core.policy import Policy

    loaded = Policy.load(policy)
    evaluation = loaded.evaluate(load_graded(recording, prices, grader or loaded.grader, yes))
    if as_json:
        print_json(evaluation.to_json())
    else:
        _show(evaluation)


def _show(evaluation: Evaluation) -> None:
    from rich.table import Table

    out = console()
    reference, dearest = evaluation.reference, evaluation.dearest
    low, high = evaluation.accuracy_ci
    quality = "accuracy" if evaluation.labels == "gold" else f"agreement with {reference.model}"
    table = Table("", box=None, pad_edge=False, padding=(0, 2))
    for column in (quality, "USD per 1,000"):
        table.add_column(column, justify="right")
    table.add_row("policy", percent(evaluation.accuracy), usd(evaluation.usd_per_1k))
    for role, single in (("reference", reference), ("dearest", dearest)):
        numbers = percent(single.accuracy), usd(single.usd_per_1k)
        table.add_row(f"{single.model} ({role})", *numbers)
    out.print(f"{evaluation.queries:,} queries")
    out.print(table)
    gain = 100 * evaluation.accuracy_gain
    shares = ", ".join(f"{m} {percent(share)}" for m, share in evaluation.tier_share.items())
    out.print(
        f"\n{saved(evaluation.saving_vs_reference, reference.model, 'the reference')}, "
        f"{saved(evaluation.saving_vs_dearest, dearest.model, 'the dearest')}"
        f"\n{quality} {gain:+.2f} points against the reference; "
        f"95 % interval of the policy's own {percent(low)} to {percent(high)}"
        f"\nAnswered by: {shares}"
    )
    held = evaluation.certificate
    if held is None:
        out.print("Certificate: none; nothing is promised")
        return
    points = f"{100 * held.epsilon:g} point{'' if held.epsilon == 0.01 else 's'}"
    verb = "held" if held.holds else "DID NOT HOLD"
    gold = evaluation.labels == "gold"
    what = "below" if gold else "of disagreement with"
    on = "labelled queries" if gold else f"queries that {held.reference} answered (no gold labels)"
    out.print(
        f"Certificate: at most {points} {what} {held.reference} "
        f"({100 * held.confidence:g} % confidence) {verb} on these {held.n:,} {on}"
    )
