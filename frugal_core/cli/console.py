"""What the commands share: messages, progress, numbers in words, and common options."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frugal_core.errors import FrugalError

if TYPE_CHECKING:
    from rich.console import Console

RecordingPath = Annotated[
    Path,
    typer.Argument(
        metavar="RECORDING", help="Recorded answers: .jsonl, .jsonl.gz, .csv, .parquet."
    ),
]
Prices = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help='JSON: {"model": \\[input, output]}, USD per million tokens; known models need none.',
    ),
]
Grader = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="How answers are compared with the gold `reference` where `correct` is not recorded: "
        "exact, normalised, number, contains, embedding (or embedding:THRESHOLD), or "
        "judge:PROVIDER:MODEL, a model that is asked.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Accept the price of what is asked.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


# An argument as the library's messages write it: on the command line it is an option.
_ARGUMENT = re.compile(r"\b(labels|reference|grader)='([\w-]+)'")


def complain(error: object, who: str = "error") -> None:
    """Write `error: ...` on stderr, in one line, with options where the library says arguments.

    Args:
        error: What is wrong, and what to do.
        who: What the line begins with.
    """
    if isinstance(error, OSError) and error.strerror:
        named = f"{error.filename}: " if error.filename else ""
        error = f"{named}{error.strerror}"
    words = _ARGUMENT.sub(r"--\1 \2", " ".join(str(error).split()))
    words = words.replace(".; ", "; ").replace("?; see ", "? See ")
    typer.echo(f"{who}: {words}", err=True)


def remark(text: str) -> None:
    """Write a line on stderr that is no error."""
    typer.echo(text, err=True)


def console() -> Console:
    """Where results are printed; wide enough for every table where nobody looks."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 120
    # No markup and no emoji codes: "[...]" and ":b:" may well be part of a model's name.
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True, width=width)


def print_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can hold and UTF-8 cannot
        text = json.dumps(value, indent=2)
    typer.echo(text)


@contextmanager
def progress(wanted: bool = True) -> Iterator[Callable[[str, float], None]]:
    """A progress bar on stderr, if that is a terminal; yields a function of (what, share done)."""
    if not (wanted and sys.stderr.isatty()):
        yield lambda what, share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


def check_output(path: Path, *suffixes: str) -> None:
    """Refuse a place that cannot be written before the work is done, not after.

    Raises:
        FrugalError: if the folder is missing, or the name has none of the suffixes.
    """
    if suffixes and not path.name.endswith(suffixes):
        raise FrugalError(f"-o {path}: the name must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise FrugalError(f"-o {path}: this is a folder; name a file in it")
    if not path.parent.is_dir():
        raise FrugalError(f"-o {path}: the folder {path.parent} does not exist; create it first")


def someone_is_there() -> bool:
    """Whether a question would be answered."""
    return sys.stdin.isatty()


def confirm(yes: bool) -> None:
    """Have a price accepted that was just told, or leave.

    Raises:
        FrugalError: if nobody is there to ask.
    """
    if yes:
        return
    if not someone_is_there():
        raise FrugalError("nobody is there to accept the price: add --yes")
    if not typer.confirm("Ask?", err=True):
        remark("Nothing was asked.")
        raise typer.Exit(1)


def percent(share: float) -> str:
    """A share as a percentage; what is not all or nothing never reads so.

    Example:
        >>> percent(0.4218), percent(0.99996), percent(1.0)
        ('42.2 %', '99.996 %', '100.0 %')
    """
    digits, share = 1, round(share, 9)  # beyond that it is what sums of floats leave behind
    while share not in (0.0, 1.0) and digits < 6 and round(abs(share), digits + 2) in (0.0, 1.0):
        digits += 1
    return f"{100 * share:.{digits}f} %"


def usd(amount: float) -> str:
    """USD with four significant digits.

    Example:
        >>> usd(0.0111808775), usd(12.5), usd(0.0)
        ('0.01118', '12.5', '0')
    """
    return f"{amount:.4g}" if abs(amount) >= 1e-4 or amount == 0 else f"{amount:.2e}"


def saved(saving: float, model: str, role: str) -> str:
    """A saving in words.

    Example:
        >>> saved(0.4, "gpt-4o", "the dearest")
        '40.0 % less than gpt-4o (the dearest)'
    """
    if round(saving, 9) < 0:
        return f"{percent(-saving)} more than {model} ({role})"
    return f"{percent(max(saving, 0.0))} less than {model} ({role})"
