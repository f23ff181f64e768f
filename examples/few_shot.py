"""Few-shot examples chosen for each query, as few as are needed. Needs OPENAI_API_KEY."""

from langchain_core.prompts import ChatPromptTemplate, FewShotChatMessagePromptTemplate
from langchain_openai import ChatOpenAI

from langchain_frugal import ExampleSelector

rows = [
    {"input": f"{metal} {verb} {number} %", "output": "up" if verb == "rises" else "down"}
    for metal in ("Gold", "Silver", "Tin")
    for verb in ("rises", "falls")
    for number in range(1, 9)
]
selector = ExampleSelector.fit(rows)  # give the chain as well, and the model itself decides
print(selector.fitted.verdict if selector.fitted else "")

examples = FewShotChatMessagePromptTemplate(
    example_selector=selector,
    example_prompt=ChatPromptTemplate([("human", "{input}"), ("ai", "{output}")]),
    input_variables=["input"],
)
prompt = ChatPromptTemplate([("system", "up or down?"), examples, ("human", "{input}")])
chain = prompt | ChatOpenAI(model="gpt-4o-mini", temperature=0)

message = chain.invoke({"input": "Gold falls 3 %"})
print(message.text, message.usage_metadata)
