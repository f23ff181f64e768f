"""What `frugal cache serve-check` finds: the decision on a question, neighbour by neighbour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from frugal_core.cache.semantic import SemanticCache


def check(cache: SemanticCache, question: str, partition: str) -> dict[str, Any]:
    """Whether a question would be served, by which layer, and why; nothing is counted or stored."""
    from frugal_core.cache.asking import asked_in, split
    from frugal_core.cache.decision import Neighbour
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
    decided = False
    for near in cache.rows.nearest(cache.space(partition, frame), vector, NEIGHBOURS):
        verdict = cache.decision.judge(
            asked, [Neighbour(asked_in(near.entry.question), near.cosine)]
        )
        score = verdict.score if verdict.position is not None else None
        if near.entry.wrong:
            why = "reported wrong"
        elif score is None:
            why = f"guard: {verdict.objections[0]}"
        elif decided:
            why = "a nearer one was scored"
        elif score >= certificate.threshold:
            why = "served"
        else:
            why = "score below the threshold"
        found["neighbours"].append(
            {"question": near.entry.question, "cosine": near.cosine, "score": score, "why": why}
        )
        if score is not None and not near.entry.wrong and not decided:
            decided = True
            found["score"] = score
            found["served"] = score >= certificate.threshold
    if found["served"]:
        chosen = next(n for n in found["neighbours"] if n["why"] == "served")
        found |= {"layer": "semantic", "from": chosen["question"], "why": "score and guards"}
    elif not found["neighbours"]:
        found["why"] = "nothing is stored in this scope and partition"
    elif decided:
        found["why"] = "the score of the first that no guard forbids is below the threshold"
    else:
        found["why"] = "every neighbour is forbidden"
    return found


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
