"""What must not be written down: keys, tokens and passwords, by their names and in addresses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_NAME = re.compile(
    r"(?:api|access|secret|private|account|subscription)[_-]?key|secret|password|credential"
    r"|(?:^|[_-])token$|authori[sz]ation|(?:^|[_-])auth(?:$|[_-])|cookie",
    re.IGNORECASE,
)
_USER = re.compile(r"(?<=://)[^/@\s]+@")


def is_secret(name: str) -> bool:
    """Whether an argument or header of this name holds what may be rotated, and must not be shown.

    Example:
        >>> [is_secret(name) for name in ("x-api-key", "Authorization", "max_tokens", "author")]
        [True, True, False, False]
    """
    return _NAME.search(name) is not None


def without_user(text: str) -> str:
    """A text whose addresses name no user and no password.

    Example:
        >>> without_user("http://me:1234@host/v1")
        'http://host/v1'
    """
    return _USER.sub("", text)


def without_secrets(value: Any, other: Callable[[Any], Any] = str) -> Any:
    """A plain value without keys, tokens, headers and users of addresses, however deep.

    Args:
        value: Numbers and texts, lists and mappings of them.
        other: What becomes of anything else.

    Example:
        >>> without_secrets({"extra_headers": {"x": "1"}, "user": "ada", "urls": ["http://a:b@c"]})
        {'user': 'ada', 'urls': ['http://c']}
    """
    if isinstance(value, Mapping):
        return {
            name: without_secrets(one, other)
            for name, one in value.items()
            if not (is_secret(str(name)) or str(name).endswith("headers"))
        }
    if isinstance(value, list | tuple):
        return [without_secrets(one, other) for one in value]
    if isinstance(value, str):
        return without_user(value)
    return value if isinstance(value, int | float | None) else other(value)
