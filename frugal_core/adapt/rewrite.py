"""Prompt rewriting: a large model proposes, labelled rows judge, and only proof counts.

Candidates are sifted by sequential halving (Karnin, Koren, Somekh 2013) on some rows; the survivor
is tested against the original on others, which nothing else has seen, with the same test as the
cascade's certificate. Proposing prompts with a model is automatic prompt engineering (Zhou et al.
2023, arXiv:2211.01910).

`rewrite` is a generator: it yields what to ask and is sent the replies.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from frugal_core.adapt.evidence import certify, discordant
from frugal_core.adapt.proposing import ask_for_prompts, read_prompts
from frugal_core.adapt.rows import Example, split_examples
from frugal_core.adapt.spending import Left, Propose, Purse, Request, Spend, Try, metered
from frugal_core.cascade import Failure, Reply
from frugal_core.certifying import Certificate, Promise, rows_needed
from frugal_core.errors import FrugalError, check_whole, describe
from frugal_core.grading import Grade, Grader, grade_of
from frugal_core.pricing import Price
from frugal_core.tokens import estimate_tokens

_LEAST = 20  # labelled rows
_SHOWN = 6  # rows that the proposer sees
_TEST_SHARE = 0.5  # of the rows, and of the calls
_AT_ONCE = 8  # rows that are asked before the spend is looked at again
_OVERHEAD = 16  # tokens around the messages of a call
_ASSUMED_OUTPUT = 64  # tokens of an answer, before any was seen
ORIGINAL = "the original prompt"


@dataclass(frozen=True)
class Tried:
    """What became of one prompt.

    Args:
        prompt: It.
        rows: On how many rows it was asked, to sift and to test.
        accuracy: On them; the certificate rests on those of the test alone.
        tokens: Bought per row, input and output.
        why: What became of it, in words.
    """

    prompt: str
    rows: int = 0
    accuracy: float = 0.0
    tokens: float = 0.0
    why: str = ""


@dataclass(frozen=True)
class Rewritten:
    """What a search found.

    Args:
        prompt: The one to use: certified to be an improvement, else the original.
        original: The one to beat.
        certificate: The evidence; None if the original stays.
        verdict: All that in words.
        tried: Every prompt, the original first.
        calls: Made, to both models.
        usd: Spent; None if a model has no price.
    """

    prompt: str
    original: str
    certificate: Certificate | None
    verdict: str
    tried: tuple[Tried, ...]
    calls: int
    usd: float | None

    @property
    def improved(self) -> bool:
        """Whether there is a better prompt than the original."""
        return self.certificate is not None


Rewriting = Generator[list[Request], Sequence[Reply | Failure], Rewritten]
_Step = Generator[list[Request], Sequence[Reply | Failure], int]


def rewrite(
    original: str,
    rows: Sequence[Example],
    *,
    spend: Spend,
    candidates: int = 8,
    promise: Promise | float = 0.01,
    price: Price | None = None,
    proposer_price: Price | None = None,
    names: Sequence[str] = (),
    recorded: Sequence[Reply | None] = (),
    grader: Grader = "normalised",
    seed: int = 0,
) -> Rewriting:
    """Look for a shorter or better prompt.

    An improvement is a prompt that costs less per row and is certainly at most epsilon less
    accurate, or one that does not cost less and is certainly more accurate (epsilon 0).

    Args:
        original: Today's prompt.
        rows: Questions with right answers; half of them test.
        spend: The most that may be spent; half of it, about, is kept for the test.
        candidates: Prompts to ask for.
        promise: How much accuracy may be lost to a cheaper prompt, and how sure that must be.
        price, proposer_price: Of the small and the large model; needed for `Spend(usd=...)`.
        names: Placeholders that each prompt must hold.
        recorded: What the small model said to each row under the original prompt, where that is
            known; it is not asked again.
        grader: Decides whether an answer is right.
        seed: Decides which rows test.

    Returns:
        The prompt to use, with its evidence, as the generator's return value.

    Raises:
        FrugalError: if there are too few rows, the spend is too small for anything, the large model
            fails, or the small one on more than half of the rows of a prompt.
    """
    promise = Promise.of(promise)
    check_whole("candidates", candidates, least=1)
    if spend.usd is not None and (price is None or proposer_price is None):
        raise FrugalError("spend in USD needs the prices of both models; or give Spend(calls=...)")
    labelled = [row for row in rows if row.answer is not None]
    if len(labelled) < _LEAST:
        raise FrugalError(
            f"{len(labelled)} rows with a right answer; at least {_LEAST} are needed, and some "
            f"hundreds to certify anything"
        )
    search, test = split_examples(labelled, _TEST_SHARE, len(labelled), seed)
    known = {
        id(row): reply for row, reply in zip(rows, recorded, strict=False) if reply is not None
    }
    purse = Purse(spend, price, proposer_price)
    bench = _Bench(original, known, grade_of(grader), purse, price)

    text = ask_for_prompts(original, search[:_SHOWN], candidates, names)
    tokens = estimate_tokens(text), candidates * (estimate_tokens(original) + _ASSUMED_OUTPUT)
    if not purse.affords(Propose(text), *tokens):
        raise FrugalError(f"spend: {purse.limit} does not even pay for the proposals")
    (proposed,) = yield [Propose(text)]
    purse.pay(Propose(text), metered(proposed, tokens[0]))
    if isinstance(proposed, Failure):
        raise FrugalError(
            f"the large model proposed nothing: {describe(proposed.error)}"
        ) from proposed.error
    usable, refused = read_prompts(proposed.text, original, candidates, names)
    bench.notes |= dict(refused)
    if not usable:
        return bench.result(None, "the large model proposed nothing that can be tried")
    winner = yield from _sift(bench, usable, search, promise)
    if winner is None:
        return bench.result(None, "no proposal looked better than the original, so none was tested")
    return (yield from _test(bench, winner, test, promise))


def _sift(
    bench: _Bench, usable: Sequence[str], search: Sequence[Example], promise: Promise
) -> Generator[list[Request], Sequence[Reply | Failure], str | None]:
    """Sequential halving: the proposal that looks best, or None if none looks acceptable."""
    alive = list(usable)
    rounds = max(1, math.ceil(math.log2(len(alive))))
    limit = bench.purse.left((1 - _TEST_SHARE) / rounds)
    used = 0
    for number in range(1, rounds + 1):
        fresh = search[used : used + math.ceil(len(search) / rounds)]
        used += yield from bench.run([bench.original, *alive], fresh, limit)
        # A cheaper prompt is worth epsilon of accuracy for the whole of the original's price.
        alive.sort(key=lambda prompt: -bench.utility(prompt, promise.epsilon))
        kept = math.ceil(len(alive) / 2)
        bench.notes |= {prompt: f"given up in round {number}" for prompt in alive[kept:]}
        alive = alive[:kept]
    best = alive[0]
    if not bench.replies.get(best):
        raise FrugalError(f"spend: {bench.purse.limit} does not pay for trying the proposals")
    ours, theirs = bench.accuracy(best), bench.accuracy(bench.original)
    cheaper = bench.cost(best) < bench.cost(bench.original)
    if ours < theirs - promise.epsilon or (not cheaper and ours <= theirs):
        bench.notes[best] = "the best of the proposals, but no better than the original"
        return None
    return best


def _test(
    bench: _Bench, winner: str, test: Sequence[Example], promise: Promise
) -> Generator[list[Request], Sequence[Reply | Failure], Rewritten]:
    """Winner against original, on rows that neither proposed nor sifted."""
    cheaper = bench.cost(winner) < bench.cost(bench.original)
    asked = promise if cheaper else Promise(0.0, promise.confidence)
    first = len(bench.replies[winner])  # as many as the original has
    yield from bench.run([bench.original, winner], test, bench.purse.left())
    # A row on which the original's call failed says nothing; the winner's failures count.
    served = [isinstance(reply, Reply) for _, reply in bench.replies[bench.original]]
    ours, theirs = (
        [right for right, there in list(zip(bench.right(p), served, strict=True))[first:] if there]
        for p in (winner, bench.original)
    )
    paid = bench.cost(winner, first), bench.cost(bench.original, first)
    certificate = certify(ours, theirs, asked, ORIGINAL) if ours else None
    losses, gains = discordant(ours, theirs)
    told = f"tested on {len(ours)} other rows: {losses} lost, {gains} gained"
    if certificate is not None and (not cheaper or paid[0] < paid[1]):
        saved = 100 * (1 - paid[0] / paid[1]) if paid[1] else 0.0
        aim = f"{saved:.0f} % cheaper per row" if cheaper else "more accurate"
        bench.notes[winner] = f"certified: {aim}"
        return bench.result(winner, f"{aim}; {certificate.sentence}", certificate)
    bench.notes[winner] = f"the best of the proposals, but not certain; {told}"
    why = f"the best proposal cannot be shown to be an improvement; {told}"
    rate = max(len(ours), 1)
    needed = rows_needed(asked, losses / rate, gains / rate)
    if needed is not None and needed > len(ours):
        why += f"; at these rates about {needed:,} test rows would show it"
    return bench.result(None, why)


@dataclass
class _Bench:
    """Prompts, what the small model said under each, and what is known about them."""

    original: str
    known: dict[int, Reply]
    grade: Grade
    purse: Purse
    price: Price | None
    replies: dict[str, list[tuple[Example, Reply | Failure]]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    stretch: float = 0.0
    longest_answer: int = 0

    def run(self, prompts: Sequence[str], rows: Sequence[Example], limit: Left) -> _Step:
        """Ask every row under every prompt, as many as can be within the limit; how many.

        Some rows at a time, so that the prompts stay comparable if the money runs out, and prompt
        by prompt, so that the provider reads its beginning from its cache.
        """
        calls, usd = self.purse.calls + limit[0], self.purse.usd + limit[1]
        done = 0
        while done < len(rows):
            size = _AT_ONCE if self.longest_answer else 1  # nothing is known of the answers yet
            some = rows[done : done + size]
            fit = self._affordable(prompts, some, (calls - self.purse.calls, usd - self.purse.usd))
            done += fit
            trials = [Try(prompt, row) for prompt in prompts for row in some[:fit]]
            asked: list[Request] = [trial for trial in trials if self._recorded(trial) is None]
            replies = iter((yield asked) if asked else ())
            for trial in trials:
                sent, _ = self._assumed(trial)
                reply: Reply | Failure | None = self._recorded(trial)
                if reply is None:
                    reply = metered(next(replies), sent)
                    self.purse.pay(trial, reply)
                self.stretch = max(self.stretch, reply.input_tokens / sent)
                self.longest_answer = max(self.longest_answer, reply.output_tokens)
                self.replies.setdefault(trial.prompt, []).append((trial.row, reply))
            if fit < len(some):
                break
        for prompt in prompts:
            said = [reply for _, reply in self.replies.get(prompt, [])]
            failed = [reply for reply in said if isinstance(reply, Failure)]
            if len(failed) > len(said) / 2:
                raise FrugalError(
                    f"the small model failed on {len(failed)} of {len(said)} rows: "
                    f"{describe(failed[0].error)}"
                ) from failed[0].error
        return done

    def _affordable(self, prompts: Sequence[str], rows: Sequence[Example], limit: Left) -> int:
        """How many of the rows can be asked under every prompt within the limit."""
        calls, usd = limit
        for number, row in enumerate(rows):
            trials = [Try(prompt, row) for prompt in prompts]
            trials = [trial for trial in trials if self._recorded(trial) is None]
            calls -= len(trials)
            usd -= sum(self._reckoned(trial) for trial in trials)
            if calls < 0 or usd < 0:
                return number
        return len(rows)

    def _recorded(self, trial: Try) -> Reply | None:
        return self.known.get(id(trial.row)) if trial.prompt == self.original else None

    def _assumed(self, trial: Try) -> tuple[int, int]:
        sent = estimate_tokens(trial.prompt) + estimate_tokens(trial.row.text) + _OVERHEAD
        return sent, _ASSUMED_OUTPUT

    def _reckoned(self, trial: Try) -> float:
        """USD of a call: its length, at the most tokens per estimated one and the longest answer
        that were seen so far."""
        if self.price is None:
            return 0.0
        sent, received = self._assumed(trial)
        if self.longest_answer:
            sent, received = math.ceil(sent * self.stretch), self.longest_answer
        return self.price.cost(sent, received)

    def right(self, prompt: str) -> list[bool]:
        """Whether each row was answered right; a failed call is a wrong answer."""
        return [
            isinstance(reply, Reply) and bool(self.grade(reply.text.strip(), row.answer or ""))
            for row, reply in self.replies.get(prompt, [])
        ]

    def accuracy(self, prompt: str) -> float:
        """Share of rows answered right."""
        right = self.right(prompt)
        return sum(right) / len(right) if right else 0.0

    def cost(self, prompt: str, first: int = 0) -> float:
        """Per row; in USD, or where no price is known in tokens, output counted fourfold."""
        price = self.price or Price(1e6, 4e6)
        said = [reply for _, reply in self.replies.get(prompt, [])[first:]]
        # A call that failed is no cheap answer.
        replies = [reply for reply in said if isinstance(reply, Reply)]
        return sum(map(price.cost_of, replies)) / len(replies) if replies else 0.0

    def utility(self, prompt: str, epsilon: float) -> float:
        """Accuracy, less epsilon times the price in prices of the original."""
        paid = self.cost(self.original)
        return self.accuracy(prompt) - epsilon * (self.cost(prompt) / paid if paid else 1.0)

    def result(
        self, winner: str | None, why: str, certificate: Certificate | None = None
    ) -> Rewritten:
        """What the search comes to."""
        prompts = list(dict.fromkeys([self.original, *self.replies, *self.notes]))
        verdict = f"keep the original: {why}" if winner is None else f"use the new prompt: {why}"
        priced = self.price is not None and self.purse.proposer_price is not None
        return Rewritten(
            winner or self.original,
            self.original,
            certificate,
            verdict,
            tuple(self._tried(prompt) for prompt in prompts),
            self.purse.calls,
            self.purse.usd if priced else None,
        )

    def _tried(self, prompt: str) -> Tried:
        said = self.replies.get(prompt, [])
        tokens = sum(reply.input_tokens + reply.output_tokens for _, reply in said)
        each = tokens / len(said) if said else 0.0
        note = "today's" if prompt == self.original else self.notes.get(prompt, "")
        return Tried(prompt, len(said), self.accuracy(prompt), each, note)
