"""collect: ask every tier every question, and lose nothing that was paid for."""

from __future__ import annotations

import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import repeat
from queue import SimpleQueue
from typing import Literal

from frugal_core.cascade import Failure, Reply
from frugal_core.errors import describe
from frugal_core.learn.collection import Collection, Question
from frugal_core.pricing import PriceBook
from frugal_core.tokens import estimate_tokens

Ask = Callable[[str], Reply | Failure]
"""Asks one tier one question; may also raise."""

Progress = Callable[[str, float], None]
"""(what has been done, share of all work that is done)"""

_HOPELESS = {401, 404}  # wrong key, no such model: the next question would fare no better
_OVERHEAD = 8  # tokens around a message; providers use 3 to 7


@dataclass(frozen=True, slots=True)
class Quote:
    """What it would cost at most to ask one tier, by estimate.

    Args:
        model: The tier.
        calls: Questions that it has not answered yet.
        input_tokens, output_tokens: Of all calls together.
        usd: Their price.
    """

    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    usd: float


def quote(
    collection: Collection, models: Sequence[str], prices: PriceBook, output_tokens: int
) -> list[Quote]:
    """What is left to pay.

    Args:
        collection: Where the answers will go; those it has cost nothing.
        models: The tiers.
        prices: Their prices.
        output_tokens: Tokens assumed of every answer.

    Raises:
        UnpricedModelError: if a tier has no price.
    """
    sent: dict[str, list[int]] = {model: [] for model in models}
    for question, model in collection.missing(models):
        sent[model].append(_input_tokens(question, collection.system))
    return [
        Quote(
            model,
            len(tokens),
            sum(tokens),
            output_tokens * len(tokens),
            sum(map(prices.price(model).cost, tokens, repeat(output_tokens))),
        )
        for model, tokens in sent.items()
    ]


def _input_tokens(question: Question, system: str | None) -> int:
    """About how many input tokens a call has at most."""
    texts = [question.text] if system is None else [system, question.text]
    return sum(estimate_tokens(text) + _OVERHEAD for text in texts)


@dataclass(slots=True)
class Tally:
    """What became of one tier's calls in one run.

    Args:
        model: The tier.
        answered, failed: Calls.
        usd: What they cost.
        defects: Why answers are of no use, and how many: "cut short", "refused", "empty".
        estimated: Answers whose tokens the provider did not report and that were estimated.
        reason: Why the first call that failed did so.
        stopped: Why the tier was given up, if it was.
    """

    model: str
    answered: int = 0
    failed: int = 0
    usd: float = 0.0
    defects: Counter[str] = field(default_factory=Counter)
    estimated: int = 0
    reason: str | None = None
    stopped: str | None = None


def collect(
    collection: Collection,
    tiers: Mapping[str, Ask],
    prices: PriceBook,
    *,
    concurrency: int = 8,
    progress: Progress | None = None,
) -> list[Tally]:
    """Ask every tier what it has not answered yet.

    A call that fails is recorded and will be asked again next time. A tier whose first answers are
    "wrong key" or "no such model" is given up, the others go on. On Ctrl-C no new call is made and
    those under way are waited for, since they are paid for; a second Ctrl-C does not wait.

    Args:
        collection: The questions, and where the answers go.
        tiers: How to ask each tier, by its name in the recording.
        prices: What they cost.
        concurrency: Calls at the same time.
        progress: Called after each answer.

    Returns:
        One tally for each tier.

    Raises:
        KeyboardInterrupt: after Ctrl-C; what has arrived is kept.

    Example:
        >>> with Collection("answers.jsonl", questions) as collection:  # doctest: +SKIP
        ...     collect(collection, {"small": lambda text: Reply("4", 5, 1)}, prices)
    """
    for model in tiers:
        prices.price(model)  # an unpriced tier is an error before anything is bought
    jobs = deque(collection.missing(list(tiers)))
    total = len(jobs)
    tallies = {model: Tally(model) for model in tiers}
    stopping = threading.Event()
    arrived: SimpleQueue[_Arrival | Literal["worker ended", "interrupted"]] = SimpleQueue()

    def work() -> None:
        while jobs and not stopping.is_set():
            try:
                question, model = jobs.popleft()
            except IndexError:  # another worker was faster
                break
            if tallies[model].stopped is None:
                arrived.put((question, model, _reply(tiers[model], question)))
        arrived.put("worker ended")

    def interrupt(*_: object) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()
        arrived.put("interrupted")

    # Daemons: a second Ctrl-C must not wait for a call that hangs.
    workers = [threading.Thread(target=work, daemon=True) for _ in range(max(1, concurrency))]
    for worker in workers:
        worker.start()
    try:
        with _on_interrupt(interrupt):
            running = len(workers)
            while running:
                arrival = arrived.get()
                if arrival == "worker ended":
                    running -= 1
                    continue
                if arrival != "interrupted":
                    _keep(collection, arrival, tallies, prices)
                if progress is not None:
                    progress(*_state(tallies.values(), total, stopping.is_set()))
    finally:
        interrupted = stopping.is_set()
        stopping.set()
    if interrupted:
        raise KeyboardInterrupt
    return list(tallies.values())


_Arrival = tuple[Question, str, Reply | Failure]


def _reply(ask: Ask, question: Question) -> Reply | Failure:
    try:
        return ask(question.text)
    except Exception as error:
        return Failure(error)


@contextmanager
def _on_interrupt(handler: Callable[..., None]) -> Iterator[None]:
    """Handle Ctrl-C ourselves, so that it cannot strike between an answer and its journal line."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _keep(
    collection: Collection, arrival: _Arrival, tallies: Mapping[str, Tally], prices: PriceBook
) -> None:
    """Write down what a tier said, and what it cost."""
    question, model, reply = arrival
    if isinstance(reply, Reply) and not reply.metered:
        reply = _estimated(question, reply, collection.system)
    collection.add(question, model, reply)
    _count(tallies[model], reply, prices)


def _state(tallies: Iterable[Tally], total: int, stopping: bool) -> tuple[str, float]:
    """How far the work is, in words and as a share."""
    tallies = list(tallies)
    done = sum(tally.answered + tally.failed for tally in tallies)
    words = f"{done:,} of {total:,} calls, {sum(tally.usd for tally in tallies):.4f} USD"
    if stopping:
        words += "; waiting for calls under way, Ctrl-C again to leave them"
    return words, done / total


def _estimated(question: Question, reply: Reply, system: str | None) -> Reply:
    """A reply whose provider did not say what was bought, with an estimate that is rather high."""
    sent, received = _input_tokens(question, system), estimate_tokens(reply.text)
    return replace(reply, input_tokens=sent, output_tokens=received)


def _count(tally: Tally, reply: Reply | Failure, prices: PriceBook) -> None:
    tally.usd += prices.price(tally.model).cost_of(reply)
    if isinstance(reply, Reply):
        tally.answered += 1
        tally.estimated += not reply.metered
        if reply.defect is not None:
            tally.defects[reply.defect] += 1
        return
    tally.failed += 1
    tally.reason = tally.reason or describe(reply.error)
    if not tally.answered and getattr(reply.error, "status_code", None) in _HOPELESS:
        tally.stopped = describe(reply.error)
