"""Keys: what must match exactly before a stored answer may be considered."""

from __future__ import annotations

import hashlib
import json
from typing import Any

# `json.dumps` would make an encoder for each call.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=repr).encode


def digest(*parts: Any) -> str:
    """The SHA-256 of values, the same in every process; dictionaries count whatever their order.

    Args:
        parts: Anything JSON can hold; what it cannot is taken by its `repr`.

    Example:
        >>> digest("a", {"x": 1, "y": 2}) == digest("a", {"y": 2, "x": 1})
        True
        >>> digest("a", "b") == digest("ab")
        False
    """
    # The list of all parts, in pieces: most are texts, which need no encoder's state.
    encoded = ",".join([_encode(part) for part in parts])
    return hashlib.sha256(f"[{encoded}]".encode()).hexdigest()
