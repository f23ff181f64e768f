"""Models that ask a cache first: a copy of any LLM, whose class is a subclass of the LLM's own.

It stays an instance of its class, with its fields, its tools and its structured output, which
agents and engines test for. All that an LLM can do ends in eight endpoints, and these look up.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.llms import LLM, MockLLM
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.prompts import BasePromptTemplate, SelectorPromptTemplate

from frugal_core.cache.calls import Asked
from llama_index_frugal._cache_answers import Said
from llama_index_frugal._cache_calls import (
    CHECK,
    HOW,
    CachedCall,
    Check,
    is_inside,
    setting,
    warn_once,
)
from llama_index_frugal._cache_identity import own_class
from llama_index_frugal._cache_messages import (
    PLACE,
    Frame,
    How,
    asked_chat,
    asked_completion,
    breach_of,
)
from llama_index_frugal._requests import STRUCTURED, Prompt, Target

if TYPE_CHECKING:
    from llama_index_frugal.cache import SemanticCacheCallback

_QUESTION = "query_str"
"""What LlamaIndex calls the question in its templates."""
_CACHE = "frugal_cache"


def cached(llm: LLM, callback: SemanticCacheCallback) -> Any:
    """A copy of a model that asks a cache first; the model itself stays as it is."""
    if isinstance(llm, StructuredLLM):
        return llm.model_copy(update={"llm": cached(llm.llm, callback)})
    twin = llm.model_copy()
    twin.__class__ = _cached_class(own_class(llm))
    twin.__dict__[_CACHE] = callback
    return twin


@cache
def _cached_class(base: type[LLM]) -> type[LLM]:
    body: dict[str, Any] = {"frugal_base": base, "__module__": __name__, "__annotations__": {}}
    body["__annotations__"]["frugal_base"] = "ClassVar[type]"
    return type(f"Cached{base.__name__}", (CachedModel, base), body)


def _uncached(twin: Any) -> Any:
    """A copy without the cache, for pickling: classes made at run time have no address."""
    plain = twin.model_copy()
    plain.__dict__.pop(_CACHE, None)
    plain.__class__ = type(twin).frugal_base
    return plain


if TYPE_CHECKING:
    _Base = MockLLM  # any LLM that has all endpoints
else:
    _Base = object  # not LLM, whose fields would win over those of the model's own class


class CachedModel(_Base):
    """The endpoints of a model that has a cache."""

    # The eight endpoints

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        """The stored answer, or the model's."""
        ask, call = partial(super().chat, messages, **kwargs), _chat(self, messages, kwargs)
        return ask() if call is None else call.answer(ask)

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        """The stored answer, or the model's."""
        ask, call = partial(super().achat, messages, **kwargs), _chat(self, messages, kwargs)
        return await (ask() if call is None else call.aanswer(ask))

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        """The stored answer in pieces, or the model's stream."""
        call = _chat(self, messages, kwargs)
        if call is None:
            return super().stream_chat(messages, **kwargs)
        return call.stream(partial(super().stream_chat, list(messages), **kwargs))

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        """The stored answer in pieces, or the model's stream."""
        call = _chat(self, messages, kwargs)
        if call is None:
            return await super().astream_chat(messages, **kwargs)
        return call.astream(partial(super().astream_chat, list(messages), **kwargs))

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        """The stored answer, or the model's."""
        ask = partial(super().complete, prompt, formatted=formatted, **kwargs)
        call = _completion(self, prompt, formatted, kwargs)
        return ask() if call is None else call.answer(ask)

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        """The stored answer, or the model's."""
        ask = partial(super().acomplete, prompt, formatted=formatted, **kwargs)
        call = _completion(self, prompt, formatted, kwargs)
        return await (ask() if call is None else call.aanswer(ask))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        """The stored answer in pieces, or the model's stream."""
        ask = partial(super().stream_complete, prompt, formatted=formatted, **kwargs)
        call = _completion(self, prompt, formatted, kwargs)
        return ask() if call is None else call.stream(ask)

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        """The stored answer in pieces, or the model's stream."""
        ask = partial(super().astream_complete, prompt, formatted=formatted, **kwargs)
        call = _completion(self, prompt, formatted, kwargs)
        return await ask() if call is None else call.astream(ask)

    # Prompts made from templates, in which the question is known

    def predict(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:
        """See `LLM.predict`."""
        predict = partial(super().predict, prompt, **prompt_args)
        with setting(HOW, _how(self, prompt, prompt_args)):
            return _checked(predict, prompt.output_parser) if _is_read(self, prompt) else predict()

    async def apredict(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:
        """See `LLM.apredict`."""
        predict = partial(super().apredict, prompt, **prompt_args)
        with setting(HOW, _how(self, prompt, prompt_args)):
            if _is_read(self, prompt):
                return await _achecked(predict, prompt.output_parser)
            return await predict()

    def stream(self, prompt: BasePromptTemplate, **prompt_args: Any) -> Any:
        """See `LLM.stream`."""
        with setting(HOW, _how(self, prompt, prompt_args)):
            return super().stream(prompt, **prompt_args)

    async def astream(self, prompt: BasePromptTemplate, **prompt_args: Any) -> Any:
        """See `LLM.astream`."""
        with setting(HOW, _how(self, prompt, prompt_args)):
            return await super().astream(prompt, **prompt_args)

    # Objects: kept only once they are known to be valid

    def structured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any
    ) -> Any:
        """See `LLM.structured_predict`."""
        make = super().structured_predict
        with setting(HOW, How(structured=True)):
            return _checked(lambda: make(output_cls, prompt, _copy(llm_kwargs), **prompt_args))

    async def astructured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any
    ) -> Any:
        """See `LLM.astructured_predict`."""
        make = super().astructured_predict
        with setting(HOW, How(structured=True)):
            return await _achecked(
                lambda: make(output_cls, prompt, _copy(llm_kwargs), **prompt_args)
            )

    def stream_structured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any
    ) -> Generator[Any, None, None]:
        """See `LLM.stream_structured_predict`."""
        check, last = Check(), None
        pieces = super().stream_structured_predict(
            output_cls, prompt, _copy(llm_kwargs), **prompt_args
        )
        try:
            while True:
                with _structured(check):
                    try:
                        last = next(pieces)
                    except StopIteration:
                        break
                yield last
        except BaseException:
            check.reject()
            raise
        finally:
            pieces.close()
        _settle(check, last, output_cls)

    async def astream_structured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any
    ) -> AsyncGenerator[Any, None]:
        """See `LLM.astream_structured_predict`."""
        make = partial(super().astream_structured_predict, output_cls, prompt, _copy(llm_kwargs))

        async def objects() -> AsyncGenerator[Any, None]:
            check, last = Check(), None
            with _structured(check):
                pieces = await make(**prompt_args)
            try:
                while True:
                    with _structured(check):
                        try:
                            last = await anext(pieces)
                        except StopAsyncIteration:
                            break
                    yield last
            except BaseException:
                check.reject()
                raise
            finally:
                await pieces.aclose()
            await _asettle(check, last, output_cls)

        return objects()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return cached, (_uncached(self), self.__dict__[_CACHE])


