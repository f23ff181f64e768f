"""Prompt compression for LangChain: of documents, prompts, messages and strings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, BaseDocumentTransformer, Document
from langchain_core.messages import BaseMessage, ChatMessage, HumanMessage, convert_to_messages
from langchain_core.prompt_values import ChatPromptValue, PromptValue, StringPromptValue
from langchain_core.runnables import (
    Runnable,
    RunnableConfig,
    RunnableParallel,
    RunnablePassthrough,
    RunnablePick,
    RunnableSerializable,
)
from pydantic import ConfigDict, Field, PrivateAttr

from frugal_core import PriceBook
from frugal_core.compress import Compression, Turn, compress, compress_prompt, default_counter
from frugal_core.compress import Document as Text
from frugal_core.compress.guard import Guard
from frugal_core.errors import FrugalError, describe

_QUESTION_KEYS = ("question", "query", "input", "user_input")
_HUMAN_ROLES = frozenset({"user", "human", "context"})
_OPTIONS = (
    "protect",
    "on_overflow",
    "count_tokens",
    "word_ratio",
    "min_tokens",
    "model",
    "prices",
    "cached_share",
)


class PromptCompressor(
    RunnableSerializable[Any, Any], BaseDocumentCompressor, BaseDocumentTransformer
):
    """Fewer tokens of context, exactly within a budget, and what the question needs still there.

    It is a Runnable over strings, messages, prompt values, documents and dictionaries of them, a
    compressor for `ContextualCompressionRetriever` and `DocumentCompressorPipeline`, and a document
    transformer. How it chooses is described at `frugal_core.compress.compress`; no model is needed.

    Of a chat prompt only long human texts are shortened: system, AI and tool messages, tool calls,
    images and the question stay as they are, and count towards `token_budget`. Documents keep their
    id, metadata and order; those of which nothing is left are left out.

    The question is the argument `question` of a call, else the field, else that of a dictionary
    ("question", "query", "input"), else what the last human message asks. `retriever | compressor`
    hands over no question: use `compressor.after(retriever)`.

    If something fails inside (an embedder that is down), the text passes unchanged, and that is
    logged once. A budget that cannot be kept is an error, unless `on_overflow="keep"`.

    Args:
        ratio: Keep at most 1/ratio of the tokens.
        token_budget: Keep at most so many tokens, of all texts of a prompt together.
        question: What is asked, if it is always the same.
        protect: Regular expressions of what must be kept.
        on_overflow: What to do if what must be kept is over the budget: "error", "keep" it, or
            "drop" code and JSON of a text with their relevance.
        count_tokens: Tokens of a text; by default tiktoken's where its data is on this machine,
            else a cautious estimate.
        embeddings: LangChain embeddings to be heard beside the words.
        word_ratio: How much may come from dropping function words of English, 1 (none) to 1.3.
        min_tokens: Shorter texts pass unchanged; by default 40 for documents, and 100 for a text of
            a prompt.
        model, prices, cached_share: What the reading model costs; see `compress`.
        title_key: Where the metadata of a document have its title.
        report: Is called with the `Compression` of every text or list of documents.

    Raises:
        FrugalError: for arguments that make no sense.

    Example:
        ```python
        from langchain_frugal import PromptCompressor

        chain = prompt | PromptCompressor(token_budget=1000) | llm
        context = PromptCompressor(ratio=4).after(retriever)  # a question in, documents out
        ```
    """

    ratio: float | None = None
    token_budget: int | None = None
    question: str | None = None
    protect: Any = ()
    on_overflow: Literal["error", "keep", "drop"] = "error"
    count_tokens: Callable[[str], int] | None = Field(default=None, exclude=True)
    embeddings: Any = Field(default=None, exclude=True)
    word_ratio: float = 1.0
    min_tokens: int | None = None
    model: str | None = None
    prices: PriceBook | Mapping[str, Any] | str | Path | None = None
    cached_share: float = 0.0
    title_key: str = "title"
    report: Callable[[Compression], Any] | None = Field(default=None, exclude=True)

    _guard: Guard = PrivateAttr(default_factory=Guard)

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        if isinstance(self.protect, str | re.Pattern):
            self.protect = (self.protect,)
        compress("", **self._limit(), **self._options())  # refuses what every call would refuse

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """The same kind of value with shorter texts; `question=` says what is asked."""
        return self._call_with_config(
            lambda value: self._shorter(value, kwargs.get("question") or self.question),
            input,
            config,
        )

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """What of some documents is worth reading for a query."""
        return self._documents(documents, query or self.question)

    def transform_documents(
        self, documents: Sequence[Document], **kwargs: Any
    ) -> Sequence[Document]:
        """The most telling sentences of some documents; `question=` says what is asked."""
        asked = kwargs.get("question") or kwargs.get("query") or self.question
        return self._documents(documents, asked)

    def after(self, retriever: Runnable[Any, Any]) -> Runnable[Any, Any]:
        """A retriever whose documents are compressed for the question that it is asked."""
        both = RunnableParallel(question=RunnablePassthrough(), documents=retriever)
        return both | self | RunnablePick("documents")

    def _shorter(self, value: Any, question: str | None, share: float = 1.0) -> Any:
        """A value with shorter texts; `share` is the part of the budget that it may use."""
        if isinstance(value, str):
            return self._texts([Turn(value)], question, share)[0]
        if isinstance(value, StringPromptValue):
            return StringPromptValue(text=self._shorter(value.text, question, share))
        if isinstance(value, ChatPromptValue):
            messages = self._messages(value.messages, question, share)
            return value.model_copy(update={"messages": messages})
        if isinstance(value, PromptValue):
            return value  # an image
        if isinstance(value, BaseMessage):
            return self._messages([value], question, share)[0]
        if isinstance(value, Document):
            return (self._documents([value], question, share) or [_copy(value, "")])[0]
        if isinstance(value, Mapping):
            return self._mapping(value, question)
        if isinstance(value, list | tuple):
            return self._sequence(list(value), question, share)
        raise FrugalError(
            f"PromptCompressor cannot compress {type(value).__name__}: give a string, messages, a "
            f"prompt value, documents, or a dictionary of them"
        )

    def _sequence(self, values: list[Any], question: str | None, share: float) -> list[Any]:
        if all(isinstance(value, Document) for value in values):
            return self._documents(values, question, share)
        if all(isinstance(value, str) for value in values):
            found = self._documents([Document(value) for value in values], question, share)
            return [document.page_content for document in found]
        try:
            messages = convert_to_messages(values)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise FrugalError(
                f"PromptCompressor: this list holds neither documents nor messages nor strings: "
                f"{describe(error)}"
            ) from error
        return self._messages(messages, question, share)

    def _mapping(self, values: Mapping[str, Any], question: str | None) -> dict[str, Any]:
        """Shorten documents, messages and texts of a chain's input; the question stays."""
        keys = [key for key in _QUESTION_KEYS if key in values]
        asked = question or next((a for key in keys if (a := _asked(values[key]))), None)
        count = self.count_tokens or default_counter()
        tokens = {key: count(_all_text(values[key])) for key in values if key not in keys}
        least = 100 if self.min_tokens is None else self.min_tokens
        short = {key for key, n in tokens.items() if isinstance(values[key], str) and n < least}
        fixed = sum(tokens[key] for key in short)
        left = 1.0 if self.token_budget is None else max(0.0, 1 - fixed / self.token_budget)
        total = max(sum(tokens.values()) - fixed, 1)
        return {
            key: self._shorter(value, asked, left * tokens[key] / total)
            if tokens.get(key) and key not in short
            else value
            for key, value in values.items()
        }

    def _messages(
        self, messages: Sequence[BaseMessage], question: str | None, share: float
    ) -> list[BaseMessage]:
        turns = [
            Turn(text, _is_human(message)) for message in messages for text in _texts_of(message)
        ]
        texts = iter(self._texts(turns, question, share))
        return [
            _with_texts(message, [next(texts) for _ in _texts_of(message)]) for message in messages
        ]

    def _texts(self, turns: Sequence[Turn], question: str | None, share: float) -> list[str]:
        def shortened() -> list[str]:
            found = compress_prompt(turns, question, **self._limit(share), **self._options())
            for compression in found:
                self._say(compression)
            pairs = zip(turns, found, strict=True)
            return [one.documents[0].text if one else turn.text for turn, one in pairs]

        return self._guard.run(shortened, [turn.text for turn in turns])

    def _documents(
        self, documents: Sequence[Document], question: str | None, share: float = 1.0
    ) -> list[Document]:
        def shortened() -> list[Document]:
            texts = [
                Text(document.page_content, str(document.metadata.get(self.title_key) or ""))
                for document in documents
            ]
            found = compress(texts, question, **self._limit(share), **self._options())
            self._say(found)
            pairs = zip(found.sources, found.documents, strict=True)
            return [_copy(documents[source], text.text) for source, text in pairs]

        return self._guard.run(shortened, list(documents))

    def _limit(self, share: float = 1.0) -> dict[str, Any]:
        budget = self.token_budget
        if budget is not None and share < 1:
            budget = max(1, int(budget * share))
        return {"ratio": self.ratio, "token_budget": budget}

    def _options(self) -> dict[str, Any]:
        options = {name: getattr(self, name) for name in _OPTIONS}
        if self.min_tokens is None:
            del options["min_tokens"]
        return options | {"embed": self.embeddings}

    def _say(self, compression: Compression | None) -> None:
        if compression is not None and self.report is not None:
            self.report(compression)


