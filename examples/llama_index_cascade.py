"""LlamaIndex: one line changes, and chats and agents ask the cheap model first.

Needs OPENAI_API_KEY.
"""

import asyncio

from llama_index.core import Settings
from llama_index.core.agent.workflow import FunctionAgent

from llama_index_frugal import FrugalCascadeLLM


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"Sunny in {city}"


llm = Settings.llm = FrugalCascadeLLM(model="gpt-4o", temperature=0)  # was: OpenAI(model=...)

for country in ("France", "Italy"):
    answer = llm.complete(f"What is the capital of {country}?")
    print(f"{answer.additional_kwargs['frugal']['accepted']}: {answer.text}")


async def agent() -> None:
    print(await FunctionAgent(tools=[get_weather], llm=llm).run("How is Paris?"))


asyncio.run(agent())
