"""Single flight: of equal questions at the same time, one is answered by the model, the rest wait.

Within a process followers wait for an event; between processes for a lease in the store. A thread
does not wait for a task, which may need that very thread to go on: who asks in threads and who asks
in tasks of one process have a leader each. A leader prolongs its leases for as long as it lives, so
that they can be short: one that died blocks nobody for long, and one whose model is slow keeps its
turn.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
import weakref
from contextlib import suppress
from typing import Literal

from frugal_core.cache.forking import renew_in_children
from frugal_core.cache.store.base import Store

Lane = Literal["threads", "tasks"]
"""Where a question is asked: in threads that wait, or in tasks of an event loop."""
LEASE = 6.0
"""Seconds after which a leader that has not prolonged its lease is taken for dead."""


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
        # Both may be taken once more by a thread that has them: turns that are lost are given back
        # when Python collects its garbage, which may be at any moment.
        self._lock = threading.RLock()
        self._flying: dict[tuple[Lane, str], threading.Event] = {}
        self._prolonging = threading.RLock()
        self._leased: set[str] = set()
        self._prolonger: threading.Thread | None = None
        self._owner = f"{os.getpid()}-{uuid.uuid4().hex}"

    def lead(self, lane: Lane, key: str) -> threading.Event | None:
        """Become the leader of a key in a lane; else the event that its leader will set."""
        with self._lock:
            flying = self._flying.get((lane, key))
            if flying is None:
                self._flying[lane, key] = threading.Event()
            return flying

    def lease(self, key: str) -> bool:
        """Become the leader among all processes; only for a leader in this one."""
        with self._prolonging:
            if not self.store.lease(key, self._owner, LEASE):
                return False
            self._leased.add(key)
            if self._prolonger is None:
                self._prolonger = threading.Thread(
                    target=_prolong, args=[weakref.ref(self)], name="frugal-lease", daemon=True
                )
                self._prolonger.start()
            return True

    def _prolong(self) -> bool:
        """Prolong all leases; whether there were any."""
        with self._prolonging:
            if not self._leased:
                self._prolonger = None
                return False
            keys = list(self._leased)
        for key in keys:
            with self._prolonging, suppress(Exception):  # a store of the user's own
                if key in self._leased:
                    self.store.lease(key, self._owner, LEASE)
        return True

    def land(self, lane: Lane, key: str, leased: bool) -> None:
        """Let the followers go on."""
        with self._lock:
            flying = self._flying.pop((lane, key), None)
        if flying is not None:
            flying.set()
        if leased:
            with self._prolonging:
                self._leased.discard(key)
                self.store.release(key, self._owner)


def _prolong(flights: weakref.ref[Flights]) -> None:
    """Prolong leases until none is left; a cache that is dropped is not kept alive for it."""
    going_on = True
    while going_on:
        time.sleep(LEASE / 3)
        alive = flights()
        going_on = alive is not None and alive._prolong()
        del alive
