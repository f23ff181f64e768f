"""Graders of free text by meaning: an embedder on this machine, or a model that is asked."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from frugal_core.arrays import Floats
from frugal_core.embedding import Embedder, embedder_of
from frugal_core.errors import RecordingError, describe
from frugal_core.grading import means_the_same, normalise, numbers_of

THRESHOLD = 0.8
"""Of 2,000 answers to TriviaQA that are worded unlike the right one, 95 % of those that reach it
are right, and a third of the right ones reach it: it errs on the strict side."""


@dataclass(frozen=True)
class EmbeddingGrader:
    """Right if an answer is near the gold one in meaning, and has all of its numbers.

    Embeddings hardly tell numbers apart, and not at all who did what to whom: for short answers.

    Args:
        threshold: Least cosine of the two.
        embed: See `frugal_core.embedding.embedder_of`; MiniLM on this machine by default.

    Raises:
        RecordingError: if the threshold is no number above 0 and at most 1.

    Example:
        >>> grade = EmbeddingGrader()
        >>> grade("It is the city of Paris", "Paris"), grade("Lyon", "Paris")
        (True, False)
    """

    threshold: float = THRESHOLD
    embed: Any = None
    _embedder: Embedder = field(init=False, repr=False, compare=False)
    _vectors: dict[str, Floats] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise RecordingError(f"grader embedding: threshold {self.threshold!r} is not in (0, 1]")
        object.__setattr__(self, "_embedder", embedder_of(self.embed))
        object.__setattr__(self, "_vectors", {})

    @classmethod
    def named(cls, threshold: str) -> EmbeddingGrader:
        """The grader that a name such as "embedding:0.9" means, from its last part."""
        try:
            return cls(float(threshold))
        except ValueError as error:
            raise RecordingError(
                f"grader 'embedding:{threshold}': give a number in (0, 1], as in embedding:0.9"
            ) from error

    @property
    def name(self) -> str | None:
        """By which `grade_of` makes it again; None with an embedder of the user's."""
        return f"embedding:{self.threshold:g}" if self.embed is None else None

    def __call__(self, answer: str, gold: str) -> bool:
        """Whether the answer is right."""
        if means_the_same(answer, gold):
            return True
        if not set(numbers_of(gold)) <= set(numbers_of(answer)):
            return False
        return float(self._vector(answer) @ self._vector(gold)) >= self.threshold

    def _vector(self, text: str) -> Floats:
        if text not in self._vectors:
            self._vectors[text] = self._embedder.embed([text])[0]
        return self._vectors[text]


@dataclass(frozen=True)
class JudgeGrader:
    """Right if a model says so. It is asked once for each pair, and not about equal answers.

    Args:
        ask: Sends a prompt to the model and returns its reply.
        name: What the judge is called, in messages and in the policy.

    Example:
        >>> judge = JudgeGrader(lambda prompt: llm.invoke(prompt).text)  # doctest: +SKIP
        >>> Recording.load("answers.jsonl", grader=judge).save("graded.jsonl")  # doctest: +SKIP
    """

    ask: Callable[[str], str]
    name: str = "a judge of the user's"
    _verdicts: dict[tuple[str, str], bool] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, answer: str, gold: str) -> bool:
        """Whether the answer is right.

        Raises:
            RecordingError: if the judge fails, or replies anything but yes or no.
        """
        if not self.is_asked(answer, gold):
            return self._verdicts.get((answer, gold), True)
        about = f"grader {self.name}: asked about {reprlib.repr(answer)}, it"
        try:
            reply = self.ask(judge_prompt(answer, gold))
        except Exception as error:
            raise RecordingError(f"{about} failed: {describe(error)}") from error
        verdict = normalise(reply) if isinstance(reply, str) else None
        if verdict not in ("yes", "no"):
            raise RecordingError(
                f"{about} replied {reprlib.repr(reply)}, not yes or no: take another judge"
            )
        self._verdicts[answer, gold] = verdict == "yes"
        return verdict == "yes"

    def is_asked(self, answer: str, gold: str) -> bool:
        """Whether these two take a call of the model."""
        return (answer, gold) not in self._verdicts and not means_the_same(answer, gold)


def judge_prompt(answer: str, gold: str) -> str:
    """What a judge is asked.

    The answers are quoted as JSON, so that what they say is not taken for an instruction.
    """
    pair = json.dumps({"right answer": gold, "given answer": answer}, ensure_ascii=False)
    return (
        f"Here are the right answer to a question, and a given answer to it:\n\n{pair}\n\n"
        f"Does the given answer say the same as the right one? It may say it in other words, and "
        f"add what does not contradict it. Reply with one word only: yes or no."
    )
