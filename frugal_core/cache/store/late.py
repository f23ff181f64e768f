"""A store that is opened when it is first needed, and tried again where that failed."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Any

from frugal_core.cache.forking import renew_in_children
from frugal_core.cache.store import open_store
from frugal_core.cache.store.base import Store, StoreError
from frugal_core.errors import describe

_LOG = logging.getLogger("frugal_core")
_RETRY = 15.0
"""Seconds after which a location that could not be opened is tried again."""


class LateStore:
    """Stands for a store whose location may be out of reach now.

    A cache must never cost an answer, and its callback is often made before its database is up.

    Args:
        location: See `frugal_core.cache.SemanticCache`.
    """

    def __init__(self, location: str | os.PathLike[str] | Store | None) -> None:
        self._location = location
        self._store: Store | None = None
        self._failure = ""
        self._logged = False
        self._retry_at = 0.0
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """See `frugal_core.cache.forking`."""
        self._lock = threading.Lock()

    def ready(self) -> bool:
        """Whether the store is open; opens it if it is not. May take as long as that takes."""
        try:
            self._opened()
        except StoreError:
            return False
        return True

    def close(self) -> None:
        """Close the store, if it was opened; who uses it again opens it again."""
        with self._lock:
            store, self._store = self._store, None
        if store is not None:
            store.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._opened(), name)

    def _opened(self) -> Store:
        if self._store is not None:
            return self._store
        with self._lock:
            if self._store is None:
                if time.monotonic() < self._retry_at:
                    raise StoreError(self._failure)
                try:
                    self._store = open_store(self._location)
                except Exception as error:  # drivers raise errors of their own
                    self._failed(error)
                    raise StoreError(self._failure) from error
            return self._store

    def _failed(self, error: Exception) -> None:
        self._failure = f"the cache cannot be opened: {describe(error)}"
        self._retry_at = time.monotonic() + _RETRY
        if not self._logged:
            self._logged = True
            _LOG.warning("%s; models are called without it until it can", self._failure)
