"""Where a cache is: opened for a command, and told without its password."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from frugal_core.errors import FrugalError

if TYPE_CHECKING:
    from frugal_core.cache.semantic import SemanticCache

Location = Annotated[
    str | None,
    typer.Option(
        envvar="FRUGAL_CACHE",
        show_envvar=True,
        metavar="PATH|URL",
        help="A cache file or postgresql:// URL; the platform's cache folder by default.",
    ),
]


@contextlib.contextmanager
def opened(
    location: str | None, scope: str | None, error_bound: float = 0.01, create: bool = False
) -> Iterator[SemanticCache]:
    """The cache at a location, which must be there unless it may be made."""
    from frugal_core.cache.semantic import SemanticCache

    path = _path(location)
    if path is not None and not create and not path.exists():
        raise FrugalError(f"{path}: there is no cache; --location says where it is")
    with SemanticCache(location, scope=scope or "", error_bound=error_bound) as cache:
        yield cache


def _path(location: str | None) -> Path | None:
    """Where a cache file is; None for a database."""
    if location is not None and re.match(r"postgres(ql)?://", location):
        return None
    if location == ":memory:":
        raise FrugalError("--location :memory: ends with the process: give a file")
    if location:
        return Path(location).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("frugal-cascade") / "cache.sqlite"


def shown(location: str | None) -> str:
    """A location without what is secret in it."""
    path = _path(location)
    if path is not None:
        return str(path)
    try:
        parts = urlsplit(location or "")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:  # an unescaped password
        return "postgresql://..."
    return f"postgresql://{parts.hostname or ''}{port}{parts.path}"
