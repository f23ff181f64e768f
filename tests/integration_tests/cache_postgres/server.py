"""A real Postgres server of one's own: on a port of this machine, with passwords, to be stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

import pgserver
from pgserver.utils import ensure_prefix_permissions, ensure_user_exists

PASSWORD = "p@ss w0rd-xyzzy"
_ESCAPED = "p%40ss%20w0rd-xyzzy"
BINARIES = Path(pgserver.__file__).parent / "pginstall" / "bin"


class Server:
    """Postgres with pgvector from the package pgserver, in a temporary directory.

    Args:
        binaries: Directory of the executables.
        durable: Whether what is committed survives a loss of power; tests need no such thing.
    """

    def __init__(self, binaries: Path = BINARIES, durable: bool = False) -> None:
        self._binaries = binaries
        self._fsync = "on" if durable else "off"
        # Postgres refuses to run as root.
        self._user = "pgserver" if os.geteuid() == 0 else None
        self._place = Path(tempfile.mkdtemp(prefix="frugal-postgres-"))
        self._data = self._place / "data"
        self._password = self._place / "password"
        self._password.write_text(PASSWORD)
        self._data.mkdir()
        if self._user is not None:
            ensure_user_exists(self._user)
            ensure_prefix_permissions(self._data)
            ensure_prefix_permissions(binaries)
            for path in (self._place, self._data, self._password):
                shutil.chown(path, self._user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def __enter__(self) -> Server:
        self._run("initdb", "-U", "owner", "-A", "scram-sha-256", f"--pwfile={self._password}")
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self._place, ignore_errors=True)

    def url(self, password: str = _ESCAPED, user: str = "owner", database: str = "postgres") -> str:
        """Where it is; the password in the form that a URL needs."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-h 127.0.0.1 -p {self.port} -k {self._place} -c fsync={self._fsync}"
        self._run("pg_ctl", "-w", "-o", options, "-l", str(self._data / "log"), "start")

    def stop(self) -> None:
        """Stop it at once: connections are cut."""
        self._run("pg_ctl", "-w", "-m", "fast", "stop")

    def freeze(self, frozen: bool = True) -> None:
        """Let no process of the server do anything, or let them go on."""
        what = signal.SIGSTOP if frozen else signal.SIGCONT
        parent = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for process in (parent, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, what)

    def _run(self, program: str, *arguments: str) -> None:
        # The server inherits the outputs: a pipe would never end.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [str(self._binaries / program), "-D", str(self._data), *arguments],
                stdout=output,
                stderr=output,
                user=self._user,
                cwd=self._place,
                timeout=60,
            )
            output.seek(0)
            if done.returncode:
                raise subprocess.CalledProcessError(done.returncode, program, output.read())
