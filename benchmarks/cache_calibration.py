"""Fit the cache's score and judge it: `frugal_core/data/decision.json.gz`.

    python -m benchmarks.cache_calibration

The score is fitted on lookups made of Quora's labelled question pairs and on questions changed by
rules. The judged lookups that ship beside it, from which every threshold is certified, are scored
out of fold: by a fit without their own questions.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.changed_questions import changed
from benchmarks.question_pairs import NEIGHBOURS, Lookup, Pair, Texts, load, neighbours
from frugal_core.arrays import Bools, Floats, Ints
from frugal_core.cache.calibration import Evidence, certify
from frugal_core.cache.decision import FEATURES, Decision, Neighbour, Trees, features
from frugal_core.cache.guard import objection
from frugal_core.cache.lexicon import english
from frugal_core.cache.wording import compare, read
from frugal_core.embedding import MiniLM

OUTPUT = Path(__file__).resolve().parents[1] / "frugal_core" / "data" / "decision.json.gz"
FOLDS = 10
CHANGED_SHARE, SAME_SHARE = 0.3, 0.06
"""Weight of a changed question in the fit, against 1 for a pair; of those that stay the same, so
little that they teach what is harmless without outvoting the pairs."""
OWN_LABEL = 0.25
"""How much a row's own label counts in the fit, against what rows like it are labelled."""
TEACHER_FOLDS, TEACHER_TREES = 3, 40


@dataclass(frozen=True)
class Examples:
    """What the score is fitted on.

    Args:
        x: Features of the nearest neighbour that no guard forbids; shape (n, features).
        right: Whether its answer is right; shape (n,).
        weight: Of each row; shape (n,).
        parts: Folds that judge these two questions: that of the one asked and, where a pair is
            asked the other way round, that of the neighbour; shape (n, 2).
    """

    x: Floats
    right: Bools
    weight: Floats
    parts: Ints

    @classmethod
    def of(cls, texts: Texts, pairs: Sequence[Pair], parts: Ints) -> Examples:
        """Pairs asked both ways, and changed questions."""
        turned = [pair.turned for pair in pairs]
        folds = {pair.asked: part for pair, part in zip(pairs, parts.tolist(), strict=True)}
        x, right, part, _ = rows(texts.lookups(pairs, parts))
        x_turned, right_turned, part_turned, near = rows(texts.lookups(turned, parts))
        x_changed, same, part_changed, _ = rows(changes_of(texts, pairs, parts))
        part_near = np.array([folds[question] for question in near])
        weight_changed = np.where(same, SAME_SHARE, CHANGED_SHARE)
        return cls(
            np.concatenate([x, x_turned, x_changed]),
            np.concatenate([right, right_turned, same]),
            np.concatenate([np.ones(len(x) + len(x_turned)), weight_changed]),
            np.column_stack(
                [
                    np.concatenate([part, part_turned, part_changed]),
                    np.concatenate([part, part_near, part_changed]),
                ]
            ),
        )

    def without(self, part: int) -> Examples:
        """Those that show no two questions that are judged with a part, in either order."""
        kept = (self.parts != part).all(axis=1)
        return Examples(self.x[kept], self.right[kept], self.weight[kept], self.parts[kept])


def rows(lookups: Sequence[Lookup]) -> tuple[Floats, Bools, Ints, list[str]]:
    """Features and rightness of the nearest neighbour that no guard forbids, the part and itself.

    Returns:
        Shapes (n, features), (n,) and (n,), and n texts; lookups without such a neighbour are left
        out.
    """
    found: list[tuple[Floats, bool, int, str]] = []
    for lookup in lookups:
        new = read(lookup.asked)
        for i, question in enumerate(lookup.neighbours):
            old = read(question)
            difference = compare(new, old, english())
            if objection(new, old, difference) is None:
                row = features(new, old, difference, lookup.cosines[i:], english())
                found.append((row, lookup.right[i], lookup.part, question))
                break
    x, right, parts, near = zip(*found, strict=True)
    return np.array(x), np.array(right), np.array(parts), list(near)


def fit(examples: Examples, seed: int = 0) -> Trees:
    """Fit the score, on labels that are corrected by what rows alike are labelled.

    Labels of such pairs are often wrong, and boosted trees learn the wrong ones by heart just where
    the score is highest (soft bootstrapping, Reed et al. 2014, "Training deep neural networks on
    noisy labels with bootstrapping").

    Args:
        examples: The rows.
        seed: Of the features that each split may use.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=200,
        learning_rate=0.06,
        max_leaf_nodes=15,
        max_depth=6,
        l2_regularization=5.0,
        min_samples_leaf=40,
        max_features=0.4,
        early_stopping=False,
        random_state=seed,
    )
    # Of a question that a rule changed, the label is known.
    own = np.where(examples.weight < 1, 1.0, OWN_LABEL)
    likely = own * examples.right + (1 - own) * taught(examples, seed)
    x = np.concatenate([examples.x, lonely(examples.x, seed)])
    likely = np.concatenate([likely, likely])
    weight = np.concatenate([examples.weight, examples.weight / 2])
    # A row that is right with a probability is both, with that weight and the rest.
    model.fit(
        np.concatenate([x, x]),
        np.repeat([True, False], len(x)),
        sample_weight=np.concatenate([weight * likely, weight * (1 - likely)]),
    )
    return trees_of(model)


def taught(examples: Examples, seed: int) -> Floats:
    """How likely each row is right, by randomised trees that saw neither question; shape (n,).

    Extremely randomised trees (Geurts et al. 2006) average over many, and learn no label by heart.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    likely = np.zeros(len(examples.x))
    folds_ = examples.parts % TEACHER_FOLDS
    for fold in range(TEACHER_FOLDS):
        others = (folds_ != fold).all(axis=1)
        model = ExtraTreesClassifier(
            TEACHER_TREES, min_samples_leaf=5, max_features=0.4, random_state=seed
        )
        model.fit(examples.x[others], examples.right[others], sample_weight=examples.weight[others])
        own = folds_[:, 0] == fold
        if own.any():
            likely[own] = model.predict_proba(examples.x[own])[:, 1]
    return likely


