"""Cascades on recorded confidences, beside Markov-copula threshold tuning.

    python -m benchmarks.chains [--draws 3] [--json results/chains.json]

Data: answers of a llama chain (five models, 26 ordered sub-chains) and of a qwen/openai chain (four
models, 11 sub-chains) to MMLU and TriviaQA, from the repository mzelling/rational-llm-cascades.
All methods are fitted on the train file (at most 300 labelled queries, or a random 50 of them) and
scored on the test file.

Area under the error-cost curve, as the peer defines it: every fitted policy is scored on the test
file, the points (cost, accuracy) are joined by straight lines in the order of cost (no Pareto
filter), and
    area = 1 - integral of accuracy over [low, high] / (high - low)
where low is the larger of the two smallest costs and high the smaller of the two largest costs of
the peer's two curves (copula and grid search) for this cascade. Lower is better. All methods are
measured on that interval. Where a curve ends before `high`, its last accuracy is carried on, for
money need not be spent; our curves also hold their cheapest single model, so that nothing is
carried to the left. Cascades whose two peer curves share no cost are left out: on MMLU, two of the
qwen/openai chain, whose last model never pays there.

Costs are USD per million queries. Methods that tune thresholds pay a model's mean price over the
file, as published; the product pays what each answer cost, which raises its ratios by about .01.

Rows:
    copula           the peer; the seconds of what its cascades share are divided among them
    thresholds only  the peer's family, plain thresholds in the given order, tuned by our backward
                     induction on Platt-calibrated confidences
    product          `frugal_core.fit` with all it may do: read texts, compare answers, add a
                     student, change the order of models and leave models out

Ratio: mean area over the copula's on all labels, in the same run; median and worst: of the ratios
of single cascades. Wins: share of cascades below that copula. Seconds: CPU per fit.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from benchmarks.peers import copula
from frugal_core import Recording, fit
from frugal_core.arrays import Bools, Floats
from frugal_core.routing import backward_induction
from frugal_core.table import Table

Curve = tuple[Floats, Floats]  # costs and accuracies of a family of policies
Models = tuple[int, ...]

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data" / "recordings"
DATASETS = ("mmlu", "triviaqa")
CHAINS = ("llama", "qwen_openai")
FEW = 50
GOALS = {True: 1.01, False: 1.03}  # ratio of the product from all labels, and from few
PUBLISHED = (
    "published by the peer's authors, mean of the 26 llama cascades: "
    "mmlu copula 0.2880, grid search 0.2881; triviaqa copula 0.1820, grid search 0.1831"
)


@dataclass(frozen=True)
class Split:
    """A recording and, for thresholds, its columns; models from cheap to dear."""

    recording: Recording
    confidence: Floats  # transformed, may be infinite
    correct: Bools
    costs: Floats

    @classmethod
    def load(cls, dataset: str, chain: str, part: str) -> Split:
        prices = RECORDINGS / "prices_chains.json"
        recording = Recording.load(RECORDINGS / f"{dataset}_{chain}_{part}.jsonl.gz", prices)
        table = Table.of(recording, recording.models, labels=[])
        log_p = np.where(np.isnan(table.confidence), -np.inf, np.minimum(table.confidence, 0.0))
        confidence = (one_sided if dataset == "mmlu" else two_sided)(log_p)
        return cls(recording, confidence, table.correct == 1, 1e6 * table.usd.mean(axis=0))

    def rows(self, index: NDArray[np.int64]) -> Split:
        """Some of the queries. Costs stay: prices need no labels."""
        part = self.recording.select(index)
        return Split(part, self.confidence[index], self.correct[index], self.costs)

    def models(self, models: Models) -> Split:
        part = self.recording.only([self.recording.models[m] for m in models])
        m = list(models)
        return Split(part, self.confidence[:, m], self.correct[:, m], self.costs[m])


def one_sided(log_p: Floats) -> Floats:
    """-ln(1 - p): for answers picked from a list, where p cannot fall far."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(-np.expm1(log_p)))


def two_sided(log_p: Floats) -> Floats:
    """-ln 2 - ln(1 - p) above one half, ln 2 + ln p below: for free text, with two tails."""
    high = log_p >= np.log(0.5)
    above = one_sided(np.where(high, log_p, -1.0)) - np.log(2)
    return np.where(high, above, np.log(2) + log_p)


def subchains(size: int) -> list[Models]:
    """All ordered sub-chains of at least two of `size` models."""
    return [models for length in range(2, size + 1) for models in combinations(range(size), length)]


