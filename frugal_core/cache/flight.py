"""Single flight: of equal questions at the same time, one is answered by the model, the rest wait.

Within a process followers wait for an event; between processes for a lease in the store, which
expires, so that a leader that died does not block anybody.
"""

from __future__ import annotations

import os
import threading
import uuid

from frugal_core.cache.forking import renew_in_children
from frugal_core.cache.store.base import Store

LEASE = 60.0
"""Seconds after which a leader is taken for dead."""


class Flights:
    """Who is asking the model what, in this process.

    Args:
        store: Keeps the leases.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Lead nothing; a child of a fork is another owner than its parent."""
        self._flying: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self._owner = f"{os.getpid()}-{uuid.uuid4().hex}"

    def lead(self, key: str) -> threading.Event | None:
        """Become the leader of a key in this process; else the event that its leader will set."""
        with self._lock:
            flying = self._flying.get(key)
            if flying is None:
                self._flying[key] = threading.Event()
            return flying

    def lease(self, key: str) -> bool:
        """Become the leader among all processes; only for the leader in this one."""
        return self.store.lease(key, self._owner, LEASE)

    def land(self, key: str, leased: bool) -> None:
        """Let the followers go on."""
        with self._lock:
            flying = self._flying.pop(key, None)
        if flying is not None:
            flying.set()
        if leased:
            self.store.release(key, self._owner)
