"""What a scripted model can be told to do: answer, or fail."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias


def tokens(text: str) -> list[str]:
    """Split text into the tokens we bill: words, each with the white space before it."""
    return re.findall(r"\s*\S+(?:\s+$)?", text) or ([text] if text else [])


@dataclass(frozen=True)
class Usage:
    """Tokens of one call, or of many added up.

    Attributes:
        input: Prompt tokens, of which `cached` were cheaper.
        output: Completion tokens, of which `reasoning` were never shown.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cached + other.cached,
            self.reasoning + other.reasoning,
        )


@dataclass(frozen=True)
class ToolCall:
    """A call the model makes; arguments given as text are sent as they are, JSON or not."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)

    @property
    def arguments_text(self) -> str:
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True)
class Answer:
    """A successful reply. The request's ``stop`` and token limit are applied to its text.

    Attributes:
        finish_reason: Left out, it follows from the rest: ``tool_calls``, ``length`` or ``stop``.
        usage: Left out, words are counted.
        logprob: Of every token, or one for each (the last is repeated); sent when asked for.
        delay: Seconds before the first byte.
        pause: Seconds between the chunks of a stream.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    logprob: float | Sequence[float] = -0.1
    delay: float = 0.0
    pause: float = 0.0

    @classmethod
    def json(cls, value: object) -> Answer:
        """A structured answer, for ``response_format``; it may break the schema."""
        return cls(json.dumps(value, ensure_ascii=False))

    @classmethod
    def calling(cls, tool: str, arguments: Mapping[str, Any] | str | None = None) -> Answer:
        """A tool call; the tool may be unknown and the arguments wrong, or no JSON at all."""
        return cls(tool_calls=(ToolCall(tool, {} if arguments is None else arguments),))

    @classmethod
    def truncated(cls, text: str) -> Answer:
        """The token limit ended the answer in the middle."""
        return cls(text, finish_reason="length")

    @classmethod
    def filtered(cls, text: str = "") -> Answer:
        """The provider's content filter ended the answer."""
        return cls(text, finish_reason="content_filter")

    @classmethod
    def refused(cls, why: str = "I'm sorry, I cannot help with that.") -> Answer:
        """The model declines in ``message.refusal``, as with structured outputs."""
        return cls(refusal=why)


_BROKEN = Answer("these words were meant to arrive but the line went dead")


@dataclass(frozen=True)
class Fault:
    """A failed reply; made by the class methods.

    Error statuses, `hang` and `disconnect` bill nothing. `cut` bills the prompt and the tokens
    sent, `malformed` everything: the work was done, only the delivery failed.
    """

    kind: Literal["status", "hang", "disconnect", "cut", "malformed"]
    status: int = 200
    code: str | None = None
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: Answer = _BROKEN
    after: int = 0

    @classmethod
    def http(cls, status: int, message: str, code: str | None = None, **headers: str) -> Fault:
        """Any error status, with OpenAI's error body; header names with ``_`` for ``-``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls("status", status, code, message, named)

    @classmethod
    def rate_limit(cls, retry_after: float = 0.01) -> Fault:
        """429, to be tried again after so many seconds."""
        wait = f"{retry_after:g}"
        return cls.http(429, "Rate limit reached.", "rate_limit_exceeded", Retry_After=wait)

    @classmethod
    def server_error(cls) -> Fault:
        """500."""
        return cls.http(500, "The server had an error.")

    @classmethod
    def unavailable(cls) -> Fault:
        """503."""
        return cls.http(503, "The engine is overloaded.")

    @classmethod
    def wrong_key(cls) -> Fault:
        """401."""
        return cls.http(401, "Incorrect API key provided.", "invalid_api_key")

    @classmethod
    def bad_request(cls, message: str = "Invalid request.") -> Fault:
        """400 that is the caller's mistake."""
        return cls.http(400, message, "invalid_value")

    @classmethod
    def context_length(cls, limit: int = 8192) -> Fault:
        """400 because the prompt is too long for this model."""
        message = f"This model's maximum context length is {limit} tokens."
        return cls.http(400, message, "context_length_exceeded")

    @classmethod
    def hang(cls) -> Fault:
        """Never answer, until the client gives up or the server closes."""
        return cls("hang")

    @classmethod
    def disconnect(cls) -> Fault:
        """Close the connection without a word."""
        return cls("disconnect")

    @classmethod
    def cut(cls, answer: Answer = _BROKEN, after: int = 2) -> Fault:
        """Close the connection after so many tokens of the answer."""
        return cls("cut", answer=answer, after=after)

    @classmethod
    def malformed(cls, answer: Answer = _BROKEN, after: int = 2) -> Fault:
        """200 with a body that is not JSON; in a stream, after so many good tokens."""
        return cls("malformed", answer=answer, after=after)


@dataclass
class Request:
    """A request as it arrived.

    Attributes:
        number: How many calls of this model came before it.
        headers: Names in lower case.
        billed: What the call cost, known before the first byte of the reply is sent.
    """

    model: str
    body: dict[str, Any]
    headers: dict[str, str]
    number: int
    billed: Usage = field(default_factory=Usage)

    @property
    def streams(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.body["messages"]
        return messages

    @property
    def prompt(self) -> str:
        """Text of the last user message."""
        said = [message for message in self.messages if message["role"] == "user"]
        return text_of(said[-1]) if said else ""

    def count_tokens(self) -> int:
        """Words of all messages, and of the tools and the schema, which are billed as well."""
        texts = [text_of(message) for message in self.messages]
        for message in self.messages:
            for call in message.get("tool_calls") or []:
                texts += [call["function"]["name"], call["function"]["arguments"]]
        for declared in ("tools", "response_format"):
            if self.body.get(declared):
                texts.append(json.dumps(self.body[declared]))
        return sum(len(tokens(text)) for text in texts)


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message, whether its content is a string or a list of parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part.get("type") == "text")


Reply: TypeAlias = str | Answer | Fault
Behaviour: TypeAlias = (
    Reply | Callable[[Request], Reply] | Sequence[Reply | Callable[[Request], Reply]]
)
"""One reply for every call, one made from the request, or one per call, the last repeated."""


def choose_reply(behaviour: Behaviour, request: Request) -> Answer | Fault:
    """What the script says to this request."""
    if isinstance(behaviour, Sequence) and not isinstance(behaviour, str):
        behaviour = behaviour[min(request.number, len(behaviour) - 1)]
    reply = behaviour(request) if callable(behaviour) else behaviour
    return Answer(reply) if isinstance(reply, str) else reply
