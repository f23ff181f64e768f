"""`frugal cache`: what is in a semantic cache, and what it would serve."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from frugal_core.cli.cache_check import check, one_line, show
from frugal_core.cli.cache_location import Location, opened, shown
from frugal_core.cli.console import (
    AsJson,
    check_output,
    console,
    percent,
    print_json,
    remark,
    someone_is_there,
)
from frugal_core.errors import FrugalError

app = typer.Typer(help="Look into a semantic cache, tidy it, move it, and ask what it would serve.")

Scope = Annotated[str | None, typer.Option(help="Entries of this scope; all scopes by default.")]
Bound = Annotated[
    float, typer.Option(metavar="SHARE", help="The error bound that the cache is used with.")
]
Partition = Annotated[
    str | None, typer.Option(help="What else shapes the answer; any, if it is left out.")
]

_LENGTHS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@app.callback(invoke_without_command=True)
def cache(context: typer.Context) -> None:
    """Look into a semantic cache, tidy it, move it, and ask what it would serve."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(epilog="Example:  frugal cache stats --location cache.sqlite --json")
def stats(
    location: Location = None,
    scope: Scope = None,
    error_bound: Bound = 0.01,
    as_json: AsJson = False,
) -> None:
    """Entries, hits, size, and how often the cache may be wrong."""
    with opened(location, scope, error_bound) as cache:
        from frugal_core.cache.store.base import Selection

        counts, held = cache.stats(), cache.certificate()
        entries = cache.rows.count(Selection(scope=scope))
        size = cache.rows.size()
    exact, semantic, lookups = (counts[name] for name in ("exact_hits", "semantic_hits", "lookups"))
    data = {
        "location": shown(location),
        "scope": scope,
        "entries": entries,
        "bytes": size,
        "lookups": lookups,
        "exact_hits": exact,
        "semantic_hits": semantic,
        "hit_rate": (exact + semantic) / lookups if lookups else None,
        "certificate": held.sentence,
        "threshold": held.threshold if held.serves else None,
        "wrong_per_lookup": held.wrong_per_lookup if held.lookups else None,
        "wrong_per_lookup_at_most": held.upper,
        "wrong_per_hit": held.wrong_per_hit if held.hits else None,
    }
    if as_json:
        print_json(data)
        return
    out = console()
    out.print(f"{data['location']}{'' if scope is None else f', scope {scope!r}'}")
    out.print(f"entries   {entries:,}{'' if size is None else f'   {_bytes(size)}'}")
    whose = "" if scope is None else "   (of all scopes)"
    rate = f"   hit rate {percent((exact + semantic) / lookups)}" if lookups else ""
    out.print(f"lookups   {lookups:,}{whose}")
    out.print(f"hits      {exact:,} exact, {semantic:,} by meaning{rate}")
    if held.serves and held.hits:
        out.print(
            f"wrong     {percent(held.wrong_per_lookup)} per lookup "
            f"(at most {percent(held.upper)}), {percent(held.wrong_per_hit)} per hit by "
            f"meaning, as judged"
        )
    out.print(f"Certificate: {held.sentence}")


@app.command("list", epilog="Example:  frugal cache list --limit 5 --answers")
def list_entries(
    location: Location = None,
    scope: Scope = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    answers: Annotated[bool, typer.Option("--answers", help="Show the answers too.")] = False,
    as_json: AsJson = False,
) -> None:
    """What is stored, the newest first."""
    with opened(location, scope) as cache:
        from frugal_core.cache.store.base import Selection

        newest = deque(cache.rows.entries(Selection(scope=scope)), maxlen=limit)
    rows: list[dict[str, Any]] = [
        {
            "id": e.id,
            "question": e.question,
            "scope": e.scope,
            "tags": e.tags,
            "created": e.created,
            "expires": e.expires,
            "wrong": e.wrong,
        }
        | ({"answer": e.answer} if answers else {})
        for e in reversed(newest)
    ]
    if as_json:
        print_json({"entries": rows})
        return
    out = console()
    for row in rows:
        when = dt.datetime.fromtimestamp(row["created"]).isoformat(" ", "minutes")
        tags = f"   [{', '.join(row['tags'])}]" if row["tags"] else ""
        wrong = "   reported wrong" if row["wrong"] else ""
        out.print(f"{when}   {one_line(row['question'])}{tags}{wrong}")
        if answers:
            out.print(f"    {one_line(json.dumps(row['answer'], ensure_ascii=False))}")
    if not rows:
        out.print("No entries.")


