"""The policy file: a zip of JSON and .npy arrays. Reading one runs nothing."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from frugal_core._version import __version__
from frugal_core.arrays import Floats
from frugal_core.certifying import Certificate, Promise
from frugal_core.errors import PolicyError
from frugal_core.learned_scorer import LearnedScorer
from frugal_core.policy import Expected, Policy, Single
from frugal_core.pricing import Price
from frugal_core.routing import Chain, Point
from frugal_core.student import STUDENT, Student
from frugal_core.text import Vectoriser

FORMAT = 1
_LARGEST = 128 * 2**20  # bytes, unpacked; a hostile file must not fill the memory
_DECIDING = ("chain", "answers", "terms", "scaffold", "stages", "student_says")


def write(policy: Policy, path: Path) -> None:
    """Write a policy; the file appears whole or not at all."""
    header, arrays = _pack(policy)
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


def read(path: Path) -> Policy:
    """Read a policy.

    Raises:
        PolicyError: if the file is missing, broken, hostile or of another format.
    """
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


def digest(policy: Policy) -> str:
    """SHA-256 of everything that decides."""
    content = hashlib.sha256()
    header, arrays = _pack(policy)
    deciding = {name: header[name] for name in _DECIDING}
    content.update(json.dumps(deciding, sort_keys=True).encode())
    for name in sorted(arrays):
        content.update(name.encode() + arrays[name].tobytes())
    return content.hexdigest()


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
