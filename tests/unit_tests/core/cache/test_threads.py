"""Threads of a cache's own: what they carry along, and when they end."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
import time

import pytest

from frugal_core.cache.threads import Threads

WHO = contextvars.ContextVar("who", default="nobody")


def test_they_know_what_the_caller_knows() -> None:
    threads = Threads("test", 2)

    def told(greeting: str, *, to: str) -> str:
        return f"{greeting} {to} from {WHO.get()} in {threading.current_thread().name}"

    async def ask() -> str:
        WHO.set("me")
        return await threads.run(told, "hello", to="you")

    assert asyncio.run(ask()) == "hello you from me in test_0"
    assert WHO.get() == "nobody"


def test_what_goes_wrong_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(Threads("test", 1).run(lambda: 1 / 0))


def test_closing_waits_and_is_not_the_end() -> None:
    threads, done = Threads("test", 1), list[str]()

    def slowly() -> None:
        time.sleep(0.1)
        done.append("slowly")

    async def leave() -> None:
        threads.aside(slowly)
        assert not done, "a loop does not wait"

    asyncio.run(leave())
    threads.close()
    assert done == ["slowly"]
    threads.aside(slowly)
    assert len(done) == 2, "without a loop it is done at once"
    assert threads.submit(lambda: "again").result(10) == "again"
    threads.close()
    threads.close()


def test_what_is_begun_is_done_before_python_ends() -> None:
    program = (
        "import asyncio, time\n"
        "from frugal_core.cache.threads import Threads\n"
        "threads = Threads('test', 1)\n"
        "async def leave():\n"
        "    threads.aside(lambda: (time.sleep(0.1), print('done')))\n"
        "asyncio.run(leave())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20
    )
    assert run.stdout == "done\n" and not run.stderr
