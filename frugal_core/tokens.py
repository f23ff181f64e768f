"""How many tokens a text has: exactly where the data for it is there, else a cautious estimate."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock

Counter = Callable[[str], int]

_LOG = logging.getLogger("frugal_core")
# cl100k, not the newer o200k, which makes fewer tokens of nearly every text: the budget holds in
# both.
_ENCODING = "cl100k_base"
_URL = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
_CACHE_DIR = "TIKTOKEN_CACHE_DIR"
_LOADING = Lock()

_PART = re.compile(r"[A-Za-z]+|[0-9]+|[\u00c0-\u024f\u0400-\u04ff]+|\s+|.", re.DOTALL)


def estimate_tokens(text: str) -> int:
    """Tokens that cl100k or a newer encoding makes of a text at most, but for odd inputs.

    It is meant to be too high: on English prose by about two fifths. No data is needed.

    Example:
        >>> estimate_tokens("The budget is never exceeded.")
        9
    """
    return sum(map(_part_tokens, _PART.findall(text)))


def _part_tokens(part: str) -> int:
    """Tokens of a word, a number, white space or a character; a space belongs to its word."""
    length, first = len(part), part[0]
    if first.isspace():
        return 0 if part == " " else 1 + length // 16 + part.count("\n") // 2
    if first.isascii():
        if first.isdigit():
            return (length + 2) // 3
        if not first.isalpha():
            return 1
        if part[1:].islower() or length == 1:
            return (length + 5) // 5 if length < 10 else length // 3
        return (2 * length + 2) // 3
    if len(part.encode()) == 2 * length and not "\u0370" <= first <= "\u03ff":
        return length // 2 + 1 if length > 1 else 2
    return 1 if "\u3000" <= first <= "\u30ff" else 2 if first <= "\uffff" else 3


@cache
def default_counter() -> Counter:
    """Tokens by tiktoken's cl100k where its data is on this machine, else `estimate_tokens`.

    Nothing is downloaded: tiktoken would, if it were asked for an encoding that it does not have.
    """
    if find_spec("tiktoken") is not None:
        for folder in _folders():
            if _is_there(folder):
                try:
                    return _exact(folder)
                except Exception as error:  # a broken installation must not cost an answer
                    _LOG.warning("tiktoken cannot be used, tokens are estimated: %s", error)
                    break
    return estimate_tokens


def _folders() -> Iterator[Path]:
    """Where tiktoken looks for its data, then the copy that LlamaIndex ships."""
    for name in (_CACHE_DIR, "DATA_GYM_CACHE_DIR"):
        if name in os.environ:
            if os.environ[name]:
                yield Path(os.environ[name])
            break
    else:
        yield Path(tempfile.gettempdir()) / "data-gym-cache"
    spec = find_spec("llama_index")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(folder) / "core" / "_static" / "tiktoken_cache"


def _is_there(folder: Path) -> bool:
    # The name is what tiktoken makes of the address; altered data it would download anew.
    path = folder / hashlib.sha1(_URL.encode(), usedforsecurity=False).hexdigest()
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == _SHA256
    except OSError:
        return False


def _exact(folder: Path) -> Counter:
    import tiktoken

    with _LOADING:
        before = os.environ.get(_CACHE_DIR)
        os.environ[_CACHE_DIR] = str(folder)
        try:
            encode = tiktoken.get_encoding(_ENCODING).encode_ordinary
        finally:
            if before is None:
                del os.environ[_CACHE_DIR]
            else:
                os.environ[_CACHE_DIR] = before
    return lambda text: len(encode(text))
