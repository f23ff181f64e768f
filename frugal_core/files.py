"""Files that appear whole or not at all."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def writing(path: Path, errors: str = "strict") -> Iterator[IO[str]]:
    """Write a text file beside its place, and move it there once it is on the disk.

    If anything fails, what stood there before still does. A file that was there keeps its
    permissions, and a link goes on pointing at it.

    Args:
        path: The file; compressed if its name ends in `.gz`.
        errors: What to do with half a surrogate pair, which UTF-8 cannot say; see `open`.

    Yields:
        The open file, in UTF-8.

    Raises:
        OSError: if the folder cannot be written.
    """
    opener: Any = gzip.open if path.suffix == ".gz" else open
    target = path.resolve()
    if target.exists() and not target.is_file():  # a device or a pipe cannot be replaced
        with opener(path, "wt", encoding="utf-8", errors=errors) as file:
            yield file
        return
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with opener(partial, "wt", encoding="utf-8", errors=errors) as file:
            yield file
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        if target.exists():
            shutil.copymode(target, partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
