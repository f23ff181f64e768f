"""What is learned about hits while the cache runs, and the threshold that follows from it.

Three sources. *Shipped*: judged lookups that come with the package, for the default embedder. The
user's own: labelled pairs that were *given*, and a fair sample of lookups, served or not, *judged*
by a function of the user's. *Reported*: hits that the user says were right or wrong.

The more a cache holds, the more often something is near that is not the same, so that the errors of
long ago say too little: of what was judged, the later half counts.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from frugal_core.cache.calibration import (
    CacheCertificate,
    Evidence,
    Traffic,
    certify,
    certify_in,
    lower_limit,
    share_at_most,
    shipped,
)
from frugal_core.cache.counting import Counts, note_of, totalled
from frugal_core.cache.forking import renew_in_children
from frugal_core.cache.partition import digest
from frugal_core.cache.store.base import Store, StoreError

Kind = Literal["given", "judged", "reported"]
Note = tuple[float, bool]
"""A score, and whether the answer is wrong."""

ENOUGH = 300
"""Judged lookups from which on one's own evidence counts: 299 without an error certify 1 %."""
_REFRESH = 30.0  # seconds after which other processes' feedback is read
_FLUSH = 200  # lookups after which the counts are written
_TOTALLED = 500  # times that counts are written until they are added up, on average


@dataclass(frozen=True, slots=True)
class Aim:
    """What the threshold must keep.

    Args:
        error_bound: Largest share of lookups that are served a wrong answer.
        confidence: Probability with which that holds.
    """

    error_bound: float
    confidence: float


