"""The policy: what `fit` returns, what a file holds, and what the adapters run.

A `.frugal` file is a zip of JSON and .npy arrays; reading one runs nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frugal_core._version import __version__
from frugal_core.arrays import Floats
from frugal_core.cascade import Plan, Tier
from frugal_core.certifying import Certificate, Labels, Promise
from frugal_core.errors import PolicyError, RecordingError
from frugal_core.learned_scorer import LearnedScorer
from frugal_core.pricing import Price, PriceBook
from frugal_core.recording import Recording
from frugal_core.routing import Chain, Point
from frugal_core.student import STUDENT, Student
from frugal_core.table import Table
from frugal_core.text import Vectoriser

if TYPE_CHECKING:
    from frugal_core.evaluation import Curve, Evaluation

FORMAT = 1
_LARGEST = 128 * 2**20  # bytes, unpacked; a hostile file must not fill the memory


@dataclass(frozen=True, slots=True)
class Single:
    """One model used alone: its accuracy and USD per 1,000 queries."""

    model: str
    accuracy: float
    usd_per_1k: float


@dataclass(frozen=True, slots=True)
class Expected:
    """What a policy is expected to do, from rows that were not fitted on.

    Args:
        accuracy: Share of right answers.
        usd_per_1k: USD per 1,000 queries.
        tier_share: Share of queries answered by each tier.
    """

    accuracy: float
    usd_per_1k: float
    tier_share: Mapping[str, float]


@dataclass(frozen=True)
class Policy:
    """A fitted cascade with its evidence.

    Args:
        chain: Tiers and thresholds.
        scorer: The learned scorer.
        student: The distilled model, where one was fitted, whether `chain` uses it or not.
        reference: The model whose quality is promised.
        certificate: Evidence for the promise; None if none was asked for or none could be given.
        verdict: In words: what to use, and why.
        labels: "gold" (quality is accuracy) or "reference" (quality is agreement).
        frontier: Every policy that the router found worthwhile, from cheap to dear, with accuracy
            and USD per query on the rows that were fitted on, out of fold.
        singles: Every model alone: its accuracy on the same rows, its cost on those of `expected`.
        prices: Price of each model.
        priced: Where the prices come from and when they were read.
        expected: What the policy did on the test rows; out of fold where there were none.
        grader: How answers were compared with gold labels.
        notes: What a user should know: models left out, rows left out.
        fitted: Rows used for fitting, by kind.
        created: Date of fitting.
    """

    chain: Chain
    scorer: LearnedScorer
    student: Student | None
    reference: str
    certificate: Certificate | None
    verdict: str
    labels: Labels
    frontier: tuple[Point, ...]
    singles: tuple[Single, ...]
    prices: Mapping[str, Price]
    priced: str
    expected: Expected
    grader: str
    notes: tuple[str, ...]
    fitted: Mapping[str, int]
    created: str

    @cached_property
    def plan(self) -> Plan:
        """What the loop needs, for the adapters."""
        tiers = tuple(Tier(model, self.prices.get(model, _FREE)) for model in self.chain.tiers)
        no_promise = "no promise: none was certified" if self.certificate is None else ""
        scored = self.chain.tiers if self.chain.best_of else self.chain.tiers[:-1]
        return Plan(
            tiers,
            self.chain.thresholds,
            self.scorer,
            best_of=self.chain.best_of,
            student=self.student if self.chain.tiers[0] == STUDENT else None,
            certificate=self.certificate,
            no_promise=no_promise,
            needs_confidence=frozenset(filter(self.scorer.needs_confidence, scored)),
        )

    @property
    def promise(self) -> Promise | None:
        """The promise that is certified, if any."""
        if self.certificate is None:
            return None
        return Promise(self.certificate.epsilon, self.certificate.confidence)

    @property
    def best_static(self) -> Single:
        """The most accurate single model; of equals, the cheapest."""
        return max(self.singles, key=lambda single: (single.accuracy, -single.usd_per_1k))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that decides; enters cache keys."""
        content = hashlib.sha256()
        header, arrays = _pack(self)
        deciding = {name: header[name] for name in _DECIDING}
        content.update(json.dumps(deciding, sort_keys=True).encode())
        for name in sorted(arrays):
            content.update(name.encode() + arrays[name].tobytes())
        return content.hexdigest()

    def explain(self, query: str) -> dict[str, Any]:
        """What would happen to a query before any model is asked.

        Returns:
            A JSON object: the tiers in order with the score each must reach, the student's answer
            with its score if there is one, and the n-grams that speak most for and against an
            answer being right.
        """
        columns, values = self.scorer.vectoriser.vector(query)
        weights = self.scorer.weights[:, columns].mean(axis=0) * values
        order = np.argsort(weights)
        terms = [self.scorer.vectoriser.terms[i] for i in columns]
        explanation: dict[str, Any] = {
            "tiers": [
                {"model": tier, "accepted_at": threshold}
                for tier, threshold in zip(
                    self.chain.tiers, [*self.chain.thresholds, None], strict=True
                )
            ],
            "known_terms": len(terms),
            "harder": [terms[i] for i in order[:5] if weights[i] < 0],
            "easier": [terms[i] for i in order[::-1][:5] if weights[i] > 0],
            "promise": self.certificate.sentence if self.certificate else self.plan.no_promise,
        }
        if self.plan.student is not None:
            reply = self.plan.student.reply(query)
            score = self.scorer.judge(query)(STUDENT, reply, [])
            explanation["student"] = {"says": reply.text, "score": score}
        return explanation

    def table(self, recording: Recording) -> Table:
        """A recording's columns of this policy's models.

        Prices are the recording's own where its user gave any, else the policy's.

        Raises:
            RecordingError: if the recording lacks a model of the policy.
        """
        models = [single.model for single in self.singles]
        there = set(recording.models)
        needed = {self.reference, *self.chain.tiers} - {STUDENT}
        if missing := sorted(needed - there):
            raise RecordingError(
                f"the recording has no answers of {', '.join(missing)}, which the policy uses; "
                f"it has {', '.join(sorted(there))}"
            )
        prices = PriceBook({**self.prices, **recording.prices.prices}, table=False)
        priced = replace(recording, prices=prices)
        return Table.of(priced, [m for m in models if m in there], self.scorer.labels)

    def evaluate(self, recording: Recording) -> Evaluation:
        """Accuracy, cost and savings on a recording; see `frugal_core.evaluation`."""
        from frugal_core.evaluation import evaluate

        return evaluate(self, recording)

    def curve(self, recording: Recording) -> Curve:
        """Accuracy against cost on a recording; see `frugal_core.evaluation`."""
        from frugal_core.evaluation import curve

        return curve(self, recording)

    def save(self, path: str | Path) -> None:
        """Write the policy; the file appears whole or not at all."""
        path = Path(path)
        header, arrays = _pack(self)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
                file.writestr("policy.json", json.dumps(header, indent=1))
                for name, array in arrays.items():
                    buffer = io.BytesIO()
                    np.save(buffer, array, allow_pickle=False)
                    file.writestr(f"{name}.npy", buffer.getvalue())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Read a policy.

        Raises:
            PolicyError: if the file is missing, broken, hostile or of another format.
        """
        path = Path(path)
        if not path.is_file():
            raise PolicyError(f"{path}: no such policy file; `frugal fit` writes one")
        try:
            with zipfile.ZipFile(path) as file:
                if sum(info.file_size for info in file.infolist()) > _LARGEST:
                    raise PolicyError("what it unpacks to is larger than any policy")
                header = json.loads(file.read("policy.json"))
                arrays = {
                    name.removesuffix(".npy"): _array(name, file.read(name))
                    for name in file.namelist()
                    if name.endswith(".npy")
                }
            if header.get("format") != FORMAT:
                raise PolicyError(
                    f"policy format {header.get('format')!r}, and this version reads {FORMAT}"
                )
            return _unpack(header, arrays)
        except PolicyError as error:
            raise PolicyError(f"{path}: {error}; fit it again") from error
        except Exception as error:  # whatever a broken file provokes becomes one clear error
            raise PolicyError(
                f"{path}: not a policy file ({type(error).__name__}: {error}); fit it again"
            ) from error


_DECIDING = ("chain", "answers", "terms", "scaffold", "stages", "student_says")
_FREE = Price(0.0, 0.0)  # the student's


def _pack(policy: Policy) -> tuple[dict[str, Any], dict[str, Floats]]:
    """The JSON header and the arrays of a policy."""
    scorer, student = policy.scorer, policy.student
    stages = list(scorer.calibrators)
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": __version__,
        "chain": asdict(policy.chain),
        "reference": policy.reference,
        "certificate": policy.certificate and policy.certificate.to_json(),
        "verdict": policy.verdict,
        "labels": policy.labels,
        "frontier": [asdict(point) for point in policy.frontier],
        "singles": [asdict(single) for single in policy.singles],
        "prices": {model: price.to_json() for model, price in policy.prices.items()},
        "priced": policy.priced,
        "expected": asdict(policy.expected),
        "grader": policy.grader,
        "notes": list(policy.notes),
        "fitted": dict(policy.fitted),
        "created": policy.created,
        "answers": list(scorer.labels),
        "terms": list(scorer.vectoriser.terms),
        "scaffold": sorted(scorer.vectoriser.scaffold),
        "stages": [list(stage) for stage in stages],
        "student_says": list(student.says) if student else None,
    }
    arrays = {"idf": scorer.vectoriser.idf, "weights": scorer.weights, "bias": scorer.bias}
    arrays |= {f"calibrator_{i}": scorer.calibrators[stage] for i, stage in enumerate(stages)}
    if student:
        arrays |= {"student_weights": student.weights, "student_bias": student.bias}
    return header, arrays


def _array(name: str, content: bytes) -> Floats:
    """An array of numbers; NumPy's own words about others advise to run what they hold."""
    try:
        array: Floats = np.load(io.BytesIO(content), allow_pickle=False)
    except ValueError as error:
        raise PolicyError(f"{name} is no array of numbers") from error
    return array


