"""Fewer tokens of context in a chain. Needs OPENAI_API_KEY."""

from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from frugal_core.compress import Compression
from langchain_frugal import PromptCompressor


def report(found: Compression) -> None:
    print(f"{found.tokens_before} tokens -> {found.tokens_after}, {len(found.dropped)} dropped")


capitals = {"France": "Paris", "Italy": "Rome", "Peru": "Lima", "Kenya": "Nairobi"}
texts = [
    f"{city} is a city with parks and museums. {city} is the capital of {country}. "
    f"The weather in {city} was fine last year, and many visitors came to see it."
    for country, city in capitals.items()
]
prompt = ChatPromptTemplate.from_template("Use only:\n{context}\n\nQuestion: {question}")
llm = ChatOpenAI(model="gpt-4o-mini", temperature=0)
chain = prompt | PromptCompressor(token_budget=70, report=report) | llm
question = "What is the capital of France?"
print(chain.invoke({"context": "\n\n".join(texts), "question": question}).text)

documents = [Document(text) for text in texts]
for left in PromptCompressor(ratio=4).compress_documents(documents, "The capital of Peru?"):
    print(left.page_content)
