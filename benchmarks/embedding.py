"""The default embedder: how well its cosine tells duplicate questions, and what a sentence takes.

    python -m benchmarks.embedding [--json results/embedding.json]

The published float32 weights have an AUC of .8817 on the first 2,000 of these pairs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from frugal_core.arrays import Bools
from frugal_core.embedding import MiniLM

PAIRS = Path("../shared/data/duplicates/quora_pairs_dev.jsonl.gz")


def read_pairs() -> tuple[list[str], list[str], Bools]:
    """Both questions of every labelled pair, and whether they are duplicates."""
    with gzip.open(PAIRS, "rt", encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    labels = np.array([pair["duplicate"] for pair in pairs])
    return [pair["a"] for pair in pairs], [pair["b"] for pair in pairs], labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not PAIRS.is_file():
        print(f"skipped: {PAIRS} is not here")
        return
    embedder = MiniLM()
    started = time.process_time()
    embedder.embed(["load"])
    figures = {"load_cpu_s": time.process_time() - started}

    left, right, labels = read_pairs()
    started = time.process_time()
    vectors = embedder.embed(left + right)
    figures["batched_cpu_ms"] = 1000 * (time.process_time() - started) / len(vectors)
    cosines = np.einsum("ij,ij->i", vectors[: len(left)], vectors[len(left) :])
    figures["auc"] = float(roc_auc_score(labels, cosines))
    figures["auc_2000"] = float(roc_auc_score(labels[:2000], cosines[:2000]))

    single = []
    for text in left[:300]:
        started = time.process_time()
        embedder.embed([text])
        single.append(time.process_time() - started)
    figures["single_cpu_ms"] = 1000 * statistics.median(single)

    print(f"{embedder.id} on {len(labels):,} labelled pairs of questions, one thread")
    print(f"AUC of the cosine    {figures['auc']:8.4f}")
    print(f"  first 2,000 pairs  {figures['auc_2000']:8.4f}  (published float32 weights: .8817)")
    print(f"one sentence alone   {figures['single_cpu_ms']:8.2f}  CPU ms")
    print(f"one of many          {figures['batched_cpu_ms']:8.2f}  CPU ms")
    print(f"loading              {figures['load_cpu_s']:8.2f}  CPU s, once per process")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
