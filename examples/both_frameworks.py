"""One policy file in LangChain and in LlamaIndex: python both_frameworks.py POLICY QUESTION ...

`fit_and_run.py` makes a policy. Needs OPENAI_API_KEY.
"""

import sys
from typing import Any

import langchain_frugal
import llama_index_frugal

policy, *questions = sys.argv[1:]
langchain = langchain_frugal.FrugalCascadeLLM(policy=policy, temperature=0)
llama_index = llama_index_frugal.FrugalCascadeLLM(policy=policy, temperature=0)


def show(framework: str, answer: str | None, frugal: dict[str, Any]) -> None:
    steps = [f"{step['model']} {step['decision']}" for step in frugal["trail"]]
    print(f"  {framework:10}  {answer}: {', '.join(steps)}; {frugal['usd']:.2e} USD")


for question in questions:
    print(question)
    message = langchain.invoke(question)
    show("LangChain", message.text, message.response_metadata["frugal"])
    response = llama_index.complete(question)
    show("LlamaIndex", response.text, response.additional_kwargs["frugal"])
