"""What happens on a real server that is shared, stopped, frozen, strange or without pgvector."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psycopg
import pytest

from frugal_core.cache.store.base import NewEntry, Selection, StoreError
from frugal_core.cache.store.postgres import PostgresStore
from tests.integration_tests.cache_postgres.server import BINARIES, PASSWORD, Server
from tests.unit_tests.core.cache.store_suite import direction, near, new

OpenStore = Callable[..., PostgresStore]
PRELUDE = """
import sys
from frugal_core.cache.store.base import NewEntry, Selection
from frugal_core.cache.store.postgres import PostgresStore
from tests.unit_tests.core.cache.store_suite import direction, new
url, schema, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = PostgresStore(url, schema=schema)
"""


def processes(server: Server, schema: str, count: int, work: str) -> list[str]:
    """Run a script in several processes at once; what each of them printed."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PRELUDE + work, server.url(), schema, str(number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    done = [process.communicate(timeout=90) for process in started]
    assert [error for _, error in done] == [""] * count
    return [output.strip() for output, _ in done]


def crowd(count: int, **fields: object) -> list[NewEntry]:
    """Entries of one space close to `direction(0)`, the nearer the later."""
    query = direction(0)
    cosines = np.linspace(0.5, 0.99, count)
    return [new(i, near(query, cosine, i), **fields) for i, cosine in enumerate(cosines)]


def test_four_processes_make_the_schema_at_once(server: Server, schema: str) -> None:
    printed = processes(server, schema, 4, "print(store.add([new(number)])[0])")
    assert len(set(printed)) == 4
    assert PostgresStore(server.url(), schema=schema).count(Selection()) == 4


def test_two_processes_lose_nothing_and_see_each_other(
    server: Server, schema: str, open_store: OpenStore
) -> None:
    work = """
for i in range(100):
    (id,) = store.add([new(1000 * number + i), ])
    assert store.nearest("s", direction(1000 * number + i), 1)[0].entry.id == id
store.note("done", [{"number": number}])
print(store.count(Selection()) >= 100)
"""
    assert processes(server, schema, 2, work) == ["True", "True"]
    store = open_store()
    assert store.count(Selection()) == 200 and len(store.notes("done")) == 2
    for number in (0, 1):
        found = store.nearest("s", direction(1000 * number + 99), 1)[0]
        assert found.entry.answer == {"text": f"answer {1000 * number + 99}"}


def test_eviction_holds_its_limit_across_processes(
    server: Server, schema: str, open_store: OpenStore
) -> None:
    work = """
for i in range(60):
    store.add([new(1000 * number + i)])
    store.evict(50)
"""
    processes(server, schema, 3, work)
    assert open_store().count(Selection()) == 50


def test_one_process_of_many_gets_the_lease(server: Server, schema: str) -> None:
    printed = processes(server, schema, 4, "print(store.lease('k', str(number), 60))")
    assert sorted(printed) == ["False", "False", "False", "True"]


def test_a_server_that_stops_and_starts(open_store: OpenStore, server: Server) -> None:
    store = open_store(timeout=3)
    store.add([new(1)])
    with ThreadPoolExecutor(4) as pool:  # So that several connections are open.
        list(pool.map(lambda _: store.exact("key-1"), range(40)))
    server.stop()
    try:
        for _ in range(3):
            before = time.monotonic()
            with pytest.raises(StoreError, match="Postgres at owner@127") as caught:
                store.exact("key-1")
            assert time.monotonic() - before < 3
            assert "\n" not in str(caught.value) and PASSWORD not in str(caught.value)
        store.touch([1])
    finally:
        server.start()
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: store.exact("key-1"), range(40)))
    server.stop()
    server.start()
    assert store.exact("key-1") is not None, "a restart between calls goes unnoticed"


def test_a_connection_cut_in_mid_call(open_store: OpenStore, server: Server) -> None:
    store = open_store()
    store.add([new(1)])
    with psycopg.connect(server.url(), autocommit=True) as other, ThreadPoolExecutor(1) as pool:
        sleeping = pool.submit(store._rows, "SELECT pg_sleep(60)")
        for _ in range(100):
            cut = other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"
            ).fetchall()
            if cut:
                break
            time.sleep(0.05)
        with pytest.raises(StoreError, match="terminat"):
            sleeping.result(timeout=10)
    assert store.exact("key-1") is not None


