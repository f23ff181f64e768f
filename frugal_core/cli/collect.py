"""`frugal collect`: from questions to a recording, at a price that is known beforehand."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frugal_core.cli.console import (
    Prices,
    Yes,
    check_output,
    complain,
    confirm,
    console,
    progress,
    remark,
    usd,
)
from frugal_core.errors import FrugalError

if TYPE_CHECKING:
    from frugal_core.learn.collect import Ask, Quote, Tally

EXAMPLE = (
    "Example:  frugal collect questions.txt --tier openai:gpt-4o-mini --tier openai:gpt-4o "
    "-o answers.jsonl.gz"
)

_ASSUMED_OUTPUT = 300  # tokens of an answer, where nothing limits them


def collect(
    questions: Annotated[
        Path,
        typer.Argument(
            metavar="QUESTIONS",
            help="One question a line, or .jsonl or .csv with `query`, `id`?, `reference`?.",
        ),
    ],
    tier: Annotated[
        list[str],
        typer.Option("--tier", metavar="PROVIDER:MODEL", help="A model to ask; repeat for each."),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="RECORDING", help="A .jsonl or .jsonl.gz file."),
    ],
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A system prompt before every question.")
    ] = None,
    max_output_tokens: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Longest answer, in tokens.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="As your application sets it; the provider's by default.")
    ] = None,
    prices: Prices = None,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="An OpenAI-compatible server to ask instead.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Calls at the same time.")] = 8,
    yes: Yes = False,
) -> None:
    """Ask every tier every question and record the answers, after quoting the price.

    Run the same command again to go on after an interruption, to ask what failed once more, or with
    a further --tier: what has been answered is not paid for twice.
    """
    check_output(output, ".jsonl", ".jsonl.gz")
    from frugal_core.learn.collect import collect as ask_all
    from frugal_core.learn.collect import quote
    from frugal_core.learn.collection import Collection, read_questions
    from frugal_core.pricing import PriceBook

    names = list(dict.fromkeys(tier))
    book = PriceBook.load(prices)
    with Collection(output, read_questions(questions), system) as collection:
        quotes = quote(collection, names, book, max_output_tokens or _ASSUMED_OUTPUT)
        if not any(quoted.calls for quoted in quotes):
            typer.echo(f"Nothing to ask: {output} has every answer.")
            return
        options = {
            "max_tokens": max_output_tokens,
            "temperature": temperature,
            "base_url": base_url,
        }
        given = {name: value for name, value in options.items() if value is not None}
        tiers = _askers(names, system, given)
        _show_quote(quotes, max_output_tokens)
        confirm(yes)
        try:
            with progress() as report:
                tallies = ask_all(collection, tiers, book, concurrency=concurrency, progress=report)
        except KeyboardInterrupt:
            complain(f"interrupted; {output} has what was paid for: run the same command to go on")
            raise typer.Exit(130) from None
    _show_tallies(tallies, output)
    if hopeless := [words for tally in tallies if (words := _hopeless(tally))]:
        for words in hopeless:
            complain(words)
        raise typer.Exit(2)


def _askers(
    names: Sequence[str], system: str | None, arguments: Mapping[str, Any]
) -> dict[str, Ask]:
    """How to ask each model through LangChain, exactly as a cascade does when it runs."""
    try:
        from langchain_frugal.asking import asking, chat_models
    except ImportError as error:
        raise FrugalError(
            f"collect asks models through LangChain ({error}): "
            f"pip install 'frugal-cascade[langchain]'"
        ) from error
    # A server of one's own wants no key, but its client insists on one.
    if "base_url" in arguments and not os.environ.get("OPENAI_API_KEY"):
        arguments = {**arguments, "api_key": "none"}
    before = [("system", system)] if system else []
    models = chat_models(names, arguments)
    return {
        name: asking(model, lambda question: [*before, ("human", question)])
        for name, model in models.items()
    }


def _show_quote(quotes: Sequence[Quote], max_output_tokens: int | None) -> None:
    from rich.table import Table

    table = Table("tier", box=None, pad_edge=False, padding=(0, 2))
    for column in ("calls", "input tokens", "output tokens", "USD"):
        table.add_column(column, justify="right")
    for q in quotes:
        table.add_row(
            q.model, f"{q.calls:,}", f"{q.input_tokens:,}", f"{q.output_tokens:,}", usd(q.usd)
        )
    calls, total = sum(q.calls for q in quotes), sum(q.usd for q in quotes)
    table.add_row("total", f"{calls:,}", "", "", usd(total))
    out = console()
    out.print(table)
    if max_output_tokens is None:
        out.print(
            f"Input tokens are estimated on the high side, {_ASSUMED_OUTPUT} output tokens a call "
            f"are assumed; --max-output-tokens sets a limit."
        )
    else:
        out.print("Input tokens are estimated on the high side, output tokens are the limit.")


def _show_tallies(tallies: Sequence[Tally], output: Path) -> None:
    from rich.table import Table

    table = Table("tier", box=None, pad_edge=False, padding=(0, 2))
    for column in ("answered", "failed", "USD spent"):
        table.add_column(column, justify="right")
    for tally in tallies:
        table.add_row(tally.model, f"{tally.answered:,}", f"{tally.failed:,}", usd(tally.usd))
    table.add_row("total", "", "", usd(sum(tally.usd for tally in tallies)))
    console().print(table)
    for tally in tallies:
        for defect, count in tally.defects.items():
            remark(f"{tally.model}: {count:,} answers are {defect}")
        if tally.estimated:
            remark(f"{tally.model} reports no usage: {tally.estimated:,} answers have estimates")
        if tally.failed and not _hopeless(tally):
            calls = tally.answered + tally.failed
            first = f"the first with {tally.reason}"
            remark(f"{tally.model}: {tally.failed:,} of {calls:,} calls failed, {first}")
    if any(tally.failed for tally in tallies):
        remark("Run the same command again to ask what failed.")
    typer.echo(f"Written to {output}")


def _hopeless(tally: Tally) -> str | None:
    """What to say of a tier that did not answer at all; None for one that did."""
    from langchain_frugal.asking import REMEDY

    if tally.stopped:
        return f"{tally.model} was given up: {tally.stopped}; {REMEDY}"
    if tally.failed and not tally.answered:
        first = f"the first with {tally.reason}"
        return f"{tally.model}: all {tally.failed:,} calls failed, {first}; {REMEDY}"
    return None
