"""Policy files: what is written is what is read, and a hostile file does nothing."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frugal_core.certifying import Promise
from frugal_core.errors import PolicyError, RecordingError
from frugal_core.fitting import fit
from frugal_core.policy import Policy
from frugal_core.pricing import Price
from frugal_core.recording import Recording
from frugal_core.routing import Chain
from frugal_core.student import STUDENT
from tests.unit_tests.core.helpers import PRICES, closed, closed_rows, free, run_recorded


@pytest.fixture(scope="module")
def certified() -> Policy:
    policy = fit(closed(900), promise=Promise(0.05))
    assert policy.certificate is not None and policy.student is not None
    return policy


@pytest.fixture(scope="module")
def in_free_text() -> Policy:
    return fit(free(200), budget=1e9)


@pytest.fixture
def saved(certified: Policy, tmp_path: Path) -> Path:
    certified.save(tmp_path / "policy.frugal")
    return tmp_path / "policy.frugal"


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write_members(path: Path, contents: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in contents.items():
            file.writestr(name, content)


def npy(array: Any, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def test_a_loaded_policy_is_the_saved_one(certified: Policy, saved: Path) -> None:
    loaded = Policy.load(saved)
    assert loaded.digest == certified.digest
    assert loaded.scorer.id == certified.scorer.id
    for name in ("chain", "reference", "certificate", "verdict", "labels", "frontier", "singles"):
        assert getattr(loaded, name) == getattr(certified, name)
    for name in ("prices", "priced", "notes", "fitted", "created"):
        assert getattr(loaded, name) == getattr(certified, name)
    assert loaded.plan.tiers == certified.plan.tiers
    assert loaded.plan.thresholds == certified.plan.thresholds
    recording = closed(150, seed=5)
    assert loaded.evaluate(recording) == certified.evaluate(recording)
    assert loaded.curve(recording) == certified.curve(recording)
    for query in recording.queries[:40]:
        once, again = run_recorded(certified, query), run_recorded(loaded, query)
        assert (once.reply, once.tier) == (again.reply, again.tier)
        assert [step.score for step in once.steps] == [step.score for step in again.steps]


def test_a_policy_for_free_text_survives_too(in_free_text: Policy, tmp_path: Path) -> None:
    in_free_text.save(str(tmp_path / "free.frugal"))
    loaded = Policy.load(str(tmp_path / "free.frugal"))
    assert loaded.digest == in_free_text.digest and loaded.student is None
    recording = free(80, seed=5)
    assert loaded.evaluate(recording) == in_free_text.evaluate(recording)


def test_tiered_prices_and_odd_names_survive(certified: Policy, tmp_path: Path) -> None:
    dear = Price(1.0, 2.0, 0.5, ((1000, Price(3.0, 4.0)),))
    odd = replace(
        certified, prices={**certified.prices, "größe/🪙 \ud83d": dear}, notes=("\ud83d",)
    )
    odd.save(tmp_path / "odd.frugal")
    loaded = Policy.load(tmp_path / "odd.frugal")
    assert loaded.prices == odd.prices and loaded.notes == odd.notes


def test_the_digest_tells_policies_apart(certified: Policy) -> None:
    chain = Chain(certified.chain.tiers, tuple(t / 2 for t in certified.chain.thresholds))
    assert replace(certified, chain=chain).digest != certified.digest
    weights = certified.scorer.weights.copy()
    weights[0, 0] += 1e-9
    scorer = replace(certified.scorer, weights=weights)
    assert replace(certified, scorer=scorer).digest != certified.digest


def test_saving_over_a_policy_replaces_it_whole(
    certified: Policy, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def fails(*args: Any, **kwargs: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", fails)
        with pytest.raises(OSError, match="disk full"):
            certified.save(saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]
    certified.save(saved)
    assert os.listdir(saved.parent) == [saved.name]


class Bomb:
    """An object whose unpickling leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("name", ["weights.npy", "unused.npy", "policy.json"])