def lonely(x: Floats, seed: int) -> Floats:
    """The same rows as they would be in a small cache, where nothing else is near."""
    alone = x.copy()
    following = np.random.default_rng(seed).uniform(0.0, 0.4, len(x))
    columns = [
        FEATURES.index(name)
        for name in ("lead over the next", "cosine of the next", "mean cosine of the others")
    ]
    alone[:, columns] = np.column_stack([x[:, 0] - following, following, 0.8 * following])
    return alone


def trees_of(model: Any) -> Trees:
    """The trees of a fitted scikit-learn model, by its published node layout."""
    roots, parts, start = [], [], 0
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        roots.append(start)
        leaf = nodes["is_leaf"].astype(bool)
        own = np.arange(len(nodes))
        parts.append(
            {
                "feature": np.where(leaf, 0, nodes["feature_idx"]),
                "threshold": np.where(leaf, 0.0, nodes["num_threshold"]),
                "left": start + np.where(leaf, own, nodes["left"]),
                "right": start + np.where(leaf, own, nodes["right"]),
                "value": np.where(leaf, nodes["value"], 0.0),
            }
        )
        start += len(nodes)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    joined = {
        name: values.astype(np.int64 if name in ("feature", "left", "right") else float)
        for name, values in joined.items()
    }
    joined["value"] = joined["value"].round(6)
    base = float(np.ravel(model._baseline_prediction)[0])
    return Trees(roots=np.array(roots), base=base, **joined)


def changes_of(texts: Texts, pairs: Sequence[Pair], parts: Ints) -> list[Lookup]:
    """Changed questions as lookups, the stored questions of the pairs being their neighbours."""
    part = {pair.stored: int(p) for pair, p in zip(pairs, parts, strict=True)}
    made = changed(sorted(part), english())
    stored = np.array([texts.row[text] for text in sorted(part)])
    vectors = MiniLM().embed([change.changed for change in made])
    found = []
    rows_ = neighbours(vectors, texts.vectors[stored], NEIGHBOURS + 1)
    for change, (columns, cosines) in zip(made, rows_, strict=True):
        near = [
            (texts.texts[stored[column]], float(cosine))
            for column, cosine in zip(columns, cosines, strict=True)
            if texts.texts[stored[column]] != change.changed
        ][:NEIGHBOURS]
        # Only the original is known to be right or wrong; what is nearer would confuse.
        while near and near[0][0] != change.original:
            near.pop(0)
        if near:
            found.append(
                Lookup(
                    change.changed,
                    tuple(question for question, _ in near),
                    tuple(cosine for _, cosine in near),
                    (change.same,) + (False,) * (len(near) - 1),
                    change.same,
                    part[change.original],
                )
            )
    return found


def judged(lookups: Sequence[Lookup], decide: Decision) -> tuple[Floats, Bools]:
    """Score of each lookup, -inf where every neighbour is forbidden, and whether it is right."""
    scores, right = np.full(len(lookups), -np.inf), np.zeros(len(lookups), dtype=bool)
    for row, lookup in enumerate(lookups):
        near = [Neighbour(*both) for both in zip(lookup.neighbours, lookup.cosines, strict=True)]
        verdict = decide.judge(lookup.asked, near)
        if verdict.position is not None:
            scores[row], right[row] = verdict.score, lookup.right[verdict.position]
    return scores, right


def folds(examples: Examples) -> dict[int, Decision]:
    """By part, a decision that was fitted without its questions."""
    return {
        part: Decision(fit(examples.without(part)), english())
        for part in np.unique(examples.parts).tolist()
    }


def out_of_fold(
    lookups: Sequence[Lookup], decisions: Mapping[int, Decision]
) -> tuple[Floats, Bools]:
    """As `judged`, each lookup by the decision of its part."""
    scores, right = np.full(len(lookups), -np.inf), np.zeros(len(lookups), dtype=bool)
    parts = np.array([lookup.part for lookup in lookups])
    for part, decide in decisions.items():
        inside = np.flatnonzero(parts == part)
        scores[inside], right[inside] = judged([lookups[row] for row in inside.tolist()], decide)
    return scores, right


def evidence_of(lookups: Sequence[Lookup], scores: Floats, right: Bools, about: str) -> Evidence:
    """Judged lookups as the package keeps them."""
    scored = np.isfinite(scores)
    cosines = np.array([lookup.cosines[0] if lookup.cosines else -1.0 for lookup in lookups])
    return Evidence(scores[scored], ~right[scored], len(scores), about, cosines[scored])


def main() -> None:
    pairs = load()
    texts = Texts(pairs)
    parts = texts.parts(pairs, FOLDS)
    lookups = texts.lookups(pairs, parts)
    examples = Examples.of(texts, pairs, parts)
    scores, right = out_of_fold(lookups, folds(examples))
    evidence = evidence_of(lookups, scores, right, about="pairs of Quora questions")
    data = {"trees": fit(examples).to_json(), "evidence": {MiniLM.id: evidence.to_json()}}
    OUTPUT.write_bytes(gzip.compress(json.dumps(data, separators=(",", ":")).encode(), mtime=0))
    print(f"{OUTPUT.name}: {OUTPUT.stat().st_size / 1000:.0f} kB")
    for bound in (0.01, 0.02, 0.05):
        print(certify(evidence, bound).sentence)


if __name__ == "__main__":
    main()
