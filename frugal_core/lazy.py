"""Names of a package that are imported when they are first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(
    package: str, homes: Mapping[str, str], framework: str = "", extra: str = ""
) -> Callable[[str], Any]:
    """What a package takes as its `__getattr__`.

    Args:
        package: Its name.
        homes: The module of the package that each name is in.
        framework: What the modules stand on; without it they name the command that installs it.
        extra: Of this distribution, which installs it.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return getattr(import_module(f"{package}.{homes[name]}"), name)
        except ModuleNotFoundError as error:
            if framework and (error.name or "").startswith((framework, "openai")):
                fix = f'pip install "frugal-cascade[{extra}]"'
                raise ImportError(f"{name} needs {error.name}: {fix}") from error
            raise

    return get