def test_a_pickle_in_the_file_is_not_run(saved: Path, name: str) -> None:
    trace = saved.parent / "trace"
    array = np.array([Bomb(trace)], dtype=object)
    content = pickle.dumps(Bomb(trace)) if name == "policy.json" else npy(array, allow_pickle=True)
    write_members(saved, members(saved) | {name: content})
    with pytest.raises(PolicyError, match=r"policy\.frugal") as refused:
        Policy.load(saved)
    assert "allow_pickle" not in str(refused.value)  # no advice to run it all the same
    assert not trace.exists()


def test_paths_in_the_file_lead_nowhere(saved: Path, certified: Policy) -> None:
    outside = saved.parent.parent / "escaped.npy"
    write_members(saved, members(saved) | {"../escaped.npy": npy(np.zeros(1))})
    assert Policy.load(saved).digest == certified.digest
    assert not outside.exists()


def test_a_file_that_unpacks_to_gigabytes_is_refused_unread(saved: Path) -> None:
    contents = members(saved)
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in contents.items():
            file.writestr(name, content)
        for i in range(2):
            with file.open(f"zeros{i}.npy", "w") as member:
                for _ in range(260):
                    member.write(bytes(2**20))
    assert saved.stat().st_size < 3_000_000
    with pytest.raises(PolicyError, match="larger than any policy"):
        Policy.load(saved)


def test_an_array_that_claims_to_be_huge_is_refused(saved: Path) -> None:
    header = npy(np.zeros(1))
    huge = header.replace(b"(1,), }" + b" " * 12, b"(99999999999,), }  ")
    assert huge != header
    write_members(saved, members(saved) | {"weights.npy": huge})
    with pytest.raises(PolicyError):
        Policy.load(saved)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    "spoil",
    [
        truncate,
        flip,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text('{"format": 1}'),
        lambda path: write_members(path, {}),
        lambda path: write_members(path, {"policy.json": b"[" * 100_000}),
        lambda path: write_members(path, {"policy.json": b"[]"}),
        lambda path: write_members(path, {"policy.json": b'{"format": 1}'}),
        lambda path: write_members(path, {"policy.json": b'{"format": 99}'}),
        lambda path: write_members(path, members(path) | {"weights.npy": b"no array"}),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: path.unlink(),
    ],
)
def test_a_broken_file_is_one_clear_error_that_names_it(
    saved: Path, spoil: Callable[[Path], Any]
) -> None:
    spoil(saved)
    with pytest.raises(PolicyError) as caught:
        Policy.load(saved)
    assert str(caught.value).startswith(str(saved))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("weights", lambda a: a[:, :-1]),
        ("weights", lambda a: a.astype(complex)),
        ("weights", lambda a: a.astype(np.float32)),
        ("weights", lambda a: np.where(a == a.max(), np.nan, a)),
        ("bias", lambda a: a[:-1]),
        ("idf", lambda a: a[:-1]),
        ("idf", lambda a: a.astype("U8")),
        ("calibrator_0", lambda a: a[:-1]),
        ("student_weights", lambda a: a.T),
        ("student_bias", lambda a: a[None]),
    ],
)
def test_an_array_of_the_wrong_form_is_refused(
    saved: Path, name: str, change: Callable[[Any], Any]
) -> None:
    contents = members(saved)
    array = np.load(io.BytesIO(contents[f"{name}.npy"]))
    write_members(saved, contents | {f"{name}.npy": npy(change(array))})
    with pytest.raises(PolicyError, match=name):
        Policy.load(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"chain": None},
        {"chain": {"tiers": [], "thresholds": [], "best_of": False}},
        {"chain": {"tiers": ["small", "large"], "thresholds": [], "best_of": False}},
        {"chain": {"tiers": ["small", "large"], "thresholds": ["low"], "best_of": False}},
        {"chain": {"tiers": ["small", "large"], "thresholds": [-1], "best_of": False}},
        {"chain": {"tiers": ["other"], "thresholds": [], "best_of": False}},
        {"chain": {"tiers": ["small", STUDENT], "thresholds": [0.5], "best_of": False}},
        {"stages": []},
        {"frontier": [{"chain": {}, "accuracy": 1, "usd": 1}]},
        {"frontier": 7},
        {"reference": "other"},
        {"certificate": {"epsilon": 0.01}},
        {"certificate": "sure"},
        {"labels": "silver"},
        {"prices": {"small": [-1, 0]}},
        {"prices": {}},
        {"terms": [1, 2]},
        {"terms": "abc"},
        {"answers": [1, 2, 3]},
        {"student_says": ["up"]},
        {"singles": [{"model": "small"}]},
        {"verdict": 5},
        {"scaffold": [[]]},
    ],
)
def test_json_of_the_wrong_kind_is_refused(saved: Path, change: dict[str, Any]) -> None:
    contents = members(saved)
    header = json.loads(contents["policy.json"]) | change
    write_members(saved, contents | {"policy.json": json.dumps(header).encode()})
    with pytest.raises(PolicyError) as caught:
        Policy.load(saved)
    assert str(caught.value).startswith(str(saved))


