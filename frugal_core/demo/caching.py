"""The demo's second story: questions that come back, word for word and in other words."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import RunnableConfig

    from frugal_core.pricing import Price

SYSTEM = "Answer in one short sentence."


@dataclass(frozen=True)
class Asked:
    """A question of the traffic.

    Args:
        text: In one of its wordings.
        meaning: Which question it is; wordings of one question share it.
    """

    text: str
    meaning: int


@dataclass(frozen=True)
class Served:
    """How a question was answered.

    Args:
        asked: The question.
        tokens: Bought for it.
        usd: What they cost.
        seconds: How long the caller waited.
        layer: "exact" or "semantic" for an answer from the cache, else "".
        wrong: Whether it was served the answer to a question with another meaning.
    """

    asked: Asked
    tokens: int
    usd: float
    seconds: float
    layer: str
    wrong: bool


def traffic(seed: int, size: int) -> list[Asked]:
    """Questions as users ask them: a few of them often, most of them seldom.

    Args:
        seed: Decides which are asked often, and in which words.
        size: How many.
    """
    text = resources.files("frugal_core").joinpath("demo/questions.txt").read_text("utf-8")
    groups = [group.splitlines() for group in text.strip().split("\n\n")]
    chance = random.Random(seed)
    order = chance.sample(range(len(groups)), len(groups))
    weights = list(accumulate(1 / (rank + 3) for rank in range(len(order))))  # Zipf-Mandelbrot
    meanings = chance.choices(order, cum_weights=weights, k=size)
    return [Asked(chance.choice(groups[meaning]), meaning) for meaning in meanings]


def serve(
    questions: list[Asked],
    llm: BaseChatModel,
    price: Price,
    config: RunnableConfig,
    advance: Callable[[], None],
) -> list[Served]:
    """Ask the questions one by one.

    Args:
        questions: The traffic.
        llm: The model.
        price: Of the model.
        config: LangChain's; a cache is one of its callbacks.
        advance: Called after every answer.
    """
    from langchain_frugal.asking import reply_of

    application = llm.bind(stop=[".", "\n"], max_tokens=60)
    answered: dict[str, set[int]] = {}
    served = []
    for asked in questions:
        started = time.perf_counter()
        message = application.invoke([("system", SYSTEM), ("human", asked.text)], config)
        seconds = time.perf_counter() - started
        reply = reply_of(message)
        sent, received = reply.input_tokens, reply.output_tokens
        layer = message.response_metadata.get("frugal_cache", {}).get("layer", "")
        meanings = answered.setdefault(message.text, set())
        if not layer:
            meanings.add(asked.meaning)
        wrong = bool(layer) and asked.meaning not in meanings
        usd = price.cost(sent, received)
        served.append(Served(asked, sent + received, usd, seconds, layer, wrong))
        advance()
    return served