def _unpack(header: Mapping[str, Any], arrays: Mapping[str, Floats]) -> Policy:
    def chain(value: Mapping[str, Any]) -> Chain:
        return Chain(tuple(value["tiers"]), tuple(value["thresholds"]), bool(value["best_of"]))

    vectoriser = Vectoriser(tuple(header["terms"]), arrays["idf"], frozenset(header["scaffold"]))
    labels = tuple(header["answers"])
    stages = [tuple(stage) for stage in header["stages"]]
    calibrators = {stage: arrays[f"calibrator_{i}"] for i, stage in enumerate(stages)}
    student = None
    if header["student_says"] is not None:
        says = tuple(header["student_says"])
        student = Student(vectoriser, arrays["student_weights"], arrays["student_bias"], says)
    _check_shapes(arrays, len(vectoriser.terms), labels, stages, student)
    scorer = LearnedScorer(vectoriser, labels, arrays["weights"], arrays["bias"], calibrators)
    certificate = header["certificate"]
    policy = Policy(
        chain=chain(header["chain"]),
        scorer=scorer,
        student=student,
        reference=header["reference"],
        certificate=certificate and Certificate(**certificate),
        verdict=header["verdict"],
        labels=header["labels"],
        frontier=tuple(
            Point(chain(point["chain"]), point["accuracy"], point["usd"])
            for point in header["frontier"]
        ),
        singles=tuple(Single(**single) for single in header["singles"]),
        prices={m: Price.from_json(m, price) for m, price in header["prices"].items()},
        priced=header["priced"],
        expected=Expected(**header["expected"]),
        grader=header["grader"],
        notes=tuple(header["notes"]),
        fitted=header["fitted"],
        created=header["created"],
    )
    _check_chains(policy)
    _check_evidence(policy)
    return policy


