"""An agent on LangGraph whose every step goes through the cascade. Needs OPENAI_API_KEY."""

from langchain.agents import create_agent
from langchain_core.callbacks import UsageMetadataCallbackHandler

from langchain_frugal import FrugalCascadeLLM


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"Sunny in {city}"


agent = create_agent(FrugalCascadeLLM(model="gpt-4o", temperature=0), tools=[get_weather])
usage = UsageMetadataCallbackHandler()
question = {"role": "user", "content": "How is the weather in Paris?"}

state = agent.invoke({"messages": [question]}, {"callbacks": [usage]})
for message in state["messages"]:
    message.pretty_print()
print(usage.usage_metadata)  # every token that was bought, once
