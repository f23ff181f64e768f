"""`SemanticCache`: answers to questions that were asked before, in these words or in others."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any, Self, TypeVar

from frugal_core.cache.asking import asked_in, split
from frugal_core.cache.calibration import NEAR, CacheCertificate
from frugal_core.cache.checking import (
    as_kept,
    check_answer,
    check_question,
    check_selection,
    check_settings,
    labelled,
    tags_of,
)
from frugal_core.cache.decision import Decision, Neighbour, Verdict
from frugal_core.cache.decision import shipped as shipped_decision
from frugal_core.cache.faults import Faults
from frugal_core.cache.feedback import Aim, Feedback
from frugal_core.cache.flight import Flights
from frugal_core.cache.hit import Hit
from frugal_core.cache.judging import Judge, Sample, judged_pairs
from frugal_core.cache.partition import digest
from frugal_core.cache.store import open_store
from frugal_core.cache.store.base import (
    Candidate,
    Entry,
    NewEntry,
    Selection,
    Store,
    Vector,
    unit,
)
from frugal_core.cache.threads import Threads
from frugal_core.cache.turns import POLL, Turn, Waiting
from frugal_core.embedding import embedder_of
from frugal_core.errors import FrugalError

T = TypeVar("T")

NEIGHBOURS = 5
"""Stored questions that are looked at in one lookup."""
_THREADS = 16
"""That look up and store for event loops; most of the time they wait for a store or an embedder."""


class SemanticCache:
    """Answers to questions that were asked before; wrong no more often than promised.

    The exact layer serves the very same question. The semantic layer serves another wording of it,
    within the same partition, if no guard objects and the score reaches a certified threshold. A
    fault of the cache's own never raises in `lookup` and `store`: it is logged, once for each kind,
    and the lookup is a miss.

    Args:
        location: None for a file in the platform's cache folder; a path; ":memory:"; a
            "postgresql://" URL shared between machines; or a store of your own.
        error_bound: Largest share of lookups that are served a wrong answer by meaning; 0 turns the
            semantic layer off.
        scope: Whose cache this is; scopes never see each other's answers.
        embed: LangChain or LlamaIndex embeddings, or a function; MiniLM on this machine by default.
            Only the default comes with a calibration: with others, `calibrate` first, or give a
            judge.
        ttl: Seconds for which an answer that is stored here is served; None for ever.
        confidence: Probability with which the error bound holds.
        max_entries: Of this scope; beyond it, what was used longest ago is deleted.
        judge: Judges a sample of lookups, in the background; see `Judge`. It may be async.
        judge_rate: Share of lookups that are judged.

    Raises:
        FrugalError: if an argument makes no sense.
        StoreError: if the location cannot be opened.

    Example:
        >>> cache = SemanticCache(":memory:")
        >>> cache.store("What is the capital of France?", "Paris")
        >>> cache.lookup("What is the capital of France?").answer
        'Paris'
        >>> cache.lookup("What's the capital of France?").layer
        'semantic'
        >>> cache.lookup("What is the capital of Italy?")
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
    ) -> None:
        check_settings(scope, error_bound, ttl, confidence, max_entries, judge, judge_rate)
        self.scope = scope
        self.ttl = ttl
        self.max_entries = max_entries
        self.embedder = embedder_of(embed)
        self.rows = open_store(location)
        self.threads = Threads("frugal-cache", _THREADS)
        self._flights = Flights(self.rows)
        aim = Aim(error_bound, confidence)
        self._feedback = Feedback(self.rows, self.embedder.id, aim, scope)
        self._by_meaning = error_bound > 0
        self._sample = Sample(judge, judge_rate)
        self.faults = Faults()
        self._closed = False
        self._since_eviction = max_entries or 0  # the first store looks what others have left

    # Questions and answers

    def lookup(self, question: str, partition: str = "", *, semantic: bool = True) -> Hit | None:
        """The stored answer to a question, or None.

        Args:
            question: What is asked.
            partition: What else shapes the answer, as any text; only answers of the same partition
                are considered.
            semantic: Whether another wording may be served.
        """
        check_question(question)
        events = {"lookup": 1}
        hit = self._exact(question, partition)
        if hit is None:
            # Judged lookups stand for all that may be scored, now or under another bound.
            events["scored"] = 1
            if semantic and self._by_meaning:
                hit = self._guard("lookup", lambda: self._semantic(question, partition, events))
        if hit is not None:
            events[hit.layer] = 1
        self._guard("count", lambda: self._feedback.count(events))
        return hit

    def store(
        self,
        question: str,
        answer: Any,
        partition: str = "",
        tags: str | Sequence[str] | None = (),
        *,
        semantic: bool = True,
    ) -> None:
        """Keep an answer.

        Args:
            question: What was asked.
            answer: Anything JSON can hold; of a tuple, a list comes back.
            partition: See `lookup`.
            tags: For `invalidate`.
            semantic: Whether other wordings may be served this answer.

        Raises:
            FrugalError: if the answer is not JSON, or has keys that are no texts.
        """
        check_question(question)
        check_answer(answer)
        names = tags_of(tags)
        self._guard("store", lambda: self._add(question, answer, partition, names, semantic))

    def claim(
        self, question: str, partition: str = "", *, semantic: bool = True, wait: float = 60.0
    ) -> Hit | Turn:
        """The stored answer, or the turn to make one; of equal questions, one gets the turn.

        The others wait until it has stored its answer, given up, or died; threads of a process for
        a thread, tasks for a task.

        Args:
            question, partition, semantic: See `lookup`.
            wait: Seconds to wait for another's answer before taking the turn all the same.
        """
        if (hit := self.lookup(question, partition, semantic=semantic)) is not None:
            return hit
        waiting = Waiting(self, question, partition, "threads", wait)
        while (found := waiting.look()) is None:
            waiting.sleep()
        return found

    async def aclaim(
        self, question: str, partition: str = "", *, semantic: bool = True, wait: float = 60.0
    ) -> Hit | Turn:
        """See `claim`; waits without blocking the event loop."""
        hit = await self.threads.run(self.lookup, question, partition, semantic=semantic)
        if hit is not None:
            return hit
        waiting = Waiting(self, question, partition, "tasks", wait)
        while (found := await self.threads.run(waiting.look)) is None:
            await asyncio.sleep(POLL)
        return found

    def get_or_compute(
        self,
        question: str,
        compute: Callable[[], Any],
        partition: str = "",
        tags: str | Sequence[str] | None = (),
    ) -> Any:
        """The stored answer, or that of `compute`, which is then stored; see `claim`.

        Either is as JSON gives it back, see `store`: the first answer is like all later ones.
        """
        found = self.claim(question, partition)
        if isinstance(found, Hit):
            return found.answer
        with found as turn:
            answer = as_kept(compute())
            turn.store(answer, tags)
        return answer

    async def aget_or_compute(
        self,
        question: str,
        compute: Callable[[], Awaitable[Any]],
        partition: str = "",
        tags: str | Sequence[str] | None = (),
    ) -> Any:
        """See `get_or_compute`."""
        found = await self.aclaim(question, partition)
        if isinstance(found, Hit):
            return found.answer
        with found as turn:
            answer = as_kept(await compute())
            await self.threads.run(turn.store, answer, tags)
        return answer

    # Quality

    def report_wrong(self, hit: Hit) -> None:
        """Say that a hit was wrong: its entry is not served so again, and the threshold learns."""
        if hit.layer == "exact":
            self._guard("report", lambda: self.rows.remove(Selection(ids=[hit.id])))
        else:
            self._guard("report", lambda: self.rows.mark_wrong(hit.id))
            self._guard("report", lambda: self._feedback.keep("reported", [(hit.score, True)]))

    def report_right(self, hit: Hit) -> None:
        """Say that a hit was right."""
        if hit.layer == "semantic":
            self._guard("report", lambda: self._feedback.keep("reported", [(hit.score, False)]))

    def certificate(self) -> CacheCertificate:
        """How often the semantic layer may be wrong, and on how many decisions that rests."""
        return self._feedback.latest_certificate()

    def calibrate(self, pairs: Sequence[tuple[str, str, bool]]) -> CacheCertificate:
        """Judge an embedder of your own on labelled pairs; what they show replaces the shipped.

        Args:
            pairs: (stored question, new question, whether one answer serves both). They should be
                like your traffic: the bound is kept on what is like them.

        Raises:
            FrugalError: if a pair is something else; labels are True and False, or 1 and 0.
        """
        known = labelled(pairs)
        decisions = judged_pairs(known, self.embedder, self.decision, NEIGHBOURS)
        self._feedback.count({"lookup": len(known), "scored": len(decisions)})
        self._feedback.keep("given", decisions)
        return self.certificate()

    # Housekeeping

    def invalidate(
        self,
        *,
        tag: str | None = None,
        older_than: float | None = None,
        where: Mapping[str, Any] | None = None,
        everything: bool = False,
    ) -> int:
        """Delete entries of this scope; how many.

        Args:
            tag: Those with this tag.
            older_than: Those stored more seconds ago than this.
            where: Those whose answer has these values in its top-level fields.
            everything: All of them; else at least one of the others must be given.

        Raises:
            FrugalError: if nothing says which, or an argument makes no sense.
        """
        check_selection(tag, older_than, where)
        if tag is None and older_than is None and not where and not everything:
            raise FrugalError(
                "invalidate needs tag=, older_than= or where=; everything=True deletes all"
            )
        before = None if older_than is None else time.time() - older_than
        chosen = Selection(scope=self.scope, tag=tag, created_before=before, where=where or {})
        return self.rows.remove(chosen)

    def stats(self) -> dict[str, Any]:
        """Entries of this scope; lookups and hits of all scopes and processes on the location."""
        counts = self._feedback.counts()
        return {
            "entries": self.rows.count(Selection(scope=self.scope)),
            "lookups": counts["lookup"],
            "exact_hits": counts["exact"],
            "semantic_hits": counts["semantic"],
            "embedder": self.embedder.id,
        }

    def close(self) -> None:
        """Write what is pending and let go of the location; may be called twice."""
        if self._closed:
            return
        self._closed = True
        self.threads.close()
        self._sample.close()
        self._guard("close", self._feedback.flush)
        self._guard("close", self.rows.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Inside

    @property
    def decision(self) -> Decision:
        return shipped_decision()

    def key(self, question: str, partition: str) -> str:
        return digest("key", self.scope, partition, question)

    def space(self, partition: str, frame: str = "") -> str:
        return _space(self.scope, partition, self.embedder.id, frame)

    def _exact(self, question: str, partition: str) -> Hit | None:
        entry = self._guard("lookup", lambda: self.rows.exact(self.key(question, partition)))
        return None if entry is None else self._hit(entry, "exact", 1.0)

    def _semantic(self, question: str, partition: str, events: dict[str, int]) -> Hit | None:
        """The hit by meaning, if there is one; tells `events` what became of the lookup."""
        if (found := split(question)) is None:
            events["far"], events["scored"] = 1, 0  # it is never served
            return None
        asked, frame = found
        certificate, watched = self._feedback.certificate(), self._sample.rate > 0
        if not certificate.lookups and not watched:  # no evidence, no hit
            return None
        candidates = self.rows.nearest(
            self.space(partition, frame), self._vector(asked), NEIGHBOURS
        )
        cosine = candidates[0].cosine if candidates else -1.0
        if cosine < NEAR:
            events["far"] = 1
        # What is not scored cannot be judged: who wants to judge wants all.
        if cosine < certificate.least_cosine and not watched:
            return None
        trusted, verdict = self.judged(asked, frame, candidates)
        if verdict.position is None:
            events["scored"] = 0
            return None
        chosen = trusted[verdict.position]
        serve = certificate.admits(verdict.score, cosine)
        draw = self._sample.draws()
        if not (serve or draw) or (entry := chosen.read()) is None:
            return None
        if draw:
            self._have_judged(question, entry, verdict.score, serve)
        return self._hit(entry, "semantic", verdict.score) if serve else None

    def judged(
        self, asked: str, frame: str, candidates: Sequence[Candidate]
    ) -> tuple[list[Candidate], Verdict]:
        """Those of the candidates that were not reported wrong, and what the decision says of them.

        Args:
            asked, frame: The question, and what stands around it; see `split`.
            candidates: Nearest first.
        """
        trusted = [candidate for candidate in candidates if not candidate.wrong]
        stored = [c.question for c in trusted]
        questions = map(asked_in, stored) if frame else stored
        near = [Neighbour(q, c.cosine) for q, c in zip(questions, trusted, strict=True)]
        return trusted, self.decision.judge(asked, near)

    def _vector(self, question: str) -> Vector:
        return unit(self.embedder.embed([question])[0])

    def _hit(self, entry: Entry, layer: str, score: float) -> Hit:
        self._guard("touch", lambda: self.rows.touch([entry.id]))
        age = max(0.0, time.time() - entry.created)
        return Hit(entry.answer, layer, score, entry.question, age, entry.id)

    def _add(
        self, question: str, answer: Any, partition: str, tags: Sequence[str], semantic: bool
    ) -> None:
        vector: Vector | None = None
        asked, frame = split(question) or ("", "")
        if semantic and self._by_meaning and asked:
            vector = self._guard("embed", lambda: self._vector(asked))
        expires = None if self.ttl is None else time.time() + self.ttl
        self.rows.add(
            [
                NewEntry(
                    self.key(question, partition),
                    self.space(partition, frame),
                    self.scope,
                    question,
                    answer,
                    vector,
                    tuple(tags),
                    expires,
                )
            ]
        )
        if self.max_entries is not None:
            self._since_eviction += 1
            # Counting the rows on every call would cost more than a few entries too many.
            if self._since_eviction >= max(1, self.max_entries // 100):
                self._since_eviction = 0
                self.rows.evict(self.max_entries, self.scope)

    def _have_judged(self, question: str, entry: Entry, score: float, served: bool) -> None:
        def learn(right: bool) -> None:
            self._feedback.keep("judged", [(score, not right)])
            if served and not right:
                self.rows.mark_wrong(entry.id)

        def run() -> None:
            self._guard("judge", lambda: learn(self._sample.judge(question, entry)))

        self._sample.submit(run)

    def _guard(self, what: str, act: Callable[[], T]) -> T | None:
        """Do something that may fail without costing the user an answer."""
        try:
            return act()
        except Exception as error:
            self.faults.tell(what, error)
            return None


@lru_cache(maxsize=256)
def _space(scope: str, partition: str, embedder: str, frame: str) -> str:
    around = [frame] if frame else []
    return digest("space", scope, partition, embedder, *around)
