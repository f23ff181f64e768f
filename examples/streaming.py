"""Streaming: a draft is shown only once it is accepted; the last tier streams live.

Needs OPENAI_API_KEY.
"""

import asyncio

from langchain_core.messages import AIMessageChunk

from langchain_frugal import FrugalCascadeLLM

llm = FrugalCascadeLLM(model="gpt-4o", temperature=0)

for chunk in llm.stream("Name the capital of France."):
    print(chunk.text, end="", flush=True)
print()


async def main() -> None:
    """The same, asynchronously; the bill and the trail come with the last chunk."""
    whole = AIMessageChunk(content="")
    async for chunk in llm.astream("Name the capital of Italy."):
        print(chunk.text, end="", flush=True)
        whole += chunk
    bill = whole.response_metadata["frugal"]
    print(f" ({bill['usd']:.8f} USD, answered by {bill['accepted']})")


asyncio.run(main())
