"""A recording as arrays: what fitting and evaluating compute with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from frugal_core.arrays import Bools, Floats, Ints, Rows
from frugal_core.recording import Query, Recording, normalise

_MOST_LABELS = 30
_COVERED = 0.97


@dataclass(frozen=True)
class Table:
    """n queries x m models.

    Args:
        texts: The queries.
        models: Column names.
        labels: The normalised answers of a closed label set; empty if answers are free text.
        said: Index into `labels`; len(labels) for another answer; -1 for none. Shape (n, m).
        same: Equal numbers in a row mark equal normalised answers; -1 for none. Shape (n, m).
        words: Words in each answer; shape (n, m).
        sound: Whether there is an answer that may be accepted for its score. Shape (n, m).
        correct: 1, 0 or NaN where unknown; a missing answer is not correct. Shape (n, m).
        usd: Cost of each answer; 0 for a missing one. Shape (n, m).
        confidence: Log of the model's own confidence, NaN where not given. Shape (n, m).
        gold: Index of the gold answer in `labels`, -1 where unknown or not among them. Shape (n,).
    """

    texts: tuple[str, ...]
    models: tuple[str, ...]
    labels: tuple[str, ...]
    said: Ints
    same: Ints
    words: Floats
    sound: Bools
    correct: Floats
    usd: Floats
    confidence: Floats
    gold: Ints

    @classmethod
    def of(
        cls, recording: Recording, models: Sequence[str], labels: Sequence[str] | None = None
    ) -> Table:
        """Read these models' columns; `labels` is found unless given (see `find_labels`)."""
        if labels is None:
            labels = find_labels(recording)
        label_index = {label: i for i, label in enumerate(labels)}
        shape = len(recording), len(models)
        said, same = np.full(shape, -1), np.full(shape, -1)
        correct, confidence = np.full(shape, np.nan), np.full(shape, np.nan)
        usd, words = np.zeros(shape), np.zeros(shape)
        sound = np.zeros(shape, dtype=bool)
        gold = np.full(len(recording), -1)
        prices = [recording.prices.price(model) for model in models]
        for i, query in enumerate(recording):
            numbers: dict[str, int] = {}
            for j, model in enumerate(models):
                answer = query.answers.get(model)
                if answer is None:
                    continue
                text = normalise(answer.text)
                said[i, j] = label_index.get(text, len(labels))
                same[i, j] = numbers.setdefault(text, len(numbers))
                words[i, j] = text.count(" ") + bool(text)
                sound[i, j] = answer.sound
                usd[i, j] = prices[j].cost_of(answer)
                if answer.correct is not None:
                    correct[i, j] = answer.correct
                if answer.confidence is not None:
                    confidence[i, j] = answer.confidence
            if is_labelled(query):  # a model that failed was not right
                correct[i, np.isnan(correct[i])] = 0.0
            if query.reference is not None:
                gold[i] = label_index.get(normalise(query.reference), -1)
        texts = tuple(query.text for query in recording)
        return cls(
            texts,
            tuple(models),
            tuple(labels),
            said,
            same,
            words,
            sound,
            correct,
            usd,
            confidence,
            gold,
        )

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def closed(self) -> bool:
        """Whether the answers are labels from a small set."""
        return bool(self.labels)

    @property
    def answered(self) -> Bools:
        """Where there is an answer; shape (n, m)."""
        return self.same >= 0

    @property
    def labelled(self) -> Bools:
        """Rows for which it is known which answers are right; shape (n,)."""
        return np.asarray(~np.isnan(self.correct).any(axis=1))

    def column(self, model: str) -> int:
        """Position of a model's column."""
        return self.models.index(model)

    def rows(self, rows: Rows) -> Table:
        """The table of these rows alone."""
        cut: dict[str, Any] = {
            name: getattr(self, name)[rows]
            for name in ("said", "same", "words", "sound", "correct", "usd", "confidence", "gold")
        }
        return replace(self, texts=tuple(self.texts[i] for i in rows), **cut)

    def only(self, models: Sequence[str]) -> Table:
        """The table of these columns alone."""
        columns = [self.column(model) for model in models]
        cut: dict[str, Any] = {
            name: getattr(self, name)[:, columns]
            for name in ("said", "same", "words", "sound", "correct", "usd", "confidence")
        }
        return replace(self, models=tuple(models), **cut)

    def with_student(
        self, model: str, said: Ints, confidence: Floats, sound: Bools | None = None
    ) -> Table:
        """The table with a first column of a free model that says `labels[said]`.

        Its answers may all be accepted, unless `sound` says which. Where the gold label is unknown,
        so is whether the student is right, but for rows in which a model gave the same answer.
        """
        twin = self.said == said[:, None]
        texts = np.where(twin.any(axis=1), self.same.max(axis=1, where=twin, initial=-1), 99)
        right = np.where(self.gold >= 0, (said == self.gold).astype(float), np.nan)
        # `correct` of a model with the same answer wins: it may come from a grader of the user's.
        known = np.where(twin, self.correct, np.nan)
        with_twin = ~np.isnan(known).all(axis=1)
        right[with_twin] = np.nanmax(known[with_twin], axis=1)
        right[self.labelled & np.isnan(right)] = 0.0

        def prepend(column: Any, block: Any) -> Any:
            return np.concatenate([np.asarray(column)[:, None], block], axis=1)

        return replace(
            self,
            models=(model, *self.models),
            said=prepend(said, self.said),
            same=prepend(texts, self.same),
            words=prepend(np.ones(len(self)), self.words),
            sound=prepend(np.ones(len(self), dtype=bool) if sound is None else sound, self.sound),
            correct=prepend(right, self.correct),
            usd=prepend(np.zeros(len(self)), self.usd),
            confidence=prepend(confidence, self.confidence),
        )


def is_labelled(query: Query) -> bool:
    """Whether it is known of every answer to this query if it is right."""
    known = [answer.correct is not None for answer in query.answers.values()]
    return bool(known) and all(known)


def find_labels(recording: Recording, without_gold_of: Iterable[int] = ()) -> list[str]:
    """The closed label set of a recording, sorted; empty if the answers are free text.

    A label set is closed if a few answers (at most 30, each given more than once) make up nearly
    all answers, and are far fewer than the queries.

    Args:
        recording: Queries with answers; gold labels count as answers.
        without_gold_of: Rows whose gold labels must not be looked at.
    """
    counts: Counter[str] = Counter()
    hidden = {int(row) for row in without_gold_of}
    for row, query in enumerate(recording):
        counts.update(normalise(answer.text) for answer in query.answers.values())
        if query.reference is not None and row not in hidden:
            counts[normalise(query.reference)] += 1
    total = counts.total()
    labels: list[str] = []
    covered = 0
    for label, count in counts.most_common(_MOST_LABELS):
        if count < 2 or (covered >= _COVERED * total and count < 0.002 * total):
            break
        labels.append(label)
        covered += count
    closed = covered >= _COVERED * total and 2 <= len(labels) <= max(2, len(recording) // 5)
    return sorted(labels) if closed else []
