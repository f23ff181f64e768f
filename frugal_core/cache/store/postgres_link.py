"""Connections to a Postgres server: shared by threads, renewed when lost, not waited on forever."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import selectors
import struct
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import numpy as np

from frugal_core.cache.store.base import StoreError
from frugal_core.errors import describe

try:
    import psycopg
    from psycopg import errors
    from psycopg.adapt import Dumper
    from psycopg.conninfo import conninfo_to_dict
    from psycopg.pq import Format, TransactionStatus
except ImportError as error:
    raise ImportError(
        'the Postgres store needs psycopg: pip install "frugal-cascade[postgres]"'
    ) from error

T = TypeVar("T")
_ATTEMPTS = 3
# A plan made for any parameters cannot use an index on one space. Compiling a plan or starting
# workers costs more than a lookup.
_SETTINGS = """
    SET statement_timeout = {milliseconds};
    SET plan_cache_mode = force_custom_plan;
    SET jit = off;
    SET max_parallel_workers_per_gather = 0;
    SET client_min_messages = warning;
    SET hnsw.ef_search = {effort}
"""


class _VectorDumper(Dumper):
    """An array as the binary form of pgvector's type; the statement casts it."""

    format = Format.BINARY

    def dump(self, obj: Any) -> bytes:
        return struct.pack(">HH", len(obj), 0) + obj.astype(">f4").tobytes()


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that gives up when the server says nothing for `patience` seconds.

    The server's own timeout does not help when it is frozen, or when the network swallows all.
    """

    patience = 5.0

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        return super().wait(self._watched(gen), *args, **kwargs)

    def _watched(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        deadline = time.monotonic() + self.patience
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    deadline = time.monotonic() + self.patience
                elif time.monotonic() > deadline:
                    # Closed at once: undoing the transaction would wait for the server again.
                    self.close()
                    raise psycopg.OperationalError(f"no answer within {self.patience:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value

    def is_usable(self) -> bool:
        """Whether nothing has come from the server: unasked it only says that it ends."""
        if self.closed or self.info.transaction_status != TransactionStatus.IDLE:
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self.fileno(), selectors.EVENT_READ)
            return not selector.select(0)


class Link:
    """What runs statements on a server.

    A process that was forked gets connections of its own. Errors are one line, never show the
    password, and do not carry psycopg's error with them, which might.

    Args:
        url: As libpq understands it, `postgresql://user:password@host:5432/database`.
        connections: At most so many at once; more threads wait for one another.
        timeout: Seconds to wait for a connection, and for the server's answer.
        effort: pgvector's `hnsw.ef_search`.

    Raises:
        StoreError: Not a URL of Postgres. Whether the server answers shows with the first call.
    """

    def __init__(self, url: str, connections: int, timeout: float, effort: int) -> None:
        parameters = _parsed(url)
        self._secrets = [
            parameters[name] for name in ("password", "sslpassword") if parameters.get(name)
        ]
        parts = (("user", "{}@"), ("host", "{}"), ("port", ":{}"), ("dbname", "/{}"))
        self.name = "".join(
            shape.format(parameters[name]) for name, shape in parts if parameters.get(name)
        )
        self._url = url
        self._defaults: dict[str, Any] = {
            name: value
            for name, value in (
                ("connect_timeout", max(2, round(timeout))),
                ("application_name", "frugal-cascade"),
            )
            if name not in parameters
        }
        self._settings = _SETTINGS.format(milliseconds=round(timeout * 1000), effort=effort)
        self._connections = connections
        self._timeout = timeout
        self._closed = False
        self._silent_until = 0.0
        # By process: a child must neither use nor close the connections of its parent.
        self._idle: dict[int, queue.LifoQueue[Connection | None]] = {}

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do some work on a connection in autocommit mode; repeated where the server asks for it.

        Raises:
            StoreError: The server cannot be reached, refuses, or does not answer in time; the next
                call connects anew.
        """
        for attempt in range(_ATTEMPTS):
            try:
                with self._connection() as connection:
                    return work(connection)
            except (errors.DeadlockDetected, errors.SerializationFailure) as error:
                # Two transactions were in each other's way, and the server undid this one.
                if attempt == _ATTEMPTS - 1:
                    raise self._error(error) from None
            except psycopg.Error as error:
                if isinstance(error, psycopg.OperationalError):
                    # One lost connection tells that the others are lost too.
                    self._disconnect()
                raise self._error(error) from None
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """Close what is idle; what is in use follows when it is given back."""
        self._closed = True
        self._disconnect()

    def _slots(self) -> queue.LifoQueue[Connection | None]:
        slots = self._idle.get(os.getpid())
        if slots is None:
            slots = queue.LifoQueue()
            for _ in range(self._connections):
                slots.put(None)
            # One of several threads that come here at once wins.
            slots = self._idle.setdefault(os.getpid(), slots)
        return slots

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        slots = self._slots()
        try:
            held = slots.get(timeout=self._timeout)
        except queue.Empty:
            raise psycopg.OperationalError(
                f"all {self._connections} connections were busy for {self._timeout:g} s"
            ) from None
        try:
            if held is None or not held.is_usable():
                if held is not None:
                    held.close()
                    held = None
                held = self._connect()
            yield held
        finally:
            if held is not None and (self._closed or not held.is_usable()):
                held.close()
                held = None
            slots.put(held)

    def _connect(self) -> Connection:
        if self._closed:
            raise psycopg.OperationalError("the store is closed")
        started = time.monotonic()
        if started < self._silent_until:
            raise psycopg.OperationalError("did not answer a moment ago")
        try:
            connection = Connection.connect(
                self._url, autocommit=True, client_encoding="utf8", **self._defaults
            )
        except psycopg.OperationalError:
            # A host that cannot be reached would cost every call the whole time-out.
            if (took := time.monotonic() - started) > 1:
                self._silent_until = time.monotonic() + 2 * took
            raise
        # Longer than the server's own timeout, whose error says more.
        connection.patience = self._timeout + 1
        connection.adapters.register_dumper(np.ndarray, _VectorDumper)
        connection.execute(self._settings)
        return connection

    def _disconnect(self) -> None:
        slots = self._slots()
        empty = 0
        with contextlib.suppress(queue.Empty):
            while True:
                held = slots.get_nowait()
                empty += 1
                if held is not None:
                    held.close()
        for _ in range(empty):
            slots.put(None)

    def _error(self, error: psycopg.Error) -> StoreError:
        # What the server adds in further lines may quote the rows.
        text = describe(type(error)(error.diag.message_primary or " ".join(str(error).split())))
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return StoreError(f"Postgres at {self.name}: {text}")


def _parsed(url: str) -> dict[str, str]:
    """What libpq reads in a URL; nothing of what it does not understand is shown."""
    try:
        parameters = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.Error:
        parameters = {"port": "unknown"}
    # With an unescaped / or @ in it, a part of the password is taken for something else.
    astray = any("@" in parameters.get(name, "")[1:] for name in ("host", "port", "dbname"))
    if astray or not re.fullmatch(r"[\d,]*", parameters.get("port", "")):
        raise StoreError(
            "not a URL of Postgres: give postgresql://user:password@host:5432/database, with "
            "%-escapes for special characters in the password"
        )
    return parameters
