"""Fewer tokens of context in a chain. Needs OPENAI_API_KEY."""

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from frugal_core.compress import Compression
from langchain_frugal import PromptCompressor


def report(found: Compression) -> None:
    print(f"{found.tokens_before} tokens -> {found.tokens_after}, {len(found.dropped)} dropped")


capitals = {
    "France": "Paris",
    "Italy": "Rome",
    "Peru": "Lima",
    "Norway": "Oslo",
    "Kenya": "Nairobi",
}
context = "\n\n".join(
    f"{city} is a city with parks, museums and a river. {city} is the capital of {country}. "
    f"The weather in {city} was fine last year, and many visitors came to see it."
    for country, city in capitals.items()
)
prompt = ChatPromptTemplate.from_template("Use this only:\n{context}\n\nQuestion: {question}")
llm = ChatOpenAI(model="gpt-4o-mini", temperature=0)

chain = prompt | PromptCompressor(token_budget=90, report=report) | llm | StrOutputParser()
print(chain.invoke({"context": context, "question": "What is the capital of France?"}))

documents = [Document(text) for text in context.split("\n\n")]
for left in PromptCompressor(ratio=4).compress_documents(documents, "What is the capital of Peru?"):
    print(left.page_content)
