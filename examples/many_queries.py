"""Many queries in few requests, which pay for their prompt once. Needs OPENAI_API_KEY."""

from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from langchain_frugal import ConcatenatedQueries

RULES = "Name the capital of the country, in one word. " + "Answer as an atlas does. " * 20

prompt = ChatPromptTemplate([("system", RULES), ("human", "{country}")])
llm = ChatOpenAI(model="gpt-4o-mini", temperature=0)
ask = ConcatenatedQueries(prompt | llm, group_size=4)

countries = ["France", "Italy", "Spain", "France", "Italy", "Spain", "France", "Italy"]
for message in ask.invoke([{"country": country} for country in countries]):
    asked = message.response_metadata["concatenated"]
    again = ", asked again alone" if asked["again"] else ""
    tokens = message.usage_metadata["total_tokens"]
    print(f"{message.text} ({tokens} tokens, {asked['group']} in its request{again})")
