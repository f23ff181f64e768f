"""Cascades on recorded confidences: threshold tuning compared with the Markov-copula peer.

Data: recorded answers of a llama chain (five models) and a qwen/openai chain (four) on MMLU and TriviaQA, from the
repository mzelling/rational-llm-cascades. Everything is fitted on the train file (at most 300 labelled questions) and
scored on the test file. Costs are USD per million queries: a model's mean price per query over the file.

Area under the error-cost curve, as the peer defines it: every fitted policy is scored on the test file, the points
(cost, accuracy) are joined by straight lines in the order of cost (no Pareto filter), and
    area = 1 - integral of accuracy over [low, high] / (high - low)
where low is the larger of the two smallest costs and high the smaller of the two largest costs of the peer's two curves
(copula and grid search) for this cascade. Lower is better. All methods here are measured on that same interval; where a
curve ends before `high` its last accuracy is carried on (money need not be spent), and each of our curves contains the
policy "first model only", so nothing is carried to the left. Cascades whose two peer curves share no cost are left out
(two of the qwen/openai chain on MMLU: its last model never pays there).

Two families of policy are compared:
* thresholds: tier k accepts when its calibrated confidence reaches a threshold, otherwise tier k + 1 is called (the
  peer's family);
* jumps: after each answer accept it or call any later tier, decided by the tier's calibrated confidence alone.

Run `python benchmarks/chains.py [folder of recordings]`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))

from peers import copula

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Curve = tuple[Floats, Floats]  # costs and accuracies of a family of policies
Models = tuple[int, ...]

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data" / "recordings"
DATASETS = ("mmlu", "triviaqa")
MODELS = {
    "llama": ("llama3.2-1b", "llama3.2-3b", "llama3.1-8b", "llama3.1-70b", "llama3.1-405b"),
    "qwen_openai": ("gpt-4o-mini", "qwen2.5-32b-coder-instruct", "qwen2.5-72b-instruct", "gpt-4o"),
}
# Numbers recorded by the peer's authors (mean area of the 26 llama cascades), for the sanity column of the report.
PUBLISHED = {
    "mmlu": {"copula": 0.2880, "grid": 0.2881},
    "triviaqa": {"copula": 0.1820, "grid": 0.1831},
}


@dataclass(frozen=True)
class Split:
    """Answers of a chain's models to the questions of one file; columns are models, cheap to dear."""

    confidence: Floats  # transformed, may be infinite
    correct: Bools
    answer: NDArray[np.int64]  # equal numbers in a row are equal answers
    costs: Floats

    def rows(self, index: NDArray[np.int64]) -> Split:
        return Split(self.confidence[index], self.correct[index], self.answer[index], self.costs)

    def models(self, models: Sequence[int]) -> Split:
        m = list(models)
        return Split(self.confidence[:, m], self.correct[:, m], self.answer[:, m], self.costs[m])


def one_sided(log_p: Floats) -> Floats:
    """-ln(1 - p): for answers picked from a list, where p cannot fall far."""
    with np.errstate(divide="ignore"):
        out: Floats = -np.log(-np.expm1(log_p))
    return out


def two_sided(log_p: Floats) -> Floats:
    """-ln 2 - ln(1 - p) above one half, ln 2 + ln p below: for free text, where p has two tails."""
    high = log_p >= np.log(0.5)
    out: Floats = np.where(
        high, one_sided(np.where(high, log_p, -1.0)) - np.log(2), np.log(2) + log_p
    )
    return out


def _plain_text(text: str) -> str:
    return (
        " ".join(re.sub(r"\b(the|a|an)\b", " ", re.sub(r"[^a-z0-9 ]", "", text.lower())).split())
        or text.strip()
    )


