"""Learn a cascade from recorded answers, then use it: python fit_and_run.py RECORDING QUESTION

`frugal collect` makes the recording. Needs OPENAI_API_KEY.
"""

import sys

from frugal_core import Recording, fit
from langchain_frugal import FrugalCascadeLLM

recording, later = Recording.load(sys.argv[1]).split(0.8, 0.2)

policy = fit(recording, promise=0.02)  # at most two points below the best model, 95 % sure
print(policy.verdict)

result = policy.evaluate(later)  # nothing was fitted on these rows
print(
    f"on {result.queries} other rows: accuracy {result.accuracy:.3f} against "
    f"{result.reference.accuracy:.3f}, {result.saving_vs_reference:.1%} cheaper"
)

policy.save("cascade.frugal")
llm = FrugalCascadeLLM.from_policy("cascade.frugal", temperature=0)
message = llm.invoke(sys.argv[2])
print(message.text, "from", message.response_metadata["frugal"]["accepted"])
