"""How the demo prints: progress, the comparison, and the trails of some answers."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from frugal_core.demo.application import EXAMPLES, FIXED
from frugal_core.demo.caching import Served
from frugal_core.demo.results import Live, Report

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def console() -> Console:
    """Readable in 80 columns, and without control characters where nobody looks."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 80
    return Console(highlight=False, width=width)


@contextmanager
def progress(out: Console, what: str, total: int | None) -> Iterator[Callable[..., None]]:
    """A progress bar with the time that is left, on a terminal; a line with the time it took."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    started = time.perf_counter()
    counter = [] if total is None else [MofNCompleteColumn()]
    bar = Progress(
        TextColumn("   {task.description}"),
        BarColumn(),
        *counter,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(what, total=total or 1.0)

        def advance(share: float | None = None) -> None:
            if share is None:
                bar.advance(task)
            else:
                bar.update(task, completed=share)

        yield advance
    out.print(f"   {what} in {time.perf_counter() - started:.0f} s")


def show(report: Report, reference: str, out: Console) -> None:
    """The comparison, the certificate and three trails."""
    from frugal_core.evaluation import wilson

    n = len(report.after)
    if report.fixed:
        out.print(
            f"   before: {reference} with {FIXED} fixed examples, half of them satire; after: with "
            f"the {EXAMPLES} most similar of all\n"
        )
        out.print(_comparison(f"{n} headlines, examples", report.fixed, report.before))
        out.print()
    out.print(f"   before: {reference} alone; after: the cascade in its place\n")
    out.print(_comparison(f"{n} live headlines", report.before, report.after))
    right = sum(live.right for live in report.after)
    low, high = wilson(right, n)
    shares = Counter(live.steps[-1]["model"] for live in report.after)
    answered = ", ".join(f"{model} {count}" for model, count in shares.most_common())
    out.print(
        f"\nAnswered by: {answered}. {n} headlines alone say little: the cascade's accuracy is "
        f"{100 * low:.0f} to {100 * high:.0f} % with 95 % confidence."
    )
    certificate = report.policy.certificate
    claim = certificate.sentence if certificate else "nothing is promised; see above"
    out.print(f"[bold]Certificate[/bold]: {claim}.")
    out.print("\n[bold]Three of the answers[/bold]")
    for live in _examples(report.after):
        _show_trail(live, out)


def show_next(report: Report, out: Console) -> None:
    """What to do with what was kept."""
    folder = report.folder
    out.print("\nThe recording and the policy are kept; the live answers can be replayed:")
    for command in (
        f"frugal eval {folder / 'policy.frugal'} {folder / 'live.jsonl.gz'}",
        f"frugal curve {folder / 'live.jsonl.gz'} --policy {folder / 'policy.frugal'} "
        f"--prices {folder / 'prices.json'} -o {folder / 'curve.html'}",
        f"frugal demo --seed {report.seed + 1}",
    ):
        out.print(f"   {command}", soft_wrap=True)


def _comparison(title: str, before: Sequence[Live], after: Sequence[Live]) -> Table:
    """Before and after, on the same live headlines."""
    n = len(after)
    table = _table(title, "before", "after")

    def compare(name: str, value: Callable[[Live], float], form: str, scale: float = 1.0) -> None:
        one, two = (scale * sum(map(value, lives)) for lives in (before, after))
        table.add_row(*_change(name, one, two, form))

    right = [sum(live.right for live in lives) / n for lives in (before, after)]
    points = f"{100 * (right[1] - right[0]):+.0f} points"
    table.add_row("accuracy", f"{100 * right[0]:.0f} %", f"{100 * right[1]:.0f} %", points)
    compare("calls of a model", _calls, ",.0f")
    compare("tokens", lambda live: live.input_tokens + live.output_tokens, ",.0f")
    compare("USD per 1,000 headlines", lambda live: live.usd, ".5f", 1000 / n)
    compare("seconds per headline", lambda live: live.seconds, ".3f", 1 / n)
    return table


def _table(what: str, before: str, after: str) -> Table:
    from rich.table import Table

    table = Table(what, box=None, pad_edge=False, padding=(0, 2))
    for column in (before, after, "change"):
        table.add_column(column, justify="right")
    return table


def _change(name: str, one: float, two: float, form: str) -> tuple[str, str, str, str]:
    change = f"{100 * (two / one - 1):+.0f} %" if one else ""
    return name, format(one, form), format(two, form), change


def show_cache(
    without: Sequence[Served], cached: Sequence[Served], certificate: str, out: Console
) -> None:
    """What the cache saved, what it got wrong, and one answer to a question in other words."""
    n = len(cached)
    table = _table(f"{n} questions", "without", "with cache")

    def compare(name: str, value: Callable[[Served], float], form: str, scale: float = 1.0) -> None:
        one, two = (scale * sum(map(value, served)) for served in (without, cached))
        table.add_row(*_change(name, one, two, form))

    compare("calls of a model", lambda served: not served.layer, ",.0f")
    compare("tokens", lambda served: served.tokens, ",.0f")
    compare("USD per 1,000 questions", lambda served: served.usd, ".5f", 1000 / n)
    compare("seconds per question", lambda served: served.seconds, ".3f", 1 / n)
    compare("answers to another question", lambda served: served.wrong, ",.0f")
    out.print("")
    out.print(table)
    layers = Counter(served.layer for served in cached)
    out.print(
        f"\nFrom the cache: {layers['exact']} word for word, {layers['semantic']} in other words; "
        f"the model was asked {layers['']} times."
    )
    out.print(f"[bold]Certificate[/bold]: {certificate}.")


def _calls(live: Live) -> int:
    """How often a model was asked; the student is none."""
    return sum(step["input_tokens"] > 0 for step in live.steps) if live.steps else 1


def _examples(lives: Sequence[Live]) -> list[Live]:
    """Three answers that show what can happen: accepted at once, passed on, and wrong."""
    kinds = (
        [live for live in lives if live.right and len(live.steps) == 1],
        [live for live in lives if live.right and len(live.steps) > 1],
        [live for live in lives if not live.right],
    )
    chosen = [live for kind in kinds for live in kind[:1]]
    return (chosen + [live for live in lives if live not in chosen])[:3]


def _show_trail(live: Live, out: Console) -> None:
    from rich.markup import escape

    verdict = "right" if live.right else f"wrong, it is {live.headline.label}"
    out.print(f' "{escape(live.headline.text)}": {escape(live.said)} ({verdict})')
    for step in live.steps:
        tokens = step["input_tokens"] + step["output_tokens"]
        cost = f"{tokens} tokens, {step['seconds']:.3f} s" if tokens else "no tokens"
        out.print(f"   {step['model']}: {step['decision']}, {step['why']}; {cost}")


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