def load(folder: Path, dataset: str, chain: str, split: str) -> Split:
    """Read one file; missing confidences count as "no confidence at all"."""
    names = MODELS[chain]
    prices: dict[str, list[float]] = json.loads(
        (folder / "prices_chains.json").read_text(encoding="utf-8")
    )
    with gzip.open(folder / f"{dataset}_{chain}_{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [[json.loads(line)["answers"][name] for name in names] for line in lines]
    log_p = np.array(
        [[-np.inf if a["confidence"] is None else a["confidence"] for a in row] for row in rows]
    )
    codes: dict[str, int] = {}
    plain = (
        (lambda text: text.strip()) if dataset == "mmlu" else _plain_text
    )  # "A" is an answer there, not an article
    answer = np.array(
        [[codes.setdefault(plain(a["text"]), len(codes)) for a in row] for row in rows]
    )
    # USD per million tokens times tokens per query is USD per million queries.
    cost = [
        np.mean(
            [
                row[m]["input_tokens"] * prices[name][0] + row[m]["output_tokens"] * prices[name][1]
                for row in rows
            ]
        )
        for m, name in enumerate(names)
    ]
    transform = one_sided if dataset == "mmlu" else two_sided
    correct = np.array([[bool(a["correct"]) for a in row] for row in rows])
    return Split(transform(np.minimum(log_p, 0.0)), correct, answer, np.array(cost))


def subchains(size: int) -> list[Models]:
    """All ordered sub-chains of at least two of `size` models."""
    return [models for length in range(2, size + 1) for models in combinations(range(size), length)]


# --------------------------------------------------------------------------- scoring


def area(curve: Curve, low: float, high: float) -> float:
    """Normalised area under the error-cost curve between two costs (see the module's text)."""
    cost, where = np.unique(np.round(curve[0], 9), return_inverse=True)
    accuracy = np.bincount(where, curve[1]) / np.bincount(where)
    at = np.unique(np.concatenate([[low, high], cost[(cost > low) & (cost < high)]]))
    return float(1 - np.trapezoid(np.interp(at, cost, accuracy), at) / (high - low))


def score_thresholds(p: Floats, thresholds: Floats, data: Split, *, strict: bool = False) -> Curve:
    """Curve of rows of thresholds [m, k-1] on scores [n, k]; `strict` accepts above the threshold only (the peer)."""
    paid, n = np.cumsum(data.costs), len(p)
    alive = np.ones((len(thresholds), n), dtype=bool)
    right, cost = np.zeros(len(thresholds)), np.zeros(len(thresholds))
    for k in range(p.shape[1]):
        if k == p.shape[1] - 1:
            take = alive
        else:
            reached = (
                p[:, k] > thresholds[:, k, None] if strict else p[:, k] >= thresholds[:, k, None]
            )
            take = alive & reached
        right += take @ data.correct[:, k].astype(float)
        cost += take.sum(axis=1) * paid[k]
        alive = alive & ~take
    return cost / n, right / n


# --------------------------------------------------------------------------- calibration


def logistic(design: Floats, y: Floats, prior: Floats, precision: Floats) -> Floats:
    """Logistic regression with a normal prior per coefficient, by damped Newton steps."""

    def loss(b: Floats) -> float:
        z = design @ b
        return float(
            np.logaddexp(0.0, z).sum() - y @ z + 0.5 * (precision * (b - prior) ** 2).sum()
        )

    beta = prior.astype(float)
    now = loss(beta)
    for _ in range(50):
        p = 1 / (1 + np.exp(-(design @ beta)))
        gradient = design.T @ (p - y) + precision * (beta - prior)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag(precision + 1e-9)
        step, scale = np.linalg.solve(hessian, gradient), 1.0
        while (then := loss(beta - scale * step)) > now + 1e-12 and scale > 1e-5:
            scale /= 2
        beta = beta - scale * step
        if abs(now - then) < 1e-9:
            break
        now = then
    return beta


Scorer = Callable[[Split], Floats]


def fit_platt(train: Split) -> Scorer:
    """One-feature logistic regression per model (slope with a unit normal prior, as C = 1 in scikit-learn)."""
    fitted = []
    for k in range(train.confidence.shape[1]):
        x = train.confidence[:, k]
        low, high = x[np.isfinite(x)].min(), x[np.isfinite(x)].max()
        design = np.column_stack([np.ones(len(x)), np.clip(x, low, high)])
        beta = logistic(
            design, train.correct[:, k].astype(float), np.zeros(2), np.array([1e-6, 1.0])
        )
        fitted.append((low, high, beta))

    def score(data: Split) -> Floats:
        z = [
            b[0] + b[1] * np.clip(data.confidence[:, k], low, high)
            for k, (low, high, b) in enumerate(fitted)
        ]
        out: Floats = 1 / (1 + np.exp(-np.column_stack(z)))
        return out

    return score


def _with_predecessor(p: Floats, data: Split, before: int, k: int) -> Floats:
    """Own logit, and the predecessor's P(correct) split by whether the two answers are equal."""
    own = np.clip(p[:, k], 1e-4, 1 - 1e-4)
    equal = data.answer[:, before] == data.answer[:, k]
    logit = np.clip(np.log(own / (1 - own)), -4, 4)
    return np.column_stack([logit, equal * p[:, before], ~equal * p[:, before]])


def fit_agreement(train: Split) -> Scorer:
    """Platt, then for tiers 2.. one shared correction by agreement with the tier called just before.

    The three weights are shared by all tiers (each has its own intercept) and their prior is "leave Platt as it is", so
    few labels cannot do harm. Only for families in which the tier before has always been called.
    """
    platt = fit_platt(train)
    p = platt(train)
    n, size = p.shape
    design = np.zeros((n * (size - 1), size - 1 + 3))
    for k in range(1, size):
        block = slice((k - 1) * n, k * n)
        design[block, k - 1] = 1.0
        design[block, size - 1 :] = _with_predecessor(p, train, k - 1, k)
    prior = np.concatenate([np.zeros(size - 1), [1.0, 0.0, 0.0]])
    precision = np.concatenate([np.full(size - 1, 0.5), np.ones(3)])
    beta = logistic(design, train.correct[:, 1:].T.ravel().astype(float), prior, precision)

    def score(data: Split) -> Floats:
        p = platt(data)
        later = [
            beta[k - 1] + _with_predecessor(p, data, k - 1, k) @ beta[size - 1 :]
            for k in range(1, size)
        ]
        return np.column_stack([p[:, 0], *(1 / (1 + np.exp(-z)) for z in later)])

    return score


# --------------------------------------------------------------------------- searches

SLOPE_RIDGE = 1.0


def lambdas(costs: Floats, count: int) -> Floats:
    """From 'the cheapest alone' to 'accuracy at any price': error points per USD, evenly spaced in the logarithm."""
    ordered = np.sort(costs)
    return np.append(np.geomspace(1 / ordered[1], 2e-4 / ordered[-1], count - 1), 0.0)


def _first_only(thresholds: Floats) -> Floats:
    return np.vstack([thresholds, np.full((1, thresholds.shape[1]), -np.inf)])


def search_coord(p: Floats, costs: Floats, count: int = 48) -> Floats:
    """Coordinate ascent on mean(P at the accepting tier - lambda * cost paid); warm start from lambda to lambda."""
    size = p.shape[1]
    order = [np.argsort(-p[:, k], kind="stable") for k in range(size - 1)]
    t = np.full(size - 1, np.inf)
    rows = []
    for weight in lambdas(costs, count):
        for _ in range(4):
            before = t.copy()
            value = p[:, -1] - weight * costs[-1]
            for k in range(size - 2, -1, -1):
                reached = np.asarray((p[:, :k] < t[:k]).all(axis=1))
                if reached.sum() < 5:
                    reached[:] = True
                index = order[k][reached[order[k]]]
                gain = np.concatenate([[0.0], np.cumsum(p[index, k] - value[index])])
                best = int(gain.argmax())
                if best in (0, len(index)):
                    t[k] = np.inf if best == 0 else -np.inf
                else:
                    t[k] = (p[index[best - 1], k] + p[index[best], k]) / 2
                value = np.where(p[:, k] >= t[k], p[:, k], value) - weight * costs[k]
            if np.array_equal(before, t):
                break
        rows.append(t.copy())
    return _first_only(np.unique(np.array(rows), axis=0))


def search_grid(p: Floats, costs: Floats) -> Floats:
    """The peer's grid search (quantiles .010, .035 .. .985 of each confidence, Pareto set), by prefix sums."""
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
            if k < size - 1:
                h = (
                    h[..., -1:] - h
                )  # accepted here: above this tier's threshold, not above any earlier one
            h = h[(slice(0, count),) * axes]
            totals[out] += h.reshape(h.shape + (1,) * (size - 1 - axes))
    right, cost = totals[0].ravel(), totals[1].ravel()
    order = np.lexsort((-right, cost))
    best = np.maximum.accumulate(right[order])
    keep = order[np.concatenate([[True], best[1:] > best[:-1] + 1e-9])]
    cells = np.unravel_index(keep, (count,) * (size - 1))
    return np.column_stack([edges[k][cells[k]] for k in range(size - 1)])


@dataclass(frozen=True)
class Plan:
    """Where to start and, per tier and later tier, the line `a + b * P` that predicts the value of calling it.

    Tier k accepts when no line exceeds its P; otherwise the tier with the highest line is called. As lines and P are
    functions of one number, this is a table of intervals: accept from t upwards, call j in an interval below, etc.
    """

    start: int
    lines: Floats  # [k, k, 2]; -inf where a call is impossible


def search_jumps(
    p: Floats, costs: Floats, count: int = 120, *, reach: int | None = None
) -> list[Plan]:
    """Backward induction with regressed values, for each lambda:

        W_k = max(P_k, E[W_j | P_k] over later j; realised values of the choice) - lambda * c_k
        E[W_j | P_k] = a_kj + b_kj * P_k      ridge regression over all train rows (slope penalty 1)

    Values are calibrated probabilities, not labels, so the curve is smooth in the data. The hat matrices do not depend
    on lambda: the search is a few hundred small products. `reach=1` allows only the next tier and the first as start,
    which gives plain thresholds t_k = a / (1 - b) wherever the slope b is below 1.
    """
    n, size = p.shape
    hats = []
    for k in range(size):
        design = np.column_stack([np.ones(n), p[:, k]])
        hats.append(np.linalg.solve(design.T @ design + np.diag([1e-9, SLOPE_RIDGE]), design.T))
    plans = []
    for weight in lambdas(costs, count):
        lines = np.full((size, size, 2), -np.inf)
        lines[:, :, 1] = 0.0
        values = np.zeros((size, n))
        for k in range(size - 1, -1, -1):
            expected, realised = p[:, k].copy(), p[:, k].copy()
            for j in range(k + 1, size if reach is None else min(size, k + 1 + reach)):
                lines[k, j] = hats[k] @ values[j]
                line = lines[k, j, 0] + lines[k, j, 1] * p[:, k]
                better = line > expected
                expected = np.where(better, line, expected)
                realised = np.where(better, values[j], realised)
            values[k] = realised - weight * costs[k]
        plans.append(Plan(int(values.mean(axis=1).argmax()) if reach is None else 0, lines))
    never = np.full((size, size, 2), -np.inf)
    never[:, :, 1] = 0.0
    return [*plans, Plan(0, never)]


def score_plans(p: Floats, plans: Sequence[Plan], data: Split) -> Curve:
    """Curve of plans on scores [n, k]: pay every tier that is called, be right when the accepted answer is."""
    n, size = p.shape
    costs, rights = [], []
    for plan in plans:
        at = np.full(n, plan.start)
        cost = right = 0.0
        for k in range(size):
            here = at == k
            cost += here.sum() * data.costs[k]
            best, to = p[:, k].copy(), np.full(n, -1)
            for j in range(k + 1, size):
                line = plan.lines[k, j, 0] + plan.lines[k, j, 1] * p[:, k]
                to = np.where(line > best, j, to)
                best = np.maximum(best, line)
            right += data.correct[here & (to < 0), k].sum()
            at = np.where(here, to, at)
        costs.append(cost / n)
        rights.append(right / n)
    return np.array(costs), np.array(rights)


# --------------------------------------------------------------------------- methods and table

Method = Callable[[Split, Models], Callable[[Split], Curve]]


def thresholds_method(
    fit: Callable[[Split], Scorer], search: Callable[[Floats, Floats], Floats]
) -> Method:
    def run(train: Split, models: Models) -> Callable[[Split], Curve]:
        part = train.models(models)
        score = fit(part)
        rows = search(score(part), part.costs)
        return lambda test: score_thresholds(score(test.models(models)), rows, test.models(models))

    return run


def plans_method(fit: Callable[[Split], Scorer], reach: int | None, count: int = 120) -> Method:
    def run(train: Split, models: Models) -> Callable[[Split], Curve]:
        part = train.models(models)
        score = fit(part)
        plans = search_jumps(score(part), part.costs, count, reach=reach)
        return lambda test: score_plans(score(test.models(models)), plans, test.models(models))

    return run


METHODS: dict[str, Method] = {
    "coord (notes, section 6)": thresholds_method(fit_platt, search_coord),
    "grid (peer)": thresholds_method(fit_platt, search_grid),
    "induction": plans_method(fit_platt, reach=1),
    "induction + agreement": plans_method(fit_agreement, reach=1),
    "jumps": plans_method(fit_platt, reach=None),
}
COPULA = "copula (peer)"
COPULA_DROP = "copula, may drop tiers"


@dataclass(frozen=True)
class Reference:
    """The peer's result on one cascade: its area, its seconds and the interval all methods are measured on."""

    low: float
    high: float
    copula: float
    grid: float
    seconds: float


def run_peer(train: Split, test: Split) -> dict[Models, Reference]:
    """Fit both published methods on all of `train`; the fit of the marginals is shared out over the cascades."""
    started = time.perf_counter()
    model = copula.fit(train.confidence, train.correct, train.costs)
    chains = subchains(len(train.costs))
    shared = (time.perf_counter() - started) / len(chains)
    out = {}
    for models in chains:
        started = time.perf_counter()
        chain = model.chain(models)
        rows = chain.profile()
        seconds = time.perf_counter() - started + shared
        view, scores = test.models(models), chain.calibrate(test.confidence)
        ours = score_thresholds(scores, rows, view, strict=True)
        calibrated = model.calibrated[:, list(models)]
        grid = score_thresholds(
            scores, search_grid(calibrated, train.costs[list(models)]), view, strict=True
        )
        low, high = max(ours[0].min(), grid[0].min()), min(ours[0].max(), grid[0].max())
        if high <= low:
            continue  # the two curves share no cost (a dear last model that never pays): no area is defined
        out[models] = Reference(low, high, area(ours, low, high), area(grid, low, high), seconds)
    return out


def copula_areas(train: Split, test: Split, reference: dict[Models, Reference]) -> Floats:
    """The peer fitted on fewer labels, measured on the intervals of the full fit."""
    model = copula.fit(train.confidence, train.correct, train.costs)
    areas = []
    for models, ref in reference.items():
        chain = model.chain(models)
        curve = score_thresholds(
            chain.calibrate(test.confidence), chain.profile(), test.models(models), strict=True
        )
        areas.append(area(curve, ref.low, ref.high))
    return np.array(areas)


def copula_drop_areas(
    train: Split, test: Split, reference: dict[Models, Reference], count: int = 60
) -> Floats:
    """Not published: the peer, allowed per lambda to leave out tiers by its own expected value.

    It separates what the jumps gain by freedom from what they gain by being fitted better.
    """
    model = copula.fit(train.confidence, train.correct, train.costs)
    size, weights = len(train.costs), lambdas(train.costs, count)
    value: dict[Models, Floats] = {}
    curves: dict[Models, Curve] = {}
    for m in range(size):
        value[(m,)] = model.calibrated[:, m].mean() - weights * train.costs[m]
        curves[(m,)] = np.full(count, test.costs[m]), np.full(count, test.correct[:, m].mean())
    for models in subchains(size):
        chain, view = model.chain(models), test.models(models)
        rows = chain.thresholds(list(weights))
        expected = np.array([chain.expected(row) for row in rows])
        value[models] = expected[:, 0] - weights * expected[:, 1]
        curves[models] = score_thresholds(chain.calibrate(test.confidence), rows, view, strict=True)
    areas = []
    for models, ref in reference.items():
        inside = [sub for sub in value if set(sub) <= set(models)]
        best = np.argmax([value[sub] for sub in inside], axis=0)
        picked = [(curves[inside[b]][0][i], curves[inside[b]][1][i]) for i, b in enumerate(best)]
        first = models[0]
        picked.append((test.costs[first], test.correct[:, first].mean()))
        cost, right = np.array(picked).T
        areas.append(area((cost, right), ref.low, ref.high))
    return np.array(areas)


def method_areas(
    method: Method, train: Split, test: Split, reference: dict[Models, Reference]
) -> tuple[Floats, Floats]:
    """Areas and fitting seconds of a method on every cascade."""
    areas, seconds = [], []
    for models, ref in reference.items():
        started = time.perf_counter()
        score = method(train, models)
        seconds.append(time.perf_counter() - started)
        areas.append(area(score(test), ref.low, ref.high))
    return np.array(areas), np.array(seconds)


@dataclass(frozen=True)
class Row:
    dataset: str
    chain: str
    method: str
    labels: int
    area: float
    ratio: float  # to the copula fitted on all training labels, in the same run
    spread: float  # standard deviation of the ratio over draws of the labels
    wins: float  # share of cascades with a smaller area than that copula
    seconds: float  # mean per cascade, fitting only
    longest: float
    cascades: int


def _row(
    dataset: str, chain: str, method: str, labels: int, areas: Floats, seconds: Floats, base: Floats
) -> Row:
    """`areas` has one line per draw of the labels and one column per cascade."""
    ratio = areas.mean(axis=1) / base.mean()
    return Row(
        dataset,
        chain,
        method,
        labels,
        float(areas.mean()),
        float(ratio.mean()),
        float(ratio.std()),
        float((areas < base).mean()),
        float(seconds.mean()),
        float(seconds.max()),
        areas.shape[1],
    )


def table(
    folder: Path, chain: str, few: int = 50, draws: int = 10, peer_draws: int = 3
) -> list[Row]:
    """All rows of the report for one chain; draws of few labels are random subsets of the train file."""
    rows = []
    for dataset in DATASETS:
        train, test = (load(folder, dataset, chain, split) for split in ("train", "test"))
        reference = run_peer(train, test)
        base = np.array([r.copula for r in reference.values()])
        n, times = len(train.correct), np.array([r.seconds for r in reference.values()])
        rows.append(_row(dataset, chain, COPULA, n, base[None], times, base))
        drop = copula_drop_areas(train, test, reference)
        rows.append(_row(dataset, chain, COPULA_DROP, n, drop[None], np.array([np.nan]), base))
        subsets = [np.random.default_rng(seed).permutation(n)[:few] for seed in range(draws)]
        small = np.array(
            [copula_areas(train.rows(s), test, reference) for s in subsets[:peer_draws]]
        )
        if peer_draws:
            rows.append(_row(dataset, chain, COPULA, few, small, np.array([np.nan]), base))
        for name, method in METHODS.items():
            for labels, parts in ((n, [train]), (few, [train.rows(s) for s in subsets])):
                if labels == few and name.startswith("grid"):
                    continue  # two thirds of the running time for a peer that needs many labels
                results = [method_areas(method, part, test, reference) for part in parts]
                areas, seconds = (np.array(part) for part in zip(*results, strict=True))
                rows.append(_row(dataset, chain, name, labels, areas, seconds, base))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=RECORDINGS)
    parser.add_argument("--chains", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--draws", type=int, default=10, help="random draws of few labels")
    options = parser.parse_args()
    if not options.folder.is_dir():
        print(f"skipped: no recordings at {options.folder}")
        return
    for chain in options.chains:
        rows = table(options.folder, chain, draws=options.draws)
        print(
            f"\n{chain}: {len(subchains(len(MODELS[chain])))} cascades per data set; ratio to the copula on all labels"
        )
        print(
            f"{'method':26}{'labels':>7}  "
            + "".join(f"{d:^34}" for d in DATASETS)
            + f"{'mean':^16} s/chain (max)"
        )
        groups: dict[tuple[str, bool], list[Row]] = {}
        for row in rows:
            groups.setdefault((row.method, row.labels <= 50), []).append(row)
        copula_mean = np.mean([row.area for row in groups[COPULA, False]])
        for (name, _), group in groups.items():
            cells = "".join(
                f"{r.area:9.4f} {r.ratio:6.3f} +-{r.spread:.3f} wins {r.wins:4.0%} " for r in group
            )
            mean = np.mean([r.area for r in group])
            took = (
                f"{np.mean([r.seconds for r in group]):.3f} ({max(r.longest for r in group):.3f})"
            )
            print(
                f"{name:26}{group[0].labels:7d}  {cells}{mean:9.4f} {mean / copula_mean:6.3f}  {took}"
            )
        if chain == "llama":
            known = ", ".join(
                f"{d} {m} {v:.4f}" for d, areas in PUBLISHED.items() for m, v in areas.items()
            )
            print(f"recorded by the peer's authors: {known}")


if __name__ == "__main__":
    main()
