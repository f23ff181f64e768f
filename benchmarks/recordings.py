"""Quality and savings on recorded answers, on rows that nothing was fitted on.

    python -m benchmarks.recordings [--resplits 200] [--json results/recordings.json]

Every row of the output is the mean over resplits: the recording is cut at random into rows for
fitting and rows for reporting, the policy is fitted on the first and reported on the second.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from frugal_core import Evaluation, Policy, Recording, fit

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data" / "recordings"


@dataclass(frozen=True)
class Row:
    """One line of the table: means over resplits."""

    claim: str
    data: str
    resplits: int
    accuracy: float
    reference_accuracy: float
    saving_vs_reference: float
    saving_vs_dearest: float
    certified: float
    broken: float
    seconds: float
    reached: str


def load(name: str, prices: str = "prices_labels.json") -> Recording:
    """One recording, or both files of a chain together."""
    if (RECORDINGS / f"{name}.jsonl.gz").is_file():
        return Recording.load(RECORDINGS / f"{name}.jsonl.gz", prices=RECORDINGS / prices)
    parts = [load(f"{name}_{part}", prices) for part in ("train", "test")]
    return Recording(parts[0].queries + parts[1].queries, parts[0].prices)


def labelled_at_most(recording: Recording, rows: int) -> Recording:
    """The recording with gold labels for its first rows alone."""
    blind = recording.unlabelled().queries
    return Recording(recording.queries[:rows] + blind[rows:], recording.prices)


def measure(
    claim: str,
    data: str,
    splits: Iterable[Sequence[Recording]],
    fitted: Callable[[Recording, int], Policy],
    reached: Callable[[list[Evaluation]], str],
) -> Row:
    """Fit and evaluate on every split."""
    results: list[Evaluation] = []
    started = time.perf_counter()
    for seed, (rows, held_out) in enumerate(splits):
        results.append(fitted(rows, seed).evaluate(held_out))
    seconds = (time.perf_counter() - started) / len(results)
    certified = [r for r in results if r.certificate is not None]
    broken = [r for r in certified if r.certificate and not r.certificate.holds]

    def mean(values: list[float]) -> float:
        return float(np.mean(values))

    return Row(
        claim,
        data,
        len(results),
        mean([r.accuracy for r in results]),
        mean([r.reference.accuracy for r in results]),
        mean([r.saving_vs_reference for r in results]),
        mean([r.saving_vs_dearest for r in results]),
        len(certified) / len(results),
        len(broken) / len(results),
        seconds,
        reached(results),
    )


def headlines_gold(resplits: int) -> Row:
    """All labels, a budget of a tenth of the best single model's cost."""
    recording = load("headlines_train")

    def fitted(rows: Recording, seed: int) -> Policy:
        best = fit(rows, budget=1e9, student=False, tiers=[_best_single(rows)], seed=seed)
        return fit(rows, budget=0.1 * best.singles[0].usd_per_1k, seed=seed)

    def reached(results: list[Evaluation]) -> str:
        accuracy = np.mean([r.accuracy for r in results])
        share = np.mean([1 - r.saving_vs_reference for r in results])
        return _verdict(bool(accuracy >= 0.895 and share <= 0.10), ">= .895 at <= 10 % of cost")

    splits = (recording.split(0.75, 0.25, seed=seed) for seed in range(resplits))
    return measure("accuracy at a tenth of the cost", "HEADLINES", splits, fitted, reached)


def headlines_split(recording: Recording, labelled: int, seed: int) -> tuple[Recording, Recording]:
    """Rows to fit on, some of them labelled, and rows held out."""
    rows, held_out = recording.split(0.75, 0.25, seed=seed)
    return labelled_at_most(rows, labelled), held_out


def headlines_certified(resplits: int, labelled: int, student: bool, goal: float) -> Row:
    """Promise of one point; with a student, all other rows teach it by their answers alone."""
    recording = load("headlines_train")

    def split(seed: int) -> tuple[Recording, Recording]:
        return headlines_split(recording, labelled if student else len(recording), seed)

    def fitted(rows: Recording, seed: int) -> Policy:
        return fit(rows, promise=0.01, student=student, seed=seed)

    def reached(results: list[Evaluation]) -> str:
        saved = np.mean([r.saving_vs_reference for r in results])
        return _verdict(bool(saved >= goal), f"saving >= {goal:.0%} vs best")

    name = f"{labelled:,} labels" if student else "no student"
    splits = (split(seed) for seed in range(resplits))
    return measure(f"promise 1 point, {name}", "HEADLINES", splits, fitted, reached)


