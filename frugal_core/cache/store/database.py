"""One SQLite file: opened safely, shared with threads, forks and other processes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from frugal_core.cache.store.base import ClosedStoreError, StoreError

MEMORY = ":memory:"
_APPLICATION = 0x46524743
"""Tells our files from other SQLite databases."""


_HOPELESS = 10.0
"""Seconds for which nobody waits for a writer that did not end in time."""
_CACHE_KIB = 16_384
"""Pages that the reader keeps; SQLite's own 2 MB hold few of the rows that lookups need."""
_making = threading.Lock()


def _absolute(path: str) -> str:
    """A path wherever the process goes; refused if no file can be called so."""
    try:
        if b"\0" not in os.fsencode(path):
            return os.path.abspath(os.path.expanduser(path))
    except UnicodeEncodeError:  # a lone surrogate
        pass
    raise StoreError(f"location {path!r}: no file can be called so, give another path")


def _make(path: str) -> None:
    """Make a file for its owner's eyes alone; SQLite gives its -wal and -shm files the same mode.

    A file that is there is not opened: closing it would drop the locks of all connections that
    this process has to it (POSIX), and another process might then delete a log that is in use.
    """
    with _making:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            # O_CREAT | O_EXCL follows no link, and a link that leads nowhere is refused below.
            os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o600))
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise StoreError(f"{path} is not a file")


_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


def _code(error: Exception) -> int:
    """SQLite's number for what happened; 0 if it says none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


class Database:
    """Two connections to one file: readers never wait for a writer, nor for another process's.

    In a child of a fork neither connection nor lock of the parent may be used, since SQLite keeps
    its file locks per process. So `before_fork` closes the connections, and both sides open new
    ones when they need them.

    Args:
        path: The file, made with mode 0600 if absent; ":memory:" for none.
        schema: Statements that make the tables of `version`.
        version: Of the schema.
        patience: Seconds to wait for another writer.

    Raises:
        StoreError: The file cannot be opened, is damaged, is of a newer version or not a cache.
    """

    def __init__(self, path: str, schema: str, version: int, patience: float) -> None:
        self.path = path if path == MEMORY else _absolute(path)
        self._schema = schema
        self._version = version
        self._patience = patience
        self._closed = False
        self._hopeless_until = 0.0
        self._readers = 0
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._reset()
        with self._translated():
            connection = self._writer = self._open()
            self._prepare(connection)

    def _reset(self) -> None:
        self._reader = self._writer = None
        self._writing = threading.RLock()
        # What is in memory only has one connection, for both.
        self._reading = self._writing if self.path == MEMORY else threading.RLock()

    def read(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query."""
        with self._reading:
            try:
                if self._reader is None:
                    self._reader = self._opened_reader()
                return self._usable(self._reader).execute(statement, parameters).fetchall()
            except (sqlite3.Error, UnicodeDecodeError, OSError) as error:
                raise self._translated_error(error) from error

    def version(self) -> tuple[int, int]:
        """Equal to an earlier one only if nobody has committed anything since."""
        with self._reading:
            commits = self.read("PRAGMA data_version")[0][0]  # of all connections but this one
            assert self._reader is not None
            # Versions of different connections say nothing of each other.
            own = self._reader.total_changes if self.path == MEMORY else self._readers
            return commits, own

    def _opened_reader(self) -> sqlite3.Connection | None:
        if self.path == MEMORY:
            return self._writer
        self._readers += 1
        reader = self._open()
        reader.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        return reader

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction; it is undone when the block raises."""
        with self._writing, self._translated():
            if self._writer is None:
                self._writer = self._open()
            connection = self._usable(self._writer)
            self._begin(connection)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Begin to write; who waited in vain is not followed by others who do, for a while."""
        hopeless = time.monotonic() < self._hopeless_until
        connection.execute(
            f"PRAGMA busy_timeout = {0 if hopeless else round(1e3 * self._patience)}"
        )
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            if not hopeless:
                self._hopeless_until = time.monotonic() + _HOPELESS
            raise
        self._hopeless_until = 0.0

    def close(self) -> None:
        """Let go of the file; what comes later raises `StoreError`."""
        with self._writing, self._reading:
            self._closed = True
            self._disconnect()

    def before_fork(self) -> None:
        self._writing.acquire()
        self._reading.acquire()
        if self.path != MEMORY:
            self._disconnect()

    def after_fork(self, in_child: bool) -> None:
        if not in_child:
            self._reading.release()
            self._writing.release()
        elif self.path == MEMORY:
            self._writing = self._reading = threading.RLock()
        else:
            self._reset()

    def _disconnect(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    def _usable(self, connection: sqlite3.Connection | None) -> sqlite3.Connection:
        if self._closed or connection is None:
            raise ClosedStoreError(f"the store {self.path} is closed")
        return connection

    def _open(self) -> sqlite3.Connection:
        if self._closed:
            raise ClosedStoreError(f"the store {self.path} is closed")
        if self.path != MEMORY:
            _make(self.path)
        connection = sqlite3.connect(
            self.path, timeout=self._patience, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the tables of a new file; refuse what is not ours."""
        if self._is_ours(connection):
            return
        deadline = time.monotonic() + self._patience
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError as error:
                # The busy handler of SQLite does not wait for a change of the journal mode.
                if _code(error) not in _BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        if not self._is_ours(connection):
            # executescript would commit first, and another process might see half of it.
            for statement in self._schema.split(";\n\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {self._version}")
        connection.execute("COMMIT")

    def _is_ours(self, connection: sqlite3.Connection) -> bool:
        """Whether the tables are there; False for a new file."""
        # One statement sees one state: another process may be making the tables just now.
        application, version, tables = connection.execute(
            "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master) "
            "FROM pragma_application_id, pragma_user_version"
        ).fetchone()
        if application != _APPLICATION:
            if version or tables:
                raise StoreError(f"{self.path} is a database of something else: give another path")
            return False
        if version > self._version:
            raise StoreError(
                f"{self.path} was written by a newer version of frugal-cascade (schema {version}, "
                f"this one knows {self._version}): update frugal-cascade, or give another path"
            )
        return True

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what SQLite and the system raise into an error that names the file."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError, OSError) as error:
            raise self._translated_error(error) from error

    def _translated_error(self, error: Exception) -> StoreError:
        if isinstance(error, UnicodeDecodeError):
            # SQLite's own message quotes a torn name.
            return self.damaged("its tables are not readable")
        if isinstance(error, OSError):
            return StoreError(f"cannot use {self.path}: {error.strerror or error}")
        if _code(error) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return self.damaged(str(error))
        return StoreError(f"cannot use {self.path}: {error}")

    def damaged(self, how: str) -> StoreError:
        """The error for a file that holds what nobody wrote."""
        return StoreError(
            f"{self.path} is damaged ({how}): move it away together with its -wal and -shm files, "
            f"and the cache starts empty"
        )
