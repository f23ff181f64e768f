from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from frugal_core.cache.calibration import NEAR, CacheCertificate, certify, shipped
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
    before = feedback.certificate()
    assert "Quora" in before.about
    feedback.count({"lookup": ENOUGH - 2, "scored": ENOUGH - 2})
    feedback.keep("judged", [(0.9, False)] * (ENOUGH - 2))
    assert feedback.certificate() == before
    feedback.count({"lookup": 2, "scored": 2})
    feedback.keep("judged", [(0.9, False)] * 2)
    own = feedback.certificate()
    assert own.lookups == ENOUGH and "your own" in own.about and own.wrong == 0


def test_judged_lookups_can_loosen_and_tighten(store: SQLiteStore) -> None:
    usual = fresh(store).certificate().threshold
    chance = np.random.default_rng(0)
    for embedder, limit in (("lenient", 0.1), ("strict", 0.99)):
        feedback = fresh(store, embedder)
        scores = chance.random(2000)
        feedback.count({"lookup": 2000, "scored": 2000})
        feedback.keep("judged", [(float(s), bool(s < limit)) for s in scores])
        found = feedback.certificate().threshold
        assert (found < usual) == (limit < usual)
        assert found == pytest.approx(limit, abs=0.05) or found >= limit


def test_a_sample_stands_for_all_lookups_with_a_candidate(store: SQLiteStore) -> None:
    feedback = fresh(store)
    feedback.count({"lookup": 10_000, "scored": 2_500})
    feedback.keep("judged", [(0.9, False)] * 200)
    # At 99.75 % confidence, at most 26.2 % of all are.
    assert feedback.certificate().lookups == math.floor(200 / 0.2624)


def test_the_bound_holds_while_the_cache_grows() -> None:
    """The more is stored, the more is near that is not the same."""
    chance = np.random.default_rng(0)
    bound, broken = 0.02, 0
    for _ in range(10):
        feedback = fresh(SQLiteStore(":memory:"), "mine", bound)
        wrong = []
        for part in range(16):
            scores = chance.random(250)
            share = (1 - scores) * (part + 1) / 16  # of those with this score, wrong ones
            served = scores >= feedback.certificate().threshold
            wrong.append(float((share * served).mean()))
            feedback.count({"lookup": 250, "scored": 250})
            judged = zip(scores.tolist(), (chance.random(250) < share).tolist(), strict=True)
            feedback.keep("judged", list(judged))
        broken += float(np.mean(wrong)) > bound
    assert broken == 0


def test_pairs_that_were_given_count_until_more_was_judged(store: SQLiteStore) -> None:
    feedback = fresh(store, "mine")
    feedback.keep("given", [(0.9, True)] * 1000)
    assert feedback.certificate().lookups == 1000 and not feedback.certificate().serves
    feedback.keep("judged", [(0.9, False)] * 1000)
    assert feedback.certificate().lookups == 1500
    feedback.keep("judged", [(0.9, False)] * 1000)
    found = feedback.certificate()
    assert found.lookups == 2000 and found.wrong == 0 and found.serves


def test_an_unknown_embedder_serves_nothing(store: SQLiteStore) -> None:
    found = fresh(store, "mine").certificate()
    assert not found.serves and "none for this embedder" in found.sentence


def test_what_the_exact_layer_answers_is_never_wrong(store: SQLiteStore) -> None:
    feedback = fresh(store)
    all_new = feedback.certificate()
    half = after(feedback, lookup=1000, exact=500)
    assert half.threshold < all_new.threshold and half.upper <= 0.02
    assert all_new.share == 1 and 0.5 < half.share < 0.56
    assert half.lookups == all_new.lookups
    assert half.wrong / half.lookups == pytest.approx(2 * 0.02, abs=0.008)
    assert 0.015 < half.wrong_per_lookup < half.upper
    assert "with 95 % confidence at most 2 % of lookups" in half.sentence
    assert "at most 54 % of lookups are like these" in half.sentence
    assert after(feedback, lookup=1_000_000, exact=1_000_000).share == pytest.approx(0.2)


def test_what_is_far_from_everything_is_never_served(store: SQLiteStore) -> None:
    feedback = fresh(store)
    all_near = feedback.certificate()
    far = after(feedback, lookup=1000, far=900)
    assert far.threshold < all_near.threshold and far.upper <= 0.02
    assert far.least_cosine >= NEAR and 0.1 < far.share < 0.13
    assert "near a question that means something else" in far.sentence
    assert "at most 13 % of lookups are like these" in far.sentence
    # As if nobody near a stored question had asked what it asks.
    hard = shipped()[MiniLM.id]
    assert hard.cosines is not None
    assert far.lookups == (hard.wrong & (hard.cosines >= NEAR)).sum() < all_near.lookups


def test_only_the_latest_lookups_tell_what_the_traffic_is_like(store: SQLiteStore) -> None:
    feedback = fresh(store)
    before = after(feedback, lookup=1000, far=950).threshold
    for _ in range(10):  # as where many questions were imported
        found = after(feedback, lookup=200)
    assert before < found.threshold == certify(shipped()[MiniLM.id], 0.02).threshold


def test_one_note_of_many_lookups_does_not_outweigh_the_latest(store: SQLiteStore) -> None:
    feedback = fresh(store)
    usual = feedback.certificate().threshold
    assert after(feedback, lookup=100_000, far=99_000).threshold < usual
    for _ in range(5):
        found = after(feedback, lookup=200)
    assert found.threshold == usual


