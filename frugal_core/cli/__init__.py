"""The `frugal` command.

Commands import what they need when they run, so that `frugal --help` answers at once.
"""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from frugal_core._version import __version__
from frugal_core.cli import cache, collect, compress, curve, demo, evaluate, fit
from frugal_core.cli.console import complain
from frugal_core.errors import FrugalError

_UsageError: Any = typer.BadParameter.__mro__[1]
"""A wrong command line: typer exports the child only, and its parent moves between versions."""


class _Commands(TyperGroup):
    """Turns what a user can mend into one line on stderr; FRUGAL_TRACEBACK=1 shows where it was."""

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **extra: Any) -> Any:
        if not args:  # typer shows the help
            return super().make_context(info_name, args, *more, **extra)
        try:
            return super().make_context(info_name, args, *more, **extra)
        except _UsageError as error:
            raise _misused(error, str(info_name)) from None

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except _UsageError as error:
            # The innermost command that was understood ("frugal cache stats"), where that is said.
            command = " ".join(filter(None, [ctx.command_path, ctx.invoked_subcommand]))
            raise _misused(error, error.ctx.command_path if error.ctx else command) from None
        except KeyboardInterrupt:
            complain("interrupted")
            raise typer.Exit(130) from None
        except (FrugalError, OSError) as error:
            if os.environ.get("FRUGAL_TRACEBACK") == "1":
                raise
            complain(error)
            raise typer.Exit(2) from error


def _misused(error: Any, command: str) -> typer.Exit:
    """Say what is wrong with a command line, and where to read how it is meant."""
    words = error.format_message()
    complain(f"{words[:1].lower()}{words[1:]}; see {command} --help", "frugal")
    return typer.Exit(2)


app = typer.Typer(
    name="frugal",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Example:  frugal fit answers.jsonl.gz --promise 0.01 -o my.frugal",
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
app.command(epilog=demo.EXAMPLE)(demo.demo)
app.command(epilog=compress.EXAMPLE)(compress.compress)
app.add_typer(
    cache.app, name="cache", epilog="Example:  frugal cache stats --location cache.sqlite"
)


def main() -> None:
    """Entry point of the `frugal` command."""
    app()
