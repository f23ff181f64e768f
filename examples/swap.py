"""The swap: FrugalCascadeLLM where ChatOpenAI stood. Needs OPENAI_API_KEY."""

# before: from langchain_openai import ChatOpenAI
from langchain_frugal import FrugalCascadeLLM

# before: llm = ChatOpenAI(model="gpt-4o", temperature=0)
llm = FrugalCascadeLLM(model="gpt-4o", temperature=0)

message = llm.invoke("What is the capital of France?")
print(message.text)

bill = message.response_metadata["frugal"]
for step in bill["trail"]:
    print(f"{step['model']}: {step['decision']}, {step['why']}, {step['usd']:.8f} USD")
print(f"{bill['usd']:.8f} USD in all; {bill['promise']}")
