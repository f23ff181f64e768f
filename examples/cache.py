"""A semantic cache for an agent, as a callback. Needs OPENAI_API_KEY."""

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from langchain_frugal import SemanticCacheCallback

agent = create_agent(ChatOpenAI(model="gpt-4o-mini", temperature=0), tools=[])
cache = SemanticCacheCallback("answers.sqlite", scope="handbook 3")

for question in (
    "How do I learn Python quickly?",
    "How do I learn Python quickly?",  # the very same question
    "How can I learn Python quickly?",  # in other words
    "How do I learn Java quickly?",  # another question
):
    message = {"role": "user", "content": question}
    state = agent.invoke({"messages": [message]}, {"callbacks": [cache]})
    answer = state["messages"][-1]
    hit = answer.response_metadata.get("frugal_cache", {"layer": "asked the model"})
    print(f"{question} {hit['layer']}")

print(cache.certificate().sentence)
print(cache.cache.stats())
