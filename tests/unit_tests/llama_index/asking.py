"""The eight endpoints as one: what is asked is a text, what comes back is text and trail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.llms.types import ChatMessage

WAYS = [
    "chat",
    "achat",
    "stream_chat",
    "astream_chat",
    "complete",
    "acomplete",
    "stream_complete",
    "astream_complete",
]
STREAMS = [way for way in WAYS if "stream" in way]


@dataclass
class Said:
    """What came back: whole, and the pieces of a stream."""

    last: Any
    pieces: list[Any] = field(default_factory=list)

    @property
    def text(self) -> str:
        return str(getattr(self.last, "text", None) or self.last.message.content or "")

    @property
    def deltas(self) -> list[str]:
        return [piece.delta for piece in self.pieces if piece.delta]

    @property
    def extra(self) -> dict[str, Any]:
        extra: dict[str, Any] = self.last.additional_kwargs
        return extra

    @property
    def models(self) -> list[str]:
        """Which tiers were asked."""
        return [step["model"] for step in self.extra["frugal"]["trail"]]


async def ask(llm: Any, way: str, text: str = "q", **kwargs: Any) -> Said:
    """Ask through one of the eight endpoints."""
    asked: Any = text if "complete" in way else [ChatMessage(role="user", content=text)]
    said = getattr(llm, way)(asked, **kwargs)
    if way.startswith("a"):
        said = await said
    if "stream" not in way:
        return Said(said)
    pieces = [piece async for piece in said] if way.startswith("a") else list(said)
    return Said(pieces[-1], pieces)
