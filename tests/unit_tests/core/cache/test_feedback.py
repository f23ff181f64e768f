from __future__ import annotations

import numpy as np
import pytest

from frugal_core.cache.feedback import ENOUGH, Aim, Feedback
from frugal_core.cache.store.sqlite import SQLiteStore
from frugal_core.embedding import MiniLM


@pytest.fixture
def store() -> SQLiteStore:
    return SQLiteStore(":memory:")


def fresh(store: SQLiteStore, embedder: str = MiniLM.id, bound: float = 0.02) -> Feedback:
    return Feedback(store, embedder, Aim(bound, 0.95))


def test_the_shipped_evidence_counts_until_there_is_enough_of_ones_own(store: SQLiteStore) -> None:
    feedback = fresh(store)
    shipped = feedback.certificate()
    assert "Quora" in shipped.about
    feedback.count({"lookup": ENOUGH - 2, "scored": ENOUGH - 2})
    feedback.keep("judged", [(0.9, False)] * (ENOUGH - 2))
    assert feedback.certificate() == shipped
    feedback.count({"lookup": 2, "scored": 2})
    feedback.keep("judged", [(0.9, False)] * 2)
    own = feedback.certificate()
    assert own.lookups == ENOUGH and "your own" in own.about and own.wrong == 0


def test_judged_lookups_can_loosen_and_tighten(store: SQLiteStore) -> None:
    shipped = fresh(store).certificate().threshold
    chance = np.random.default_rng(0)
    for embedder, limit in (("lenient", 0.1), ("strict", 0.99)):
        feedback = fresh(store, embedder)
        scores = chance.random(2000)
        feedback.count({"lookup": 2000, "scored": 2000})
        feedback.keep("judged", [(float(s), bool(s < limit)) for s in scores])
        found = feedback.certificate().threshold
        assert (found < shipped) == (limit < shipped)
        assert found == pytest.approx(limit, abs=0.05) or found >= limit


def test_a_sample_stands_for_all_lookups_with_a_candidate(store: SQLiteStore) -> None:
    feedback = fresh(store)
    feedback.count({"lookup": 10_000, "scored": 2_500})
    feedback.keep("judged", [(0.9, False)] * 200)
    assert feedback.certificate().lookups == 800


def test_an_unknown_embedder_serves_nothing(store: SQLiteStore) -> None:
    found = fresh(store, "mine").certificate()
    assert not found.serves and "none for this embedder" in found.sentence


def test_what_the_exact_layer_answers_is_never_wrong(store: SQLiteStore) -> None:
    feedback = fresh(store)
    all_new = feedback.certificate()
    feedback.count({"lookup": 2000, "exact": 1000})
    feedback.counts()
    half = feedback.certificate()
    assert half.threshold < all_new.threshold and half.upper <= 0.02
    assert all_new.exact == 0 and 0.45 < half.exact < 0.5
    assert half.lookups == all_new.lookups
    assert half.wrong / half.lookups == pytest.approx(2 * 0.02, abs=0.008)
    assert "with 95 % confidence at most 2 % of lookups" in half.sentence
    assert "47 % are answered from the exact layer; of the others 4" in half.sentence
    feedback.count({"lookup": 1_000_000, "exact": 1_000_000})
    feedback.counts()
    assert feedback.certificate().exact == pytest.approx(0.8)


def test_too_many_wrong_reports_make_it_stricter(store: SQLiteStore) -> None:
    feedback = fresh(store)
    before = feedback.certificate().threshold
    high = (1 + before) / 2
    feedback.count({"lookup": 300, "semantic": 60})
    feedback.keep("reported", [(high, True)] * 5)
    assert feedback.certificate().threshold == before
    feedback.keep("reported", [(high, True)] * 7)
    found = feedback.certificate()
    assert found.threshold > before and "stricter" in found.about


def test_enough_reports_are_evidence_that_can_only_tighten(store: SQLiteStore) -> None:
    feedback = fresh(store)
    before = feedback.certificate().threshold
    feedback.count({"lookup": 2000, "semantic": 200})
    high = (1 + before) / 2
    feedback.keep("reported", [(high, False)] * 20 + [(before, True)] * 20)
    found = feedback.certificate()
    assert before < found.threshold <= high and "reported by you" in found.about


def test_processes_share_feedback(tmp_path: object) -> None:
    path = f"{tmp_path}/cache.sqlite"
    one, other = fresh(SQLiteStore(path)), fresh(SQLiteStore(path))
    one.count({"lookup": 3, "exact": 1})
    one.flush()
    assert other.counts() == {"lookup": 3, "exact": 1}
    assert one.counts() == {"lookup": 3, "exact": 1}
