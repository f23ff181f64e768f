"""Threads of a cache's own: for what an event loop, or a caller, should not wait for.

The threads that asyncio keeps for all would not do. Who calls a model in one of them may wait there
for the answer of a task; where all of them wait so, that task must not need another one to end.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from frugal_core.cache.forking import renew_in_children

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Threads that are started when they are needed.

    Args:
        name: What they are called.
        count: At most so many.
    """

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._count = count
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Without a thread: those of a parent do not run in its child."""
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, act: Callable[[], T]) -> Future[T]:
        """Do something in the background.

        Raises:
            RuntimeError: Python is about to end.
        """
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._count, thread_name_prefix=self._name)
            return self._pool.submit(act)

    async def run(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `asyncio.to_thread`: do something that blocks, with the caller's context variables."""
        context = contextvars.copy_context()
        return await asyncio.wrap_future(
            self.submit(partial(context.run, partial(act, *args, **kwargs)))
        )

    def aside(self, act: Callable[[], Any]) -> None:
        """Do something that may block: in the background if this thread runs an event loop."""
        if runs_loop():
            try:
                self.submit(act)
                return
            except RuntimeError:  # Python is about to end
                pass
        act()

    def close(self) -> None:
        """Wait for what was submitted; whoever comes later starts new threads."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True)


def runs_loop() -> bool:
    """Whether this thread runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