def test_a_statement_that_takes_too_long(open_store: OpenStore) -> None:
    store = open_store(timeout=1)
    before = time.monotonic()
    with pytest.raises(StoreError, match="timeout"):
        store._rows("SELECT pg_sleep(60)")
    assert time.monotonic() - before < 5
    assert store.exact("key-1") is None


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found in /proc")
def test_a_frozen_server_is_given_up(open_store: OpenStore, server: Server) -> None:
    store = open_store(timeout=2)
    store.add([new(1)])
    server.freeze()
    try:
        for call in (
            lambda: store.exact("key-1"),
            lambda: store.add([new(2), new(3)]),
            lambda: store.nearest("s", direction(1), 1),
        ):
            before = time.monotonic()
            with pytest.raises(StoreError):
                call()
            assert time.monotonic() - before < 8
        before = time.monotonic()
        for _ in range(20):  # a host known to be silent costs later calls nothing
            with pytest.raises(StoreError):
                store.exact("key-1")
        assert time.monotonic() - before < 8
    finally:
        server.freeze(False)
    for _ in range(300):
        try:
            assert store.exact("key-1") is not None
            break
        except StoreError:
            time.sleep(0.1)
    else:
        raise AssertionError("it did not connect again")


def test_more_threads_than_connections(open_store: OpenStore) -> None:
    store = open_store(connections=2, timeout=1)
    with ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(lambda n: store.add([new(n)]), range(200)))) == 200
    with ThreadPoolExecutor(3) as pool:
        sleeping = [pool.submit(store._rows, "SELECT pg_sleep(0.9)") for _ in range(2)]
        time.sleep(0.2)
        assert store.count(Selection()) == 200
        assert all(future.result() for future in sleeping)


@pytest.mark.parametrize("password", ["wr0ng-secret", "wr0ng%40secret"])
def test_a_wrong_password_is_not_shown(
    server: Server, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(StoreError, match="password authentication failed") as caught:
        PostgresStore(server.url(password))
    shown = str(caught.value) + repr(caught.value) + caplog.text
    assert "\n" not in str(caught.value) and "secret" not in shown
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:se/cret@h:x/d",
        "postgresql://u:5432/cret@h/d",
        "postgresql://u:pass@cret@h/d",
        "postgresql://u:5/pass?cret@h/d",
        "host=h nonsense=secret",
        "secret",
    ],
)
def test_what_is_no_url_is_not_quoted(url: str) -> None:
    with pytest.raises(StoreError, match="not a URL of Postgres") as caught:
        PostgresStore(url)
    assert "cret" not in str(caught.value).replace("password", "")


def test_nobody_there() -> None:
    with pytest.raises(StoreError, match="refused"):
        PostgresStore("postgresql://u:secret@127.0.0.1:1/d")


def test_neither_repr_nor_errors_show_the_password(open_store: OpenStore, server: Server) -> None:
    store = open_store()
    assert repr(store).startswith(f"PostgresStore('owner@127.0.0.1:{server.port}/postgres'")
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.exact("key-1")


@pytest.mark.parametrize("name", ["", "a b", 'a"; DROP', "1a", "x" * 64])
def test_a_schema_needs_a_plain_name(server: Server, name: str) -> None:
    with pytest.raises(StoreError, match="schema"):
        PostgresStore(server.url(), schema=name)


def test_a_newer_schema_is_refused(open_store: OpenStore, server: Server, schema: str) -> None:
    open_store()
    with psycopg.connect(server.url(), autocommit=True) as other:
        other.execute(f"UPDATE {schema}.version SET version = 2")
    with pytest.raises(StoreError, match="newer version of frugal-cascade"):
        open_store()


def test_a_user_without_rights(open_store: OpenStore, server: Server, schema: str) -> None:
    open_store()
    with psycopg.connect(server.url(), autocommit=True) as other:
        other.execute("DROP ROLE IF EXISTS guest")
        other.execute("CREATE ROLE guest LOGIN PASSWORD 'guest-pass'")
        other.execute("DROP DATABASE IF EXISTS bare")
        other.execute("CREATE DATABASE bare")
    with pytest.raises(StoreError, match="permission denied"):
        PostgresStore(server.url("guest-pass", "guest"), schema=schema)
    with pytest.raises(StoreError, match="CREATE EXTENSION vector"):
        PostgresStore(server.url("guest-pass", "guest", "bare"))


