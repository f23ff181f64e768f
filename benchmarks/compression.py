"""Does the answer survive compression, is the budget kept, and what does it cost?

    python -m benchmarks.compression [--peer-rows 5] [--json results/compression.json]

An answer survives if it stands in what is left, after lower-casing and removing punctuation and
articles; for HotpotQA it is also counted whether both supporting sentences do. Tokens are cl100k of
the text with its titles. CPU is that of this process on one thread.

The questions in Chinese, Japanese and Thai are made here (`compression_languages`) from templates:
they show that scripts without spaces work, not how hard real questions are.

LLMLingua runs on the weights of the local model where it is installed, on a few prompts because of
its cost: `pip install llmlingua==0.2.2 transformers==4.46.3 gguf` in an environment of its own,
because newer transformers changed the cache that it reaches into, and older ones cannot read the
weights.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import string
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.compression_languages import LANGUAGES, prompts
from benchmarks.peers.compression import Peer, peers
from frugal_core.compress import Document, compress, default_counter, estimate_tokens

CONTEXTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "contexts"
RATIOS = (2, 4, 6)
MOST_MS = 10.0
"""CPU milliseconds per 1,000 tokens that ours may take."""
GOALS = {
    "NQ-20": {2: 97, 4: 94, 6: 92},
    "SQuAD-20": {2: 99, 4: 98, 6: 98},
    "HotpotQA": {2: 96, 4: 88, 6: 76},
    "HotpotQA both supports": {2: 88, 4: 70, 6: 54},
    "Chinese": {4: 95},
    "Japanese": {4: 95},
    "Thai": {4: 95},
}
"""Survival in percent that is to be reached, by ratio."""

Method = Callable[[str, list[dict[str, str]], int], str]
"""A question, documents and a budget in tokens to a text."""

count = default_counter()


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        method: Who compressed.
        data: What was compressed.
        ratio: Tokens before by tokens allowed.
        prompts: How many.
        survived: Percent of the answers that stand in what is left.
        supports: Percent of the prompts with all supporting sentences left; None without any.
        overruns: Prompts over the budget.
        achieved: Mean of tokens before by tokens after.
        ms: CPU milliseconds per 1,000 tokens of the prompt.
    """

    method: str
    data: str
    ratio: int
    prompts: int
    survived: float
    supports: float | None
    overruns: int
    achieved: float
    ms: float


def ours(question: str, documents: list[dict[str, str]], budget: int) -> str:
    """This library, as a user would call it."""
    given = [Document(document["text"], document["title"]) for document in documents]
    return compress(given, question, token_budget=budget).text


def first_tokens(question: str, documents: list[dict[str, str]], budget: int) -> str:
    """The beginning of the context, by halves until it is no longer over the budget."""
    text, low, high = render(documents), 0, len(render(documents))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(text[:middle]) <= budget else (low, middle - 1)
    return text[:low]


