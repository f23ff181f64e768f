"""What evaluating computes in bulk is what the loop does query by query."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from frugal_core.certifying import Certificate
from frugal_core.fitting import fit
from frugal_core.policy import Policy
from frugal_core.recording import Recording
from frugal_core.replay import replay
from frugal_core.routing import NEVER, Chain
from frugal_core.student import STUDENT
from frugal_core.table import Table
from tests.unit_tests.core.helpers import (
    PRICES,
    closed,
    closed_rows,
    free,
    free_rows,
    replayed,
    run_recorded,
    with_gaps,
)

CERTIFICATE = Certificate(0.01, 0.95, 800, 3, 9, "large", "gold", "2026-01-31")
FIVE = ("tiny", "small", "medium", "large", "huge")


@pytest.fixture(scope="module")
def closed_policy() -> Policy:
    return fit(closed(500), budget=1e9)


@pytest.fixture(scope="module")
def free_policy() -> Policy:
    return fit(free(500, models=FIVE), budget=1e9)


def several(policy: Policy, most: int = 14) -> list[Policy]:
    """The policy with chains of its frontier, of every kind that there is."""
    chains = [point.chain for point in policy.frontier]
    kinds: dict[tuple[int, bool, bool], list[Chain]] = {}
    for chain in chains:
        kind = len(chain.tiers), chain.best_of, chain.tiers[0] == STUDENT
        kinds.setdefault(kind, []).append(chain)
    share = -(-most // len(kinds))
    picked = [chain for group in kinds.values() for chain in group[:: -(-len(group) // share)]]
    return [replace(policy, chain=chain) for chain in picked]


def assert_loop_equals_replay(policy: Policy, recording: Recording) -> None:
    served = [i for i, q in enumerate(recording) if policy.reference in q.answers]
    recording = recording.select(served)  # others are left out of an evaluation
    done, table = replayed(policy, recording)
    evaluation = policy.evaluate(recording)
    paid = []
    for i, query in enumerate(recording):
        if not set(query.answers) & set(policy.chain.tiers) and STUDENT not in policy.chain.tiers:
            continue
        outcome = run_recorded(policy, query)
        assert outcome.tier == done.tier[i], (policy.chain, i)
        assert outcome.usd == pytest.approx(done.usd[i], abs=1e-15)
        tier = policy.chain.tiers[outcome.tier]
        if tier == STUDENT:
            said = table.labels[table.said[i, table.column(STUDENT)]]
            assert outcome.reply.text.casefold() == said
        else:
            assert outcome.reply.text == query.answers[tier].text
            assert bool(done.right[i]) is query.answers[tier].correct
        paid.append(outcome.usd)
    if len(paid) == len(recording):
        assert evaluation.usd_per_1k == pytest.approx(1000 * np.mean([p or 0.0 for p in paid]))


def test_chains_of_every_kind_are_compared(closed_policy: Policy, free_policy: Policy) -> None:
    chains = [policy.chain for policy in several(closed_policy)]
    assert {len(chain.tiers) for chain in chains} >= {2, 3, 4}
    assert any(chain.best_of for chain in chains)
    assert any(chain.tiers[0] == STUDENT for chain in chains)
    assert max(len(policy.chain.tiers) for policy in several(free_policy)) > 3


def test_closed_labels_with_a_student(closed_policy: Policy) -> None:
    recording = closed(120, seed=1)
    for policy in several(closed_policy):
        assert_loop_equals_replay(policy, recording)


def test_free_text_with_confidences(free_policy: Policy) -> None:
    recording = free(120, seed=1, models=FIVE)
    for policy in several(free_policy):
        assert_loop_equals_replay(policy, recording)


def test_missing_answers_are_failed_calls_in_both(
    closed_policy: Policy, free_policy: Policy
) -> None:
    labels = Recording.from_rows(with_gaps(closed_rows(120, 2), 0.3), prices=PRICES)
    texts = Recording.from_rows(with_gaps(free_rows(120, 2, FIVE), 0.3), prices=PRICES)
    for policy in several(closed_policy):
        assert_loop_equals_replay(policy, labels)
    for policy in several(free_policy):
        assert_loop_equals_replay(policy, texts)


def test_answers_outside_the_label_set_and_empty_ones(closed_policy: Policy) -> None:
    rows = closed_rows(90, 3)
    for i, row in enumerate(rows):
        odd = ("", "UP!", "I cannot say", " \n", "Größe", "down ")[i % 6]
        row["answers"][("small", "medium", "large")[i % 3]]["text"] = odd
    recording = Recording.from_rows(rows, prices=PRICES)
    certified = replace(closed_policy, certificate=CERTIFICATE)
    for policy in several(certified):
        assert_loop_equals_replay(policy, recording)


def test_nothing_may_be_the_right_answer() -> None:
    rows = closed_rows(1200, 5)
    for row in rows:  # "Say nothing if it is flat."
        for said in (row, *row["answers"].values()):
            name = "reference" if said is row else "text"
            said[name] = said[name].replace("flat", "")
    policy = fit(Recording.from_rows(rows, prices=PRICES), promise=0.03, student=False)
    assert policy.certificate is not None and len(policy.chain.tiers) > 1
    assert_loop_equals_replay(policy, Recording.from_rows(rows[:200], prices=PRICES))


def test_a_student_passes_on_what_it_knows_nothing_of(closed_policy: Policy) -> None:
    rows = closed_rows(60, 6)
    for row in rows[::2]:
        row["query"] = "Ж Ж"
    recording = Recording.from_rows(rows, prices=PRICES)
    policies = [p for p in several(closed_policy) if p.chain.tiers[0] == STUDENT]
    for policy in policies:
        thresholds = (0.0, *policy.chain.thresholds[1:])
        policy = replace(policy, chain=replace(policy.chain, thresholds=thresholds))
        assert_loop_equals_replay(policy, recording)
        tiers = replayed(policy, recording)[0].tier
        assert not policy.chain.best_of and (tiers[1::2] == 0).all() and (tiers[::2] > 0).all()


def test_a_query_that_no_tier_answers_is_wrong_and_free() -> None:
    fitted = fit(closed(300), budget=1e9, student=False)
    chain = next(point.chain for point in fitted.frontier if len(point.chain.tiers) == 2)
    other = ({"small", "medium", "large"} - set(chain.tiers)).pop()
    rows = closed_rows(30, 4)
    for row in rows[:10]:
        row["answers"] = {other: row["answers"][other]}
    policy = replace(fitted, chain=chain)
    evaluation = policy.evaluate(Recording.from_rows(rows, prices=PRICES))
    rest = policy.evaluate(Recording.from_rows(rows[10:], prices=PRICES))
    assert evaluation.accuracy == pytest.approx(rest.accuracy * 20 / 30)
    assert evaluation.usd_per_1k == pytest.approx(rest.usd_per_1k * 20 / 30)


def test_among_equal_rivals_the_later_tier_is_returned() -> None:
    table = Table.of(closed(50), ["small", "large"])
    chain = Chain(("small", "large"), (NEVER,), best_of=True)
    done = replay(chain, table, lambda stage: np.full(50, 0.4))
    assert done.tier.tolist() == [1] * 50
    np.testing.assert_array_equal(done.right, table.correct[:, 1])
