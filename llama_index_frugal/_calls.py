"""One call of a cascade, as `frugal_core.driving` carries it out with LlamaIndex's LLMs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator
from dataclasses import replace
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    MessageRole,
)
from llama_index.core.llms.llm import LLM
from pydantic import BaseModel, ValidationError

from frugal_core.answers import Answer, failure_of
from frugal_core.cascade import Ask, Failure, OnFailure, Outcome, Reply
from frugal_core.contract import validation_breach
from frugal_core.driving import Live, Loop, on_a_live_loop
from frugal_core.errors import describe
from frugal_core.loop import cascade
from llama_index_frugal._requests import Request
from llama_index_frugal._responses import (
    answer_of,
    answer_of_stream,
    joined,
    marked,
    replay,
    says_something,
)
from llama_index_frugal._tiers import LLMAssembly, streaming
from llama_index_frugal.events import FrugalCascadeEvent, Response, collecting, dispatcher

Limiter = Any  # of LlamaIndex; it has `acquire` and `async_acquire`


class Call:
    """What is known while one question goes through the cascade.

    Args:
        assembly: The cascade's tiers.
        request: The question; `model` among its arguments pins the call to that tier.
        on_failure: See `frugal_core.loop.cascade`.
        limiter: The cascade's own rate limiter, which every call to a tier passes.
    """

    def __init__(
        self, assembly: LLMAssembly, request: Request, on_failure: OnFailure, limiter: Limiter
    ) -> None:
        kwargs = dict(request.kwargs)
        pinned = kwargs.pop("model", None)
        self.assembly = assembly if pinned is None else assembly.pinned(pinned)
        self.question = replace(request, kwargs=kwargs)
        self.breach = self.question.breach
        self.limiter = limiter
        self.metered = False
        self.asked = False
        self.loop: Loop = cascade(
            self.assembly.plan,
            self.question.query,
            plain=self.question.plain,
            on_failure=on_failure,
        )

    def request(self, ask: Ask) -> tuple[LLM, Request, dict[str, Any]]:
        """Whom to ask, what, and with which arguments of this tier's own."""
        self.asked = True
        tier = self.assembly.tiers[ask.tier]
        assert tier.model is not None, "the core answers for a student itself"
        if ask.verify is not None:
            return tier.model, self.question.verifying(ask.verify, tier.model), {}
        if ask.live:
            return tier.model, self.question, {}
        return tier.model, self.question, dict(tier.draft_options if self.question.plain else {})

    def ask(self, ask: Ask) -> Reply | Failure:
        """Do what the loop asks for, and wait for the whole answer."""
        seen: list[Response] = []
        try:
            model, request, extra = self.request(ask)
            positional, kwargs = request.arguments(extra)
            if self.limiter is not None:
                self.limiter.acquire()
            with collecting(seen):
                said = _method(model, request.endpoint.call)(*positional, **kwargs)
            return self.read(ask, said, seen)
        except Exception as error:
            return self.unread(ask, error, seen)

    async def aask(self, ask: Ask) -> Reply | Failure:
        """Do what the loop asks for, and await the whole answer."""
        seen: list[Response] = []
        try:
            model, request, extra = self.request(ask)
            positional, kwargs = request.arguments(extra)
            if self.limiter is not None:
                await self.limiter.async_acquire()
            with collecting(seen):
                method = _method(model, request.endpoint.acall)
                said = await on_a_live_loop(lambda: method(*positional, **kwargs))
            return self.read(ask, said, seen)
        except Exception as error:
            return self.unread(ask, error, seen)

    def live(self, ask: Ask) -> LiveTier:
        """Prepare to pass on the last tier's answer as it comes."""
        return LiveTier(self, ask)

    # Reading

    def read(self, ask: Ask, said: Any, seen: list[Response]) -> Reply:
        """What a tier returned, as the core's reply."""
        model = self.model(ask.tier)
        if isinstance(said, BaseModel) and not isinstance(said, Response):
            text = said.model_dump_json()
            answer = replace(_origin(seen, model), text=text, calls=(), ended="")
            return self._counted(answer).reply(None, as_response(said))
        answer = self._counted(answer_of(said, model))
        return answer.reply(None if ask.verify is not None else self.breach, said)

    def unread(self, ask: Ask, error: Exception, seen: list[Response]) -> Reply | Failure:
        """What a tier raised: a failure, unless it answered and the answer does not fit."""
        structured = self.question.target is not None and ask.verify is None
        if structured and (isinstance(error, ValidationError) or (seen and _of_answer(error))):
            return self._misfit(error, _origin(seen, self.model(ask.tier)))
        failure = failure_of(error)
        bill = _origin(seen, self.model(ask.tier)).bill
        if bill is not None and not failure.input_tokens:
            failure = Failure(error, False, bill.input, bill.output, bill.cached, bill.written)
        self.metered = self.metered or bool(failure.input_tokens)
        return failure

    def misfit_stream(self, last: Any, answer: Answer) -> Reply:
        """A structured stream that ended before its object was whole."""
        name = self.question.target.output_cls.__name__ if self.question.target else "object"
        error = ValueError(f"the answer ended before the {name} was whole: {last!r}")
        return self._misfit(error, answer)

    def _misfit(self, error: Exception, answer: Answer) -> Reply:
        words = f"schema: {describe(error)}"
        if (breach := self._misfitting(error, answer)) is not None:
            words = validation_breach(breach)
        text = answer.text or "nothing"
        reply = self._counted(replace(answer, text=text, calls=())).reply(lambda *_: words, error)
        return replace(reply, useless=True)  # to who wants an object, a refusal is of no use either

    def _misfitting(self, error: Exception, answer: Answer) -> ValidationError | None:
        """What pydantic found wrong; LlamaIndex's programs wrap it in words of their own."""
        if isinstance(error, ValidationError):
            return error
        assert self.question.target is not None
        try:
            for call in answer.calls:
                self.question.target.output_cls.model_validate(call.arguments)
        except ValidationError as found:
            return found
        return None

    def _counted(self, answer: Answer) -> Answer:
        self.metered = self.metered or answer.bill is not None
        return answer

    def model(self, tier: int) -> LLM:
        """A tier's LLM."""
        model = self.assembly.tiers[tier].model
        assert model is not None
        return model

    # Answering

    def final(self, outcome: Outcome) -> Any:
        """The answer, with the bill and the trail."""
        return self._ended(outcome, self._payload(outcome))

    def passed(self, chunk: Any) -> Any:
        """A live piece as it may go on to the caller: the bill comes later."""
        return marked(chunk, self.assembly.tiers[-1].name)

    def ending(self, outcome: Outcome, live: Live[Any] | None) -> Iterator[Any]:
        """What is left to stream: the accepted draft, and a last piece with bill and trail."""
        response = self._payload(outcome)
        if self.question.target is None and (live is None or not live.emitted):
            for piece in replay(response):
                yield marked(piece, self.assembly.tiers[outcome.tier].name)
        yield self._ended(outcome, response).model_copy(update={"delta": ""})

    def _payload(self, outcome: Outcome) -> Any:
        said = outcome.reply.payload
        if isinstance(said, Exception):
            raise said
        if said is not None:
            return said
        text = outcome.reply.text  # the student's
        if self.question.messages is None:
            return CompletionResponse(text=text)
        message = ChatMessage(role=MessageRole.ASSISTANT, content=text)
        return ChatResponse(message=message)

    def _ended(self, outcome: Outcome, response: Any) -> Any:
        """A response with the bill and the trail; the dispatcher is told."""
        tier = self.assembly.tiers[outcome.tier]
        trail = self.assembly.trail(outcome)
        dispatcher.event(
            FrugalCascadeEvent(
                tier=tier.name,
                degraded=outcome.degraded,
                usd=outcome.usd,
                promise=outcome.promise,
                trail=trail,
            )
        )
        sent, received = outcome.input_tokens, outcome.output_tokens
        # A student that answers by itself is known to cost nothing; a silent provider is not.
        usage = (sent, received, sent + received) if self.metered or not self.asked else None
        if tier.draft_options and not self.question.kwargs.get("logprobs"):
            response = response.model_copy(update={"logprobs": None})  # only the scorer asked
        return marked(response, tier.name, trail, usage)