def area(curve: Curve, low: float, high: float) -> float:
    """Normalised area under the error-cost curve between two costs (see the module's text)."""
    cost, where = np.unique(np.round(curve[0], 9), return_inverse=True)
    accuracy = np.bincount(where, curve[1]) / np.bincount(where)
    at = np.unique(np.concatenate([[low, high], cost[(cost > low) & (cost < high)]]))
    return float(1 - np.trapezoid(np.interp(at, cost, accuracy), at) / (high - low))


def score_thresholds(p: Floats, thresholds: Floats, data: Split, strict: bool = False) -> Curve:
    """Curve of rows of thresholds [m, k-1] on P(correct) [n, k]; the peer accepts only above."""
    paid, n = np.cumsum(data.costs), len(p)
    alive = np.ones((len(thresholds), n), dtype=bool)
    right, cost = np.zeros(len(thresholds)), np.zeros(len(thresholds))
    for k in range(p.shape[1]):
        take = alive
        if k < p.shape[1] - 1:
            t = thresholds[:, k, None]
            take = alive & (p[:, k] > t if strict else p[:, k] >= t)
        right += take @ data.correct[:, k].astype(float)
        cost += take.sum(axis=1) * paid[k]
        alive = alive & ~take
    return cost / n, right / n


def grid_search(p: Floats, costs: Floats) -> Floats:
    """The peer's grid search (quantiles .010, .035 .. .985 per model), by prefix sums."""
    n, size = p.shape
    edges = [np.quantile(p[:, k], np.arange(0.01, 0.99, 0.025)) for k in range(size - 1)]
    count = len(edges[0])
    bins = [np.searchsorted(e, p[:, k], side="left") for k, e in enumerate(edges)]
    paid = np.cumsum(costs)
    totals = np.zeros((2, *(count,) * (size - 1)))
    for k in range(size):
        axes = min(k + 1, size - 1)
        for out, weights in enumerate((p[:, k], np.full(n, paid[k]))):
            h = np.zeros((count + 1,) * axes)
            np.add.at(h, tuple(bins[:axes]), weights)
            for axis in range(axes):
                h = np.cumsum(h, axis=axis)
            if k < size - 1:  # accepted here: above this threshold, not above any earlier one
                h = h[..., -1:] - h
            h = h[(slice(0, count),) * axes]
            totals[out] += h.reshape(h.shape + (1,) * (size - 1 - axes))
    right, cost = totals[0].ravel(), totals[1].ravel()
    order = np.lexsort((-right, cost))
    best = np.maximum.accumulate(right[order])
    keep = order[np.concatenate([[True], best[1:] > best[:-1] + 1e-9])]
    cells = np.unravel_index(keep, (count,) * (size - 1))
    return np.column_stack([edges[k][cells[k]] for k in range(size - 1)])


@dataclass(frozen=True)
class Reference:
    """The peer on one cascade, and the interval that all methods are measured on."""

    low: float
    high: float
    area: float
    seconds: float


def run_peer(train: Split, test: Split) -> dict[Models, Reference]:
    """Fit both published methods; the seconds of the marginals are shared out over the cascades."""
    chains, started = subchains(len(train.costs)), time.process_time()
    model = copula.fit(train.confidence, train.correct, train.costs)
    shared = (time.process_time() - started) / len(chains)
    out = {}
    for models in chains:
        started = time.process_time()
        chain = model.chain(models)
        tuned = chain.profile()
        seconds = time.process_time() - started + shared
        searched = grid_search(model.calibrated[:, list(models)], train.costs[list(models)])
        view, p = test.models(models), chain.calibrate(test.confidence)
        best, grid = (score_thresholds(p, rows, view, strict=True) for rows in (tuned, searched))
        low, high = max(best[0].min(), grid[0].min()), min(best[0].max(), grid[0].max())
        if high > low:
            out[models] = Reference(low, high, area(best, low, high), seconds)
    return out


def platt(confidence: Floats, correct: Bools) -> copula.Platt:
    """Logistic regression on one feature, the slope with a unit normal prior."""
    finite = confidence[np.isfinite(confidence)]
    low, high = float(finite.min()), float(finite.max())
    x, y = np.clip(confidence, low, high), correct.astype(float)

    def loss(beta: Floats) -> tuple[float, Floats]:
        z = beta[0] + beta[1] * x
        off = 1 / (1 + np.exp(-z)) - y
        value = np.logaddexp(0.0, z).sum() - y @ z + beta[1] ** 2 / 2
        return float(value), np.array([off.sum(), off @ x + beta[1]])

    beta = minimize(loss, np.zeros(2), jac=True, method="BFGS").x
    return copula.Platt(float(beta[0]), float(beta[1]), low, high)


