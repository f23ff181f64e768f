"""Our decision in a GPTCache that is already there: `Cache.init(similarity_evaluation=...)`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from frugal_core.cache.asking import split
from frugal_core.cache.calibration import CacheCertificate, Evidence, certify
from frugal_core.cache.calibration import shipped as shipped_evidence
from frugal_core.cache.decision import Neighbour
from frugal_core.cache.decision import shipped as shipped_decision
from frugal_core.cache.faults import Faults
from frugal_core.cache.store.gptcache_import import import_gptcache
from frugal_core.embedding import MiniLM
from frugal_core.errors import FrugalError

_LOG = logging.getLogger("frugal_core")
_SERVED, _REFUSED = 1.0, -1.0
"""From the top of `range` on every threshold is reached, below its bottom none."""


class FrugalEvaluation:
    """A `SimilarityEvaluation` of GPTCache: guards, score and certified threshold.

    The very same question is served; another wording of it, if no guard objects and the score
    reaches the threshold that keeps the bound. GPTCache's `similarity_threshold` then changes
    nothing. It does what `SemanticCache` does for the nearest row; GPTCache looks at one row by
    default, and with a larger `top_k` decides on each by itself. What GPTCache leaves out of its
    key (model, system prompt, user) stays out. A fault is logged once and nothing is served.

    Args:
        error_bound: Largest share of lookups that are served a wrong answer by meaning.
        confidence: Probability with which that holds.

    Raises:
        FrugalError: an argument makes no sense.
        StoreError: GPTCache is missing; see `import_gptcache`.

    Example:
        >>> from frugal_core.embedding import MiniLM
        >>> cache.init(
        ...     pre_embedding_func=get_prompt,
        ...     embedding_func=lambda text, **_: MiniLM().embed([text])[0],
        ...     data_manager=manager,
        ...     similarity_evaluation=FrugalEvaluation(error_bound=0.01),
        ... )  # doctest: +SKIP
    """

    def __init__(self, error_bound: float = 0.01, confidence: float = 0.95) -> None:
        if not 0 <= error_bound < 1 or not 0.5 <= confidence < 1:
            raise FrugalError(
                f"error_bound {error_bound!r}, confidence {confidence!r}: shares, the first from 0 "
                f"to below 1, the second from 0.5 to below 1"
            )
        import_gptcache()
        from gptcache.similarity_evaluation import SimilarityEvaluation

        SimilarityEvaluation.register(type(self))
        self.embedder = MiniLM()
        nothing = Evidence(np.zeros(0), np.zeros(0, dtype=bool), 0, "none for this embedder")
        evidence = shipped_evidence().get(self.embedder.id, nothing)
        self._certificate = certify(evidence, error_bound, confidence)
        self._same_embedder: bool | None = None
        self._faults = Faults()

    def certificate(self) -> CacheCertificate:
        """How often a served answer may be wrong, and on how many decisions that rests."""
        return self._certificate

    def evaluation(
        self, src_dict: Mapping[str, Any], cache_dict: Mapping[str, Any], **_: Any
    ) -> float:
        """Whether a stored answer serves a question: 1, or -1, which no threshold lets through.

        Args:
            src_dict: "question" and "embedding" of the new one.
            cache_dict: "question" and "embedding" of the stored one.
        """
        try:
            return _SERVED if self._serves(src_dict, cache_dict) else _REFUSED
        except Exception as error:
            self._faults.tell("evaluation", error)
            return _REFUSED

    def range(self) -> tuple[float, float]:
        """Between what `similarity_threshold` is a share of."""
        return 0.0, 1.0

    def _serves(self, new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
        question, stored = _text(new["question"]), _text(old["question"])
        if question is None or stored is None:
            return False
        if question == stored:
            return True
        asked, kept = split(question), split(stored)
        if not self._certificate.serves or asked is None or kept is None or asked[1] != kept[1]:
            return False
        if asked[1]:  # GPTCache's vectors are of the whole texts
            new = old = {}
        neighbour = Neighbour(kept[0], self._cosine(asked[0], kept[0], new, old))
        verdict = shipped_decision().judge(asked[0], [neighbour])
        return verdict.position is not None and verdict.score >= self._certificate.threshold

    def _cosine(
        self, question: str, stored: str, new: Mapping[str, Any], old: Mapping[str, Any]
    ) -> float:
        """Of MiniLM's vectors, which the threshold is certified for; the cache's, if they are."""
        one, other = _unit(new.get("embedding")), _unit(old.get("embedding"))
        if self._same_embedder is None and one is not None:
            ours = self.embedder.embed([question])[0]
            self._same_embedder = one.shape == ours.shape and bool(one @ ours > 0.999)
            if not self._same_embedder:
                _LOG.warning(
                    "GPTCache's embedding_func is not frugal_core.embedding.MiniLM, for which the "
                    "threshold is certified: the questions of each lookup are embedded once more"
                )
        if not self._same_embedder or one is None or other is None or one.shape != other.shape:
            one, other = self.embedder.embed([question, stored])
        return float(one @ other)


def _text(question: Any) -> str | None:
    """A question of GPTCache: a text, or an object with one."""
    text = getattr(question, "content", question)
    return text if isinstance(text, str) else None


def _unit(vector: Any) -> Any:
    """A row of length 1; None if there is none."""
    if vector is None:
        return None
    row = np.asarray(vector, float).ravel()
    length = float(np.linalg.norm(row))
    return row / length if 0 < length < np.inf else None
