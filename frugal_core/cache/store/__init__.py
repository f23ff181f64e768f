"""Stores of the semantic cache."""

from __future__ import annotations

import os
import re
from pathlib import Path

from frugal_core.cache.store.base import Store
from frugal_core.errors import FrugalError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")


def postgres_url(location: str) -> str | None:
    """A location as a URL of Postgres; None if it is a path.

    Raises:
        FrugalError: It is a URL of something else.

    Example:
        >>> postgres_url("postgresql+psycopg://localhost/app")
        'postgresql://localhost/app'
    """
    scheme, separator, rest = location.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        return None
    if scheme.lower().partition("+")[0] not in ("postgresql", "postgres"):
        raise FrugalError(f"location {scheme}://...: give a path, or a postgresql:// URL")
    return f"postgresql://{rest}"


def open_store(location: str | os.PathLike[str] | Store | None) -> Store:
    """The store at a location; see `SemanticCache`."""
    if location is None:
        from platformdirs import user_cache_path

        location = user_cache_path("frugal-cascade", ensure_exists=True) / "cache.sqlite"
    if not isinstance(location, str | os.PathLike):
        return location
    text = os.fspath(location)
    if (url := postgres_url(text)) is not None:
        from frugal_core.cache.store.postgres import PostgresStore

        return PostgresStore(url)
    from frugal_core.cache.store.sqlite import SQLiteStore

    return SQLiteStore(text if text == ":memory:" else Path(text).expanduser())