def overruling(resplits: int) -> Row:
    """A budget of a thousandth of the dearest model's cost."""
    recording = load("overruling_train")

    def fitted(rows: Recording, seed: int) -> Policy:
        dearest = max(_usd_per_1k(rows, model) for model in rows.models)
        return fit(rows, budget=0.001 * dearest, seed=seed)

    def reached(results: list[Evaluation]) -> str:
        saved = np.mean([r.saving_vs_dearest for r in results])
        lost = np.mean([r.accuracy - r.dearest.accuracy for r in results])
        ok = bool(round(float(saved), 3) >= 0.999 and lost >= -0.005)
        return _verdict(ok, f"saving >= 99.9 % vs dearest, {100 * lost:+.2f} points (>= -0.5)")

    splits = (recording.split(0.8, 0.2, seed=seed) for seed in range(resplits))
    return measure("a thousandth of the dearest", "OVERRULING", splits, fitted, reached)


def promise_kept(name: str, prices: str, share: float, resplits: int, epsilon: float) -> Row:
    """How often the promise is broken on held-out rows."""
    recording = load(name, prices)

    def fitted(rows: Recording, seed: int) -> Policy:
        return fit(rows, promise=epsilon, seed=seed)

    def reached(results: list[Evaluation]) -> str:
        held = [r.certificate for r in results if r.certificate is not None]
        broken = sum(not certificate.holds for certificate in held) / len(results)
        # Three standard errors of a share of 5 % over the resplits.
        limit = 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(results))
        return _verdict(bool(broken <= limit), f"broken {broken:.1%} (<= 5 % + noise {limit:.1%})")

    splits = (recording.split(share, 1 - share, seed=seed) for seed in range(resplits))
    rows = round(share * len(recording))
    return measure(f"promise {100 * epsilon:g} of {rows} rows", name, splits, fitted, reached)


def _best_single(recording: Recording) -> str:
    def accuracy(model: str) -> float:
        return float(np.mean([bool(query.answers[model].correct) for query in recording]))

    return max(recording.models, key=accuracy)


def _usd_per_1k(recording: Recording, model: str) -> float:
    answers = [query.answers[model] for query in recording]
    return 1000 * float(np.mean([*map(recording.prices.price(model).cost_of, answers)]))


def _verdict(ok: bool, goal: str) -> str:
    return f"{'reached' if ok else 'MISSED'}: {goal}"


def write(folder: Path) -> None:
    """The two recordings of the README, and their prices, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, held_out = headlines_split(load("headlines_train"), 2000, seed=0)
    rows.save(folder / "answers.jsonl.gz")
    held_out.save(folder / "held_out.jsonl.gz")
    shutil.copyfile(RECORDINGS / "prices_labels.json", folder / "prices.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resplits", type=int, default=200, help="for the promise rows")
    parser.add_argument("--fits", type=int, default=10, help="resplits for the other rows")
    parser.add_argument("--only", default="", help="run the rows whose data starts so")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path, help="only write the README's recordings there")
    options = parser.parse_args()
    if not RECORDINGS.is_dir():
        print("skipped: the recordings are not beside the repository")
        return
    if options.write:
        write(options.write)
        return
    chains = "prices_chains.json"
    runs: list[tuple[str, Callable[[], Row]]] = [
        ("HEADLINES", lambda: headlines_gold(options.fits)),
        ("HEADLINES", lambda: headlines_certified(options.fits, 2000, True, 0.80)),
        ("HEADLINES", lambda: headlines_certified(options.fits, 6000, False, 0.40)),
        ("OVERRULING", lambda: overruling(options.fits)),
    ]
    for name, prices, share in [
        ("headlines_train", "prices_labels.json", 0.0625),
        ("overruling_train", "prices_labels.json", 0.5),
        ("triviaqa_llama", chains, 0.6),
        ("triviaqa_qwen_openai", chains, 0.6),
        ("mmlu_llama", chains, 0.6),
        ("mmlu_qwen_openai", chains, 0.6),
    ]:
        for epsilon in (0.01, 0.02):
            promise = partial(promise_kept, name, prices, share, options.resplits, epsilon)
            runs.append((name, promise))
    heading = (
        f"{'claim':34} {'data':22} {'n':>4} {'acc':>6} {'best':>6} {'vs best':>8} {'vs dear':>8}"
    )
    print(f"{heading} {'cert':>5} {'broken':>6} {'s/fit':>5}")
    rows = []
    for data, run in runs:
        if not data.startswith(options.only):
            continue
        row = run()
        rows.append(asdict(row))
        print(
            f"{row.claim:34} {row.data:22} {row.resplits:4d} {row.accuracy:6.4f} "
            f"{row.reference_accuracy:6.4f} {row.saving_vs_reference:8.2%} "
            f"{row.saving_vs_dearest:8.2%} {row.certified:5.0%} {row.broken:6.1%} "
            f"{row.seconds:5.1f}  {row.reached}",
            flush=True,
        )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
