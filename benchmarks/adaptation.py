"""Prompt adaptation on a real model: tokens bought, accuracy and calls, as they come out.

    python -m benchmarks.adaptation [--only examples|concatenate|rewrite] [--rows 200] [--seed 0]
                                    [--json results/adaptation.json]

SmolLM2-135M on this machine tells satire from news (`frugal_core.local_model`). Its size matters:
what it makes of examples, numbered queries and other prompts says little about large models. No
setting was chosen on the rows it is reported on.

No model that could propose prompts runs here. The proposals for the rewriting part were therefore
written by hand, once, before any of them was tried; everything after that is the product.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate, FewShotChatMessagePromptTemplate
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from frugal_core.adapt import ExamplePool, Spend
from frugal_core.embedding import MiniLM
from frugal_core.evaluation import wilson
from frugal_core.grading import normalise
from frugal_core.local_model import MODEL_NAME, LocalModel, load_headlines
from langchain_frugal import ConcatenatedQueries, ExampleSelector, PromptRewriter

SYSTEM = "Is the headline real news or satire? Answer with one word: news or satire."
POOL = 4000
LABELS = ("news", "satire")

PROPOSALS = (
    "News or satire?",
    "Answer news or satire.",
    "One word, news or satire:",
    "Classify the headline as news or satire. Reply with exactly one word.",
    "Does this headline come from a newspaper (news) or from The Onion (satire)? One word.",
    "Satire makes fun of people and is absurd; news reports facts. Say news or satire.",
    "Label each headline: news if it happened, satire if somebody made it up. One word only.",
    "You are a careful editor. Headlines that are ridiculous are satire, all others are news.",
)


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    what: str
    n: int
    right: int
    tokens: float
    calls: int
    seconds: float

    def __str__(self) -> str:
        low, high = wilson(self.right, self.n)
        return (
            f"{self.what:<38}{100 * self.right / self.n:>6.1f} % "
            f"[{100 * low:.0f}, {100 * high:.0f}]{self.tokens:>9.0f}{self.calls:>7}"
            f"{self.seconds:>8.2f}"
        )


HEAD = f"{'':<38}{'accuracy':>8} [95 %]   tokens  calls   s/row"


@dataclass(frozen=True)
class Draw:
    """Headlines by their use, as (text, label)."""

    test: list[tuple[str, str]]
    pool: list[tuple[str, str]]

    @classmethod
    def of(cls, seed: int, rows: int) -> Draw:
        drawn = random.Random(seed).sample(load_headlines(), rows + POOL)
        pairs = [(headline.text, str(headline.label)) for headline in drawn]
        return cls(pairs[:rows], pairs[rows:])


def examples(llm: ChatOpenAI, draw: Draw) -> Iterator[Row]:
    """Fixed examples against selected ones."""
    by_label = [[row for row in draw.pool if row[1] == label] for label in LABELS]
    in_turn = [row for rows in zip(*by_label, strict=False) for row in rows]
    for k in (0, 2, 4, 8):
        for what, source in (("", draw.pool), (", labels in turn", in_turn)):
            if k or not what:
                fixed = source[:k]

                def same(text: str, fixed: list[tuple[str, str]] = fixed) -> list[tuple[str, str]]:
                    return fixed

                yield measure(f"{k} fixed examples{what}", llm, draw, same)
    settings: dict[str, dict[str, Any]] = {
        "1 nearest": {"k": 1},
        "2 nearest": {"k": 2},
        "4 nearest": {"k": 4},
        "8 nearest": {"k": 8},
        "4 nearest, diversity .3": {"k": 4, "diversity": 0.3},
        "4 nearest, balanced": {"k": 4, "balance": True},
        "4 nearest, with MiniLM": {"k": 4, "embedder": MiniLM()},
        "as many as fit in 120 tokens": {"k": None, "token_budget": 120},
    }
    for name, setting in settings.items():
        pool = ExamplePool(draw.pool, **setting)

        def select(text: str, pool: ExamplePool = pool) -> list[tuple[str, str]]:
            return [(example.text, example.answer or "") for example in pool.select(text)]

        yield measure(name, llm, draw, select)


def measure(
    what: str, llm: ChatOpenAI, draw: Draw, select: Callable[[str], Sequence[tuple[str, str]]]
) -> Row:
    """The model's answers to the test rows after the examples that `select` gives."""
    right = tokens = 0
    started = time.perf_counter()
    for text, label in draw.test:
        message = llm.invoke(few_shot(select(text), text))
        right += normalise(message.text) == label
        tokens += (message.usage_metadata or {"total_tokens": 0})["total_tokens"]
    n = len(draw.test)
    return Row(what, n, right, tokens / n, n, (time.perf_counter() - started) / n)


def few_shot(shown: Sequence[tuple[str, str]], text: str) -> list[BaseMessage]:
    """The prompt with these examples."""
    turns: list[BaseMessage] = [SystemMessage(SYSTEM)]
    for asked, answered in shown:
        turns += [HumanMessage(asked), AIMessage(answered)]
    return [*turns, HumanMessage(text)]