@app.command(epilog="Example:  frugal cache purge --tag prices --older-than 7d")
def purge(
    location: Location = None,
    scope: Scope = None,
    tag: Annotated[str | None, typer.Option(help="Entries with this tag.")] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Entries older than 30m, 12h, 7d, 2w.")
    ] = None,
    everything: Annotated[bool, typer.Option("--everything", help="All entries.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete entries for good."""
    if tag is None and older_than is None and not everything:
        raise FrugalError("say which entries: --tag, --older-than, or --everything for all")
    if everything and (tag is not None or older_than is not None):
        raise FrugalError("--everything deletes all entries: leave --tag and --older-than out")
    before = None if older_than is None else dt.datetime.now().timestamp() - _seconds(older_than)
    with opened(location, scope) as cache:
        from frugal_core.cache.store.base import Selection

        chosen = Selection(scope=scope, tag=tag, created_before=before)
        count = cache.rows.count(chosen)
        if count and not yes:
            if as_json or not someone_is_there():
                raise FrugalError(f"{_entries(count)} would be deleted: add --yes")
            whose = "of all scopes" if scope is None else f"of the scope {scope!r}"
            if not typer.confirm(f"Delete {_entries(count)} {whose} from {shown(location)}?"):
                typer.echo("Nothing was deleted.")
                raise typer.Exit(1)
        removed = cache.rows.remove(chosen)
    if as_json:
        print_json({"deleted": removed})
    else:
        typer.echo(f"{_entries(removed)} deleted.")


@app.command(epilog="Example:  frugal cache export -o cache.jsonl --scope tenant-1")
def export(
    location: Location = None,
    scope: Scope = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="A file; stdout by default."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write entries as JSON Lines, without their vectors; only you can read the file."""
    if as_json and output is None:
        raise FrugalError("--json says what was exported: it needs -o FILE for the entries")
    if output is not None:
        check_output(output)
    with opened(location, scope) as cache, _written(output) as file:
        from frugal_core.cache.exchange import exported

        count = 0
        for line in exported(cache.rows, scope):
            file.write(json.dumps(line.to_json()) + "\n")
            count += 1
    if as_json:
        print_json({"exported": count, "file": str(output)})
    else:
        remark(f"{_entries(count)} exported{'' if output is None else f' to {output}'}")


@app.command("import", epilog="Example:  frugal cache import gptcache_folder --scope tenant-1")
def import_entries(
    source: Annotated[
        Path,
        typer.Argument(metavar="FILE|FOLDER", help="JSON Lines, or a folder of GPTCache's."),
    ],
    location: Location = None,
    scope: Annotated[str | None, typer.Option(help="Of entries that do not say theirs.")] = None,
    partition: Annotated[str, typer.Option(help="Of entries that do not say theirs.")] = "",
    as_json: AsJson = False,
) -> None:
    """Store the entries of an export, of a file of your own, or of GPTCache's SQLite.

    A line of your own needs "question" and "answer"; "partition", "scope", "tags" and "expires"
    may be there.
    """
    from frugal_core.cache.exchange import import_lines, read_gptcache, read_lines

    lines, left_out = read_gptcache(source) if source.is_dir() else (read_lines(source), {})
    with opened(location, scope, create=True) as cache:
        done = import_lines(cache.rows, lines, scope, partition)
    skipped = left_out | done.skipped
    if as_json:
        print_json({"imported": done.stored, "skipped": skipped})
        return
    rest = "; ".join(f"{n:,} {reason}" for reason, n in skipped.items())
    typer.echo(f"{_entries(done.stored)} imported{f'; skipped: {rest}' if rest else ''}")


@app.command("serve-check", epilog='Example:  frugal cache serve-check "How do I log in?"')
def serve_check(
    question: Annotated[str, typer.Argument(metavar="QUESTION")],
    location: Location = None,
    scope: Annotated[str, typer.Option(help="Whose cache is asked.")] = "",
    partition: Partition = None,
    error_bound: Bound = 0.01,
    as_json: AsJson = False,
) -> None:
    """Say whether a question would be served, from which stored one, and why the others are not."""
    with opened(location, scope, error_bound) as cache:
        found = check(cache, question, partition)
    if as_json:
        print_json(found)
    else:
        show(found, console())


def _entries(count: int) -> str:
    return f"{count:,} {'entry' if count == 1 else 'entries'}"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} GB"


def _seconds(age: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", age.strip())
    if not found:
        raise FrugalError(f"--older-than {age}: a number with s, m, h, d or w, such as 7d")
    return float(found[1]) * _LENGTHS[found[2]]


@contextlib.contextmanager
def _written(output: Path | None) -> Iterator[Any]:
    """A file for its owner's eyes alone that is there when all is written; or stdout."""
    if output is None:
        yield sys.stdout
        return
    descriptor, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
        os.replace(name, output)
    except BaseException:
        os.unlink(name)
        raise