def _check_shapes(
    arrays: Mapping[str, Floats],
    terms: int,
    labels: Sequence[str],
    stages: Sequence[tuple[str, ...]],
    student: Student | None,
) -> None:
    """Refuse arrays that would fail, or mislead, when a query is scored."""
    rows = len(labels) + 1
    solo = 4 + (rows if labels else 1)
    shapes: dict[str, tuple[int, ...]] = {
        "idf": (terms,),
        "weights": (rows, terms),
        "bias": (rows,),
    }
    shapes |= {f"calibrator_{i}": (solo + 3 * len(s) - 3,) for i, s in enumerate(stages)}
    if student is not None:
        says = len(student.says)
        shapes |= {"student_weights": (says, terms), "student_bias": (says,)}
        if says != len(labels):
            raise PolicyError(f"the student knows {says} labels, the scorer {len(labels)}")
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != np.float64:
            raise PolicyError(f"array {name!r} is {array.dtype} {array.shape}, not float64 {shape}")
        if not np.isfinite(array).all():
            raise PolicyError(f"array {name!r} holds values that are not finite")


def _check_chains(policy: Policy) -> None:
    """Refuse chains that cannot be run, and texts that are none."""
    texts = [policy.reference, policy.verdict, policy.priced, policy.created, policy.grader]
    texts += policy.notes
    texts += [*policy.scorer.labels, *policy.scorer.vectoriser.terms]
    texts += [*policy.scorer.vectoriser.scaffold, *(policy.student.says if policy.student else ())]
    if not all(isinstance(text, str) for text in texts):
        raise PolicyError("a text of it is none")
    if policy.labels not in ("gold", "reference"):
        raise PolicyError(f"labels are {policy.labels!r}")
    tiers = set(policy.prices) | ({STUDENT} if policy.student else set())
    if policy.reference not in policy.prices:
        raise PolicyError(f"reference {policy.reference!r} has no price")
    for chain in (policy.chain, *(point.chain for point in policy.frontier)):
        if not chain.tiers or len(chain.thresholds) != len(chain.tiers) - 1:
            raise PolicyError(f"{len(chain.tiers)} tiers with {len(chain.thresholds)} thresholds")
        if not all(isinstance(t, int | float) and t >= 0 for t in chain.thresholds):
            raise PolicyError(f"thresholds {chain.thresholds}")
        if not tiers.issuperset(chain.tiers) or STUDENT in chain.tiers[1:]:
            raise PolicyError(f"tiers {chain.tiers}")
        if missing := set(chain.stages) - set(policy.scorer.calibrators):
            raise PolicyError(f"no scorer for {sorted(missing)[0]}")


def _check_evidence(policy: Policy) -> None:
    """Refuse figures that are none, and a certificate that says what none can say."""
    figures = [figure for s in policy.singles for figure in (s.accuracy, s.usd_per_1k)]
    if not all(isinstance(figure, int | float) for figure in figures):
        raise PolicyError("a figure of a single model is none")
    if policy.reference not in [single.model for single in policy.singles]:
        raise PolicyError(f"reference {policy.reference!r} has no figures")
    certificate = policy.certificate
    if certificate is None:
        return
    Promise(certificate.epsilon, certificate.confidence)
    counts = certificate.n, certificate.losses, certificate.gains
    if not all(isinstance(count, int) and 0 <= count <= certificate.n for count in counts):
        raise PolicyError(f"a certificate of {counts} rows")
    if (certificate.reference, certificate.labels) != (policy.reference, policy.labels):
        raise PolicyError("its certificate is about another reference")
