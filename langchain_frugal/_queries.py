"""The inputs of one call of `ConcatenatedQueries`, and how they are asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import Runnable

from frugal_core.adapt import numbered
from frugal_core.adapt.concatenate import Answers, concatenate, fit_groups
from frugal_core.adapt.grouping import Alone, Call, Grouping, Item, Together
from frugal_core.adapt.rows import Example
from frugal_core.cascade import Reply
from frugal_core.certifying import Promise
from frugal_core.errors import FrugalError
from frugal_core.grading import Grader
from frugal_core.pricing import PriceBook
from frugal_core.tiers import price_of
from langchain_frugal._anatomy import Anatomy
from langchain_frugal._contract import FORMAT_ARGUMENTS
from langchain_frugal._requests import Request
from langchain_frugal._shares import messages_of
from langchain_frugal._tiers import CHAT_MODELS

_MORE_TOKENS = 8  # of a number, quotes and a comma, for each answer of a reply
_ALONE_ARGUMENTS = frozenset({*FORMAT_ARGUMENTS, "stop"})


@dataclass(frozen=True, slots=True)
class Form:
    """How a request for several inputs is written; see `ConcatenatedQueries`."""

    fold_turns: bool
    response_format: bool


@dataclass
class Job:
    """The inputs of one call, as the core takes them, and how each request is made."""

    anatomy: Anatomy
    prompts: Sequence[Any]
    grouping: Grouping
    form: Form
    kwargs: Mapping[str, Any]

    def __post_init__(self) -> None:
        anatomy = self.anatomy
        alone = not anatomy.plain or any(map(self.kwargs.get, _ALONE_ARGUMENTS))
        prompts = list(self.prompts)
        self.messages: dict[int, list[BaseMessage]] = {}
        for position, prompt in enumerate(prompts):
            if anatomy.chat is None or isinstance(prompt, Exception):
                continue
            try:
                self.messages[position] = anatomy.chat._convert_input(prompt).to_messages()
            except Exception as error:  # this input is no prompt; the others may be
                prompts[position] = error
        self.prompts = prompts
        self.asked = [p for p, prompt in enumerate(prompts) if not isinstance(prompt, Exception)]
        fold, count = self.form.fold_turns, self.grouping.count_tokens
        self.items = [
            Item("", alone=True)
            if alone or not _can_share(self.messages[position])
            else _item(self.messages[position], fold, count)
            for position in self.asked
        ]
        self.loop = concatenate(self.items, self.grouping)

    def requests(self, calls: Sequence[Call]) -> list[Request]:
        """What to invoke, and on what."""
        return [
            self._alone(call.position) if isinstance(call, Alone) else self._together(call)
            for call in calls
        ]

    def _alone(self, item: int) -> Request:
        anatomy = self.anatomy
        model = anatomy.model.bind(**self.kwargs) if self.kwargs else anatomy.model
        position = self.asked[item]
        return Request(model, self.messages.get(position, self.prompts[position]))

    def _together(self, call: Together) -> Request:
        anatomy, first = self.anatomy, call.positions[0]
        turns = self.items[first].turns
        messages = self.messages[self.asked[first]][: -1 - 2 * len(turns)]
        if call.example is not None:
            asked, answered = call.example
            messages = [*messages, HumanMessage(asked), AIMessage(answered)]
        n = len(call.positions)
        limit = anatomy.limit(n, _MORE_TOKENS)
        kwargs = {**limit, **self.kwargs}
        if self.form.response_format:
            schema = numbered.schema(n, self.grouping.answers)
            form = {"name": "answers", "strict": True, "schema": schema}
            kwargs["response_format"] = {"type": "json_schema", "json_schema": form}
        model = anatomy.model.bind(**kwargs) if kwargs else anatomy.model
        return Request(model, [*messages, HumanMessage(call.text)])

    def said(self, answers: Answers) -> list[Any]:
        """A message, or what failed, for every input."""
        said: list[Any] = list(self.prompts)
        for position, message in zip(self.asked, messages_of(answers), strict=True):
            said[position] = message
        return said

    def fitting(
        self,
        rows: Sequence[Example],
        sizes: Sequence[int],
        promise: Promise | float,
        grader: Grader,
        recorded: Sequence[Reply | None],
        prices: PriceBook | Mapping[str, Any] | None,
    ) -> Any:
        """The loop that finds the group size."""
        chat = self.anatomy.chat
        if chat is None or all(item.alone for item in self.items):
            raise FrugalError(
                "fit: these queries cannot share a request (tools, a response format, stop words, "
                "images), so there is nothing to measure"
            )
        return fit_groups(
            self.items,
            [row.answer or "" for row in rows],
            self.grouping,
            sizes=sizes,
            promise=promise,
            grader=grader,
            price=price_of(CHAT_MODELS, PriceBook.load(prices), CHAT_MODELS.name_of(chat), chat),
            recorded=recorded,
        )


def _can_share(messages: Sequence[BaseMessage]) -> bool:
    """Whether a prompt is text alone, and ends with a question."""
    if not messages or type(messages[-1]) is not HumanMessage or messages[-1].name:
        return False
    return all(
        isinstance(message.content, str)
        and not isinstance(message, ToolMessage)
        and not getattr(message, "tool_calls", None)
        and (isinstance(message, AIMessage) or not message.additional_kwargs)
        for message in messages
    )


def _item(messages: Sequence[BaseMessage], fold: bool, count: Callable[[str], int]) -> Item:
    """A prompt as the core takes it."""
    before, turns = list(messages[:-1]), []
    while fold and len(before) > 1 and [m.type for m in before[-2:]] == ["human", "ai"]:
        turns.append((str(before[-2].text), str(before[-1].text)))
        before = before[:-2]
    key = tuple((message.type, str(message.text), message.name) for message in before)
    tokens = sum(count(text) + _MORE_TOKENS for _, text, _ in key)
    return Item(str(messages[-1].text), key, tokens, tuple(reversed(turns)))


def with_parser(grouping: Grouping, parser: Runnable[Any, Any]) -> Grouping:
    """A grouping that takes no answer that the chain's own parser cannot read."""

    def accept(answer: str) -> bool:
        if grouping.accept is not None and not grouping.accept(answer):
            return False
        try:
            # Out of sight: this is a check, and the answer will be read once more.
            parser.invoke(AIMessage(answer), {"callbacks": []})
        except Exception:
            return False
        return True

    return replace(grouping, accept=accept)