def tf_idf(question: str, documents: list[dict[str, str]], budget: int) -> str:
    """Sentences by the TF-IDF cosine with the question, which everybody can write in an hour."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    sentences = [s for d in documents for s in re.split(r"(?<=[.!?])\s+", d["text"]) if s]
    vectors = TfidfVectorizer(stop_words="english").fit_transform([*sentences, question])
    scores = (vectors[:-1] @ vectors[-1].T).toarray().ravel()
    kept: list[int] = []
    used = 0
    for index in sorted(range(len(sentences)), key=lambda i: -scores[i]):
        cost = count(" " + sentences[index])
        if used + cost <= budget:
            kept.append(index)
            used += cost
    return " ".join(sentences[index] for index in sorted(kept))


def render(documents: Sequence[dict[str, str]]) -> str:
    """The whole context, as budgets are counted."""
    return "\n".join(f"[{document['title']}] {document['text']}" for document in documents)


def normalised(text: str) -> str:
    """Lower case, no punctuation, no articles."""
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(?:a|an|the)\b", " ", bare).split())


def load(name: str) -> list[dict[str, Any]]:
    """One of the development sets."""
    with gzip.open(CONTEXTS / f"{name}_dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def measure(
    name: str, method: Method, data: str, rows: Sequence[dict[str, Any]], ratio: int
) -> Row:
    """Compress all prompts and look for the answers."""
    survived = supported = overruns = before = 0
    achieved = seconds = 0.0
    for row in rows:
        tokens = count(render(row["documents"]))
        started = time.process_time()
        text = method(row["question"], row["documents"], tokens // ratio)
        seconds += time.process_time() - started
        left = normalised(text)
        survived += any(normalised(answer) in left for answer in row["answers"])
        supported += all(normalised(sentence) in left for sentence in row.get("support", ()))
        overruns += count(text) > tokens // ratio
        achieved += tokens / max(count(text), 1)
        before += tokens
    n = len(rows)
    return Row(
        method=name,
        data=data,
        ratio=ratio,
        prompts=n,
        survived=100 * survived / n,
        supports=100 * supported / n if "support" in rows[0] else None,
        overruns=overruns,
        achieved=achieved / n,
        ms=1e6 * seconds / before,
    )


def verdict(row: Row) -> str:
    """Whether ours reached what it should."""
    said = []
    goal = GOALS.get(row.data, {}).get(row.ratio)
    if goal is not None:
        said.append(_reached(row.survived >= goal, f">= {goal}"))
    both = GOALS.get(f"{row.data} both supports", {}).get(row.ratio)
    if both is not None and row.supports is not None:
        said.append(_reached(row.supports >= both, f">= {both}"))
    said.append(_reached(row.overruns == 0, "0 over"))
    said.append(_reached(row.ms <= MOST_MS, f"<= {MOST_MS:g} ms"))
    return ", ".join(said)


def _reached(ok: bool, goal: str) -> str:
    return f"{'reached' if ok else 'MISSED'} {goal}"


def show(row: Row, remark: str = "") -> None:
    """Print one line."""
    supports = "     " if row.supports is None else f"/{row.supports:4.1f}"
    print(
        f"{row.method:<22} {row.data:<10} {row.ratio}x {row.prompts:4} {row.survived:6.1f}"
        f"{supports} {row.overruns:5} {row.achieved:6.2f}x {row.ms:10.1f}  {remark}",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--peer-rows", type=int, default=5, help="prompts for peers with a model")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if count is estimate_tokens:
        print("tiktoken's data is not on this machine: tokens are estimated, and so is everything")
    data = {name: list(prompts(language)) for name, language in LANGUAGES.items()}
    if CONTEXTS.is_dir():
        names = {"NQ-20": "nq20", "SQuAD-20": "squad20", "HotpotQA": "hotpot"}
        data = {name: load(file) for name, file in names.items()} | data
    else:
        print(f"NQ-20, SQuAD-20 and HotpotQA are skipped: {CONTEXTS} is not there")
    ours("warm?", [{"title": "", "text": "It is. " * 20}], 20)
    print(
        f"{'method':<22} {'data':<10} {'':2} {'n':>4} {'survived %':>11} {'over':>5} "
        f"{'ratio':>7} {'ms/1k tok':>10}"
    )
    rows = []
    for name, prompts_ in data.items():
        for ratio in RATIOS:
            rows.append(measure("ours", ours, name, prompts_, ratio))
            show(rows[-1], verdict(rows[-1]))
    english = [name for name in data if name in ("NQ-20", "SQuAD-20", "HotpotQA")]
    for title, method in (("first tokens", first_tokens), ("TF-IDF sentences", tf_idf)):
        for name in english:
            rows += [measure(title, method, name, data[name], ratio) for ratio in RATIOS]
            for row in rows[-len(RATIOS) :]:
                show(row)
    found: list[Peer] = peers()
    for peer in found:
        if peer.method is None:
            print(f"{peer.name:<22} does not run here: {peer.why}")
            continue
        for name in english:
            sample = random.Random(0).sample(data[name], options.peer_rows)
            rows.append(measure(peer.name, peer.method, name, sample, 4))
            show(rows[-1])
            rows.append(measure("ours, same prompts", ours, name, sample, 4))
            show(rows[-1])
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1), "utf-8")


if __name__ == "__main__":
    main()
