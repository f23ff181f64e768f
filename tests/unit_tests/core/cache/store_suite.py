"""What every store must do; a test class of a store inherits it and says how to open one.

    class TestSQLite(StoreSuite):
        @pytest.fixture
        def reopen(self, tmp_path):
            return lambda: SQLiteStore(str(tmp_path / "cache.db"))

`reopen` opens the same location once more, beside whatever is open, and ends with the test.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from frugal_core.arrays import Floats
from frugal_core.cache.store.base import NewEntry, Selection, Store, StoreError

Reopen = Callable[[], Store]
ODD = ["a\x00b", "\ud800 alone", "naïve 漢字 😀", '"; DROP TABLE entries; --', "%_'\\", ""]


def direction(seed: int, dimensions: int = 16) -> Floats:
    """A random unit vector; shape (dimensions,)."""
    row = np.random.default_rng(seed).normal(size=dimensions)
    return row / np.linalg.norm(row)


def near(vector: Floats, cosine: float, seed: int = 0) -> Floats:
    """A unit vector with this cosine to the given one."""
    other = direction(10**6 + seed, len(vector))
    other = other - (other @ vector) * vector
    return cosine * vector + math.sqrt(1 - cosine**2) * other / np.linalg.norm(other)


def new(number: int, vector: Floats | None = None, **fields: Any) -> NewEntry:
    """An entry whose texts and vector tell its number."""
    given: dict[str, Any] = {"key": f"key-{number}", "space": "s", "scope": "tenant"}
    given |= {"question": f"question {number}", "answer": {"text": f"answer {number}"}} | fields
    return NewEntry(vector=direction(number) if vector is None else vector, **given)


def numbers(store: Store, selection: Selection | None = None) -> list[int]:
    """Numbers of the entries that `new` made, in the order of the store."""
    return [int(e.question.split()[1]) for e in store.entries(selection or Selection())]


class StoreSuite:
    @pytest.fixture
    def reopen(self) -> Reopen:
        raise NotImplementedError("say how to open the store")

    @pytest.fixture
    def store(self, reopen: Reopen) -> Store:
        return reopen()

    def test_exact_gives_back_what_was_stored(self, store: Store) -> None:
        before = time.time()
        answer = {"text": "Paris", "list": [1, 2.5, None, True], "deep": {"a": {"b": "ü"}}}
        (id,) = store.add([new(1, answer=answer, tags=("geo", "v2"), expires=before + 60)])
        found = store.exact("key-1")
        assert found is not None
        assert (found.id, found.key, found.space, found.scope) == (id, "key-1", "s", "tenant")
        assert (found.question, found.answer) == ("question 1", answer)
        assert (found.tags, found.expires, found.wrong) == (("geo", "v2"), before + 60, 0)
        assert before <= found.created <= time.time()
        assert store.exact("key-2") is None

    @pytest.mark.parametrize("answer", ["text", "", 0, None, [], {}, [{"a": []}], 1e300, 2**70])
    def test_any_json_comes_back_the_same(self, store: Store, answer: Any) -> None:
        store.add([new(1, answer=answer)])
        found = store.exact("key-1")
        assert found is not None and found.answer == answer
        assert type(found.answer) is type(answer)

    @pytest.mark.parametrize("answer", [math.nan, {"a": math.inf}, {"a": object()}, b"bytes"])
    def test_what_json_cannot_hold_is_refused(self, store: Store, answer: Any) -> None:
        with pytest.raises(StoreError, match="JSON"):
            store.add([new(1), new(2, answer=answer)])
        assert store.count(Selection()) == 0

    @pytest.mark.parametrize("text", ODD)
    def test_any_text_comes_back_the_same(self, store: Store, text: str) -> None:
        store.add([NewEntry("k" + text, text, text, text, {text: text}, direction(1), (text,))])
        found = store.exact("k" + text)
        assert found is not None
        assert (found.question, found.answer, found.tags) == (text, {text: text}, (text,))
        assert (found.space, found.scope) == (text, text)
        assert [c.entry.id for c in store.nearest(text, direction(1), 3)] == [found.id]
        for selection in (
            Selection(scope=text),
            Selection(tag=text),
            Selection(space=text),
            Selection(where={text: text}),
        ):
            assert store.count(selection) == 1
        assert store.lease("k" + text, text, 60) and not store.lease("k" + text, "other", 60)
        store.note(text, [{text: text}])
        assert [row for _, row in store.notes(text)] == [{text: text}]

    def test_a_text_of_a_megabyte(self, store: Store) -> None:
        long = "wörd " * 200_000
        store.add([new(1, question=long, answer={"text": long})])
        found = store.exact("key-1")
        assert found is not None
        assert found.question == long and found.answer == {"text": long}
        assert store.nearest("s", direction(1), 1)[0].entry == found

    def test_a_newer_entry_takes_the_place_of_the_older(self, store: Store) -> None:
        store.add([new(1, tags=("old",))])
        assert len(store.nearest("s", direction(1), 5)) == 1
        store.add([new(1, vector=direction(7), answer="newer")])
        found = store.exact("key-1")
        assert found is not None and found.answer == "newer"
        assert [c.entry.answer for c in store.nearest("s", direction(1), 5)] == ["newer"]
        assert store.count(Selection()) == 1 and store.count(Selection(tag="old")) == 0
        store.add([new(2, answer="a"), new(2, answer="b")])
        assert store.count(Selection()) == 2
        assert getattr(store.exact("key-2"), "answer", None) == "b"

    def test_ids_ascend_and_are_never_used_twice(self, store: Store, reopen: Reopen) -> None:
        ids = store.add([new(n) for n in range(5)])
        assert ids == sorted(set(ids))
        assert store.remove(Selection(ids=ids[-2:])) == 2
        store.close()
        later = reopen().add([new(9)])
        assert later[0] > ids[-1]

    def test_nearest_first_with_exact_cosines(self, store: Store) -> None:
        query = direction(0, 384)
        cosines = np.linspace(0.5, 0.999, 40)
        for i, cosine in enumerate(cosines):
            store.add([new(i, near(query, cosine, i))])
        found = store.nearest("s", query, 7)
        assert [c.entry.question for c in found] == [f"question {i}" for i in range(39, 32, -1)]
        assert [c.cosine for c in found] == pytest.approx(cosines[:-8:-1], abs=1e-3)
        assert len(store.nearest("s", query, 100)) == 40
        assert store.nearest("s", query, 1)[0].cosine == pytest.approx(0.999, abs=1e-3)
        opposite = store.nearest("s", -query, 1)[0]
        assert opposite.entry.question == "question 0"
        assert opposite.cosine == pytest.approx(-0.5, abs=1e-3)

    def test_length_does_not_matter(self, store: Store) -> None:
        store.add([new(1, 5 * direction(1))])
        assert store.nearest("s", 0.1 * direction(1), 1)[0].cosine == pytest.approx(1, abs=1e-3)

    def test_spaces_never_meet(self, store: Store) -> None:
        store.add([new(n, direction(1), space=f"s{n % 3}") for n in range(30)])
        for n in range(3):
            found = store.nearest(f"s{n}", direction(1), 30)
            assert len(found) == 10 and {c.entry.space for c in found} == {f"s{n}"}
        assert store.nearest("elsewhere", direction(1), 5) == []

    def test_spaces_may_differ_in_dimensions_but_not_within(self, store: Store) -> None:
        store.add([new(1, direction(1, 8)), new(2, direction(2, 12), space="t")])
        with pytest.raises(StoreError, match=r"8.*dimensions|dimensions.*8"):
            store.add([new(3, direction(3, 8)), new(4, direction(4, 12))])
        with pytest.raises(StoreError, match="dimensions"):
            store.add([new(5, direction(5, 5), space="u"), new(6, direction(6, 6), space="u")])
        with pytest.raises(StoreError, match="dimensions"):
            store.nearest("s", direction(1, 12), 1)
        assert numbers(store) == [1, 2]
        assert len(store.nearest("t", direction(2, 12), 5)) == 1

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_a_vector_that_is_not_finite_is_refused(self, store: Store, bad: float) -> None:
        vector = direction(1)
        vector[3] = bad
        with pytest.raises(StoreError, match="finite"):
            store.add([new(1, vector)])
        with pytest.raises(StoreError, match="finite"):
            store.nearest("s", vector, 1)
        with pytest.raises(StoreError):
            store.add([new(1, np.zeros(16))])
        assert store.count(Selection()) == 0

    def test_without_a_vector_there_are_no_neighbours(self, store: Store) -> None:
        store.add([NewEntry("key-1", "s", "tenant", "question 1", "a")])
        assert store.exact("key-1") is not None
        assert store.nearest("s", direction(1), 5) == []

    def test_the_dead_are_not_served(self, store: Store) -> None:
        now = time.time()
        living = new(1, near(direction(0), 0.8), expires=now + 3600)
        dead = [new(n, near(direction(0), 0.9, n), expires=now - 1) for n in range(2, 60)]
        store.add([*dead, living])
        assert store.exact("key-2") is None and store.exact("key-1") is not None
        for seconds in (0.3, 5):  # a busy machine may need longer
            soon = time.time() + seconds
            store.add([new(99, expires=soon)])
            if lives := store.exact("key-99") is not None:
                break
        assert lives
        assert [c.entry.question for c in store.nearest("s", direction(0), 1)] == ["question 1"]
        time.sleep(max(0.0, soon - time.time()) + 0.05)
        assert store.exact("key-99") is None
        assert [c.entry.question for c in store.nearest("s", direction(0), 9)] == ["question 1"]
        assert store.count(Selection()) == 60 and store.count(Selection(dead=True)) == 59
        assert store.remove(Selection(dead=True)) == 59
        assert numbers(store) == [1]

    def test_the_removed_are_not_served(self, store: Store) -> None:
        query = direction(0)
        ids = store.add([new(n, near(query, 0.99 - n / 1000, n)) for n in range(300)])
        assert len(store.nearest("s", query, 300)) == 300
        assert store.remove(Selection(ids=ids[:250])) == 250
        found = store.nearest("s", query, 3)
        assert [c.entry.question for c in found] == [f"question {n}" for n in (250, 251, 252)]
        assert len(store.nearest("s", query, 300)) == 50
        assert store.exact("key-0") is None and store.remove(Selection(ids=ids[:250])) == 0
        assert store.remove(Selection(ids=[])) == 0

    def test_selections(self, store: Store) -> None:
        odd = 'a"]. $'
        store.add([new(1, scope="a", tags=("x", "y"), answer={"model": "m1", "n": 1})])
        store.add([new(2, scope="b", tags=("y",), answer={"model": "m2", odd: "v", "n": True})])
        time.sleep(0.01)
        middle = time.time()
        time.sleep(0.01)
        store.add([new(3, scope="b", space="t", answer={"model": "m1", "none": None, "n": 1.5})])
        store.add([new(4, scope="b", answer=["model", "m1"]), new(5, answer="m1")])
        for selection, expected in (
            (Selection(), [1, 2, 3, 4, 5]),
            (Selection(scope="b"), [2, 3, 4]),
            (Selection(tag="y"), [1, 2]),
            (Selection(tag="y", scope="b"), [2]),
            (Selection(space="t"), [3]),
            (Selection(created_before=middle), [1, 2]),
            (Selection(where={"model": "m1"}), [1, 3]),
            (Selection(where={"model": "m1"}, scope="a"), [1]),
            (Selection(where={odd: "v"}), [2]),
            (Selection(where={"model": "m1", "n": 1.5}), [3]),
            (Selection(where={"none": None}), [3]),
            (Selection(where={"n": 1}), [1]),
            (Selection(where={"n": True}), [2]),
            (Selection(where={"n": "1"}), []),
            (Selection(where={"') OR 1=1 --": 1}), []),
            (Selection(where={"model": "' OR 1=1 --"}), []),
            (Selection(scope="%"), []),
            (Selection(dead=True), []),
        ):
            assert numbers(store, selection) == expected, selection
            assert store.count(selection) == len(expected), selection
        assert [e.question for e in store.entries(Selection(scope="b"), limit=2)] == [
            "question 2",
            "question 3",
        ]
        assert store.remove(Selection(tag="x")) == 1
        assert store.remove(Selection(where={"model": "m1"})) == 1
        assert store.remove(Selection(scope="b", created_before=middle)) == 1
        assert numbers(store) == [4, 5]
        assert store.remove(Selection()) == 2 and store.count(Selection()) == 0

    def test_entries_may_be_changed_while_they_are_read(self, store: Store) -> None:
        store.add([new(n) for n in range(1500)])
        seen = []
        for entry in store.entries(Selection()):
            seen.append(entry.question)
            store.remove(Selection(ids=[entry.id])) if len(seen) < 5 else None
        assert seen == [f"question {n}" for n in range(1500)]
        assert store.count(Selection()) == 1496

    def test_evict_deletes_the_dead_then_the_longest_unused(
        self, store: Store, reopen: Reopen
    ) -> None:
        ids = store.add([new(n) for n in range(10)])
        store.add([new(n, expires=time.time() - 1) for n in range(10, 13)])
        assert store.evict(100) == 3
        assert store.evict(10) == 0
        time.sleep(0.01)
        store.touch([ids[0], ids[4], ids[0]])
        assert store.evict(8) == 2
        assert numbers(store) == [0, 3, 4, 5, 6, 7, 8, 9]
        store.close()
        again = reopen()
        assert again.evict(4) == 4
        assert numbers(again) == [0, 4, 8, 9]
        time.sleep(0.01)
        again.add([new(20)])
        assert again.evict(2) == 3
        assert 20 in numbers(again)
        assert again.evict(0) == 2

    def test_touching_and_marking_what_is_gone_does_nothing(self, store: Store) -> None:
        (id,) = store.add([new(1)])
        store.mark_wrong(id)
        store.mark_wrong(id)
        assert getattr(store.exact("key-1"), "wrong", None) == 2
        assert store.nearest("s", direction(1), 1)[0].entry.wrong == 2
        store.remove(Selection())
        store.mark_wrong(id)
        store.touch([id, 10**12])
        assert store.evict(5) == 0

    def test_leases(self, store: Store, reopen: Reopen) -> None:
        other = reopen()
        assert store.lease("k", "a", 60)
        assert store.lease("k", "a", 60), "the owner may take it again"
        assert not other.lease("k", "b", 60)
        assert other.lease("k2", "b", 60)
        other.release("k", "b")
        assert not other.lease("k", "b", 60), "only the owner gives it back"
        store.release("k", "a")
        assert other.lease("k", "b", 0.05)
        time.sleep(0.1)
        assert store.lease("k", "a", 60), "an expired lease is free"

    def test_one_of_many_gets_the_lease(self, store: Store) -> None:
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(lambda i: store.lease("k", f"owner-{i}", 60), range(32)))
        assert sum(taken) == 1

    def test_journals(self, store: Store, reopen: Reopen) -> None:
        store.note("a", [{"n": 1}, {"n": 2}])
        store.note("b", [{"n": 3}])
        reopen().note("a", [{"n": 4, "text": "ü"}])
        rows = store.notes("a")
        assert [row for _, row in rows] == [{"n": 1}, {"n": 2}, {"n": 4, "text": "ü"}]
        assert [n for n, _ in rows] == sorted({n for n, _ in rows})
        assert [row for _, row in store.notes("a", after=rows[1][0])] == [{"n": 4, "text": "ü"}]
        assert store.notes("none") == []
        with pytest.raises(StoreError, match="JSON"):
            store.note("a", [{"n": math.nan}])

    def test_journals_are_condensed(self, store: Store, reopen: Reopen) -> None:
        other = reopen()
        store.note("a", [{"n": 1}, {"n": 2}])
        other.note("b", [{"n": 3}])
        other.note("a", [{"n": 4}])
        last = store.notes("a")[-1][0]
        merged: list[list[Any]] = []

        def merge(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
            merged.append([row["n"] for row in rows])
            return [{"sum": sum(row["n"] for row in rows)}]

        other.condense("a", merge)
        assert merged == [[1, 2, 4]]
        assert [row for _, row in other.notes("a")] == [{"sum": 7}]
        assert [row for _, row in store.notes("a", after=last)] == [{"sum": 7}], "it is new"
        assert [row for _, row in store.notes("b")] == [{"n": 3}]

        def fail(rows: object) -> list[dict[str, Any]]:
            raise ZeroDivisionError

        with pytest.raises((ZeroDivisionError, StoreError)):
            store.condense("b", fail)
        assert [row for _, row in store.notes("b")] == [{"n": 3}], "nothing has happened"

    def test_two_on_one_location_see_each_other(self, store: Store, reopen: Reopen) -> None:
        other = reopen()
        assert store.nearest("s", direction(1), 1) == []
        (id,) = other.add([new(1)])
        assert [c.entry.id for c in store.nearest("s", direction(1), 1)] == [id]
        store.add([new(2)])
        assert len(other.nearest("s", direction(1), 9)) == 2
        other.remove(Selection(ids=[id]))
        assert store.exact("key-1") is None
        assert [c.entry.question for c in store.nearest("s", direction(1), 9)] == ["question 2"]
        other.add([new(n) for n in range(20)])
        assert store.evict(5) == 15 and other.count(Selection()) == 5

    def test_everything_survives_reopening(self, store: Store, reopen: Reopen) -> None:
        store.add([new(n, tags=("t",)) for n in range(50)])
        store.close()
        store.close()
        again = reopen()
        assert numbers(again) == list(range(50))
        found = again.nearest("s", direction(7), 1)[0]
        assert found.entry.question == "question 7"
        assert found.cosine == pytest.approx(1, abs=1e-3)
        assert again.count(Selection(tag="t")) == 50

    def test_threads_lose_nothing_and_serve_nothing_wrong(self, store: Store) -> None:
        wrong: list[object] = []
        barrier = threading.Barrier(8)

        def work(thread: int) -> None:
            barrier.wait()
            for i in range(40):
                number = 1000 * thread + i
                store.add([new(number, space=f"s{thread % 3}")])
                found = store.nearest(f"s{thread % 3}", direction(number), 1)[0]
                exact = store.exact(f"key-{number}")
                if found.entry != exact or found.entry.answer != {"text": f"answer {number}"}:
                    wrong.append((number, found))
                store.touch([found.entry.id])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert wrong == []
        assert store.count(Selection()) == 320
