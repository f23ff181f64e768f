"""How many examples a prompt needs: the fewest that keep the accuracy on held-out rows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from frugal_core.adapt.evidence import Measured, certify
from frugal_core.adapt.examples import ExamplePool
from frugal_core.adapt.rows import Example, split_examples
from frugal_core.cascade import Failure, Reply
from frugal_core.certifying import Certificate, Promise
from frugal_core.errors import FrugalError, describe, is_number
from frugal_core.grading import Grader, grade_of, normalise

SIZES = (1, 2, 4, 8)
_LEAST = 10  # held-out rows
_MOST_ASKED = 200
_MOST_VOTED = 1000


@dataclass(frozen=True, slots=True)
class Shot:
    """A question to ask with these examples before it."""

    question: Example
    shown: tuple[Example, ...]


@dataclass(frozen=True)
class FittedShots:
    """How many examples are shown, and why.

    Args:
        k: How many.
        measured: Every number that was tried, on the same held-out rows.
        judge: "model" if the user's own was asked; "vote" if the examples' answers voted.
        certificate: That `k` keeps the promise against the largest number; None if none was asked
            for, or if it cannot be shown.
        verdict: All that in words.
    """

    k: int
    measured: tuple[Measured, ...]
    judge: str
    certificate: Certificate | None
    verdict: str


Shots = Generator[list[Shot], Sequence[Reply | Failure], FittedShots]


def fit_shots(
    pool: ExamplePool,
    *,
    live: bool,
    sizes: Iterable[int] = SIZES,
    held_out: float = 0.3,
    promise: Promise | float | None = None,
    grader: Grader = "normalised",
    seed: int = 0,
) -> Shots:
    """Find the fewest examples that keep the accuracy.

    Args:
        pool: Examples with answers, and how to choose among them.
        live: Whether a model answers: each `Shot` that is yielded is to be asked, and the replies
            sent in. Else nothing is yielded, and the answers of the selected examples vote, each
            with its similarity (weighted nearest neighbours, Dudani 1976): cheap, but it knows
            nothing of what a model makes of them.
        sizes: The numbers to try; 0 only with a model.
        held_out: Share of the examples that are asked and not shown; at most 200 are asked of a
            model.
        promise: None: the fewest examples within one standard error of the best number (the rule
            of Breiman et al. 1984, section 3.4.3), as seen on these rows. A `Promise`: the fewest
            that certainly keep it against the largest number, found by a fixed-sequence test from
            many to few; the largest where none can be shown to.
        grader: Decides whether an answer is right.
        seed: Decides which rows are held out.

    Returns:
        The number, and its evidence, as the generator's return value.

    Raises:
        FrugalError: if there are too few examples with answers, if free text is to be voted on, or
            if the model fails on more than half of the rows.
    """
    promise = None if promise is None else Promise.of(promise)
    tried = _sizes(sizes, live)
    labelled = [example for example in pool.examples if example.answer is not None]
    if not is_number(held_out) or not 0 < held_out < 1:
        raise FrugalError(f"held_out {held_out!r}: a share between 0 and 1 is expected")
    rest, held = split_examples(labelled, held_out, _MOST_ASKED if live else _MOST_VOTED, seed)
    if len(held) < _LEAST or not rest:
        raise FrugalError(
            f"{len(labelled)} examples with answers leave {len(held)} to hold out; at least "
            f"{_LEAST} are needed: give more examples, or a larger held_out (now {held_out:g})"
        )
    shown = pool.of(rest)
    if not live:
        _check_closed(held, rest)
    judge = "model" if live else "vote"
    # What is picked for a smaller number is the beginning of what is picked for the largest.
    voters = [] if live else [shown.ranked(example.text, tried[-1]) for example in held]
    measured: list[Measured] = []
    certificate = None
    for size in reversed(tried):
        if live:
            one = yield from _asked(shown, held, size, grader)
        else:
            one = _voted(pool, held, [ranked[:size] for ranked in voters], size)
        measured.append(one)
        if promise is None:
            continue
        if len(measured) == 1:
            best = one
            continue
        passed = certify(one.right, measured[0].right, promise, f"{tried[-1]} examples")
        if passed is None:  # nothing smaller is tried: the sequence ends with its first failure
            break
        best, certificate = one, passed
    if promise is None:
        best = _within_one_error(measured)
    verdict = _verdict(best, measured, judge, promise, certificate)
    return FittedShots(best.size, tuple(reversed(measured)), judge, certificate, verdict)


def _sizes(sizes: Iterable[int], live: bool) -> list[int]:
    tried = sorted(set(sizes))
    least = 0 if live else 1
    if not tried or any(not isinstance(n, int) or n < least for n in tried):
        raise FrugalError(f"sizes {tried!r}: whole numbers >= {least} are expected")
    return tried


def _check_closed(held: Sequence[Example], rest: Sequence[Example]) -> None:
    known = {normalise(example.answer or "") for example in rest}
    share = sum(normalise(e.answer or "") in known for e in held) / len(held)
    if share < 0.5:
        raise FrugalError(
            "the examples' answers are free text, so they cannot vote: give the model that is to "
            "answer, chain=..."
        )


def _asked(
    pool: ExamplePool, held: Sequence[Example], size: int, grader: Grader
) -> Generator[list[Shot], Sequence[Reply | Failure], Measured]:
    shots = [Shot(example, tuple(pool.select(example.text, size))) for example in held]
    replies = yield shots
    failures = [reply for reply in replies if isinstance(reply, Failure)]
    if len(failures) > len(held) / 2:
        raise FrugalError(
            f"the model failed on {len(failures)} of {len(held)} held-out rows: "
            f"{describe(failures[0].error)}"
        ) from failures[0].error
    right, tokens, grade = [], 0, grade_of(grader)
    for shot, reply in zip(shots, replies, strict=True):
        tokens += reply.input_tokens + reply.output_tokens
        said = reply.text.strip() if isinstance(reply, Reply) else None
        right.append(said is not None and bool(grade(said, shot.question.answer or "")))
    return Measured(size, tuple(right), tokens / len(held))


def _voted(
    pool: ExamplePool,
    held: Sequence[Example],
    voters: Sequence[Sequence[tuple[Example, float]]],
    size: int,
) -> Measured:
    right, tokens = [], 0
    for example, ranked in zip(held, voters, strict=True):
        sums: defaultdict[str, float] = defaultdict(float)
        for shown, similarity in ranked:
            sums[normalise(shown.answer or "")] += similarity + 1e-9
            tokens += pool.tokens(shown)
        said = max(sums, key=lambda label: sums[label]) if sums else None
        right.append(said == normalise(example.answer or ""))
    return Measured(size, tuple(right), tokens / len(held))


def _within_one_error(measured: Sequence[Measured]) -> Measured:
    """The smallest that is at most one standard error of the paired difference below the best."""
    ascending = sorted(measured, key=lambda one: one.size)
    best = max(ascending, key=lambda one: one.accuracy)
    for one in ascending:
        difference = np.array(best.right, dtype=float) - np.array(one.right, dtype=float)
        error = float(difference.std(ddof=1)) / math.sqrt(len(difference))
        if float(difference.mean()) <= error:
            return one
    return best


def _verdict(
    best: Measured,
    measured: Sequence[Measured],
    judge: str,
    promise: Promise | None,
    certificate: Certificate | None,
) -> str:
    table = ", ".join(f"{one.size}: {100 * one.accuracy:.1f} %" for one in reversed(measured))
    by = "by the model" if judge == "model" else "by the examples' vote; no model was asked"
    n = len(best.right)
    words = f"{best.size} examples; accuracy by number on {n} held-out rows, {by}: {table}"
    if promise is None:
        return f"{words}; nothing is promised"
    if certificate is None:
        return f"{words}; fewer cannot be shown to keep the promise on so few rows"
    return f"{words}; {certificate.sentence}"
