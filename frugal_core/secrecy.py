"""What must not be written down: keys, tokens and passwords, by their names and in addresses."""

from __future__ import annotations

import re

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
