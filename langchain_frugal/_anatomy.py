"""A chain taken apart at its chat model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.output_parsers import BaseLLMOutputParser
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import (
    Runnable,
    RunnableConfig,
    RunnableSequence,
    RunnableWithFallbacks,
)
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.config import merge_configs

from frugal_core.adapt.rows import Example
from frugal_core.errors import FrugalError
from langchain_frugal._contract import FORMAT_ARGUMENTS

_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")


@dataclass(frozen=True)
class Anatomy:
    """A chain: what comes before its chat model, the model, and what comes after.

    Args:
        head, tail: The steps around the model, or None.
        model: The model as it stands in the chain, with what is bound to it; the whole chain, if
            no chat model can be seen in it.
        chat: The bare chat model, or None.
        bound: The arguments bound to it.
        config: What the whole chain is configured with.
    """

    head: Runnable[Any, Any] | None
    model: Runnable[Any, Any]
    tail: Runnable[Any, Any] | None
    chat: BaseChatModel | None
    bound: dict[str, Any]
    config: RunnableConfig

    @classmethod
    def of(cls, chain: Any) -> Anatomy:
        """Take a chain apart.

        Raises:
            FrugalError: if it is no chain.
        """
        if not isinstance(chain, Runnable):
            raise FrugalError(
                f"expected a chat model, or a chain with one (prompt | llm | parser), not a "
                f"{type(chain).__name__}"
            )
        whole = chain
        config: RunnableConfig = {}
        while isinstance(chain, RunnableBindingBase) and not (_chat_of(chain)[0] or chain.kwargs):
            config = merge_configs(chain.config, config)
            chain = chain.bound
        steps: list[Runnable[Any, Any]] = (
            list(chain.steps) if isinstance(chain, RunnableSequence) else [chain]
        )
        for at, step in enumerate(steps):
            chat, bound = _chat_of(step)
            if chat is not None:
                return cls(_joined(steps[:at]), step, _joined(steps[at + 1 :]), chat, bound, config)
        return cls(None, whole, None, None, {}, {})

    @property
    def variables(self) -> list[str] | None:
        """The variables of the prompt with which the chain begins; None without one."""
        first = self.head.first if isinstance(self.head, RunnableSequence) else self.head
        return list(first.input_variables) if isinstance(first, BasePromptTemplate) else None

    @property
    def plain(self) -> bool:
        """Whether the model answers in text: no tools, no response format, no stop words."""
        if self.chat is None:
            return False
        return not any(self.bound.get(name) for name in {*FORMAT_ARGUMENTS, "stop"})

    @property
    def only_parses(self) -> bool:
        """Whether the tail does nothing but read the answer."""
        steps = self.tail.steps if isinstance(self.tail, RunnableSequence) else [self.tail]
        return all(isinstance(step, BaseLLMOutputParser) for step in steps)

    def limit(self, n: int, more: int) -> dict[str, int]:
        """The limit on an answer's tokens as an argument for n answers; nothing without one.

        Args:
            n: Answers in one reply.
            more: Tokens that each of them needs beside its own.
        """
        for name in _LIMITS:
            value = self.bound.get(name)
            if value is None and self.chat and name in self.chat.model_fields_set:
                value = getattr(self.chat, name, None)
            if isinstance(value, int) and value > 0:
                return {name: n * (value + more) + more}
        return {}


def _chat_of(step: Any) -> tuple[BaseChatModel | None, dict[str, Any]]:
    """The chat model in a step, and what is bound to it."""
    bound: dict[str, Any] = {}
    while True:
        if isinstance(step, RunnableBindingBase):
            bound = {**step.kwargs, **bound}
            step = step.bound
        elif isinstance(step, RunnableWithFallbacks):
            step = step.runnable
        else:
            return (step if isinstance(step, BaseChatModel) else None), bound


def _joined(steps: Sequence[Runnable[Any, Any]]) -> Runnable[Any, Any] | None:
    if not steps:
        return None
    return steps[0] if len(steps) == 1 else RunnableSequence(*steps)


def values_for(variables: Sequence[str], row: Example) -> dict[str, Any]:
    """A prompt's variables from the fields of a row; the question for a name that it has not.

    Raises:
        FrugalError: if there are several such names.
    """
    values = {name: row.fields[name] for name in variables if name in row.fields}
    missing = [name for name in variables if name not in values]
    if len(missing) > 1:
        raise FrugalError(
            f"prompt: the examples have no {', '.join(map(repr, missing))}; they have "
            f"{', '.join(map(repr, row.fields))}"
        )
    return values | dict.fromkeys(missing, row.text)
