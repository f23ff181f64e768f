"""`frugal curve`: accuracy against cost, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frugal_core.cli.console import Grader, Prices, RecordingPath, Yes, check_output, progress
from frugal_core.cli.graded import load_graded
from frugal_core.errors import FrugalError

EXAMPLE = "Example:  frugal curve answers.jsonl.gz --prices prices.json -o curve.png"


def curve(
    recording: RecordingPath,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="A .png or .html file.")
    ],
    policy: Annotated[
        Path | None,
        typer.Option(metavar="POLICY", help="The policy to draw; one is fitted by default."),
    ] = None,
    prices: Prices = None,
    grader: Grader = "normalised",
    seed: Annotated[int, typer.Option(min=0, help="Decides which half of the rows is drawn.")] = 0,
    yes: Yes = False,
) -> None:
    """Draw accuracy against cost: every model, the learned frontier, the oracle, FrugalGPT's chain.

    One half of the rows is fitted on, the other is drawn. With --policy, only FrugalGPT's kind of
    chain is fitted; give rows that the policy was not fitted on.
    """
    check_output(output, ".png", ".html")
    from frugal_core.fitting import fit
    from frugal_core.policy import Policy
    from frugal_core.report.frugalgpt import frugalgpt_chain
    from frugal_core.report.picture import Picture, draw

    given = None if policy is None else Policy.load(policy)
    loaded = load_graded(recording, prices, grader, yes)
    train, test = loaded.split(0.5, 0.5, seed=seed)
    if not len(test):
        raise FrugalError(f"{recording}: too few different queries to draw one half of them")
    with progress() as report:
        drawn = given or fit(train, promise=0.01, seed=seed, progress=report)
        report("drawing", 1.0)
        chain = frugalgpt_chain(drawn, train, test)
        quality = "accuracy" if drawn.labels == "gold" else f"agreement with {drawn.reference}"
        what = "Policy and chains" if given is None else "FrugalGPT's kind of chain"
        caption = f"{what} fitted on {len(train):,} queries of {recording.name}, "
        caption += f"everything drawn on the other {len(test):,}"
        draw(Picture(drawn.curve(test), chain, quality, caption), output)
    typer.echo(f"{output}: {caption}")
