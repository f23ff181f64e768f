"""`frugal compress`: the same text with fewer tokens."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from frugal_core.cli.console import AsJson, Prices, console, print_json, remark, usd
from frugal_core.errors import FrugalError

if TYPE_CHECKING:
    from frugal_core.compress import Compression

EXAMPLE = 'Example:  frugal compress report.md --question "Who paid?" --ratio 4 --show'
_RATIO = 2.0

TextPath = Annotated[
    str, typer.Argument(metavar="FILE", help="A text in UTF-8; - reads standard input.")
]
Question = Annotated[
    str | None,
    typer.Option(help="What will be asked; without it the most telling sentences are kept."),
]
Ratio = Annotated[
    float | None, typer.Option(help=f"Keep at most 1/ratio of the tokens; {_RATIO:g} by default.")
]
Budget = Annotated[int | None, typer.Option(help="Keep at most so many tokens.")]
Protect = Annotated[
    list[str] | None,
    typer.Option(metavar="REGEX", help="What must be kept; may be given several times."),
]
OnOverflow = Annotated[
    str,
    typer.Option(
        metavar="error|keep|drop",
        help="What to do if what must be kept is over the budget; drop lets code and JSON go.",
    ),
]
Model = Annotated[
    str | None, typer.Option(help="The model that will read the text, to say what is saved.")
]
Show = Annotated[bool, typer.Option("--show", help="Show what was dropped, too.")]


def compress(
    file: TextPath,
    question: Question = None,
    ratio: Ratio = None,
    budget: Budget = None,
    protect: Protect = None,
    on_overflow: OnOverflow = "error",
    model: Model = None,
    prices: Prices = None,
    show: Show = False,
    as_json: AsJson = False,
) -> None:
    """Print a text with fewer tokens, and what was saved on stderr. No model is asked."""
    from frugal_core.compress import compress

    if budget is not None and ratio is not None:
        raise FrugalError("--ratio and --budget: give one of them")
    if budget is not None and budget < 1:
        raise FrugalError(f"--budget {budget}: a whole number of tokens from 1 is expected")
    text = _read(file)
    found = compress(
        text,
        question,
        ratio=_RATIO if ratio is None and budget is None else ratio,
        token_budget=budget,
        protect=protect or (),
        on_overflow=cast(Any, on_overflow),
        model=model,
        prices=prices,
    )
    if as_json:
        print_json(found.to_json())
        return
    if show:
        _show(text, found)
    else:
        typer.echo(found.text)
    remark(_summary(found))


def _read(file: str) -> str:
    try:
        if file == "-":
            return sys.stdin.buffer.read().decode("utf-8-sig")
        return Path(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FrugalError(f"{file}: this is no text in UTF-8 (byte {error.start})") from error


def _summary(found: Compression) -> str:
    if found.unchanged:
        return f"{found.tokens_before:,} tokens, unchanged: {found.unchanged}"
    saving = "" if found.usd_saved is None else f"; {usd(found.usd_saved)} USD saved in each call"
    return (
        f"{found.tokens_before:,} tokens -> {found.tokens_after:,} ({found.ratio:.2f}x), "
        f"{len(found.dropped)} of {len(found.parts)} pieces dropped{saving}"
    )


def _show(text: str, found: Compression) -> None:
    """Print the whole text, what is kept in green; where colours cannot be seen, [-dropped-]."""
    from rich.text import Text

    from frugal_core.compress.lossless import minify_json

    if not found.unchanged:
        text = minify_json(text)
    out, view, position = console(), Text(), 0
    for part in found.parts:
        start = max(position, text.find(part.text, position))
        view.append(text[position:start])
        position = start + len(part.text)
        if not part.reason:
            view.append(part.text, style="green")
        elif out.is_terminal:
            view.append(part.text, style="dim strike")
        else:
            view.append(f"[-{part.text}-]")
    out.print(view)
