"""GPTCache 0.1.44, imported so that it neither unpickles a file nor installs a package.

Importing it unpickles `data_map.txt` of the working directory, and whatever part of it misses a
package runs `pip install` in a shell, unasked.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any, NoReturn

from frugal_core.cache.store.base import StoreError
from frugal_core.errors import describe

_PICKLE = "data_map.txt"


def import_gptcache() -> Any:
    """The package `gptcache`; parts of it that miss a package say so instead of installing it.

    Call it before anything else imports GPTCache.

    Raises:
        StoreError: GPTCache is not installed, or a file that it would unpickle lies in the working
            directory.
    """
    if "gptcache" not in sys.modules and os.path.lexists(_PICKLE):
        raise StoreError(
            f"importing GPTCache would unpickle {os.path.abspath(_PICKLE)}, and a pickle can run "
            f"any program: move that file away, or start in another directory"
        )
    try:
        import gptcache
        import gptcache.utils
    except ModuleNotFoundError as error:
        if error.name != "gptcache":
            raise StoreError(f"GPTCache cannot be imported: {describe(error)}") from error
        raise StoreError(
            "GPTCache is not installed: pip install 'frugal-cascade[gptcache]'"
        ) from error
    _disarm()
    return gptcache


def _disarm() -> None:
    """Put a refusal wherever a module of GPTCache holds the function that installs."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "gptcache" and "prompt_install" in vars(module):
            vars(module)["prompt_install"] = _refuse


def _refuse(package: str, warn: bool = False) -> NoReturn:
    """In place of GPTCache's `prompt_install`."""
    raise ImportError(
        f"GPTCache needs {package}, which is not installed: pip install {shlex.quote(package)}"
    )
