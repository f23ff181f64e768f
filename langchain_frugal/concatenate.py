"""ConcatenatedQueries: many inputs in few requests, with the answers in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import merge_configs, patch_config

from frugal_core.adapt.concatenate import (
    Call,
    FittedGroups,
    Grouping,
)
from frugal_core.adapt.rows import Example, examples_of, recorded_replies
from frugal_core.cascade import Failure, Reply
from frugal_core.certifying import Promise
from frugal_core.errors import FrugalError
from frugal_core.grading import Grader
from frugal_core.pricing import PriceBook
from frugal_core.tokens import estimate_tokens
from langchain_frugal._anatomy import Anatomy, values_for
from langchain_frugal._queries import Form, Job, with_parser
from langchain_frugal._requests import aask_all, adrive, ask_all, drive


class ConcatenatedQueries(Runnable[Sequence[Any], list[Any]]):
    """Asks many inputs in few requests: those that share a prompt pay for it once.

    Takes a list of inputs, as `batch` does, and gives the outputs in the same order. Inputs that
    share the messages before the last one, or the beginning of their text, are asked together as
    numbered queries; the reply is a JSON object, which is checked and split. What is missing or
    malformed is asked again, alone. Asked alone from the start are inputs with images, tool
    messages or an answer's beginning, and all of them where tools, a response format or stop words
    are bound to the model. A limit on an answer's tokens is raised for a shared reply.

    Each message bears its share of `usage_metadata`, in whole tokens; together they are what was
    bought. `response_metadata["concatenated"]` says with how many it was asked, and whether again.

    Args:
        chain: A chat model, or a chain with one: `prompt | llm | parser`.
        group_size, token_budget, answers, accept, count_tokens: See
            `frugal_core.adapt.Grouping`. Without `group_size`, at most 4 are asked together, and
            only where the tokens saved outweigh the numbering. Parsers at the end of the chain
            must be able to read an answer, too, or it is asked again.
        fold_turns: Whether pairs of human and AI messages at the end of the shared ones are
            examples. They are then shown once, in the numbered form, which small models need.
        response_format: Whether to send the JSON schema of the reply as OpenAI's `response_format`;
            for providers that understand it.
        return_exceptions: Whether an input that fails gives its exception in its place; else the
            first one is raised, and with it the answers are lost.

    Attributes:
        fitted: Made by `fit`: the group size, what was measured, the certificate.

    Raises:
        FrugalError: if there is no chain, or a setting makes no sense.

    Example:
        >>> ask = ConcatenatedQueries(prompt | llm, group_size=8)  # doctest: +SKIP
        >>> ask.invoke([{"headline": line} for line in lines])  # doctest: +SKIP
    """

    fitted: FittedGroups | None = None

    def __init__(
        self,
        chain: Runnable[Any, Any],
        *,
        group_size: int | None = None,
        token_budget: int = 4000,
        answers: Sequence[str] = (),
        accept: Callable[[str], bool] | None = None,
        count_tokens: Callable[[str], int] = estimate_tokens,
        fold_turns: bool = False,
        response_format: bool = False,
        return_exceptions: bool = False,
    ) -> None:
        self.anatomy = Anatomy.of(chain)
        if isinstance(answers, str):
            raise FrugalError(f"answers is one text, {answers!r}: give a list of those possible")
        self.grouping = Grouping(group_size, token_budget, tuple(answers), accept, count_tokens)
        self.form = Form(fold_turns, response_format)
        self.return_exceptions = return_exceptions

    def invoke(
        self, input: Sequence[Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Any]:
        """Answer all inputs, in order.

        Args:
            input: What the chain takes, many times.
            config: For every request; `max_concurrency` limits those made at once.
            kwargs: Arguments of the model.
        """
        return self._call_with_config(partial(self._answer, kwargs), _checked(input), config)

    async def ainvoke(
        self, input: Sequence[Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Any]:
        """As `invoke`, asynchronously."""
        answer = partial(self._aanswer, kwargs)
        return await self._acall_with_config(answer, _checked(input), config)

    def _answer(
        self,
        kwargs: Mapping[str, Any],
        inputs: Sequence[Any],
        run_manager: Any,
        config: RunnableConfig,
    ) -> list[Any]:
        child = self._child(config, run_manager)
        head, tail = self.anatomy.head, self.anatomy.tail
        prompts: Sequence[Any] = inputs
        if head is not None:
            prompts = head.batch(list(inputs), child, return_exceptions=True)
        job = self._job(prompts, kwargs)
        answers = drive(job.loop, lambda calls: ask_all(job.requests(calls), child))
        said = job.said(answers)
        if tail is not None:
            whole = [one for one in said if not isinstance(one, Exception)]
            read = iter(tail.batch(whole, child, return_exceptions=True))
            said = [one if isinstance(one, Exception) else next(read) for one in said]
        return self._outputs(said)

    async def _aanswer(
        self,
        kwargs: Mapping[str, Any],
        inputs: Sequence[Any],
        run_manager: Any,
        config: RunnableConfig,
    ) -> list[Any]:
        child = self._child(config, run_manager)
        head, tail = self.anatomy.head, self.anatomy.tail
        prompts: Sequence[Any] = inputs
        if head is not None:
            prompts = await head.abatch(list(inputs), child, return_exceptions=True)
        job = self._job(prompts, kwargs)

        async def answer(calls: list[Call]) -> list[Reply | Failure]:
            return await aask_all(job.requests(calls), child)

        said = job.said(await adrive(job.loop, answer))
        if tail is not None:
            whole = [one for one in said if not isinstance(one, Exception)]
            read = iter(await tail.abatch(whole, child, return_exceptions=True))
            said = [one if isinstance(one, Exception) else next(read) for one in said]
        return self._outputs(said)

    def _child(self, config: RunnableConfig, run_manager: Any) -> RunnableConfig:
        child = patch_config(config, callbacks=run_manager.get_child())
        return merge_configs(self.anatomy.config, child)

    def _job(self, prompts: Sequence[Any], kwargs: Mapping[str, Any]) -> Job:
        grouping = self.grouping
        if self.anatomy.tail is not None and self.anatomy.only_parses:
            grouping = with_parser(grouping, self.anatomy.tail)
        return Job(self.anatomy, prompts, grouping, self.form, kwargs)

    def _outputs(self, said: list[Any]) -> list[Any]:
        errors = [one for one in said if isinstance(one, Exception)]
        if errors and not self.return_exceptions:
            raise errors[0]
        return said

    @classmethod
    def fit(
        cls,
        chain: Runnable[Any, Any],
        rows: Iterable[Any],
        *,
        sizes: Sequence[int] = (2, 4, 8, 16),
        promise: Promise | float = 0.02,
        grader: Grader = "normalised",
        inputs: Callable[[Example], Any] | None = None,
        model: str | None = None,
        prices: PriceBook | Mapping[str, Any] | None = None,
        config: RunnableConfig | None = None,
        **settings: Any,
    ) -> ConcatenatedQueries:
        """Measure on rows with right answers how many queries may share a request.

        The rows are asked alone and then in groups of each size, from small to large, until a size
        cannot be shown to keep the promise against asking alone, or is not cheaper.

        Args:
            chain: See the class.
            rows: A recording with gold answers, or questions with answers.
            sizes: Group sizes to try.
            promise: How much accuracy may be lost, and how sure that must be.
            grader: Decides whether the model's text is right.
            inputs: What the chain takes for a row; by default its fields where the chain begins
                with a prompt, else its text.
            model: The model's name in the recording: its answers there are what it says alone, and
                are not bought again.
            prices: For models that the price table does not know.
            config: For every request; at most 8 are made at once unless it says otherwise.
            settings: See the class.

        Returns:
            The runnable with the group size found (1 if none can be shown); `fitted` says why.

        Raises:
            FrugalError: if there are no rows with answers, or the model fails on more than half.
        """
        made = cls(chain, **settings)
        runs: RunnableConfig = {"max_concurrency": 8, **(config or {})}
        labelled, recorded = _labelled(rows, model)
        given = made._inputs(labelled, inputs)
        head = made.anatomy.head
        job = made._job(given if head is None else head.batch(given, runs), {})
        loop = job.fitting(labelled, sizes, promise, grader, recorded, prices)
        return made._fitted(drive(loop, lambda calls: ask_all(job.requests(calls), runs)))

    @classmethod
    async def afit(
        cls,
        chain: Runnable[Any, Any],
        rows: Iterable[Any],
        *,
        sizes: Sequence[int] = (2, 4, 8, 16),
        promise: Promise | float = 0.02,
        grader: Grader = "normalised",
        inputs: Callable[[Example], Any] | None = None,
        model: str | None = None,
        prices: PriceBook | Mapping[str, Any] | None = None,
        config: RunnableConfig | None = None,
        **settings: Any,
    ) -> ConcatenatedQueries:
        """As `fit`, asynchronously."""
        made = cls(chain, **settings)
        runs: RunnableConfig = {"max_concurrency": 8, **(config or {})}
        labelled, recorded = _labelled(rows, model)
        given = made._inputs(labelled, inputs)
        head = made.anatomy.head
        job = made._job(given if head is None else await head.abatch(given, runs), {})

        async def answer(calls: list[Call]) -> list[Reply | Failure]:
            return await aask_all(job.requests(calls), runs)

        loop = job.fitting(labelled, sizes, promise, grader, recorded, prices)
        return made._fitted(await adrive(loop, answer))

    def _inputs(
        self, rows: Sequence[Example], inputs: Callable[[Example], Any] | None
    ) -> list[Any]:
        if inputs is not None:
            return [inputs(row) for row in rows]
        variables = self.anatomy.variables
        if variables is not None:
            return [values_for(variables, row) for row in rows]
        fields = self.anatomy.head is not None
        return [dict(row.fields) if fields and row.fields else row.text for row in rows]

    def _fitted(self, fitted: FittedGroups) -> ConcatenatedQueries:
        self.grouping = replace(self.grouping, group_size=fitted.size)
        self.fitted = fitted
        return self


def _checked(inputs: Any) -> list[Any]:
    """The inputs, if they are a list of them."""
    if isinstance(inputs, str | bytes | Mapping | PromptValue | BaseMessage) or not isinstance(
        inputs, Iterable
    ):
        raise FrugalError(
            f"ConcatenatedQueries takes a list of inputs, not one {type(inputs).__name__}: "
            f"invoke([first, second, ...])"
        )
    inputs = list(inputs)
    if any(isinstance(one, BaseMessage) for one in inputs):
        raise FrugalError(
            "ConcatenatedQueries takes a list of inputs, and a message alone is none: give "
            "texts, prompts, or a list of messages for each"
        )
    return inputs


def _labelled(rows: Iterable[Any], model: str | None) -> tuple[list[Example], list[Reply | None]]:
    """Rows with right answers, and what the model said to each alone, where that is recorded."""
    recorded = recorded_replies(rows, model)
    examples = examples_of(rows)
    said = recorded or [None] * len(examples)
    kept = [(e, r) for e, r in zip(examples, said, strict=True) if e.answer is not None]
    return [example for example, _ in kept], [reply for _, reply in kept]
