"""What the cascade itself costs: overhead per call, scoring, imports and fitting.

    python -m benchmarks.speed [--json results/speed.json]

All figures are CPU seconds of this process (or of a child, for imports), medians over repetitions;
the peer runs in turn with us. cascadeflow 1.2.0 is not a dependency: `pip install
cascadeflow==1.2.0` to see its row.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from frugal_core import Recording, fit
from frugal_core.cascade import Reply
from langchain_frugal import FrugalCascadeLLM

LINE = "What is the capital of France?", "The capital of France is Paris, which lies on the Seine."
PARAGRAPH = (
    "How do I read a large CSV file in Python without running out of memory?",
    "Read it in chunks. With pandas, pass chunksize to read_csv and loop over the parts: each is "
    "a small DataFrame, so only one part is in memory at a time. If you need only some columns, "
    "name them in usecols, and give dtypes that are as small as the data allows. For files of "
    "many gigabytes, polars or duckdb stream the file for you and are usually faster.",
)


class Instant(BaseChatModel):
    """A chat model that answers at once."""

    model: str = "instant"
    answer: str = LINE[1]

    @property
    def _llm_type(self) -> str:
        return "instant"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        usage: Any = {"input_tokens": 8, "output_tokens": 12, "total_tokens": 20}
        message = AIMessage(self.answer, usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)])


def cpu_ms(
    calls: dict[str, Callable[[], Any]], rounds: int = 40, each: int = 25
) -> dict[str, float]:
    """Median CPU milliseconds of each call; the calls take turns, so that noise hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(each):
            call()
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.process_time()
            for _ in range(each):
                call()
            times[name].append(1000 * (time.process_time() - started) / each)
    return {name: statistics.median(values) for name, values in times.items()}


def overhead(question: str, answer: str) -> dict[str, float]:
    """One call that the first tier answers, against the bare model and the peer."""
    prices = {"small": [0.1, 0.1], "large": [1.0, 1.0]}
    tiers = {name: Instant(model=name, answer=answer) for name in prices}
    ours = FrugalCascadeLLM(tiers=tiers, scorer=lambda query, answer: 1.0, prices=prices)
    assert ours.invoke(question).response_metadata["frugal"]["accepted"] == "small"
    bare = Instant(answer=answer)
    calls: dict[str, Callable[[], Any]] = {
        "bare": lambda: bare.invoke(question),
        "ours": lambda: ours.invoke(question),
    }
    if find_spec("cascadeflow") is None:
        return cpu_ms(calls)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        from cascadeflow.integrations.langchain import CascadeFlow

        # Its default threshold rejects the one-line answer; the rest is as shipped.
        options: dict[str, Any] = {"quality_threshold": 0.4} if answer == LINE[1] else {}
        peer = CascadeFlow(
            drafter=Instant(model="gpt-4o-mini", answer=answer),
            verifier=Instant(model="gpt-4o", answer=answer),
            **options,
        )
        assert peer.invoke(question).response_metadata["cascade"]["accepted"]
        calls["cascadeflow"] = lambda: peer.invoke(question)
        return cpu_ms(calls)


def print_overhead(kind: str, calls: dict[str, float]) -> dict[str, float]:
    """Print what `overhead` returned; the same as figures of the kind of answer."""
    bare, ours = calls["bare"], calls["ours"]
    print(f"an answer of one {kind}:")
    print(f"  bare model         {bare:8.3f} ms per call")
    print(f"  cascade            {ours:8.3f} ms, {ours / bare:.2f}x the bare model (goal <= 2.5)")
    if "cascadeflow" in calls:
        peer = calls["cascadeflow"]
        print(
            f"  cascadeflow 1.2.0  {peer:8.3f} ms, {peer / bare:.2f}x; "
            f"its overhead is {(peer - bare) / (ours - bare):.1f}x ours (goal >= 3)"
        )
    return {f"{kind}_{name}_ms": value for name, value in calls.items()}


def synthetic(rows: int, models: int, seed: int = 0) -> Recording:
    """Headline-like queries with a learnable label, answered by models of rising quality."""
    chance = random.Random(seed)
    words = [f"word{i}" for i in range(3000)]
    labels = ["up", "down", "neutral", "none"]
    lines = []
    for i in range(rows):
        text = chance.choices(words, k=12)
        gold = labels[sum(int(word[4:]) for word in text[:3]) % 4]
        text.append(gold if chance.random() < 0.6 else chance.choice(labels))
        answers = {}
        for m in range(models):
            right = chance.random() < 0.6 + 0.3 * m / models
            said = gold if right else chance.choice(labels)
            answers[f"model-{m}"] = {"text": said, "input_tokens": 80, "output_tokens": 1}
        lines.append({"id": i, "query": " ".join(text), "reference": gold, "answers": answers})
    prices = {f"model-{m}": [0.1 * 1.5**m] * 2 for m in range(models)}
    return Recording.from_rows(lines, prices=prices)


def fitting() -> dict[str, float]:
    """CPU seconds of fit on 2,000, 4,000 and 8,000 rows x 12 models, and peak memory in MB."""
    figures = {}
    for rows in (2000, 4000, 8000):
        recording = synthetic(rows, 12)
        started = time.process_time()
        fit(recording, promise=0.01)
        figures[f"fit_{rows}_cpu_s"] = time.process_time() - started
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


def scoring() -> float:
    """CPU milliseconds to score one answer, its query's features included."""
    recording = synthetic(1500, 3)
    policy = fit(recording, budget=1e9)
    queries = [query.text for query in recording][:200]
    position = iter(range(10**9))

    def score() -> None:
        query = queries[next(position) % len(queries)]
        policy.scorer.judge(query)("model-0", Reply("up"), [])

    assert policy.scorer.judge(queries[0])("model-0", Reply("up"), []) is not None
    return cpu_ms({"score": score}, each=100)["score"]


def import_cpu_s(statement: str, repetitions: int = 7) -> float:
    """Median CPU seconds of a child that runs an import statement."""
    code = f"import time\n{statement}\nprint(time.process_time())"
    runs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(repetitions)
    ]
    return statistics.median(runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, float] = {}
    for kind, texts in (("line", LINE), ("paragraph", PARAGRAPH)):
        figures |= print_overhead(kind, overhead(*texts))
    figures["score_ms"] = scoring()
    print(f"scoring one answer {figures['score_ms']:8.3f} ms (goal <= 0.2)")
    base = import_cpu_s("from langchain_core.language_models import BaseChatModel")
    figures["import_s"] = import_cpu_s("from langchain_frugal import FrugalCascadeLLM") - base
    print(f"import             {figures['import_s']:8.3f} s over langchain_core's (goal <= 0.15)")
    figures |= fitting()
    for name, value in figures.items():
        if name.startswith(("fit_", "peak")):
            print(f"{name:18} {value:8.1f}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
