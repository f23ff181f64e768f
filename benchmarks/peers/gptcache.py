"""GPTCache 0.1.44, imported so that it neither unpickles nor installs anything."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def _refuse(package: str, *_: Any, **__: Any) -> None:
    raise ImportError(f"GPTCache wants to install {package}: not here")


@contextlib.contextmanager
def guarded_gptcache() -> Iterator[SimpleNamespace]:
    """The parts of GPTCache that are measured.

    On import it unpickles `data_map.txt` of the working directory, so that is an empty one for as
    long as this lasts; and it would run pip for any package it misses.
    """
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as empty, contextlib.redirect_stdout(io.StringIO()):
        os.chdir(empty)
        try:
            import gptcache.utils
            from gptcache.utils import dependency_control

            gptcache.utils.prompt_install = _refuse
            dependency_control.prompt_install = _refuse
            from gptcache import Cache
            from gptcache.adapter.api import get
            from gptcache.manager import CacheBase, VectorBase, get_data_manager
            from gptcache.processor.pre import get_prompt
            from gptcache.similarity_evaluation import SearchDistanceEvaluation

            yield SimpleNamespace(
                Cache=Cache,
                CacheBase=CacheBase,
                SearchDistanceEvaluation=SearchDistanceEvaluation,
                VectorBase=VectorBase,
                get=get,
                get_data_manager=get_data_manager,
                get_prompt=get_prompt,
            )
        finally:
            os.chdir(before)
