"""What `compress` takes and returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from frugal_core.compress.select import render
from frugal_core.errors import FrugalError


@dataclass(frozen=True)
class Document:
    """A text that may be compressed, and what belongs to it.

    Args:
        text: The text.
        title: What it is about; it helps to find sentences and is counted with them.
        id: Handed through.
        metadata: Handed through.
    """

    text: str
    title: str = ""
    id: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A part of a document, kept or not.

    Args:
        document: The number of the document among those given.
        text: What stands there.
        reason: Why it was dropped: "duplicate", "near-duplicate", "relevance" (others were better)
            or "function words"; empty if it was kept.
    """

    document: int
    text: str
    reason: str = ""


@dataclass(frozen=True)
class Compression:
    """What `compress` returns.

    Args:
        documents: What is left, in the original order, with ids, titles and metadata. Documents of
            which nothing is left are not among them.
        sources: The number of each of them among the documents given.
        tokens_before: Tokens of everything given, titles included.
        tokens_after: Tokens of `text`.
        budget: Tokens that were allowed; None if no limit was given.
        parts: Everything that was given, in order, kept or not.
        unchanged: Why the text passed as it is; empty if it did not.
        usd_saved: What the tokens cost that one call needs no more; None without a price.
    """

    documents: list[Document]
    sources: list[int]
    tokens_before: int
    tokens_after: int
    budget: int | None
    parts: list[Part]
    unchanged: str = ""
    usd_saved: float | None = None

    @property
    def text(self) -> str:
        """The documents as one text: "[title] text", one after the other."""
        texts = dict(enumerate(document.text for document in self.documents))
        return render(texts, [document.title for document in self.documents])

    @property
    def dropped(self) -> list[Part]:
        """What was dropped, and why."""
        return [part for part in self.parts if part.reason]

    @property
    def ratio(self) -> float:
        """Tokens before by tokens after."""
        return self.tokens_before / max(self.tokens_after, 1)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; metadata are not in it."""
        return {
            "documents": [
                {
                    "source": source,
                    "id": document.id,
                    "title": document.title,
                    "text": document.text,
                }
                for source, document in zip(self.sources, self.documents, strict=True)
            ],
            "tokens_before": self.tokens_before,
            "tokens_after": self.tokens_after,
            "budget": self.budget,
            "unchanged": self.unchanged,
            "usd_saved": self.usd_saved,
            "dropped": [
                {"document": part.document, "text": part.text, "reason": part.reason}
                for part in self.dropped
            ],
        }


def as_documents(documents: str | Document | Iterable[str | Document]) -> list[Document]:
    """Documents from a text, a document, or several of both.

    Raises:
        FrugalError: for anything else.
    """
    given = [documents] if isinstance(documents, str | Document) else documents
    if not isinstance(given, Iterable) or isinstance(given, bytes | Mapping):
        raise FrugalError(
            f"documents are {type(documents).__name__}: give a string, a Document, or a list of "
            f"them"
        )
    found = [Document(one) if isinstance(one, str) else one for one in given]
    for number, document in enumerate(found):
        if not isinstance(document, Document) or not isinstance(document.text, str):
            kind = type(document)
            name = f"{kind.__module__}.{kind.__name__}".removeprefix("builtins.")
            raise FrugalError(
                f"document {number} is {name}: give a string or a frugal_core.compress.Document "
                f"with a text"
            )
    return found
