"""Entries as rows of GPTCache: what is written into its columns, and how it is read back.

A row of GPTCache has a question, an embedding, answers, session names and little else. An entry is
one JSON text, cut into answers that a VARCHAR(3000) holds; session names are its labels, the only
thing that every scalar store of GPTCache can look up.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from frugal_core.cache.partition import digest
from frugal_core.cache.store.base import Entry, NewEntry, Selection, Vector
from frugal_core.cache.store.selecting import encoded

WRONG = "frugal wrong"
"""Label of an entry, once for each time that its answer was reported wrong."""
_PAGE = 500
_PIECE = 2900
_READABLE = 1000
"""Characters of a question that the question column shows."""
_PIECES = re.compile(r"frugal (\d+)/(\d+) (.*)", re.DOTALL)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Stored:
    """A row of ours.

    Args:
        id: GPTCache's.
        data: What `pieces` was given.
        used: When it was last used, for comparisons.
        wrong: How often its answer was reported wrong.
    """

    id: int
    data: dict[str, Any]
    used: float
    wrong: int

    @property
    def entry(self) -> Entry:
        fields = {name: value for name, value in self.data.items() if name != "tags"}
        return Entry(id=self.id, tags=tuple(self.data["tags"]), wrong=self.wrong, **fields)

    @property
    def is_entry(self) -> bool:
        return "key" in self.data

    def lives(self, now: float) -> bool:
        """Whether it has not expired."""
        expires = self.data["expires"]
        return expires is None or expires > now


def label(kind: str, name: str) -> str:
    """A session name that stands for a key, a space or a journal."""
    return f"frugal {kind} {digest(kind, name)}"


def fields(entry: NewEntry) -> dict[str, Any]:
    """An entry as `pieces` takes it."""
    return {
        "key": entry.key,
        "space": entry.space,
        "scope": entry.scope,
        "question": entry.question,
        "answer": entry.answer,
        "tags": list(entry.tags),
        "created": time.time(),
        "expires": None if entry.expires is None else float(entry.expires),
    }


def pieces(data: dict[str, Any]) -> list[str]:
    """JSON in pieces that fit into a row of GPTCache's answers.

    Raises:
        StoreError: JSON cannot hold it.
    """
    text = encoded(data)
    parts = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
    return [f"frugal {i}/{len(parts)} {part}" for i, part in enumerate(parts)]


def joined(answers: Iterable[Any]) -> dict[str, Any] | None:
    """What `pieces` was given, from its pieces in any order; None if they are something else."""
    found: dict[int, str] = {}
    count = 0
    for answer in answers:
        piece = _PIECES.fullmatch(answer) if isinstance(answer, str) else None
        if piece is None:
            return None
        count = int(piece[2])
        found[int(piece[1])] = piece[3]
    if not found or sorted(found) != list(range(count)):
        return None
    try:
        data = json.loads("".join(found[i] for i in range(count)))
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def readable(question: str) -> str:
    """The beginning of a question, without what a database refuses."""
    return _UNSTORABLE.sub("\ufffd", question[:_READABLE])


def pages_of(ids: Sequence[int]) -> list[list[int]]:
    """So many ids that one statement takes them."""
    return [list(ids[start : start + _PAGE]) for start in range(0, len(ids), _PAGE)]


def chosen(stored: Stored, selection: Selection, now: float) -> bool:
    """Whether a row is an entry of a selection."""
    if not stored.is_entry:
        return False
    data = stored.data
    answer = data["answer"]
    return (
        selection.scope in (None, data["scope"])
        and selection.space in (None, data["space"])
        and (selection.tag is None or selection.tag in data["tags"])
        and (selection.created_before is None or data["created"] < selection.created_before)
        and (not selection.dead or not stored.lives(now))
        and (not selection.where or isinstance(answer, dict))
        and all(name in answer and _same(answer[name], v) for name, v in selection.where.items())
    )


def _same(stored: Any, wanted: Any) -> bool:
    """Equality as JSON has it: true is not 1."""
    return isinstance(stored, bool) == isinstance(wanted, bool) and bool(stored == wanted)


class Leases:
    """Leases among the threads of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: dict[str, tuple[str, float]] = {}

    def take(self, key: str, owner: str, seconds: float) -> bool:
        """Whether a lease is now the owner's."""
        now = time.monotonic()
        with self._lock:
            holder, until = self._taken.get(key, (owner, 0.0))
            if holder != owner and until > now:
                return False
            self._taken[key] = owner, now + seconds
            return True

    def give(self, key: str, owner: str) -> None:
        """Let go of a lease of the owner's, and of those that expired."""
        now = time.monotonic()
        with self._lock:
            self._taken = {
                name: (holder, until)
                for name, (holder, until) in self._taken.items()
                if until > now and (name, holder) != (key, owner)
            }