def _chat(llm: Any, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> CachedCall | None:
    read = partial(asked_chat, llm, messages, kwargs)
    target = kwargs.get(STRUCTURED)
    give = Said.chat if target is None else partial(_as_object, target)
    return _call(llm, kwargs, messages, give, read)


def _as_object(target: Target, said: Said) -> ChatResponse:
    """A cascade's answer with its object, which only its JSON was kept of."""
    made = target.output_cls.model_validate_json(said.message.content or "")
    return said.chat().model_copy(update={"raw": made})


def _completion(
    llm: Any, prompt: str, formatted: bool, kwargs: dict[str, Any]
) -> CachedCall | None:
    read = partial(asked_completion, llm, prompt, formatted, kwargs)
    return _call(llm, kwargs, prompt, Said.completion, read)


def _call(
    llm: Any,
    kwargs: dict[str, Any],
    prompt: Prompt,
    give: Callable[[Said], Any],
    read: Callable[[How], Asked | None],
) -> CachedCall | None:
    """The call of an endpoint; None if it is not to be cached."""
    if is_inside(llm):
        return None
    how = HOW.get()
    try:
        asked = read(how)
        breach = breach_of(kwargs, prompt)
    except Exception as error:
        warn_once("a prompt could not be read, the model is asked", error)
        return None
    if asked is None:
        return None
    calls = llm.__dict__[_CACHE].calls
    return CachedCall(llm, calls, asked, breach, how.structured, give, CHECK.get())


def _how(llm: Any, prompt: Any, prompt_args: Mapping[str, Any]) -> How:
    """Which part of a template's prompt is the question: only that is matched by meaning."""
    try:
        if _is_read(llm, prompt):
            return How(exact=True)
        chosen = prompt.select(llm) if isinstance(prompt, SelectorPromptTemplate) else prompt
        question = {**chosen.kwargs, **prompt_args}.get(_QUESTION)
        if not isinstance(question, str) or PLACE in question:
            return How(exact=True)
        masked = {**prompt_args, _QUESTION: PLACE}
        if llm.metadata.is_chat_model:
            around = llm._get_messages(prompt, **masked)
            shown = any(PLACE in (message.content or "") for message in around)
        else:
            around = llm._get_prompt(prompt, **masked)
            shown = PLACE in around
        return How(Frame(question, around)) if shown else How(exact=True)
    except Exception as error:
        warn_once("a template could not be read, it is matched word for word", error)
        return How(exact=True)


def _is_read(llm: Any, prompt: Any) -> bool:
    """Whether a program reads the answer."""
    return any(getattr(of, "output_parser", None) for of in (llm, prompt))


def _checked(make: Callable[[], Any], parser: Any = None) -> Any:
    """What is made of an answer; the answer is kept if that succeeds.

    A stored answer of which nothing valid can be made is deleted, and the model is asked.

    Args:
        make: Asks, and makes something of the answer, or raises.
        parser: Must be able to read what is made, if given.
    """
    for retry in (True, False):
        check = Check()
        with _trial(check, retry):
            made = make()
            if _can_read(parser, made):
                check.accept()
                return made
            if not (check.reject() and retry):
                return made  # whoever asked will find out
    raise AssertionError("unreachable")


async def _achecked(make: Callable[[], Any], parser: Any = None) -> Any:
    """See `_checked`."""
    for retry in (True, False):
        check = Check()
        with _trial(check, retry):
            made = await make()
            if _can_read(parser, made):
                await check.aaccept()
                return made
            if not (check.reject() and retry):
                return made
    raise AssertionError("unreachable")


@contextmanager
def _trial(check: Check, retry: bool) -> Iterator[None]:
    """Swallow an error that a stored answer may have caused, if there is another trial."""
    try:
        with setting(CHECK, check):
            yield
    except BaseException as error:
        if not (check.reject() and retry and isinstance(error, Exception)):
            raise


def _can_read(parser: Any, made: Any) -> bool:
    try:
        if parser is not None:
            parser.parse(made)
    except Exception:  # whatever a parser raises
        return False
    return True


@contextmanager
def _structured(check: Check) -> Iterator[None]:
    with setting(HOW, How(structured=True)), setting(CHECK, check):
        yield


def _settle(check: Check, last: Any, output_cls: Any) -> None:
    if isinstance(last, output_cls):
        check.accept()
    else:
        check.reject()


async def _asettle(check: Check, last: Any, output_cls: Any) -> None:
    if isinstance(last, output_cls):
        await check.aaccept()
    else:
        check.reject()


def _copy(llm_kwargs: Any) -> dict[str, Any]:
    return dict(llm_kwargs or {})  # OpenAI's writes into it