def test_explain_says_what_would_happen(certified: Policy) -> None:
    said = json.loads(json.dumps(certified.explain("upward1 upward2 tangled case")))
    assert [tier["model"] for tier in said["tiers"]] == list(certified.chain.tiers)
    assert said["tiers"][-1]["accepted_at"] is None
    assert [t["accepted_at"] for t in said["tiers"][:-1]] == list(certified.chain.thresholds)
    assert certified.certificate is not None
    assert said["promise"] == certified.certificate.sentence
    assert said["known_terms"] > 0
    terms = set(certified.scorer.vectoriser.terms)
    assert said["harder"] + said["easier"] and {*said["harder"], *said["easier"]} <= terms


def test_explain_shows_the_students_answer_as_the_loop_gives_it(certified: Policy) -> None:
    policy = replace(certified, chain=Chain((STUDENT, "large"), (0.0,)))
    query = closed(1, seed=9).queries[0]
    said = policy.explain(query.text)["student"]
    outcome = run_recorded(policy, query)
    assert said == {"says": outcome.reply.text, "score": outcome.steps[0].score}


def test_explain_of_a_query_without_known_words(certified: Policy) -> None:
    said = certified.explain("")
    assert said["known_terms"] == 0 and said["harder"] == said["easier"] == []


def test_without_a_certificate_the_plan_says_so(in_free_text: Policy) -> None:
    assert in_free_text.promise is None
    assert "no promise" in in_free_text.plan.no_promise
    assert "no promise" in in_free_text.explain("what is number 3")["promise"]


def test_best_static_is_the_most_accurate_single_model(certified: Policy) -> None:
    best = certified.best_static
    assert best.accuracy == max(single.accuracy for single in certified.singles)


def test_a_recording_without_a_model_of_the_policy_is_refused(certified: Policy) -> None:
    with pytest.raises(RecordingError, match="large"):
        replace(certified, reference="large").evaluate(closed(20).only(["small", "medium"]))


def test_prices_of_the_recordings_user_win_over_the_policys(certified: Policy) -> None:
    rows = closed_rows(50, 3)
    policy = replace(certified, chain=Chain(("large",), ()))
    same = policy.evaluate(Recording.from_rows(rows))
    assert same.usd_per_1k == pytest.approx(
        policy.evaluate(Recording.from_rows(rows, prices=PRICES)).usd_per_1k
    )
    doubled = {"large": [2 * rate for rate in PRICES["large"]]}
    evaluation = policy.evaluate(Recording.from_rows(rows, prices=doubled))
    assert evaluation.usd_per_1k == pytest.approx(2 * same.usd_per_1k)
