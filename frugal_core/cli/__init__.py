"""The `frugal` command.

Commands import what they need when they run, so that `frugal --help` answers at once.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from frugal_core._version import __version__
from frugal_core.cli import collect, curve, evaluate, fit
from frugal_core.cli.console import complain
from frugal_core.errors import FrugalError


class _Commands(TyperGroup):
    """Turns what a user can mend into one line on stderr; FRUGAL_TRACEBACK=1 shows where it was."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            complain("interrupted")
            raise typer.Exit(130) from None
        except (FrugalError, OSError) as error:
            if os.environ.get("FRUGAL_TRACEBACK") == "1":
                raise
            complain(error)
            raise typer.Exit(2) from error


app = typer.Typer(
    name="frugal",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"frugal-cascade {__version__}")
        raise typer.Exit


@app.callback()
def frugal(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Pay less for LLM calls without losing quality: a learned cascade with a tested promise."""


app.command(epilog=fit.EXAMPLE)(fit.fit)
app.command("eval", epilog=evaluate.EXAMPLE)(evaluate.evaluate)
app.command(epilog=curve.EXAMPLE)(curve.curve)
app.command(epilog=collect.EXAMPLE)(collect.collect)
if find_spec("frugal_core.demo"):
    from frugal_core.cli import demo

    app.command(epilog=demo.EXAMPLE)(demo.demo)


def main() -> None:
    """Entry point of the `frugal` command."""
    app()