def thresholds_only(train: Split) -> Callable[[Split], Curve]:
    """Backward induction on calibrated confidences; "first model only" is always among them."""
    fitted = [platt(c, y) for c, y in zip(train.confidence.T, train.correct.T, strict=True)]

    def calibrate(data: Split) -> Floats:
        return np.column_stack([f(data.confidence[:, k]) for k, f in enumerate(fitted)])

    found = backward_induction(calibrate(train), train.costs)
    thresholds = np.array([*found, np.zeros(len(fitted) - 1)])
    return lambda test: score_thresholds(calibrate(test), thresholds, test)


def product(train: Split) -> Callable[[Split], Curve]:
    """The frontier of the product."""
    policy = fit(train.recording, budget=1e9)

    def score(test: Split) -> Curve:
        curve = policy.curve(test.recording)
        cheapest = min(curve.singles, key=lambda point: point.usd)
        points = list(curve.frontier)
        if cheapest.usd < min(point.usd for point in points):
            points.append(cheapest)
        return np.array([1e6 * p.usd for p in points]), np.array([p.accuracy for p in points])

    return score


METHODS = {"thresholds only": thresholds_only, "product": product}


@dataclass(frozen=True)
class Row:
    """One line of the table; see the module's text."""

    dataset: str
    chain: str
    cascades: int
    method: str
    labels: int
    verdict: str
    area: float
    ratio: float
    wins: float
    median: float
    worst: float
    seconds: float

    def line(self) -> str:
        return (
            f"{self.dataset:9} {self.chain:11} {self.cascades:2d}  {self.method:15} "
            f"{self.labels:6d} {self.area:7.4f} {self.ratio:6.3f} {self.wins:5.0%} "
            f"{self.median:6.3f} {self.worst:6.3f} {self.seconds:6.3f}  {self.verdict}"
        )


def compare(dataset: str, chain: str, draws: int) -> list[Row]:
    """All rows for one data set and chain; few labels are random subsets of the train file."""
    train, test = (Split.load(dataset, chain, part) for part in ("train", "test"))
    peer = run_peer(train, test)
    base, n = np.array([r.area for r in peer.values()]), len(train.correct)

    def row(method: str, labels: int, areas: Floats, seconds: list[float]) -> Row:
        """`areas` has one line per draw and one column per cascade."""
        ratio, verdict = float(areas.mean() / base.mean()), ""
        if method == "product":
            goal = GOALS[labels == n]
            verdict = f"{'reached' if ratio <= goal else 'MISSED'}: ratio <= {goal}"
        single, wins = areas.mean(axis=0) / base, (areas < base).mean()
        figures = areas.mean(), ratio, wins, np.median(single), single.max(), np.mean(seconds)
        numbers = [float(figure) for figure in figures]
        return Row(dataset, chain, len(base), method, labels, verdict, *numbers)

    rows = [row("copula (peer)", n, base[None], [r.seconds for r in peer.values()])]
    few = [train.rows(np.random.default_rng(seed).permutation(n)[:FEW]) for seed in range(draws)]
    for name, method in METHODS.items():
        for labels, parts in ((n, [train]), (FEW, few)):
            areas, seconds = np.zeros((len(parts), len(base))), []
            for i, part in enumerate(parts):
                for j, (models, r) in enumerate(peer.items()):
                    data, started = part.models(models), time.process_time()
                    score = method(data)
                    seconds.append(time.process_time() - started)
                    areas[i, j] = area(score(test.models(models)), r.low, r.high)
            if parts:
                rows.append(row(name, labels, areas, seconds))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=3, help="random draws of 50 labels")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not RECORDINGS.is_dir():
        print("skipped: the recordings are not beside the repository")
        return
    print(
        f"{'data':9} {'chain':11} {'n':>2}  {'method':15} {'labels':>6} {'area':>7} {'ratio':>6} "
        f"{'wins':>5} {'median':>6} {'worst':>6} {'s/fit':>6}"
    )
    rows: list[Row] = []
    for chain in CHAINS:
        for dataset in DATASETS:
            with threadpool_limits(1):  # CPU seconds of waiting threads would count
                found = compare(dataset, chain, options.draws)
            rows += found
            print("\n".join(row.line() for row in found), flush=True)
    print(PUBLISHED)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1), "utf-8")


if __name__ == "__main__":
    main()
