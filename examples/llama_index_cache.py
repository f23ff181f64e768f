"""A semantic cache for a query engine of LlamaIndex. Needs OPENAI_API_KEY."""

import os

from llama_index.core import SummaryIndex
from llama_index.core.schema import TextNode
from llama_index.llms.openai import OpenAI

from llama_index_frugal import SemanticCacheCallback

base = os.environ.get("OPENAI_BASE_URL")  # which LlamaIndex does not read by itself
llm = OpenAI(model="gpt-4o-mini", temperature=0, api_base=base)
handbook = SummaryIndex([TextNode(text="Beginners read one chapter of the tutorial every day.")])

cache = SemanticCacheCallback("answers.sqlite", scope="handbook 3")
engine = cache.attach(handbook.as_query_engine(llm=llm))

for question in (
    "How do I learn Python quickly?",
    "How do I learn Python quickly?",  # the very same question
    "How can I learn Python quickly?",  # in other words, over the same context
    "How do I learn Java quickly?",  # another question
):
    with cache.hits() as hits:
        engine.query(question)
    print(question, [hit.layer for hit in hits])

print(cache.certificate().sentence)
print(cache.stats())
