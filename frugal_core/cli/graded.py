"""Recordings as the commands load them, graded by a name or, at a quoted price, by a model."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from frugal_core.cli.console import confirm, progress, remark, usd
from frugal_core.errors import FrugalError

if TYPE_CHECKING:
    from frugal_core import Recording
    from frugal_core.semantic_grading import JudgeGrader

_JUDGE = "judge:"
_OUTPUT = 3  # tokens of "yes" or "no"
_AT_ONCE = 8  # calls


def load_graded(path: Path, prices: Path | None, grader: str, yes: bool) -> Recording:
    """Read a recording; a judge is asked after its price was accepted.

    Args:
        path: The recording.
        prices: As for `PriceBook.load`; a judge needs one too.
        grader: A name that `grade_of` knows, or "judge:PROVIDER:MODEL".
        yes: Whether the price is accepted beforehand.

    Raises:
        FrugalError: if the recording cannot be read or the grader not be used, or if nobody accepts
            the judge's price.
    """
    from frugal_core.recording import Recording

    if not grader.startswith(_JUDGE):
        return Recording.load(path, prices, grader)
    judge = _judge(grader)
    pairs: dict[tuple[str, str], None] = {}

    def note(answer: str, gold: str) -> bool:
        if judge.is_asked(answer, gold):
            pairs[answer, gold] = None
        return False

    recording = Recording.load(path, prices, note)
    if pairs:
        _quote(grader, list(pairs), recording)
        confirm(yes)
        _ask(judge, list(pairs))
    return Recording.load(path, recording.prices, judge)


def _judge(grader: str) -> JudgeGrader:
    from frugal_core.cascade import Failure
    from frugal_core.semantic_grading import JudgeGrader

    try:
        from langchain_frugal.asking import asking, chat_models
    except ImportError as error:
        raise FrugalError(
            f"--grader {grader} asks a model through LangChain ({error}): "
            f"pip install 'frugal-cascade[langchain]'"
        ) from error
    model = grader.removeprefix(_JUDGE)
    ask = asking(chat_models([model])[model], lambda prompt: prompt)

    def said(prompt: str) -> str:
        reply = ask(prompt)
        if isinstance(reply, Failure):
            raise reply.error
        return reply.text

    return JudgeGrader(said, name=grader)


def _quote(grader: str, pairs: Sequence[tuple[str, str]], recording: Recording) -> None:
    from frugal_core.semantic_grading import judge_prompt
    from frugal_core.tokens import estimate_tokens

    price = recording.prices.price(grader.removeprefix(_JUDGE))
    total = sum(price.cost(estimate_tokens(judge_prompt(*pair)), _OUTPUT) for pair in pairs)
    remark(f"{grader} would be asked about {len(pairs):,} answers: about {usd(total)} USD")


def _ask(judge: JudgeGrader, pairs: Sequence[tuple[str, str]]) -> None:
    """Ask about all pairs; the judge keeps its verdicts."""
    with progress() as report, ThreadPoolExecutor(_AT_ONCE) as pool:
        verdicts = pool.map(lambda pair: judge(*pair), pairs)
        try:
            for done, _ in enumerate(verdicts, start=1):
                report(f"judged {done:,} of {len(pairs):,}", done / len(pairs))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