def _asked(value: Any) -> str | None:
    """The question in what stands under a question's key: text, messages, or a dictionary again."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, Mapping):
        return next((a for k in _QUESTION_KEYS if k in value and (a := _asked(value[k]))), None)
    if isinstance(value, HumanMessage):
        return str(value.text) or None
    if isinstance(value, list | tuple) and value:
        return _asked(value[-1])
    return None


def _all_text(value: Any) -> str:
    """All text in a value that can be compressed; empty if it cannot."""
    if isinstance(value, str):
        return value
    if isinstance(value, Document):
        return value.page_content
    if isinstance(value, PromptValue):
        return _all_text(value.to_messages())
    if isinstance(value, BaseMessage):
        return "\n".join(_texts_of(value))
    if isinstance(value, Mapping):
        return "\n".join(map(_all_text, value.values()))
    if isinstance(value, list | tuple):
        if not all(isinstance(one, Document | BaseMessage | str) for one in value):
            try:
                value = convert_to_messages(value)
            except (TypeError, ValueError, NotImplementedError):
                return ""
        return "\n".join(map(_all_text, value))
    return ""


def _is_human(message: BaseMessage) -> bool:
    if isinstance(message, ChatMessage):
        return message.role.lower() in _HUMAN_ROLES
    return isinstance(message, HumanMessage)


def _texts_of(message: BaseMessage) -> list[str]:
    """The texts of a message, in order; images and other blocks have none."""
    if isinstance(message.content, str):
        return [message.content]
    texts = (block if isinstance(block, str) else block.get("text") for block in message.content)
    return [text for text in texts if isinstance(text, str)]


def _with_texts(message: BaseMessage, texts: Sequence[str]) -> BaseMessage:
    if list(texts) == _texts_of(message):
        return message
    if isinstance(message.content, str):
        return message.model_copy(update={"content": texts[0]})
    left = iter(texts)
    blocks: list[Any] = []
    for block in message.content:
        if isinstance(block, str):
            blocks.append(next(left))
        elif isinstance(block.get("text"), str):
            blocks.append({**block, "text": next(left)})
        else:
            blocks.append(block)
    return message.model_copy(update={"content": blocks})


def _copy(document: Document, text: str) -> Document:
    metadata = dict(document.metadata)
    return document.model_copy(update={"page_content": text, "metadata": metadata})
