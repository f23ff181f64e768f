"""Recordings made of random numbers, and a driver of the loop that answers from a recording."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frugal_core.answers import Answer, Bill
from frugal_core.cascade import Ask, Failure, OnFailure, Outcome, Reply
from frugal_core.loop import cascade
from frugal_core.policy import Policy
from frugal_core.recording import Query, Recording
from frugal_core.replay import Replay, replay, scores_of, with_student
from frugal_core.table import Table

RECORDINGS = Path(__file__).parents[4] / "shared" / "data" / "recordings"
DIRECTIONS = ("down", "flat", "up")
PRICES: dict[str, Any] = {
    "tiny": [0.05, 0.05],
    "small": [0.1, 0.2],
    "medium": [0.5, 1.0],
    "large": [2.0, 4.0],
    "huge": [10.0, 30.0],
}
SKILL = {"tiny": 0.6, "small": 0.72, "medium": 0.8, "large": 0.87, "huge": 0.94}


def real_recording(name: str) -> Recording:
    """A recording of real models; skips the test where the development data is absent."""
    path = RECORDINGS / f"{name}_train.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"the development recordings are not here: {path.parent.name}/{path.name}")
    kind = "labels" if name in ("headlines", "overruling") else "chains"
    return Recording.load(path, prices=RECORDINGS / f"prices_{kind}.json")


def answer(text: str, **fields: Any) -> dict[str, Any]:
    """One answer of a row."""
    return {"text": text, "input_tokens": 20, "output_tokens": 1} | fields


def closed_rows(
    n: int,
    seed: int = 0,
    models: Sequence[str] = ("small", "medium", "large"),
    signal: float = 0.25,
) -> list[dict[str, Any]]:
    """Rows with answers from a closed label set.

    Args:
        signal: Share of a query's words that tell its label.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        gold = int(rng.integers(3))
        hard = bool(rng.random() < 0.3)
        kinds = np.where(rng.random(6) < signal, gold, rng.integers(3, size=6))
        words = [f"{DIRECTIONS[kind]}ward{rng.integers(12)}" for kind in kinds]
        text = f"{' '.join(words)} {'tangled' if hard else 'plain'} case {i}"
        answers = {}
        for model in models:
            skill = SKILL[model] - (0.25 if hard else -0.05)
            said = gold if rng.random() < skill else (gold + int(rng.integers(1, 3))) % 3
            tokens = int(rng.integers(10, 60))
            answers[model] = answer(DIRECTIONS[said], input_tokens=tokens)
        rows.append({"id": i, "query": text, "reference": DIRECTIONS[gold], "answers": answers})
    return rows


def free_rows(
    n: int, seed: int = 0, models: Sequence[str] = ("small", "medium", "large")
) -> list[dict[str, Any]]:
    """Rows with answers in free text and informative confidences."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        answers = {}
        for model in models:
            sure = float(rng.beta(4 * SKILL[model], 4 * (1 - SKILL[model])))
            right = bool(rng.random() < sure)
            text = f"the answer is {i}" if right else f"perhaps {i + rng.integers(1, 4)} or so"
            confidence = math.log(max(sure, 1e-6))
            tokens = int(rng.integers(10, 60))
            answers[model] = answer(
                text, correct=right, confidence=confidence, input_tokens=tokens, output_tokens=5
            )
        rows.append({"id": i, "query": f"what is number {i} of {i % 7}", "answers": answers})
    return rows


def closed(n: int, seed: int = 0, **options: Any) -> Recording:
    """A recording of `closed_rows`."""
    return Recording.from_rows(closed_rows(n, seed, **options), prices=PRICES)


def free(n: int, seed: int = 0, **options: Any) -> Recording:
    """A recording of `free_rows`."""
    return Recording.from_rows(free_rows(n, seed, **options), prices=PRICES)


def with_gaps(rows: list[dict[str, Any]], share: float, seed: int = 0) -> list[dict[str, Any]]:
    """The rows, with this share of all answers taken away."""
    rng = np.random.default_rng(seed)
    return [
        row | {"answers": {m: a for m, a in row["answers"].items() if rng.random() >= share}}
        for row in rows
    ]


Model = Callable[[Ask], Reply | Failure]


def drive(loop: Generator[Ask, Reply | Failure, Outcome], model: Model) -> Outcome:
    """Run a loop to its end."""
    try:
        ask = next(loop)
        while True:
            ask = loop.send(model(ask))
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome


def run_recorded(policy: Policy, query: Query, on_failure: OnFailure = "best_draft") -> Outcome:
    """One query through the loop, answered from its recorded answers; a missing one fails."""

    def model(ask: Ask) -> Reply | Failure:
        assert ask.verify is None
        recorded = query.answers.get(policy.chain.tiers[ask.tier])
        if recorded is None:
            return Failure(ConnectionError("no answer was recorded"))
        bill = Bill(
            recorded.input_tokens,
            recorded.output_tokens,
            recorded.cached_tokens,
            recorded.written_tokens,
        )
        said = Answer(recorded.text, bill=bill, confidence=recorded.confidence)
        return said.reply(None, None)

    return drive(cascade(policy.plan, query.text, on_failure=on_failure), model)


def replayed(policy: Policy, recording: Recording) -> tuple[Replay, Table]:
    """The policy over a whole recording at once."""
    table = policy.table(recording)
    features = policy.scorer.vectoriser.matrix(table.texts)
    table = with_student(policy.student, table, features)
    return replay(policy.chain, table, scores_of(policy.scorer, table, features)), table


def decisions(policy: Policy) -> Mapping[str, Any]:
    """What a policy decides with, to compare two of them."""
    return {
        "chain": policy.chain,
        "frontier": policy.frontier,
        "weights": policy.scorer.weights.tobytes(),
        "calibrators": {k: v.tobytes() for k, v in policy.scorer.calibrators.items()},
    }