class Feedback:
    """The evidence of one cache; shared by all processes on its store.

    Args:
        store: Where feedback is kept.
        embedder: Id of the embedder; evidence of different ones is never mixed.
        aim: The bound.
        scope: Whose lookups the bound is one on; others' may repeat themselves more often.
    """

    def __init__(self, store: Store, embedder: str, aim: Aim, scope: str = "") -> None:
        self._store = store
        self._embedder = embedder
        self._aim = aim
        self._scope = digest("scope", scope)[:16]
        self.renew()
        renew_in_children(self)
        self._counts = Counts()
        self._notes: dict[Kind, list[Note]] = {"given": [], "judged": [], "reported": []}
        self._read: Counter[str] = Counter()
        self._read_at = -math.inf
        self._certificate: CacheCertificate | None = None

    def renew(self) -> None:
        """Count anew; in a child of a fork, since the parent writes its own counts."""
        self._lock = threading.Lock()
        self._unwritten: Counter[str] = Counter()
        self._flushed_at = time.monotonic()

    def certificate(self) -> CacheCertificate:
        """What holds, as known a moment ago: lookups cannot read all feedback each time."""
        with self._lock:
            if self._certificate is None or time.monotonic() - self._read_at > _REFRESH:
                self._refresh()
            assert self._certificate is not None
            return self._certificate

    def latest_certificate(self) -> CacheCertificate:
        """What holds now; what was known last if the store cannot be read.

        Raises:
            StoreError: The store cannot be read, and nothing is known.
        """
        with self._lock:
            try:
                self._refresh()
            except StoreError:
                if self._certificate is None:
                    raise
            assert self._certificate is not None
            return self._certificate

    def count(self, events: Mapping[str, int]) -> None:
        """Add to the counts: "lookup", "exact", "far", "scored", "semantic"."""
        with self._lock:
            for event, times in events.items():  # `Counter.update` is slow
                self._unwritten[event] += times
            waited = time.monotonic() - self._flushed_at
            # What could not be written is not tried again at every lookup.
            if waited > (1 if self._unwritten["lookup"] >= _FLUSH else _REFRESH):
                self._flush()

    def keep(self, kind: Kind, decisions: Sequence[Note]) -> None:
        """Keep what is known of decisions: (score, whether the answer is wrong) of each."""
        notes = [{"score": score, "wrong": wrong} for score, wrong in decisions]
        self._store.note(self._journal(kind), notes)
        with self._lock:
            self._certificate = None

    def counts(self) -> Counter[str]:
        """Events so far, of all processes."""
        with self._lock:
            self._refresh()
            return self._counts.all() + self._unwritten

    def flush(self) -> None:
        """Write the counts."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        self._flushed_at = time.monotonic()
        if self._unwritten:
            journal = self._journal("counts")
            self._store.note(journal, [note_of(self._scope, self._unwritten)])
            self._unwritten = Counter()
            # By chance, so that it happens where no process lives long, and none need know how
            # much the others have written.
            if random.randrange(_TOTALLED) == 0:
                self._store.condense(journal, totalled)

    def _journal(self, kind: str) -> str:
        return f"{kind} {self._embedder}"

    def _refresh(self) -> None:
        # Reads alone: nobody's lookup waits for a writer.
        for number, counts in self._new("counts"):
            self._counts.read(counts)
            self._read["counts"] = number
        for kind, kept in self._notes.items():
            for number, note in self._new(kind):
                kept.append((float(note["score"]), bool(note["wrong"])))
                self._read[kind] = number
        self._read_at = time.monotonic()
        self._certificate = self._certify()

    def _new(self, kind: str) -> list[tuple[int, dict[str, Any]]]:
        return self._store.notes(self._journal(kind), after=self._read[kind])

    def _certify(self) -> CacheCertificate:
        error_bound, confidence = self._aim.error_bound, self._aim.confidence
        known = latest_judged(self._notes["given"], self._notes["judged"])
        own = self._evidence(known, "scored", "judged lookups of your own")
        certified = partial(certify, own, error_bound, confidence)
        if own.lookups < ENOUGH:
            nothing = Evidence(np.zeros(0), np.zeros(0, dtype=bool), 0, "none for this embedder")
            evidence = shipped().get(self._embedder, nothing)
            latest = self._latest
            traffic = Traffic(latest["lookup"], latest["exact"], latest["far"])
            certified = partial(certify_in, traffic, evidence, error_bound, confidence)
        found = certified()
        reported = self._evidence(self._notes["reported"], "semantic", "hits reported by you")
        if reported.lookups >= ENOUGH:
            other = certify(reported, error_bound, confidence)
            return other if other.threshold > found.threshold else found
        threshold = self._not_contradicted(found.threshold)
        if threshold > found.threshold:
            about = f"{found.about}; stricter since hits were reported wrong"
            found = replace(certified(at_least=threshold), about=about)
        return found

    @property
    def _latest(self) -> Counter[str]:
        """Events of this scope, of the latest lookups."""
        return self._counts.of(self._scope).latest + self._unwritten

    def _evidence(self, notes: Sequence[Note], among: str, about: str) -> Evidence:
        latest = self._latest
        counts = latest[among], latest["lookup"]
        return sample_of(notes, *counts, self._aim.confidence, about)

    def _not_contradicted(self, threshold: float) -> float:
        """A stricter threshold, where too many hits were reported wrong for the bound to hold."""
        wrong = sorted(score for score, bad in self._notes["reported"] if bad)
        wrong = [score for score in wrong if score >= threshold]
        lookups = self._counts.of(self._scope).all["lookup"] + self._unwritten["lookup"]
        while wrong and (
            lower_limit(len(wrong), max(lookups, len(wrong)), self._aim.confidence)
            > self._aim.error_bound
        ):
            threshold = math.nextafter(wrong.pop(0), math.inf)
        return threshold


def latest_judged(given: Sequence[Note], judged: Sequence[Note]) -> list[Note]:
    """Without as many of the oldest, given pairs first, as half of what was judged since.

    Args:
        given: Labelled pairs.
        judged: Judged lookups, the oldest first.
    """
    known = [*given, *judged]
    return known[max(0, min(len(judged) // 2, len(known) - ENOUGH)) :]


def sample_of(
    notes: Sequence[Note], part: int, lookups: int, confidence: float, about: str
) -> Evidence:
    """Notes as a sample of lookups of which a known share is scored, or served.

    Args:
        notes: Of lookups that were scored, or served.
        part, lookups: How many of the latest lookups were, and how many there were.
        confidence: Of the share's upper limit; see `share_at_most`.
        about: What they were, in words.
    """
    share = share_at_most(part, lookups, confidence)
    scores = np.array([score for score, _ in notes])
    wrong = np.array([bad for _, bad in notes], dtype=bool)
    return Evidence(scores, wrong, math.floor(len(notes) / share), about)
