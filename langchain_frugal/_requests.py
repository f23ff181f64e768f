"""Many requests at once, and the loops of `frugal_core.adapt` that ask for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_executor_for_config, merge_configs
from langchain_core.runnables.utils import gather_with_concurrency

from frugal_core.cascade import Failure, Reply
from langchain_frugal._replies import bill_of, read_error, read_message

Call = TypeVar("Call")
Result = TypeVar("Result")
Loop = Generator[list[Call], Sequence[Reply | Failure], Result]


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to invoke, and on what."""

    runnable: Runnable[Any, Any]
    input: Any


def ask_all(requests: Sequence[Request], config: RunnableConfig) -> list[Reply | Failure]:
    """Make all requests, side by side as far as the config allows; a failure is a reply, too."""

    def ask(request: Request) -> Reply | Failure:
        meter, metered = _metered(config)
        try:
            return reply_of(request.runnable.invoke(request.input, metered), meter)
        except Exception as error:
            return _failure(error, meter)

    if len(requests) == 1:
        return [ask(requests[0])]
    with get_executor_for_config(config) as executor:
        return list(executor.map(ask, requests))


async def aask_all(requests: Sequence[Request], config: RunnableConfig) -> list[Reply | Failure]:
    """As `ask_all`, asynchronously."""

    async def ask(request: Request) -> Reply | Failure:
        meter, metered = _metered(config)
        try:
            return reply_of(await request.runnable.ainvoke(request.input, metered), meter)
        except Exception as error:
            return _failure(error, meter)

    most = config.get("max_concurrency")
    return await gather_with_concurrency(most, *map(ask, requests))


def reply_of(said: Any, meter: UsageMetadataCallbackHandler) -> Reply:
    """What a chain returned, as the core takes it; what it cost, where a parser threw that away.

    Args:
        said: A message, or what a parser made of one.
        meter: What the chain's models bought.
    """
    if isinstance(said, AIMessage):
        return read_message(said, None)
    text = said if isinstance(said, str) else str(getattr(said, "content", said))
    return Reply(text, *_bought(meter), payload=said, metered=bool(meter.usage_metadata))


def _failure(error: Exception, meter: UsageMetadataCallbackHandler) -> Failure:
    """An exception as the core takes it; a parser raises after the answer was paid for."""
    failure = read_error(error)[0]
    bought = _bought(meter)
    return Failure(error, False, *bought) if any(bought) else failure


def _metered(config: RunnableConfig) -> tuple[UsageMetadataCallbackHandler, RunnableConfig]:
    meter = UsageMetadataCallbackHandler()
    return meter, merge_configs(config, {"callbacks": [meter]})


def _bought(meter: UsageMetadataCallbackHandler) -> tuple[int, int, int, int]:
    """Input and output tokens, those of the input read from a prompt cache, and written to it."""
    bills = [bill for usage in meter.usage_metadata.values() if (bill := bill_of(usage))]
    return (
        sum(bill.input for bill in bills),
        sum(bill.output for bill in bills),
        sum(bill.cached for bill in bills),
        sum(bill.written for bill in bills),
    )


def drive(
    loop: Loop[Call, Result], answer: Callable[[list[Call]], Sequence[Reply | Failure]]
) -> Result:
    """Do what a loop asks for until it has its result."""
    try:
        calls = next(loop)
        while True:
            calls = loop.send(answer(calls))
    except StopIteration as stop:
        result: Result = stop.value
        return result


async def adrive(
    loop: Loop[Call, Result],
    answer: Callable[[list[Call]], Awaitable[Sequence[Reply | Failure]]],
) -> Result:
    """As `drive`, asynchronously."""
    try:
        calls = next(loop)
        while True:
            calls = loop.send(await answer(calls))
    except StopIteration as stop:
        result: Result = stop.value
        return result
