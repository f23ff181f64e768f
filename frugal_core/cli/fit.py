"""`frugal fit`: from a recording to a policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from frugal_core.cli.console import (
    AsJson,
    Grader,
    Prices,
    RecordingPath,
    Yes,
    check_output,
    console,
    percent,
    print_json,
    progress,
    saved,
    usd,
)
from frugal_core.cli.graded import load_graded
from frugal_core.errors import FrugalError

if TYPE_CHECKING:
    from frugal_core import Policy, Recording

EXAMPLE = "Example:  frugal fit answers.jsonl.gz --prices prices.json --promise 0.01 -o my.frugal"

_DEFAULT_PROMISE = 0.01


def fit(
    recording: RecordingPath,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="POLICY", help="The policy file to write.")
    ],
    prices: Prices = None,
    promise: Annotated[
        float | None,
        typer.Option(
            metavar="EPSILON",
            help="Most accuracy to lose against the reference; 0.01 is one point. "
            "The default if there is no --budget either.",
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="Probability with which the promise must hold.")
    ] = 0.95,
    budget: Annotated[
        float | None,
        typer.Option(metavar="USD_PER_1K", help="Most USD per 1,000 queries."),
    ] = None,
    reference: Annotated[
        str,
        typer.Option(metavar="best|MODEL", help="The model whose quality is promised."),
    ] = "best",
    labels: Annotated[
        str,
        typer.Option(
            metavar="gold|reference",
            help="gold: quality is accuracy. reference: quality is agreement with the reference, "
            "and no gold label is needed.",
        ),
    ] = "gold",
    no_student: Annotated[
        bool, typer.Option("--no-student", help="Do not distil a free first tier.")
    ] = False,
    tiers: Annotated[
        str | None, typer.Option(metavar="A,B", help="The models that may be used; default all.")
    ] = None,
    grader: Grader = "normalised",
    seed: Annotated[int, typer.Option(min=0, help="Decides every split of the rows.")] = 0,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Learn a cascade from recorded answers, and certify how much quality it can lose.

    Prints every model alone, the cascade beside the best of them, and why where none pays.
    """
    check_output(output)
    from frugal_core.certifying import Labels, Promise
    from frugal_core.fitting import fit as fit_policy

    by_default = promise is None and budget is None
    if by_default:
        promise = _DEFAULT_PROMISE
    if labels == "reference" and grader.startswith("judge:"):
        raise FrugalError(f"--grader {grader} compares with gold answers only, not with a model's")
    loaded = load_graded(recording, prices, grader, yes)
    with progress(not as_json) as report:
        policy = fit_policy(
            loaded,
            promise=None if promise is None else Promise(promise, confidence),
            budget=budget,
            reference=reference,
            student=not no_student,
            labels=cast(Labels, labels),
            tiers=None if tiers is None else [*filter(None, map(str.strip, tiers.split(",")))],
            seed=seed,
            progress=report,
        )
    policy.save(output)
    summary = summarise(policy, loaded)
    if as_json:
        print_json({"policy": str(output), **summary})
        return
    if by_default:
        typer.echo(
            f"Neither --promise nor --budget given: the promise is {_DEFAULT_PROMISE:g} "
            f"at confidence {confidence:g}.\n"
        )
    _show(policy, summary)
    typer.echo(f"\nWritten to {output}")


def summarise(policy: Policy, recording: Recording) -> dict[str, Any]:
    """What a fit came to, as a JSON object.

    Accuracies of single models are of the rows that were fitted on. The cascade's own, its shares,
    and all costs are of the rows of the test (out of fold of all rows where there was no test).
    """
    from dataclasses import asdict

    from frugal_core.evaluation import saving

    singles = {single.model: single for single in policy.singles}
    reference, best = singles[policy.reference], policy.best_static
    dearest = max(policy.singles, key=lambda single: single.usd_per_1k)
    cost, shares = policy.expected.usd_per_1k, policy.expected.tier_share
    thresholds = [*policy.chain.thresholds, None]
    certificate = policy.certificate
    return {
        "verdict": policy.verdict,
        "labels": policy.labels,
        "rows": {"all": len(recording), **policy.fitted},
        "singles": [asdict(single) for single in policy.singles],
        "best_static": asdict(best),
        "reference": asdict(reference),
        "dearest": asdict(dearest),
        "cascade": {
            "tiers": [
                {"model": model, "threshold": threshold, "share": shares[model]}
                for model, threshold in zip(policy.chain.tiers, thresholds, strict=True)
            ],
            "best_of": policy.chain.best_of,
            "accuracy": policy.expected.accuracy,
            "usd_per_1k": cost,
        },
        "saving_vs_best_static": saving(cost, best.usd_per_1k),
        "saving_vs_reference": saving(cost, reference.usd_per_1k),
        "saving_vs_dearest": saving(cost, dearest.usd_per_1k),
        "certificate": certificate and {**certificate.to_json(), "sentence": certificate.sentence},
        "notes": list(policy.notes),
        "prices": policy.priced,
    }


def _show(policy: Policy, summary: dict[str, Any]) -> None:
    from rich.table import Table

    rows, cascade = summary["rows"], summary["cascade"]
    quality = "accuracy" if policy.labels == "gold" else f"agreement with {policy.reference}"
    out = console()
    used = f"{rows['fit']:,} to fit on, {rows['test']:,} to test on"
    taught = f", {rows['taught']:,} more to teach the student" if rows["taught"] else ""
    out.print(f"{rows['all']:,} queries: {used}{taught}")
    table = Table("model", box=None, pad_edge=False, padding=(0, 2), title_justify="left")
    for column in (quality, "USD per 1,000"):
        table.add_column(column, justify="right")
    table.add_column()
    roles = {
        "best_static": "best static choice",
        "reference": "reference",
        "dearest": "dearest",
    }
    for single in sorted(policy.singles, key=lambda single: single.usd_per_1k):
        role = [word for key, word in roles.items() if summary[key]["model"] == single.model]
        numbers = percent(single.accuracy), usd(single.usd_per_1k)
        table.add_row(single.model, *numbers, ", ".join(role))
    out.print(table)
    chain = Table("tier", box=None, pad_edge=False, padding=(0, 2))
    chain.add_column("accepted if score", justify="right")
    chain.add_column("share of queries", justify="right")
    for tier in cascade["tiers"]:
        chain.add_row(tier["model"], _rule(tier["threshold"]), percent(tier["share"]))
    out.print()
    out.print(chain)
    if cascade["best_of"]:
        out.print("(of all answers that were bought, the likeliest right is returned)")
    best, dearest = summary["best_static"]["model"], summary["dearest"]["model"]
    out.print(
        f"\nExpected: {quality} {percent(cascade['accuracy'])} at {usd(cascade['usd_per_1k'])} USD "
        f"per 1,000 queries,\n"
        f"  {saved(summary['saving_vs_best_static'], best, 'the best static choice')},\n"
        f"  {saved(summary['saving_vs_dearest'], dearest, 'the dearest')}."
    )
    verdict, promised = policy.verdict, "none; nothing is promised"
    if policy.certificate is not None:
        promised = policy.certificate.sentence
        verdict = verdict.replace(f"; {promised}", "")  # said once is enough
    out.print(f"Verdict: {verdict}")
    out.print(f"Certificate: {promised}")
    for note in policy.notes:
        out.print(f"Note: {note}")
    out.print(f"Prices: {policy.priced}")


def _rule(threshold: float | None) -> str:
    """When a tier's answer is accepted, in words."""
    if threshold is None or threshold <= 0:
        return "always"
    return "never" if threshold > 1 else f">= {threshold:.3f}"