def fitted_examples(llm: ChatOpenAI, draw: Draw) -> Iterator[str]:
    """How many examples `ExampleSelector.fit` finds, with the model and without."""

    def chain(selector: ExampleSelector) -> Runnable[Any, Any]:
        turns = FewShotChatMessagePromptTemplate(
            example_selector=selector,
            example_prompt=ChatPromptTemplate([("human", "{input}"), ("ai", "{output}")]),
            input_variables=["input"],
        )
        return ChatPromptTemplate([("system", SYSTEM), turns, ("human", "{input}")]) | llm

    selector = ExampleSelector.fit(draw.pool, held_out=0.1)
    assert selector.fitted is not None
    yield f"fit without a model: {selector.fitted.verdict}"
    rows = draw.pool[: len(draw.test) * 8]
    selector = ExampleSelector.fit(
        rows, chain, sizes=(1, 2, 4), held_out=0.1, config={"max_concurrency": 1}
    )
    assert selector.fitted is not None
    yield f"fit with the model: {selector.fitted.verdict}"


def concatenated(llm: ChatOpenAI, draw: Draw) -> Iterator[Row | str]:
    """The same fixed prompt alone and in groups, with and without help for a small model."""
    fixed = few_shot(draw.pool[:8], "")[:-1]
    inputs = [[*fixed, HumanMessage(text)] for text, _ in draw.test]
    plain: dict[str, Any] = {}
    helped: dict[str, Any] = {"answers": LABELS, "response_format": True, "fold_turns": True}
    for name, size, options in (
        ("alone", 1, plain),
        ("4 together, as for a large model", 4, plain),
        ("2 together, folded, schema", 2, helped),
        ("4 together, folded, schema", 4, helped),
        ("8 together, folded, schema", 8, helped),
    ):
        ask = ConcatenatedQueries(llm, group_size=size, **options)
        started = time.perf_counter()
        with get_usage_metadata_callback() as bought:
            said = ask.invoke(inputs, {"max_concurrency": 1})
        seconds = (time.perf_counter() - started) / len(inputs)
        right = sum(normalise(m.text) == row[1] for m, row in zip(said, draw.test, strict=True))
        shared = sum(message.usage_metadata["total_tokens"] for message in said)
        total = sum(usage["total_tokens"] for usage in bought.usage_metadata.values())
        assert shared == total, "every token that was bought is in one message"
        groups = [message.response_metadata["concatenated"] for message in said]
        calls = round(sum(1 / of["group"] for of in groups)) + sum(of["again"] for of in groups)
        again = sum(of["again"] for of in groups)
        yield Row(f"{name} ({again} again)", len(said), right, total / len(said), calls, seconds)
    rows = draw.pool[1000 : 1000 + len(draw.test)]
    fitted = ConcatenatedQueries.fit(
        llm,
        rows,
        inputs=lambda row: [*fixed, HumanMessage(row.text)],
        sizes=(2, 4),
        config={"max_concurrency": 1},
        **helped,
    ).fitted
    assert fitted is not None
    yield f"fit: {fitted.verdict}"


def rewritten(llm: ChatOpenAI, draw: Draw) -> Iterator[str]:
    """The instruction before four fixed examples, against proposals written by hand."""
    turns = few_shot(draw.pool[:4], "")[1:-1]
    prompt = ChatPromptTemplate([SystemMessage(SYSTEM), *turns, ("human", "{input}")])
    reply = json.dumps({str(i): text for i, text in enumerate(PROPOSALS, 1)})
    large = GenericFakeChatModel(messages=iter([AIMessage(reply)]))
    rows = [{"input": text, "output": label} for text, label in draw.test + draw.pool[1000:1400]]
    rewriter = PromptRewriter(
        llm,
        large,
        spend=Spend(calls=6 * len(draw.test)),
        promise=0.02,
        prices={MODEL_NAME: [0.1, 0.4]},
        config={"max_concurrency": 1},
    )
    found = rewriter.rewrite(prompt, rows)
    yield f"{found.verdict}; {found.evidence.calls} calls"
    for tried in found.evidence.tried:
        yield (
            f"  {100 * tried.accuracy:5.1f} % of {tried.rows:>3} rows, {tried.tokens:.0f} tokens: "
            f"{tried.prompt!r}; {tried.why}"
        )


def main() -> None:
    """Run the parts and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("examples", "concatenate", "rewrite"))
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    draw = Draw.of(arguments.seed, arguments.rows)
    printed: list[Any] = []
    with LocalModel() as server:
        llm = ChatOpenAI(
            model=server.name,
            base_url=server.base_url,
            api_key=SecretStr("none"),
            temperature=0,
            max_completion_tokens=3,
        )
        parts: dict[str, list[Callable[[ChatOpenAI, Draw], Iterator[Row | str]]]] = {
            "examples": [examples, fitted_examples],
            "concatenate": [concatenated],
            "rewrite": [rewritten],
        }
        for name, functions in parts.items():
            if arguments.only in (None, name):
                print(f"\n{name}, {arguments.rows} test rows, seed {arguments.seed}\n{HEAD}")
                for line in (line for function in functions for line in function(llm, draw)):
                    print(line, flush=True)
                    printed.append(asdict(line) if isinstance(line, Row) else line)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(printed, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
