"""One question through the cascade, by each of the eight endpoints."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ImageBlock,
    MessageRole,
    TextBlock,
)

from frugal_core.errors import FrugalError
from llama_index_frugal import FrugalCascadeLLM
from tests.unit_tests.llama_index.asking import STREAMS, WAYS, ask
from tests.unit_tests.llama_index.fakes import Fake, right


class Refused(Exception):
    """An HTTP error, as every client raises them."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status_code = status


def cascade(*says: Any, **kwargs: Any) -> tuple[FrugalCascadeLLM, list[Fake]]:
    """A cascade of fakes that say one thing each, or one after the other."""
    tiers = [
        said
        if isinstance(said, Fake)
        else Fake(model=name, says=said if isinstance(said, list) else [said])
        for name, said in zip("abc", says, strict=False)
    ]
    prices = {tier.model: [1.0, 2.0] for tier in tiers}
    arguments = {"scorer": right, "prices": prices, **kwargs}
    return FrugalCascadeLLM(tiers=tiers, **arguments), tiers


@pytest.mark.parametrize("way", WAYS)
async def test_accepted_at_the_first_tier(way: str) -> None:
    llm, (first, second) = cascade("this is right", "no")
    said = await ask(llm, way)
    assert said.text == "this is right"
    assert (len(first.calls), len(second.calls)) == (1, 0)
    assert said.extra["frugal_tier"] == said.extra["frugal"]["accepted"] == "a"
    counts = [said.extra[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
    assert counts == [10, 5, 15]
    assert said.extra["frugal"]["usd"] == pytest.approx((10 + 5 * 2) / 1e6)
    if said.pieces:
        assert "".join(said.deltas) == said.text
        assert len(said.deltas) > 1
        assert all(piece.additional_kwargs["frugal_tier"] == "a" for piece in said.pieces)


@pytest.mark.parametrize("way", WAYS)
async def test_a_rejected_draft_is_never_shown(way: str) -> None:
    llm, _ = cascade("a wrong draft", "the last word")
    said = await ask(llm, way)
    assert said.text == "the last word"
    assert said.models == ["a", "b"]
    assert said.extra["total_tokens"] == 30
    if said.pieces:
        assert "".join(said.deltas) == "the last word"
        assert all("draft" not in str(piece) for piece in said.pieces)
        billed = [piece for piece in said.pieces if "total_tokens" in piece.additional_kwargs]
        assert billed == [said.pieces[-1]]


@pytest.mark.parametrize("way", STREAMS)
async def test_the_last_tier_streams_live(way: str) -> None:
    llm, (_, last) = cascade("wrong", "one two three")
    asked: Any = "q" if "complete" in way else [ChatMessage("q")]
    pieces = getattr(llm, way)(asked)
    if way.startswith("a"):
        pieces = await pieces
        [await anext(pieces), await anext(pieces)]
        await pieces.aclose()
        await asyncio.sleep(0.01)  # the loop closes what LlamaIndex's own callbacks wrap
    else:
        [next(pieces), next(pieces)]
        pieces.close()
    assert last.closed == ["closed"], "an abandoned stream is closed"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", [Refused(429), Refused(503), TimeoutError(), ConnectionError()])
async def test_infrastructure_failures_escalate_and_are_told_apart(
    way: str, error: Exception
) -> None:
    llm, _ = cascade(error, "fallback")
    said = await ask(llm, way)
    assert said.text == "fallback"
    assert [step["decision"] for step in said.extra["frugal"]["trail"]] == ["failed", "accepted"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_what_another_tier_cannot_mend_is_raised_at_once(way: str, status: int) -> None:
    llm, (_, second) = cascade(Refused(status), "never asked")
    with pytest.raises(Refused):
        await ask(llm, way)
    assert second.calls == []


@pytest.mark.parametrize("way", WAYS)
async def test_a_dead_last_tier_gives_the_best_draft(way: str) -> None:
    llm, _ = cascade("first draft", "second draft", TimeoutError("gone"))
    said = await ask(llm, way)
    assert said.text == "second draft"
    assert said.extra["frugal"]["degraded"]
    assert said.extra["frugal"]["accepted"] is None
    assert said.extra["frugal_tier"] == "b"
    strict, _ = cascade("first draft", TimeoutError("gone"), on_failure="raise")
    with pytest.raises(TimeoutError):
        await ask(strict, way)


@pytest.mark.parametrize("way", WAYS)
async def test_when_all_fail_all_causes_are_told(way: str) -> None:
    llm, _ = cascade(ConnectionError("one"), TimeoutError("two"))
    with pytest.raises(TimeoutError, match="two") as raised:
        await ask(llm, way)
    causes = raised.value.__cause__
    assert isinstance(causes, ExceptionGroup) and "one" in str(causes.exceptions[0])


@pytest.mark.parametrize("way", STREAMS)
async def test_a_stream_that_breaks_after_it_was_seen_is_an_error(way: str) -> None:
    last = Fake(model="b", says=[ConnectionError("cut")], breaks_after=2)
    llm, _ = cascade("draft", last)
    with pytest.raises(ConnectionError):
        await ask(llm, way)


@pytest.mark.parametrize("way", STREAMS)
async def test_a_stream_without_a_word(way: str) -> None:
    """LlamaIndex's own tests have such a model; the best draft takes its place."""
    llm, _ = cascade("draft", Fake(model="b", silent=True))
    assert (await ask(llm, way)).text == "draft"
    if "complete" in way:
        return  # LlamaIndex's callbacks refuse a completion without a word
    alone, _ = cascade(Fake(model="b", silent=True))
    assert (await ask(alone, way)).text == ""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ended", ["length", "content_filter"])
async def test_answers_that_are_cut_or_withheld_are_no_answers(way: str, ended: str) -> None:
    class Cut(Fake):
        def _next(self, asked: Any, kwargs: Any) -> Any:
            said, _ = super()._next(asked, kwargs)
            return said, {"choices": [{"finish_reason": ended}]}

    llm, _ = cascade(Cut(model="a", says=["right but"]), "whole")
    said = await ask(llm, way)
    assert said.text == "whole"
    why = said.extra["frugal"]["trail"][0]["why"]
    assert why == {"length": "cut short", "content_filter": "refused"}[ended]


@pytest.mark.parametrize("way", WAYS)
async def test_without_scores_a_tier_judges_its_own_draft(way: str) -> None:
    llm, (first, _) = cascade(["draft", "Yes."], "last", scorer=None)
    said = await ask(llm, way, "the question")
    assert said.text == "draft"
    asked, _ = first.calls[1]
    assert [message.content for message in asked[:2]] == ["the question", "draft"]
    assert said.extra["total_tokens"] == 30, "the verdict was bought, too"


async def test_a_completion_model_judges_by_completing() -> None:
    first = Fake(model="a", says=["draft", "no"], chats=False)
    llm, _ = cascade(first, "last", scorer=None)
    assert (await ask(llm, "complete", "the question")).text == "last"
    prompt, _ = first.calls[1]
    assert prompt.startswith("the question\n\ndraft\n\n")


async def test_usage_that_is_not_told_is_not_invented() -> None:
    llm, _ = cascade(Fake(model="a", says=["right"], usage=None), "no")
    said = await ask(llm, "chat")
    assert "total_tokens" not in said.extra
    assert said.extra["frugal"]["usd"] is None


async def test_a_cascade_can_be_a_tier() -> None:
    inner, _ = cascade("wrong", "right inside")
    outer = FrugalCascadeLLM(tiers={"inner": inner, "top": Fake(model="top")}, scorer=right)
    said = await ask(outer, "achat")
    assert (said.text, said.extra["total_tokens"]) == ("right inside", 30)


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_may_name_its_tier(way: str) -> None:
    llm, (first, _) = cascade("right", "from b")
    said = await ask(llm, way, model="b")
    assert (said.text, first.calls) == ("from b", [])
    with pytest.raises(FrugalError, match="not a tier of this cascade: a, b"):
        await ask(llm, way, model="z")


async def test_call_arguments_reach_the_tiers() -> None:
    llm, tiers = cascade("wrong", "last")
    for way in WAYS:
        await ask(llm, way, temperature=0.5)
    assert all(kwargs["temperature"] == 0.5 for tier in tiers for _, kwargs in tier.calls)
    with pytest.raises(FrugalError, match="n must be 1"):
        await ask(llm, "chat", n=2)


def test_endpoints_are_called_by_keyword_too() -> None:
    llm, _ = cascade("right", "no")
    assert llm.complete(prompt="q").text == "right"
    assert llm.chat(messages=[ChatMessage("q")]).message.content == "right"
    with pytest.raises(TypeError):
        twice: Any = llm.complete
        twice("q", prompt="q")
    text: Any = "q"
    with pytest.raises(FrugalError, match=r"call complete\(\)"):
        llm.chat(text)
    for incomplete in (llm.complete, llm.stream_complete):
        with pytest.raises(ValueError, match="no prompt"):
            incomplete()


async def test_thoughts_are_streamed_once() -> None:
    class Thinking(Fake):
        async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
            async def pieces() -> Any:
                for thought, word in (("hm, ", ""), ("yes", "word")):
                    extra = {"thinking_delta": thought}
                    message = ChatMessage(role="assistant", content=word)
                    yield ChatResponse(message=message, delta=word, additional_kwargs=extra)

            return pieces()

    llm, _ = cascade("wrong", Thinking(model="b"))
    said = await ask(llm, "astream_chat")
    thoughts = [piece.additional_kwargs.get("thinking_delta") for piece in said.pieces]
    assert thoughts == ["hm, ", "yes", None]


async def test_images_are_outside_what_the_scorer_reads() -> None:
    llm, _ = cascade("right", "no")
    image = ImageBlock(image=b"1px")
    message = ChatMessage(role=MessageRole.USER, blocks=[TextBlock(text="what?"), image])
    assert llm.chat([message]).message.content == "right"


async def test_the_cascades_own_rate_limiter_is_passed_before_each_tier() -> None:
    class Limiter:
        passed = 0

        def acquire(self) -> None:
            self.passed += 1

        async def async_acquire(self) -> None:
            self.passed += 1

    llm, _ = cascade("wrong", "last", rate_limiter=Limiter())
    for way in WAYS:
        await ask(llm, way)
    assert llm.rate_limiter is not None
    assert llm.rate_limiter.passed == 2 * len(WAYS)
