"""What `frugal cache serve-check` finds: the decision on a question, neighbour by neighbour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from frugal_core.cache.decision import Verdict
    from frugal_core.cache.semantic import SemanticCache

_SERVED, _BELOW = "served", "score below the threshold"
_FAR = "no question so far away is served"


def check(cache: SemanticCache, question: str, partition: str) -> dict[str, Any]:
    """Whether a question would be served, by which layer, and why; nothing is counted or stored."""
    from frugal_core.cache.asking import split
    from frugal_core.cache.semantic import NEIGHBOURS

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
    exact = cache.rows.exact(cache.key(question, partition))
    if exact is not None:
        found |= {"served": True, "layer": "exact", "from": exact.question, "score": 1.0}
        return found | {"why": "the same question is stored"}
    parts = split(question)
    if parts is None:
        return found | {"why": "it is not clear what is asked, or it has no words to be compared"}
    asked, frame = parts
    if not certificate.serves:
        return found | {"why": certificate.sentence}
    (vector,) = cache.embedder.embed([asked])
    near = cache.rows.nearest(cache.space(partition, frame), vector, NEIGHBOURS)
    trusted, verdict = cache.judged(asked, frame, near)
    far = bool(near) and near[0].cosine < certificate.least_cosine
    served = bool(near) and certificate.admits(verdict.score, near[0].cosine)
    outcome = _SERVED if served else _FAR if far else _BELOW
    reasons = iter([_why(position, verdict, outcome) for position in range(len(trusted))])
    for candidate in near:
        why = "reported wrong" if candidate.wrong else next(reasons)
        score = verdict.score if why == outcome else None
        found["neighbours"].append(
            {
                "question": candidate.question,
                "cosine": candidate.cosine,
                "score": score,
                "why": why,
            }
        )
    if verdict.position is not None:
        found |= {"score": verdict.score, "served": served}
    if served:
        source = trusted[verdict.position or 0].question
        found |= {"layer": "semantic", "from": source, "why": "score and guards"}
    elif not near:
        found["why"] = "nothing is stored in this scope and partition"
    elif verdict.position is None:
        found["why"] = "every neighbour is forbidden"
    elif far:
        found["why"] = _FAR
    else:
        found["why"] = "the score of the first that no guard forbids is below the threshold"
    return found


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
