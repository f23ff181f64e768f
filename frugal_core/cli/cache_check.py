"""What `frugal cache serve-check` finds: the decision on a question, neighbour by neighbour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from frugal_core.cache.calibration import CacheCertificate
    from frugal_core.cache.decision import Verdict
    from frugal_core.cache.semantic import SemanticCache
    from frugal_core.cache.store.base import Candidate, Vector

_SERVED, _BELOW = "served", "score below the threshold"
_FAR = "no question so far away is served"
_PARTITIONS = 50  # that are looked into, those with the nearest questions


def check(cache: SemanticCache, question: str, partition: str | None = None) -> dict[str, Any]:
    """Whether a question would be served, by which layer, and why; nothing is counted or stored.

    Args:
        cache: Where it would be looked up.
        question: What would be asked.
        partition: See `SemanticCache.lookup`; None for that which serves it best. Frameworks make
            them of the model, its parameters and the history, and nobody knows them by name.
    """
    from frugal_core.cache.asking import split

    certificate = cache.certificate()
    found: dict[str, Any] = {
        "question": question,
        "served": False,
        "layer": None,
        "from": None,
        "score": None,
        "threshold": certificate.threshold if certificate.serves else None,
        "why": "",
        "neighbours": [],
    }
    parts = split(question)
    if partition is None:
        known, spaces = _everywhere(cache, question, None if parts is None else parts[1])
    else:
        known = cache.rows.exact(cache.key(question, partition)) is not None
        spaces = [] if parts is None else [cache.space(partition, parts[1])]
    if known:
        found |= {"served": True, "layer": "exact", "from": question, "score": 1.0}
        return found | {"why": "the same question is stored"}
    if parts is None:
        return found | {"why": "it is not clear what is asked, or it has no words to be compared"}
    if not certificate.serves:
        return found | {"why": certificate.sentence}
    (vector,) = cache.embedder.embed([parts[0]])
    near = _neighbours(cache, spaces, vector)
    verdicts = [_verdict(cache, certificate, parts, candidates) for candidates in near]
    where = "this scope" if partition is None else "this scope and partition"
    nothing = {"why": f"nothing that it can be compared with is stored in {where}"}
    return found | max(verdicts, key=lambda verdict: verdict["served"], default=nothing)


def _everywhere(
    cache: SemanticCache, question: str, frame: str | None
) -> tuple[bool, Iterable[str]]:
    """Whether a question is stored in any partition, and where others are, in the same frame."""
    from frugal_core.cache.asking import split
    from frugal_core.cache.store.base import Selection

    spaces: dict[str, None] = {}  # a set that keeps the order
    for entry in cache.rows.entries(Selection(scope=cache.scope)):
        if entry.question == question:
            return True, ()
        if entry.space not in spaces and (parts := split(entry.question)) and parts[1] == frame:
            spaces[entry.space] = None
    return False, spaces


def _neighbours(
    cache: SemanticCache, spaces: Iterable[str], vector: Vector
) -> list[list[Candidate]]:
    """The neighbours in each space, the nearest first; without those of other embedders.

    Raises:
        StoreError: There are spaces, but none can be searched.
    """
    from frugal_core.cache.asking import asked_in
    from frugal_core.cache.semantic import NEIGHBOURS
    from frugal_core.cache.store.base import StoreError

    found, failed = [], None
    for space in spaces:
        try:
            found.append(cache.rows.nearest(space, vector, NEIGHBOURS))
        except StoreError as error:  # another embedder's vectors may have another length
            failed = error
    if failed is not None and not any(found):
        raise failed
    found = sorted(filter(None, found), key=lambda near: -near[0].cosine)[:_PARTITIONS]
    again = cache.embedder.embed([asked_in(near[0].question) for near in found])
    return [
        near
        for near, stored in zip(found, again, strict=True)
        if abs(float(stored @ vector) - near[0].cosine) < 0.01
    ]


def _verdict(
    cache: SemanticCache,
    certificate: CacheCertificate,
    parts: tuple[str, str],
    near: Sequence[Candidate],
) -> dict[str, Any]:
    """What the semantic layer says of the neighbours in one space."""
    asked, frame = parts
    trusted, verdict = cache.judged(asked, frame, near)
    far = near[0].cosine < certificate.least_cosine
    served = verdict.position is not None and certificate.admits(verdict.score, near[0].cosine)
    outcome = _SERVED if served else _FAR if far else _BELOW
    reasons = iter([_why(position, verdict, outcome) for position in range(len(trusted))])
    neighbours = []
    for candidate in near:
        why = "reported wrong" if candidate.wrong else next(reasons)
        score = verdict.score if why == outcome else None
        neighbours.append(
            {
                "question": candidate.question,
                "cosine": candidate.cosine,
                "score": score,
                "why": why,
            }
        )
    found: dict[str, Any] = {"served": served, "neighbours": neighbours}
    if verdict.position is None:
        return found | {"why": "every neighbour is forbidden"}
    found["score"] = verdict.score
    if served:
        source = trusted[verdict.position].question
        return found | {"layer": "semantic", "from": source, "why": "score and guards"}
    below = "the score of the first that no guard forbids is below the threshold"
    return found | {"why": _FAR if far else below}


def _why(position: int, verdict: Verdict, outcome: str) -> str:
    """What became of a neighbour; `outcome` is that of the one that was scored."""
    if position == verdict.position:
        return outcome
    if verdict.position is not None and position > verdict.position:
        return "a nearer one was scored"
    # A question that is refused as a whole has one objection for all neighbours.
    return f"guard: {verdict.objections[min(position, len(verdict.objections) - 1)]}"


def one_line(text: str) -> str:
    """The beginning of a text, in one line and without what a terminal would obey."""
    short = " ".join(text[:500].split())
    short = "".join(c if c.isprintable() else "\ufffd" for c in short)
    return short if len(short) <= 90 else f"{short[:89]}…"


def show(found: dict[str, Any], out: Console) -> None:
    """Print what `check` found."""
    threshold, score = found["threshold"], found["score"]
    if found["layer"] == "exact":
        out.print(f"Served by the exact layer, from {one_line(found['from'])!r}.")
        return
    if found["served"]:
        compared = f"score {score:.3f} >= {threshold:.3f}"
        out.print(f"Served by meaning, from {one_line(found['from'])!r}: {compared}.")
    else:
        compared = "" if score is None else f" (score {score:.3f} < {threshold:.3f})"
        out.print(f"Not served: {found['why']}{compared}.")
    if not found["neighbours"]:
        return
    from rich.table import Table

    table = Table("neighbour", box=None, pad_edge=False, padding=(0, 2))
    table.add_column("cosine", justify="right")
    table.add_column("score", justify="right")
    table.add_column("decision")
    for near in found["neighbours"]:
        score = "" if near["score"] is None else f"{near['score']:.3f}"
        table.add_row(one_line(near["question"]), f"{near['cosine']:.3f}", score, near["why"])
    out.print(table)
