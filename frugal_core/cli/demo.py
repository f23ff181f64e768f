"""`frugal demo`: the whole story on real text and a real model, without a key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example:  frugal demo --seed 7"


def demo(
    seed: Annotated[int, typer.Option(min=0, help="Decides which rows are drawn.")] = 0,
    questions: Annotated[
        int | None, typer.Option(help="How many questions; fewer is faster.")
    ] = None,
    tier: Annotated[
        list[str] | None,
        typer.Option("--tier", metavar="PROVIDER:MODEL", help="Real tiers, cheapest first."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to keep the results in.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Accept the price of real tiers.")
    ] = False,
) -> None:
    """Fit a cascade on real text with a real local model, run it live, and compare."""
    from frugal_core.demo import run

    run(seed=seed, questions=questions, tiers=tier or [], folder=output, yes=yes)
