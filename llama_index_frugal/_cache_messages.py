"""What a call of a LlamaIndex model asks, and what else shapes the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock, ToolCallBlock
from llama_index.core.llms import LLM
from llama_index.core.llms.llm import default_completion_to_prompt
from pydantic import BaseModel, ValidationError

from frugal_core.answers import Breach
from frugal_core.cache.admission import constrains, stands_for_itself, wants_schema
from frugal_core.cache.answers import numbered
from frugal_core.cache.calls import Asked
from frugal_core.cache.partition import digest
from frugal_core.cache.plain_chat import plain_chat
from frugal_core.contract import FORMAT_ARGUMENTS, Contract, validation_breach
from llama_index_frugal._cache_identity import described, elsewhere, identity, own_class
from llama_index_frugal._requests import STRUCTURED, TOOLS, Prompt, breach_of_contract

PLACE = "\x00the question\x00"
"""What stands for the question in a prompt that is keyed without it."""

_OPENAI = {
    ("llama_index.llms.openai.base", "OpenAI"),
    ("llama_index.llms.openai_like.base", "OpenAILike"),
}
_SAMPLING = frozenset(
    """temperature top_p max_tokens max_completion_tokens frequency_penalty presence_penalty seed
    stop n timeout stream_options""".split()
)
"""Call arguments that do not say what form an answer must have."""
_CONSTRAINTS = FORMAT_ARGUMENTS | {
    "format",
    "guided_json",
    "guided_regex",
    "grammar",
    "response_schema",
    "response_mime_type",
}
_SYSTEM = (MessageRole.SYSTEM, MessageRole.DEVELOPER)


@dataclass(frozen=True)
class Frame:
    """A prompt made from a template, whose question is known.

    Args:
        question: What the user asked.
        around: The prompt with `PLACE` where the question stands: messages, or a text.
    """

    question: str
    around: Prompt

    @property
    def messages(self) -> Sequence[ChatMessage]:
        """The prompt of a chat; none of a completion."""
        return () if isinstance(self.around, str) else self.around

    def fits(self, prompt: Prompt) -> bool:
        """Whether a prompt is the frame with the question in it, and nothing else."""
        if isinstance(self.around, str) or isinstance(prompt, str):
            return self._filled(self.around) == prompt
        return len(self.around) == len(prompt) and all(
            mine.role == theirs.role and self._filled_message(mine) == _dump(theirs)
            for mine, theirs in zip(self.around, prompt, strict=True)
        )

    def _filled(self, text: Any) -> Any:
        return text.replace(PLACE, self.question) if isinstance(text, str) else text

    def _filled_message(self, message: ChatMessage) -> dict[str, Any]:
        blocks = [
            TextBlock(text=self._filled(block.text)) if isinstance(block, TextBlock) else block
            for block in message.blocks
        ]
        return _dump(message.model_copy(update={"blocks": blocks}))


@dataclass(frozen=True)
class How:
    """What is known of a call beside its arguments.

    Args:
        frame: The template's, if the question in the prompt is known.
        exact: Whether only the very same prompt may be served.
        structured: Whether the answer becomes an object, and is checked before it is kept.
    """

    frame: Frame | None = None
    exact: bool = False
    structured: bool = False


def asked_chat(
    llm: LLM, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any], how: How
) -> Asked | None:
    """The question of a chat; None if it is not to be cached."""
    if how == How():
        turns = [(message.role.value, _only_text(message)) for message in messages]
        if (found := _plain(llm, turns, kwargs)) is not None:
            return found
    if any(_reads_files(message) for message in messages):
        return None  # a file may change
    dumps = [_dump(message) for message in messages]
    last = max((i for i, m in enumerate(messages) if m.role == MessageRole.USER), default=-1)
    frame = how.frame if how.frame and how.frame.fits(messages) else None
    if frame is not None:
        question, around = frame.question, [_dump(message) for message in frame.messages]
    elif last < 0:
        question, around = digest(dumps), []
    else:
        question = messages[last].content or ""
        masked = [
            {**block, "text": None} if block.get("block_type") == "text" else block
            for block in dumps[last]["blocks"]
        ]
        around = [*dumps[:last], {**dumps[last], "blocks": masked}, *dumps[last + 1 :]]
    ids = [
        block.tool_call_id
        for message in messages
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ]
    read = _Read(
        question,
        ["chat", numbered(around, ids)],
        separate=frame is not None or (how.frame is None and 0 <= last == len(messages) - 1),
        follows=frame is None and any(m.role not in _SYSTEM for m in messages[:last]),
        text_only=all(isinstance(block, TextBlock) for m in messages for block in m.blocks),
        for_program=any(
            constrains(message.content or "", message.role in _SYSTEM) for message in messages
        ),
    )
    return _asked(llm, read, kwargs, how)


def asked_completion(
    llm: LLM, prompt: str, formatted: bool, kwargs: Mapping[str, Any], how: How
) -> Asked | None:
    """The question of a completion."""
    # A template of the user's own is applied by the model, after it was asked.
    as_it_is = llm.completion_to_prompt is default_completion_to_prompt
    found = _plain(llm, [("user", prompt)], kwargs) if as_it_is and how == How() else None
    if found is not None:
        return found
    frame = how.frame if how.frame and how.frame.fits(prompt) else None
    question, around = (prompt, None) if frame is None else (frame.question, frame.around)
    read = _Read(
        question,
        ["complete", formatted, around],
        separate=frame is not None or how.frame is None,
        for_program=wants_schema(prompt),
    )
    return _asked(llm, read, kwargs, how)


def breach_of(kwargs: Mapping[str, Any], prompt: Prompt) -> Breach | None:
    """What says how an answer breaks what the call requires; None if it requires nothing."""
    if (target := kwargs.get(STRUCTURED)) is not None:  # of a cascade
        return lambda text, calls: _object_breach(target.output_cls, text)
    toolbox = kwargs.get(TOOLS)
    return breach_of_contract(Contract.of(kwargs) if toolbox is None else toolbox.contract, prompt)


def _object_breach(output_cls: type[BaseModel], text: str) -> str | None:
    try:
        output_cls.model_validate_json(text)
    except ValidationError as error:
        return validation_breach(error)
    return None


@dataclass(frozen=True)
class _Read:
    """A prompt as it was read.

    Args:
        question: What is asked.
        around: Everything else of the prompt.
        separate: Whether the question could be told from the rest, and comes last.
        follows: Whether there are earlier turns.
        text_only: Whether there is nothing but text.
        for_program: Whether a program reads the answer.
    """

    question: str
    around: list[Any]
    separate: bool
    follows: bool = False
    text_only: bool = True
    for_program: bool = False


def _asked(llm: LLM, read: _Read, kwargs: Mapping[str, Any], how: How) -> Asked:
    model = identity(llm)
    given = {name: value for name, value in kwargs.items() if value is not None}
    settings = _settings(model)
    warmth = given.get("temperature", max(settings.get("temperature", [0]), default=0))
    choices = given.get("n", max(settings.get("n", [1]), default=1))
    by_meaning = read.separate and not (how.exact or how.structured)
    by_meaning = by_meaning and stands_for_itself(
        read.question,
        follows=read.follows,
        text_only=read.text_only,
        constrained=read.for_program
        or bool(set(given) - _SAMPLING)
        or any(settings.get(name) for name in _CONSTRAINTS),
        temperature=float(warmth),
        choices=int(choices),
    )
    partition = digest("llama_index", model, read.around, described(given), how.structured)
    return Asked(read.question, partition, by_meaning)


def _settings(value: Any, found: dict[str, list[Any]] | None = None) -> dict[str, list[Any]]:
    """All values that are set in an identity, tiers within tiers included, by name."""
    found = {} if found is None else found
    if isinstance(value, dict):
        for name, one in value.items():
            if (one and name in _CONSTRAINTS) or (
                name in ("temperature", "n") and isinstance(one, int | float)
            ):
                found.setdefault(name, []).append(one)
            _settings(one, found)
    elif isinstance(value, list):
        for one in value:
            _settings(one, found)
    return found


def _plain(
    llm: Any, turns: Sequence[tuple[str, str | None]], kwargs: Mapping[str, Any]
) -> Asked | None:
    """The question in a plain chat over OpenAI's protocol, whose key other frameworks share."""
    kind = own_class(llm)
    if (kind.__module__, kind.__qualname__) not in _OPENAI or llm.default_headers or elsewhere(llm):
        return None
    texts = [(role, text) for role, text in turns if text is not None]
    if len(texts) < len(turns) or not llm.metadata.is_chat_model:
        return None
    return plain_chat(llm.api_base, llm._get_model_kwargs(**kwargs), texts)


def _only_text(message: ChatMessage) -> str | None:
    """A message's text, if it is one text and nothing else."""
    if message.additional_kwargs or len(message.blocks) != 1:
        return None
    block = message.blocks[0]
    return block.text if isinstance(block, TextBlock) else None


def _reads_files(message: ChatMessage) -> bool:
    return any(getattr(block, "path", None) for block in message.blocks)


def _dump(message: ChatMessage) -> dict[str, Any]:
    """What of a message shapes the answer, as JSON."""
    dumped = message.model_dump(mode="json", exclude_none=True)
    extra = dumped.pop("additional_kwargs", None) or {}
    if any(isinstance(block, ToolCallBlock) for block in message.blocks):
        extra.pop("tool_calls", None)  # the same once more, in the provider's form
    return {**dumped, "additional_kwargs": described(extra)}