def test_a_server_without_pgvector(tmp_path: Path) -> None:
    # The executables look for their libraries beside the package.
    package = BINARIES.parent.parent
    installed = tmp_path / "pgserver" / "pginstall"
    shutil.copytree(BINARIES.parent, installed, symlinks=True)
    libraries = package.with_name("pgserver.libs")
    if libraries.exists():
        shutil.copytree(libraries, tmp_path / libraries.name)
    for control in installed.rglob("vector.control"):
        control.unlink()
    with (
        Server(installed / "bin") as bare,
        pytest.raises(StoreError, match="no pgvector: install it") as caught,
    ):
        PostgresStore(bare.url())
    assert "\n" not in str(caught.value)


def test_a_pickle_opens_the_same_location(open_store: OpenStore) -> None:
    store = open_store()
    store.add([new(1)])
    copy = pickle.loads(pickle.dumps(store))  # noqa: S301
    assert repr(copy) == repr(store) and copy.exact("key-1") == store.exact("key-1")
    copy.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_gets_connections_of_its_own(open_store: OpenStore) -> None:
    store = open_store()
    store.add([new(1)])
    children = []
    for number in (2, 3):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for i in range(20):
                    store.add([new(100 * number + i)])
                status = int(store.exact("key-1") is None)
                store.close()
            finally:
                os._exit(status)
        children.append(child)
    for _ in range(50):
        assert store.exact("key-1") is not None
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert store.count(Selection()) == 41


def test_a_large_space_gets_an_index_that_misses_nothing_silently(
    open_store: OpenStore, server: Server, schema: str
) -> None:
    store = open_store(timeout=30)
    entries = crowd(2100)
    ids = store.add(entries)
    store.add([new(10_000 + n, direction(0), space="other") for n in range(100)])

    def plans() -> int:
        """How often an index of a space was used."""
        with psycopg.connect(server.url(), autocommit=True) as other:
            rows = other.execute(
                "SELECT sum(idx_scan)::int FROM pg_stat_user_indexes "
                "WHERE schemaname = %s AND indexrelname LIKE 'near_%%'",
                [schema],
            ).fetchall()
            return rows[0][0] or 0

    found = store.nearest("s", direction(0), 5)
    assert [c.entry.key for c in found] == [f"key-{n}" for n in range(2099, 2094, -1)]
    assert {c.entry.space for c in found} == {"s"}
    store.close()  # A server process reports its use of indexes when it ends.
    for _ in range(50):
        if plans():
            break
        time.sleep(0.1)
    assert plans() == 1

    # The 1,900 nearest die: the index meets only them.
    store = open_store(timeout=30)
    with psycopg.connect(server.url(), autocommit=True) as other:
        other.execute(f"UPDATE {schema}.entries SET expires = 1 WHERE id = ANY(%s)", [ids[200:]])
    found = store.nearest("s", direction(0), 5)
    assert [c.entry.key for c in found] == [f"key-{n}" for n in range(199, 194, -1)]
    assert len(store.nearest("s", direction(0), 150)) == 150, "more than an index looks at"
    with pytest.raises(StoreError, match="dimensions"):
        store.nearest("s", direction(0, 12), 5)

    # When they are deleted, the index goes too.
    assert store.evict(1000) == 1900
    with psycopg.connect(server.url(), autocommit=True) as other:
        assert not other.execute(
            "SELECT 1 FROM pg_indexes WHERE schemaname = %s AND indexname LIKE 'near_%%'", [schema]
        ).fetchall()
    assert [c.entry.key for c in store.nearest("s", direction(0), 1)] == ["key-199"]


def test_vectors_that_are_too_long_for_an_index(open_store: OpenStore) -> None:
    store = open_store(timeout=30)
    store.add([new(n, direction(n, 3072)) for n in range(20)])
    assert store.nearest("s", direction(7, 3072), 1)[0].entry.key == "key-7"