class LiveTier(Live[Any]):
    """The last tier's stream."""

    def __init__(self, call: Call, ask: Ask) -> None:
        super().__init__()
        self.call = call
        self.model, self.request, _ = call.request(ask)
        self.asked = ask
        self.seen: list[Response] = []

    @property
    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of the call."""
        return self.request.arguments(streaming(self.model))

    def start(self) -> Generator[Any, None, None]:
        """Ask the tier, and give its pieces."""
        positional, kwargs = self.arguments
        if self.call.limiter is not None:
            self.call.limiter.acquire()
        with collecting(self.seen):
            pieces = iter(_method(self.model, self.request.endpoint.stream)(*positional, **kwargs))
        try:
            while True:
                # Not around the loop: what the caller does between two pieces is not this tier's.
                with collecting(self.seen):
                    piece = next(pieces, None)
                if piece is None:
                    return
                yield as_response(piece)
        finally:
            if hasattr(pieces, "close"):
                pieces.close()

    async def astart(self) -> AsyncGenerator[Any, None]:
        """Ask the tier, and give its pieces asynchronously."""
        positional, kwargs = self.arguments
        if self.call.limiter is not None:
            await self.call.limiter.async_acquire()
        method = _method(self.model, self.request.endpoint.astream)

        async def begin() -> tuple[Any, Any]:
            pieces = aiter(await method(*positional, **kwargs))
            return pieces, await anext(pieces, None)  # only now is anything sent

        with collecting(self.seen):
            pieces, piece = await on_a_live_loop(begin)
        try:
            while piece is not None:
                yield as_response(piece)
                with collecting(self.seen):  # as in start
                    piece = await anext(pieces, None)
        finally:
            if hasattr(pieces, "aclose"):
                await pieces.aclose()

    def failed(self, error: Exception) -> Reply | Failure:
        """What the tier raised."""
        answer = self.call.unread(self.asked, error, self.seen)
        if isinstance(answer, Failure):
            return replace(answer, emitted=self.emitted)
        return replace(answer, useless=answer.useless and not self.emitted)

    def says_something(self, chunk: Any) -> bool:
        """Whether a piece carries a part of the answer, not only its frame."""
        if self.request.target is None:
            return says_something(chunk)
        return any(value not in (None, "", [], {}) for value in chunk.raw.model_dump().values())

    def read(self) -> Reply:
        """The whole answer."""
        target = self.request.target
        if target is not None:
            answer = _origin(self.seen, self.model)
            last = self.chunks[-1].raw if self.chunks else None
            if isinstance(last, target.output_cls):
                return self.call.read(self.asked, last, self.seen)
            return self.call.misfit_stream(last, answer)
        if not self.chunks:
            return Answer("").reply(None, empty(self.request))
        answer = self.call._counted(answer_of_stream(self.chunks, self.model))
        return answer.reply(self.call.breach, joined(self.chunks))


def as_response(said: Any) -> Any:
    """What a tier said as a response: an object in the form that `as_structured_llm` gives it."""
    if isinstance(said, Response) or not isinstance(said, BaseModel):
        return said
    message = ChatMessage(role=MessageRole.ASSISTANT, content=said.model_dump_json())
    return ChatResponse(message=message, raw=said)


def empty(request: Request) -> Response:
    """The answer of a tier that said nothing at all."""
    if request.messages is None:
        return CompletionResponse(text="")
    return ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=""))


def _origin(seen: list[Response], model: LLM) -> Answer:
    """What a structured prediction came from: its bill is that of all responses together."""
    if not seen:
        return Answer("")
    answers = [answer_of(response, model) for response in seen]
    bills = [answer.bill for answer in answers if answer.bill is not None]
    total = None
    if bills:
        total = replace(
            bills[0],
            input=sum(bill.input for bill in bills),
            output=sum(bill.output for bill in bills),
            cached=sum(bill.cached for bill in bills),
        )
    return replace(answers[-1], bill=total)


def _of_answer(error: Exception) -> bool:
    """Whether an error is about what a model said: it does not fit, or is not JSON."""
    return isinstance(error, ValueError | TypeError | AssertionError)


def _method(model: LLM, name: str) -> Any:
    method = getattr(model, name, None)
    if method is None:
        raise NotImplementedError(f"{type(model).__name__} cannot be asked by {name}")
    return method
