"""Objects: what does not fit goes to the next tier, is billed, and is never shown."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.program import LLMTextCompletionProgram
from llama_index.core.prompts import ChatPromptTemplate
from pydantic import BaseModel, ValidationError

from llama_index_frugal import FrugalCascadeLLM
from tests.unit_tests.llama_index import asking
from tests.unit_tests.llama_index.fakes import Fake, calling


class Person(BaseModel):
    """A person."""

    name: str
    age: int


ADA = calling("Person", name="Ada", age=36)
HALF = calling("Person", name="Ada")
GOOD = '{"name": "Ada", "age": 36}'
PROMPT = PromptTemplate("Who is {who}? Answer in {{braces}} or {none}.")
WAYS = [
    "structured_predict",
    "astructured_predict",
    "stream_structured_predict",
    "astream_structured_predict",
]


def cascade(*says: Any, **kwargs: Any) -> tuple[FrugalCascadeLLM, list[Fake]]:
    tiers = [Fake(model=name, says=[said]) for name, said in zip("abc", says, strict=False)]
    kwargs.setdefault("scorer", lambda query, answer: 1.0)
    return FrugalCascadeLLM(tiers=tiers, **kwargs), tiers


async def predicted(llm: Any, way: str, **kwargs: Any) -> list[Any]:
    """All objects that a prediction gives; only streams give several."""
    said = getattr(llm, way)(Person, PROMPT, who="she", **kwargs)
    if way.startswith("a"):
        said = await said
    if "stream" not in way:
        return [said]
    return [one async for one in said] if way.startswith("a") else list(said)


@pytest.mark.parametrize("way", WAYS)
async def test_accepted_at_the_first_tier(way: str) -> None:
    llm, (first, second) = cascade(ADA, HALF)
    assert await predicted(llm, way) == [Person(name="Ada", age=36)]
    assert (len(first.calls), len(second.calls)) == (1, 0)
    messages = [str(message.content) for message in first.calls[0][0]]
    assert "Who is she? Answer in {{braces}} or {none}." in messages


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bad", [HALF, "just words", TimeoutError("slow")])
async def test_what_does_not_fit_goes_to_the_next_tier(way: str, bad: Any) -> None:
    llm, (first, last) = cascade(bad, ADA)
    objects = await predicted(llm, way)
    assert objects[-1] == Person(name="Ada", age=36)
    assert (len(first.calls), len(last.calls)) == (1, 1)


@pytest.mark.parametrize("way", WAYS)
async def test_if_no_tier_fits_the_error_is_the_last_ones(way: str) -> None:
    llm, _ = cascade(HALF, HALF)
    with pytest.raises(ValueError, match=r"Person|whole"):
        await predicted(llm, way)


@pytest.mark.parametrize("way", WAYS)
async def test_a_sound_draft_stands_in_for_a_broken_last_answer(way: str) -> None:
    llm, _ = cascade(ADA, "words", scorer=lambda query, answer: 0.1)
    assert (await predicted(llm, way))[-1] == Person(name="Ada", age=36)


@pytest.mark.parametrize("way", WAYS)
async def test_the_system_prompt_is_sent_either_way(way: str) -> None:
    llm, (first, _) = cascade(ADA, HALF, system_prompt="Be exact.")
    await predicted(llm, way)
    assert first.calls[0][0][0].content == "Be exact."


async def test_call_arguments_are_copied_for_every_tier() -> None:
    class Writing(Fake):
        """Writes into the arguments, as OpenAI's class does."""

        def structured_predict(self, output_cls: Any, prompt: Any, llm_kwargs: Any = None) -> Any:
            llm_kwargs["response_format"] = self.model
            assert llm_kwargs["seed"] == 7
            return super().structured_predict(output_cls, prompt, llm_kwargs={})

    llm = FrugalCascadeLLM(
        tiers=[Writing(model="a", says=[HALF]), Writing(model="b", says=[ADA])],
        scorer=lambda query, answer: 1.0,
    )
    arguments = {"seed": 7}
    assert llm.structured_predict(Person, PROMPT, llm_kwargs=arguments, who="she").age == 36
    assert arguments == {"seed": 7}


async def answered(llm: Any, way: str) -> list[Any]:
    text: Any = "Ada" if "complete" in way else [ChatMessage("Ada")]
    said = getattr(llm, way)(text)
    if way.startswith("a"):
        said = await said
    if "stream" not in way:
        return [said]
    return [one async for one in said] if way.startswith("a") else list(said)


@pytest.mark.parametrize(
    "way",
    asking.WAYS,
)
async def test_as_structured_llm_keeps_the_trail(way: str) -> None:
    llm, (first, _) = cascade(HALF, ADA, system_prompt="Be exact.")
    structured = llm.as_structured_llm(Person)
    last = (await answered(structured, way))[-1]
    assert first.calls[0][0][0].content == "Be exact."
    assert last.raw == Person(name="Ada", age=36)
    trail = last.additional_kwargs["frugal"]["trail"]
    assert [step["decision"] for step in trail] == ["rejected", "accepted"]
    assert trail[0]["why"].startswith("schema: ")
    assert last.additional_kwargs["total_tokens"] == 30, "what did not fit was bought as well"


async def test_what_a_cascade_in_a_cascade_bought_is_known() -> None:
    inner, _ = cascade(HALF, ADA)
    outer = FrugalCascadeLLM(tiers={"inner": inner, "top": Fake()}, scorer=lambda q, a: 1.0)
    structured = outer.as_structured_llm(Person)
    for response in (structured.chat([ChatMessage("q")]), await structured.achat([ChatMessage()])):
        assert response.additional_kwargs["total_tokens"] == 30


def test_models_without_function_calling_predict_in_words() -> None:
    tiers = [
        Fake(model="a", says=['{"name": "Ada"}'], calls_functions=False),
        Fake(model="b", says=['{"name": "Ada", "age": 36}'], calls_functions=False),
    ]
    llm = FrugalCascadeLLM(tiers=tiers, scorer=lambda query, answer: 1.0)
    assert llm.structured_predict(Person, PROMPT, who="she") == Person(name="Ada", age=36)
    assert len(tiers[1].calls) == 1


@pytest.mark.parametrize("chats", [True, False])
async def test_a_schema_in_words_is_a_contract_too(chats: bool) -> None:
    """Programs that read text: the models are asked through `chat` or `complete`."""
    tiers = [Fake(model=f"t{i}", says=[said], chats=chats) for i, said in enumerate(("hm", GOOD))]
    llm = FrugalCascadeLLM(tiers=tiers, scorer=lambda query, answer: 1.0)
    program = LLMTextCompletionProgram.from_defaults(
        output_cls=Person, prompt_template_str="Who?", llm=llm
    )
    ada = Person(name="Ada", age=36)
    assert program() == ada
    assert await program.acall() == ada
    assert [len(tier.calls) for tier in tiers] == [2, 2]
    # Of an earlier turn it is none: that was answered.
    (schema,) = program.prompt.format_messages()
    asked = [ChatMessage(schema.content), ChatMessage(GOOD, role="assistant"), ChatMessage("Why?")]
    assert llm.chat(asked).additional_kwargs["frugal"]["accepted"] == "t0"


def test_a_student_that_is_no_object_is_an_error() -> None:
    llm, _ = cascade("x", "y")
    template = ChatPromptTemplate(message_templates=[ChatMessage("q")])
    with pytest.raises((ValueError, ValidationError)):
        llm.structured_predict(Person, template)
