"""What the doors to the cache have in common: how they are made, and how their quality is told."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from frugal_core.cache.calibration import CacheCertificate
from frugal_core.cache.calls import Calls, Codec
from frugal_core.cache.checking import tags_of
from frugal_core.cache.hit import Hit
from frugal_core.cache.judging import Judge
from frugal_core.cache.semantic import SemanticCache
from frugal_core.cache.store.base import Store
from frugal_core.cache.store.late import LateStore
from frugal_core.errors import FrugalError


class CacheControls:
    """A semantic cache, behind one of the doors that a framework offers.

    Args:
        location: None for a file in the platform's cache folder; a path; ":memory:"; a
            "postgresql://" URL shared between machines. It is opened at the first call; where that
            fails, it is logged once, models are called without a cache, and it is tried again.
        error_bound: Largest share of lookups that are served a wrong answer by meaning; 0 serves
            the very same prompts alone.
        scope: Whose cache this is: a tenant, a version of the documents. Scopes never see each
            other's answers. Keys of an API do not tell users apart: without scopes they share.
        embed: Embeddings of LangChain or LlamaIndex, or a function; by default MiniLM on this
            machine.
        ttl: Seconds for which an answer is served; None for ever.
        confidence: Probability with which the error bound holds.
        max_entries: Of this scope; beyond it, what was used longest ago is deleted.
        judge: (new question, stored question, stored answer) -> whether the answer is right;
            judges a sample of lookups, in the background, and may be async. The answer is the
            stored JSON object.
        judge_rate: Share of lookups that are judged.
        tool_calls: Whether answers that call tools are kept too, for the very same prompt.
        tags: Of every entry, for `invalidate`.
        cache: A cache of your own, instead of everything above but `tool_calls` and `tags`.

    Raises:
        FrugalError: if an argument makes no sense.
    """

    def __init__(
        self,
        location: str | os.PathLike[str] | Store | None = None,
        *,
        error_bound: float = 0.01,
        scope: str = "",
        embed: Any = None,
        ttl: float | None = None,
        confidence: float = 0.95,
        max_entries: int | None = None,
        judge: Judge | None = None,
        judge_rate: float = 0.05,
        tool_calls: bool = False,
        tags: str | Sequence[str] | None = (),
        cache: SemanticCache | None = None,
    ) -> None:
        settings: dict[str, Any] = {
            "error_bound": error_bound,
            "scope": scope,
            "embed": embed,
            "ttl": ttl,
            "confidence": confidence,
            "max_entries": max_entries,
            "judge": judge,
            "judge_rate": judge_rate,
        }
        self._arguments = {"location": location, **settings, "tool_calls": tool_calls}
        self._arguments |= {"tags": tags_of(tags), "cache": cache}
        if cache is not None and location is not None:
            raise FrugalError("location and cache: give one of them")
        store: Any = None  # which stands for a store without declaring a store's methods
        if cache is None:
            store = LateStore(location)
            cache = SemanticCache(store, **settings)
        self._calls = Calls(cache, store, self._codec(tool_calls), tags)

    @abstractmethod
    def _codec(self, keep_tool_calls: bool) -> Codec[Any]:
        """How the framework's answers are kept."""

    @abstractmethod
    def _hit(self, message: Any) -> Hit:
        """The hit that a message came from, or a FrugalError."""

    @property
    def cache(self) -> SemanticCache:
        """The cache itself."""
        return self._calls.cache

    def certificate(self) -> CacheCertificate:
        """How often answers by meaning may be wrong, and on how many decisions that rests.

        Raises:
            StoreError: if the location cannot be opened.
        """
        return self.cache.certificate()

    def report_wrong(self, message: Any) -> None:
        """Say that an answer from the cache was wrong: it is not served so again.

        Args:
            message: As it was returned, with its metadata.

        Raises:
            FrugalError: if the message did not come from the cache.

        Example:
            ```python
            message = llm.invoke(question, {"callbacks": [callback]})
            if "frugal_cache" in message.response_metadata and not helpful(message):
                callback.report_wrong(message)
            ```
        """
        self.cache.report_wrong(self._hit(message))

    def report_right(self, message: Any) -> None:
        """Say that an answer from the cache was right; see `report_wrong`."""
        self.cache.report_right(self._hit(message))

    def invalidate(
        self,
        *,
        tag: str | None = None,
        older_than: float | None = None,
        where: Mapping[str, Any] | None = None,
        everything: bool = False,
    ) -> int:
        """Delete entries of this scope.

        Args:
            tag: Those with this tag.
            older_than: Those stored more seconds ago than this.
            where: `{"model": name}` for the answers of one model.
            everything: All of them.

        Returns:
            How many.

        Raises:
            FrugalError: if nothing says which, or an argument makes no sense.
            StoreError: if the location cannot be opened or written.
        """
        return self.cache.invalidate(
            tag=tag, older_than=older_than, where=where, everything=everything
        )

    def close(self) -> None:
        """Write what is pending and let go of the location."""
        self.cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> Literal[False]:
        self.close()
        return False

    # Configurations are copied and sent to other processes; locks and connections cannot be.

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self._arguments["cache"] is not None:
            raise TypeError("a cache given as cache= stays in its process; give its location")
        return _remade, (type(self), self._arguments)


def _remade(kind: type[CacheControls], arguments: dict[str, Any]) -> CacheControls:
    return kind(**arguments)
