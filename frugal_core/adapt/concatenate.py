"""Query concatenation: queries that share a prompt are asked in one request.

Source: FrugalGPT (Chen, Zaharia, Zou 2023, section 3.1, "query concatenation"); the examples of the
prompt are put together in the same form as the queries, as in batch prompting (Cheng, Kasai, Yu
2023, arXiv:2301.08721).

`concatenate` is a generator: it yields the requests to make and is sent the replies, at most twice.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace

from frugal_core.adapt.evidence import Measured, certify
from frugal_core.adapt.grouping import Alone, Call, Grouping, Item, Together, plan
from frugal_core.adapt.numbered import read_answers
from frugal_core.cascade import Failure, Reply
from frugal_core.certifying import Certificate, Promise
from frugal_core.errors import FrugalError, describe
from frugal_core.grading import Grader, grade_of
from frugal_core.pricing import Price

__all__ = ["Alone", "Answers", "Call", "Grouping", "Item", "Together", "concatenate"]

_HOPELESS = {401, 403, 404}  # wrong key, no such model: asking alone would fare no better
_LIKE_MOST = Price(1.0, 4.0)  # only the ratio counts


@dataclass(frozen=True, slots=True)
class Part:
    """What came of one item.

    Args:
        reply: The reply that holds its answer, or the failure.
        text: The answer, where the reply holds those of others too; else None.
        group: How many items shared that request.
        again: Whether it had been asked before, together with others, in vain.
    """

    reply: Reply | Failure
    text: str | None = None
    group: int = 1
    again: bool = False

    @property
    def said(self) -> str | None:
        """The answer, or None if there is none."""
        if self.text is not None or isinstance(self.reply, Failure):
            return self.text
        return self.reply.text


@dataclass(frozen=True, slots=True)
class Bill:
    """Who bears what a reply cost.

    Args:
        reply: What was bought.
        positions: Of the items that bear it.
        inputs, outputs: Their weights.
    """

    reply: Reply | Failure
    positions: tuple[int, ...]
    inputs: tuple[float, ...]
    outputs: tuple[float, ...]


@dataclass(frozen=True)
class Answers:
    """What came of all items.

    Args:
        parts: One for each item, in order.
        bills: Everything that was bought, each token once.
    """

    parts: tuple[Part, ...]
    bills: tuple[Bill, ...]


Asking = Generator[list[Call], Sequence[Reply | Failure], Answers]


def concatenate(items: Sequence[Item], grouping: Grouping) -> Asking:
    """Ask items together, check the answers, and ask again alone what is missing.

    A request for several items that fails is followed by one for each, but for a wrong key and a
    model that does not exist.

    Args:
        items: The queries.
        grouping: How they are put together.

    Returns:
        The answers in the order of the items, as the generator's return value; it never raises.
    """
    calls = plan(items, grouping)
    if not calls:
        return Answers((), ())
    parts: dict[int, Part] = {}
    bills: list[Bill] = []
    missing: list[int] = []
    for call, reply in zip(calls, (yield calls), strict=True):
        if isinstance(call, Alone):
            parts[call.position] = Part(reply)
            bills.append(Bill(reply, (call.position,), (1.0,), (1.0,)))
            continue
        answers = _read(call, reply, grouping)
        n = len(call.positions)
        for i, position in enumerate(call.positions):
            if i in answers:
                parts[position] = Part(reply, answers[i], n)
            elif getattr(getattr(reply, "error", None), "status_code", None) in _HOPELESS:
                parts[position] = Part(reply, None, n)
            else:
                missing.append(position)
        outputs = tuple(float(grouping.count_tokens(answers.get(i, "")) + 4) for i in range(n))
        bills.append(Bill(reply, call.positions, call.input_weights, outputs))
    if missing:
        again: list[Call] = [Alone(position) for position in sorted(missing)]
        for position, reply in zip(sorted(missing), (yield again), strict=True):
            parts[position] = Part(reply, again=True)
            bills.append(Bill(reply, (position,), (1.0,), (1.0,)))
    ordered = tuple(parts[position] for position in range(len(items)))
    return Answers(ordered, tuple(_borne(bill, ordered) for bill in bills))


def _read(call: Together, reply: Reply | Failure, grouping: Grouping) -> dict[int, str]:
    """The answers in a reply that may stand."""
    if isinstance(reply, Failure):
        return {}
    answers = read_answers(reply.text, len(call.positions))
    return {i: answer for i, answer in answers.items() if grouping.accepts(answer)}


def _borne(bill: Bill, parts: Sequence[Part]) -> Bill:
    """A bill without the items that have no answer to carry it; all with one, if none is left."""
    answered = [not isinstance(part.reply, Failure) for part in parts]
    bearing = [
        (position, sent, received)
        for position, sent, received in zip(bill.positions, bill.inputs, bill.outputs, strict=True)
        if answered[position]
    ]
    if not bearing:
        bearing = [(position, 1.0, 1.0) for position, there in enumerate(answered) if there]
    positions, inputs, outputs = zip(*bearing, strict=True) if bearing else ((), (), ())
    return replace(bill, positions=positions, inputs=inputs, outputs=outputs)


def share(total: int, weights: Sequence[float]) -> list[int]:
    """Cut a whole number into whole parts with these proportions (largest remainders).

    Args:
        total: What is shared out.
        weights: Not negative; if all are 0, they count alike.

    Returns:
        Parts that sum to `total`.

    Example:
        >>> share(10, [1, 1, 1])
        [4, 3, 3]
    """
    if not weights:
        return []
    weight = sum(weights)
    exact = [total * (w / weight if weight else 1 / len(weights)) for w in weights]
    parts = [math.floor(part) for part in exact]
    by_remainder = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts


@dataclass(frozen=True)
class FittedGroups:
    """How many queries share a request, and why.

    Args:
        size: Most queries in one request; 1 if each is asked alone.
        measured: Every size that was tried, on the same rows; the first is 1.
        certificate: That `size` keeps the promise against asking alone; None if `size` is 1.
        verdict: All that in words.
    """

    size: int
    measured: tuple[Measured, ...]
    certificate: Certificate | None
    verdict: str


Fitting = Generator[list[Call], Sequence[Reply | Failure], FittedGroups]


def fit_groups(
    items: Sequence[Item],
    gold: Sequence[str],
    grouping: Grouping,
    *,
    sizes: Iterable[int] = (2, 4, 8, 16),
    promise: Promise | float = 0.02,
    grader: Grader = "normalised",
    price: Price | None = None,
    recorded: Sequence[Reply | None] = (),
) -> Fitting:
    """Find the largest group that certainly answers about as well as asking alone.

    The rows are asked alone, then in groups, from small to large, until a size fails the test or
    does not make the rows cheaper (a fixed sequence, as `frugal_core.certifying` has it).

    Args:
        items: Queries.
        gold: Their right answers.
        grouping: Everything but the size.
        sizes: The sizes to try.
        promise: How much accuracy may be lost, and how sure that must be.
        grader: Decides whether an answer is right.
        price: Of the model; without it, output tokens count four times as much as input tokens.
        recorded: What the model said to each item alone, where that is known; not asked again.

    Raises:
        FrugalError: if there is nothing to measure on, or the model fails on more than half.
    """
    promise, price = Promise.of(promise), price or _LIKE_MOST
    tried = sorted(set(sizes))
    if not tried or any(not isinstance(size, int) or size < 2 for size in tried):
        raise FrugalError(f"sizes {tried!r}: whole numbers >= 2 are expected")
    if not items or len(items) != len(gold):
        raise FrugalError("fit: rows with a query and its right answer are needed; there are none")
    known = list(recorded) if recorded else [None] * len(items)
    asked: list[Call] = [Alone(i) for i, reply in enumerate(known) if reply is None]
    replies = iter((yield asked) if asked else ())
    alone = [next(replies) if reply is None else reply for reply in known]
    failed = [reply for reply in alone if isinstance(reply, Failure)]
    if len(failed) > len(alone) / 2:
        raise FrugalError(
            f"the model failed on {len(failed)} of {len(alone)} rows: {describe(failed[0].error)}"
        ) from failed[0].error
    said = [reply.text if isinstance(reply, Reply) else None for reply in alone]
    paid = _cost(alone, price)
    measured = [Measured(1, _right(said, gold, grader), _tokens(alone, len(items)))]
    best, certificate, why = 1, None, ""
    for size in tried:
        answers = yield from concatenate(items, replace(grouping, group_size=size))
        bought = [bill.reply for bill in answers.bills]
        right = _right([part.said for part in answers.parts], gold, grader)
        measured.append(Measured(size, right, _tokens(bought, len(items))))
        cost = _cost(bought, price)
        if cost >= paid:
            why = f"groups of {size} are not cheaper"
            break
        passed = certify(right, measured[0].right, promise, "asking alone")
        if passed is None:
            why = f"groups of {size} cannot be shown to keep the promise"
            break
        best, certificate, paid = size, passed, cost
    verdict = _verdict(best, measured, certificate, why)
    return FittedGroups(best, tuple(measured), certificate, verdict)


def _right(said: Sequence[str | None], gold: Sequence[str], grader: Grader) -> tuple[bool, ...]:
    grade = grade_of(grader)
    pairs = zip(said, gold, strict=True)
    return tuple(text is not None and bool(grade(text.strip(), right)) for text, right in pairs)


def _tokens(replies: Sequence[Reply | Failure], n: int) -> float:
    return sum(reply.input_tokens + reply.output_tokens for reply in replies) / n


def _cost(replies: Sequence[Reply | Failure], price: Price) -> float:
    return sum(map(price.cost_of, replies))


def _verdict(
    best: int, measured: Sequence[Measured], certificate: Certificate | None, why: str
) -> str:
    table = ", ".join(
        f"{one.size}: {100 * one.accuracy:.1f} % for {one.tokens:.0f} tokens" for one in measured
    )
    words = "ask alone" if best == 1 else f"ask {best} together"
    words += f"; by group size on {len(measured[0].right)} rows: {table}"
    if certificate is not None:
        words += f"; {certificate.sentence}"
    return f"{words}; {why}" if why else words
