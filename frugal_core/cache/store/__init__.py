"""Stores of the semantic cache."""

from __future__ import annotations

import os
from pathlib import Path

from frugal_core.cache.store.base import Store


def open_store(location: str | os.PathLike[str] | Store | None) -> Store:
    """The store at a location; see `SemanticCache`."""
    if location is None:
        from platformdirs import user_cache_path

        location = user_cache_path("frugal-cascade", ensure_exists=True) / "cache.sqlite"
    if not isinstance(location, str | os.PathLike):
        return location
    text = os.fspath(location)
    if text.startswith(("postgresql://", "postgres://")):
        from frugal_core.cache.store.postgres import PostgresStore

        return PostgresStore(text)
    from frugal_core.cache.store.sqlite import SQLiteStore

    return SQLiteStore(text if text == ":memory:" else Path(text).expanduser())
