"""Tools and schemas: an answer that breaks the contract goes to the next tier.

Needs OPENAI_API_KEY.
"""

from pydantic import BaseModel

from langchain_frugal import FrugalCascadeLLM


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"Sunny in {city}"


llm = FrugalCascadeLLM(model="gpt-4o", temperature=0)

print(llm.bind_tools([get_weather]).invoke("How is the weather in Paris?").tool_calls)

structured = llm.with_structured_output(Person, include_raw=True)
answer = structured.invoke("Ada Lovelace, aged 36")
print(repr(answer["parsed"]), "from", answer["raw"].response_metadata["frugal"]["accepted"])
