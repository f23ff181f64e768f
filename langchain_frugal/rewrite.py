"""PromptRewriter: a shorter or better prompt for a small model, if one can be shown to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompts import BasePromptTemplate, ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig

from frugal_core.adapt.proposing import placeholders
from frugal_core.adapt.rewrite import Rewriting, Rewritten, rewrite
from frugal_core.adapt.rows import Example, examples_of, recorded_replies
from frugal_core.adapt.spending import Propose, Request, Spend
from frugal_core.cascade import Failure, Reply
from frugal_core.certifying import Certificate, Promise
from frugal_core.errors import FrugalError
from frugal_core.grading import Grader
from frugal_core.pricing import Price, PriceBook
from frugal_core.tiers import price_of
from langchain_frugal import _requests as asking
from langchain_frugal._anatomy import Anatomy, values_for
from langchain_frugal._tiers import CHAT_MODELS

Prompt = str | PromptTemplate | ChatPromptTemplate
"""What can be rewritten."""


@dataclass(frozen=True)
class RewrittenPrompt:
    """What a search found.

    Args:
        prompt: The one to use, of the kind that was given; the original unless another is
            certified.
        evidence: Everything that was tried, the certificate, the calls and the USD.
    """

    prompt: Any
    evidence: Rewritten

    @property
    def improved(self) -> bool:
        """Whether there is a better prompt than the original."""
        return self.evidence.improved

    @property
    def certificate(self) -> Certificate | None:
        """The evidence that the prompt keeps the quality; None if the original stays."""
        return self.evidence.certificate

    @property
    def verdict(self) -> str:
        """What was found, in words."""
        return self.evidence.verdict


class PromptRewriter:
    """Looks for a prompt with which a small model does as well for less, or better.

    A large model proposes prompts; rows with right answers judge them by sequential halving, under
    a stated spend; the best is tested against the original on other rows. See
    `frugal_core.adapt.rewrite` for the method.

    Args:
        llm: The small model that the prompt is for; also a chain with one (`llm | parser`).
        rewriter: The large model.
        spend: The most that may be spent, `Spend(usd=...)` or `Spend(calls=...)`; a number is USD.
        promise: How much accuracy a cheaper prompt may lose, and how sure that must be.
        candidates: Prompts to ask for.
        grader: Decides whether an answer is right.
        prices: For models that the price table does not know.
        seed: Decides which rows test.
        config: For the calls; at most 8 are made at once unless it says otherwise.

    Raises:
        FrugalError: if a model is none, or a setting makes no sense.

    Example:
        >>> rewriter = PromptRewriter(small, large, spend=Spend(usd=1.0))  # doctest: +SKIP
        >>> found = rewriter.rewrite("Is it news or satire? ...", recording)  # doctest: +SKIP
        >>> print(found.verdict, found.prompt)  # doctest: +SKIP
    """

    def __init__(
        self,
        llm: Runnable[Any, Any],
        rewriter: Runnable[Any, Any],
        *,
        spend: Spend | float,
        promise: Promise | float = 0.01,
        candidates: int = 8,
        grader: Grader = "normalised",
        prices: PriceBook | Mapping[str, Any] | None = None,
        seed: int = 0,
        config: RunnableConfig | None = None,
    ) -> None:
        self.llm = llm
        self.rewriter = rewriter
        self.spend = spend if isinstance(spend, Spend) else Spend(usd=spend)
        self.promise = Promise.of(promise)
        self.candidates = candidates
        self.grader = grader
        self.seed = seed
        self.config: RunnableConfig = {"max_concurrency": 8, **(config or {})}
        book = PriceBook.load(prices)
        self._price, self._rewriter_price = _price(book, llm), _price(book, rewriter)

    def rewrite(
        self, prompt: Prompt, examples: Iterable[Any], *, model: str | None = None
    ) -> RewrittenPrompt:
        """Look for a better prompt.

        Args:
            prompt: A template, whose system message is rewritten (its first message with text, if
                it has none); a text with placeholders, which becomes the user's message; or a text
                without, which becomes the system message before the question.
            examples: Questions with right answers, whose fields fill in the placeholders; also a
                recording with gold answers.
            model: The small model's name in the recording, if its answers there were given under
                this very prompt; they are not bought again.

        Returns:
            The prompt to use, with its evidence.

        Raises:
            FrugalError: see `frugal_core.adapt.rewrite.rewrite`.
        """
        task, loop = self._search(prompt, examples, model)

        def answer(requests: list[Request]) -> Sequence[Reply | Failure]:
            return asking.ask_all([self._request(task, one) for one in requests], self.config)

        return task.result(asking.drive(loop, answer))

    async def arewrite(
        self, prompt: Prompt, examples: Iterable[Any], *, model: str | None = None
    ) -> RewrittenPrompt:
        """As `rewrite`, asynchronously."""
        task, loop = self._search(prompt, examples, model)

        async def answer(requests: list[Request]) -> Sequence[Reply | Failure]:
            asked = [self._request(task, one) for one in requests]
            return await asking.aask_all(asked, self.config)

        return task.result(await asking.adrive(loop, answer))

    def _search(
        self, prompt: Prompt, examples: Iterable[Any], model: str | None
    ) -> tuple[_Task, Rewriting]:
        task = _Task.of(prompt)
        rows = examples_of(examples)
        for row in rows[:1]:
            task.messages(task.text, row)  # a placeholder that no field fills is an error now
        loop = rewrite(
            task.text,
            rows,
            spend=self.spend,
            candidates=self.candidates,
            promise=self.promise,
            price=self._price,
            proposer_price=self._rewriter_price,
            names=task.names,
            recorded=recorded_replies(examples, model),
            grader=self.grader,
            seed=self.seed,
        )
        return task, loop

    def _request(self, task: _Task, request: Request) -> asking.Request:
        if isinstance(request, Propose):
            return asking.Request(self.rewriter, [HumanMessage(request.text)])
        return asking.Request(self.llm, task.messages(request.prompt, request.row))


@dataclass(frozen=True)
class _Task:
    """A prompt of any kind, and the text in it that is rewritten.

    Args:
        given: As the user gave it.
        text: What is rewritten.
        at: Position of that message in a chat template.
    """

    given: Prompt
    text: str
    at: int = 0

    @classmethod
    def of(cls, prompt: Any) -> _Task:
        if isinstance(prompt, str) and prompt.strip():
            return cls(prompt, prompt)
        if isinstance(prompt, PromptTemplate) and prompt.template_format == "f-string":
            return cls(prompt, prompt.template)
        if isinstance(prompt, ChatPromptTemplate):
            texts = [(_text_of(message), at) for at, message in enumerate(prompt.messages)]
            found = [(text, at) for text, at in texts if text is not None]
            system = [(t, at) for t, at in found if _is_system(prompt.messages[at])]
            if found:
                return cls(prompt, *(system or found)[0])
        raise FrugalError(
            "prompt: expected a text, a PromptTemplate or a ChatPromptTemplate, with an f-string "
            f"template in it, not {type(prompt).__name__}"
        )

    @property
    def names(self) -> list[str]:
        """The placeholders in the text."""
        if isinstance(self.given, ChatPromptTemplate) and isinstance(
            self.given.messages[self.at], BaseMessage
        ):
            return []
        return placeholders(self.text)

    def with_text(self, text: str) -> Any:
        """The prompt with another text in the place of the one that is rewritten."""
        if isinstance(self.given, str):
            return text
        if isinstance(self.given, PromptTemplate):
            partial = dict(self.given.partial_variables)
            return PromptTemplate.from_template(text, partial_variables=partial)
        messages = list(self.given.messages)
        old: Any = messages[self.at]
        if isinstance(old, BaseMessage):
            messages[self.at] = old.model_copy(update={"content": text})
        else:
            new = PromptTemplate.from_template(text, partial_variables=old.prompt.partial_variables)
            messages[self.at] = old.model_copy(update={"prompt": new})
        return self.given.model_copy(update={"messages": messages})

    def messages(self, text: str, row: Example) -> list[BaseMessage]:
        """What the small model is sent for a row."""
        prompt = self.with_text(text)
        if isinstance(prompt, str):
            if not self.names:
                return [SystemMessage(prompt), HumanMessage(row.text)]
            prompt = PromptTemplate.from_template(prompt)
        template: BasePromptTemplate[Any] = prompt
        values = values_for(template.input_variables, row)
        return template.invoke(values).to_messages()

    def result(self, found: Rewritten) -> RewrittenPrompt:
        """What was found, as the kind of prompt that was given."""
        prompt = self.with_text(found.prompt) if found.improved else self.given
        return RewrittenPrompt(prompt, found)


def _text_of(message: Any) -> str | None:
    """The template of a message, or its text, where it is text."""
    if isinstance(message, BaseMessage):
        return message.content if isinstance(message.content, str) else None
    prompt = getattr(message, "prompt", None)  # a list of them, where there are images
    if isinstance(prompt, PromptTemplate) and prompt.template_format == "f-string":
        return prompt.template
    return None


def _is_system(message: Any) -> bool:
    return "system" in type(message).__name__.lower()


def _price(book: PriceBook, llm: Any) -> Price | None:
    """The price of a model, or of the one in a chain."""
    chat: BaseChatModel | None = Anatomy.of(llm).chat
    if chat is None:
        return None
    return price_of(CHAT_MODELS, book, CHAT_MODELS.name_of(chat), chat)