def test_the_lookups_of_other_scopes_do_not_count(store: SQLiteStore) -> None:
    """Whose lookups all repeat themselves says nothing of another tenant's."""
    aim = Aim(0.02, 0.95)
    other, own = Feedback(store, MiniLM.id, aim, "a"), Feedback(store, MiniLM.id, aim, "b")
    usual = own.certificate()
    assert after(other, lookup=1500, exact=1500).threshold < usual.threshold
    own.counts()
    assert own.certificate() == usual
    assert own.counts()["lookup"] == 1500, "but they are told"
    own.keep("judged", [(0.9, False)] * 200 + [(0.9, True)] * 100)
    assert own.certificate().lookups == 300


def after(feedback: Feedback, **events: int) -> CacheCertificate:
    """The certificate after more lookups."""
    feedback.count(events)
    feedback.flush()
    feedback.counts()
    return feedback.certificate()


def test_the_latest_certificate_knows_the_latest_lookups(store: SQLiteStore) -> None:
    feedback = fresh(store)
    before = feedback.certificate()
    feedback.count({"lookup": 600, "exact": 400})
    assert feedback.certificate() is before, "lookups take what was known a moment ago"
    latest = feedback.latest_certificate()
    assert latest.share < 1 and latest.threshold < before.threshold
    assert feedback.certificate() is latest
    store.close()
    assert feedback.latest_certificate() is latest, "what was known last"


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
    (evidence,) = shipped().values()
    hits = evidence.scores >= found.threshold
    assert (found.hits, found.wrong) == (hits.sum(), evidence.wrong[hits].sum())


def test_enough_reports_are_evidence_that_can_only_tighten(store: SQLiteStore) -> None:
    feedback = fresh(store)
    before = feedback.certificate().threshold
    feedback.count({"lookup": 2000, "semantic": 200})
    high = (1 + before) / 2
    feedback.keep("reported", [(high, False)] * 20 + [(before, True)] * 20)
    found = feedback.certificate()
    assert before < found.threshold <= high and "reported by you" in found.about


def test_the_journal_of_counts_does_not_grow_for_ever(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever adds it up, and whatever of it the others have read."""
    path = f"{tmp_path}/cache.sqlite"
    stores = [SQLiteStore(path) for _ in range(3)]
    aim = Aim(0.02, 0.95)
    one, other, late = (Feedback(s, MiniLM.id, aim, n) for s, n in zip(stores, "aab", strict=True))
    for round in range(30):
        monkeypatch.setattr("frugal_core.cache.feedback._TOTALLED", 1 if round % 10 == 9 else 10**9)
        for feedback in (one, other, late):
            feedback.count({"lookup": 50, "exact": 10 + round})
            feedback.flush()
        if round % 7 == 0:
            assert one.counts()["lookup"] == 150 * (round + 1)
    assert len(stores[0].notes(f"counts {MiniLM.id}")) == 1
    anew = Feedback(SQLiteStore(path), MiniLM.id, aim, "a")
    for feedback in (one, other, late, anew):
        assert feedback.counts() == {"lookup": 4500, "exact": 3 * sum(range(10, 40))}
    assert one.certificate() == anew.certificate() == other.certificate() != late.certificate()
    assert one._counts.of(one._scope) == anew._counts.of(one._scope)


def test_counts_are_added_up_now_and_then(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frugal_core.cache.feedback._TOTALLED", 20)
    feedback = fresh(store)
    for _ in range(500):
        feedback.count({"lookup": 1})
        feedback.flush()
    assert len(store.notes(f"counts {MiniLM.id}")) < 400
    assert feedback.counts() == {"lookup": 500}


_COUNT = """
import sys
from frugal_core.cache import feedback
from frugal_core.cache.store.sqlite import SQLiteStore
feedback._TOTALLED = 2
mine = feedback.Feedback(SQLiteStore(sys.argv[1]), "e", feedback.Aim(0.02, 0.95), sys.argv[2])
for number in range(1, 100_000):
    mine.count({"lookup": 1})
    mine.flush()
    print(number, flush=True)
"""


def test_no_count_is_lost_or_counted_twice_where_processes_are_killed(tmp_path: object) -> None:
    path = f"{tmp_path}/cache.sqlite"
    SQLiteStore(path).close()
    written = 0
    for _ in range(2):
        counting = [
            subprocess.Popen([sys.executable, "-c", _COUNT, path, scope], stdout=subprocess.PIPE)
            for scope in "ab"
        ]
        for process in counting:
            assert process.stdout is not None
            while process.stdout.readline() != b"100\n":
                pass
        for process in counting:
            process.kill()
            process.wait()
            assert process.stdout is not None
            with process.stdout as said:
                written += int([b"100", *said.read().splitlines()][-1])
    found = fresh(SQLiteStore(path), "e").counts()["lookup"]
    assert written <= found <= written + 4, "what was being written may be there"


def test_processes_share_feedback(tmp_path: object) -> None:
    path = f"{tmp_path}/cache.sqlite"
    one, other = fresh(SQLiteStore(path)), fresh(SQLiteStore(path))
    one.count({"lookup": 3, "exact": 1})
    one.flush()
    assert other.counts() == {"lookup": 3, "exact": 1}
    assert one.counts() == {"lookup": 3, "exact": 1}