class Rows(Protocol):
    """What can be asked of a scalar store."""

    few: int
    """So many rows may be read for one lookup."""

    def labelled(self, label: str, limit: int | None = None) -> list[int]:
        """Ids of rows with a label, ascending; deleted ones may be among them."""
        ...

    def put_labels(self, labels: Sequence[tuple[int, str]]) -> None:
        """Give labels to rows."""
        ...

    def vectors(self, ids: Sequence[int]) -> tuple[list[int], list[Vector]]:
        """Ids and embeddings of those of the rows that are not deleted and have one."""
        ...

    def read(self, ids: Sequence[int]) -> list[Stored]:
        """Those of the rows that are ours and not deleted."""
        ...

    def touch(self, ids: Sequence[int]) -> None:
        """Note that rows were used now."""
        ...


class SQLRows:
    """Rows of GPTCache's SQLStorage, many at once, and read without writing."""

    few = 1000

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def labelled(self, label: str, limit: int | None = None) -> list[int]:
        table = self._storage._session
        with self._storage.Session() as session:
            query = session.query(table.question_id).filter(table.session_id == label)
            return [id for (id,) in query.order_by(table.question_id).limit(limit).all()]

    def put_labels(self, labels: Sequence[tuple[int, str]]) -> None:
        table = self._storage._session
        with self._storage.Session() as session:
            session.add_all(
                table(question_id=id, session_id=name, session_question="") for id, name in labels
            )
            session.commit()

    def vectors(self, ids: Sequence[int]) -> tuple[list[int], list[Vector]]:
        table = self._storage._ques
        with self._storage.Session() as session:
            rows = session.query(table.id, table.embedding_data)
            rows = rows.filter(table.id.in_(ids), table.deleted == 0).all()
        found = [(id, np.frombuffer(bytes(blob or b""), np.float32)) for id, blob in rows]
        return _with_direction(found)

    def read(self, ids: Sequence[int]) -> list[Stored]:
        questions, answers = self._storage._ques, self._storage._answer
        labels = self._storage._session
        with self._storage.Session() as session:
            rows = session.query(questions.id, questions.last_access)
            rows = rows.filter(questions.id.in_(ids), questions.deleted == 0).all()
            texts = session.query(answers.question_id, answers.answer)
            texts = texts.filter(answers.question_id.in_(ids)).all()
            reports = session.query(labels.question_id).filter(labels.session_id == WRONG)
            wrong = Counter(id for (id,) in reports.filter(labels.question_id.in_(ids)).all())
        parts: dict[int, list[str]] = {}
        for id, text in texts:
            parts.setdefault(id, []).append(text)
        found = []
        for id, used in sorted(rows):
            data = joined(parts.get(id, []))
            if data is not None:
                found.append(Stored(id, data, _seconds(used), wrong[id]))
        return found

    def touch(self, ids: Sequence[int]) -> None:
        table = self._storage._ques
        with self._storage.Session() as session:
            now = {"last_access": dt.datetime.now()}
            session.query(table).filter(table.id.in_(ids)).update(now, synchronize_session=False)
            session.commit()


class AnyRows:
    """Rows of any scalar store of GPTCache, one by one; reading one counts as using it."""

    few = 64

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def labelled(self, label: str, limit: int | None = None) -> list[int]:
        rows = self._storage.list_sessions(session_id=label, key=None)
        return sorted(int(row.question_id) for row in rows)[:limit]

    def put_labels(self, labels: Sequence[tuple[int, str]]) -> None:
        for id, name in labels:
            self._storage.add_session(id, name, "")

    def vectors(self, ids: Sequence[int]) -> tuple[list[int], list[Vector]]:
        rows = ((id, self._storage.get_data_by_id(id)) for id in ids)
        found = [(id, np.asarray(row.embedding_data, np.float32)) for id, row in rows if row]
        return _with_direction(found)

    def read(self, ids: Sequence[int]) -> list[Stored]:
        found = []
        for id in sorted(ids):
            row = self._storage.get_data_by_id(id)
            data = joined(answer.answer for answer in row.answers) if row else None
            if data is not None:
                sessions = self._storage.list_sessions(session_id=None, key=id)
                wrong = sum(session.session_id == WRONG for session in sessions)
                found.append(Stored(id, data, _seconds(row.last_access), wrong))
        return found

    def touch(self, ids: Sequence[int]) -> None:
        for id in ids:
            self._storage.get_data_by_id(id)


def rows_of(storage: Any) -> Rows:
    """How a scalar store is read."""
    tables = ("Session", "_ques", "_answer", "_session")
    return SQLRows(storage) if all(hasattr(storage, t) for t in tables) else AnyRows(storage)


def _with_direction(rows: Iterable[tuple[int, Vector]]) -> tuple[list[int], list[Vector]]:
    """Those with a vector: an entry of the exact layer alone has one zero in its place."""
    found = [(id, vector) for id, vector in rows if len(vector) > 1]
    return [id for id, _ in found], [vector for _, vector in found]


def _seconds(moment: Any) -> float:
    return moment.timestamp() if isinstance(moment, dt.datetime) else 0.0
