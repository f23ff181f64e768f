"""A cache as JSON Lines, and the caches that GPTCache left behind."""

from __future__ import annotations

import datetime as dt
import json
import math
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from frugal_core.cache.asking import split
from frugal_core.cache.semantic import SemanticCache
from frugal_core.cache.store.base import Entry, NewEntry, Selection, Store, Vector, unit
from frugal_core.cache.store.gptcache_rows import WRONG, joined
from frugal_core.embedding import Embedder, MiniLM
from frugal_core.errors import FrugalError, is_number

T = TypeVar("T")

_BATCH = 100
_ALIKE = 20
"""Neighbours among which an entry is looked for: wordings that only differ in case are as near."""


@dataclass(frozen=True, slots=True)
class Line:
    """An entry on its way; there are no vectors, they are made anew.

    Args:
        question, answer, tags, scope, expires, created: See `frugal_core.cache.store.base`.
        partition: What else shapes the answer; used where key and space are not given.
        key, space: Hashes that scope and partition are part of.
        by_meaning: Whether another wording may be served the answer.
        wrong: Whether the answer was reported wrong.
    """

    question: str
    answer: Any
    tags: tuple[str, ...] = ()
    scope: str | None = None
    partition: str | None = None
    key: str | None = None
    space: str | None = None
    by_meaning: bool = True
    wrong: bool = False
    created: float | None = None
    expires: float | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object, without what is not known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the entries of a source.

    Args:
        stored: How many are now in the cache.
        skipped: How many are not, by reason.
    """

    stored: int
    skipped: dict[str, int]


def exported(store: Store, scope: str | None = None) -> Iterator[Line]:
    """The entries of a store, the oldest first; those of one scope, or of all.

    An entry counts as served by meaning if the store finds it where the default embedder puts it:
    so neither entries of the exact layer alone nor those of other embedders come back as what they
    were not.
    """
    embedder = MiniLM()
    for entries in _batches(store.entries(Selection(scope=scope))):
        vectors = _vectors(embedder, [entry.question for entry in entries])
        for entry, vector in zip(entries, vectors, strict=True):
            yield Line(
                entry.question,
                entry.answer,
                entry.tags,
                entry.scope,
                None,
                entry.key,
                entry.space,
                vector is not None and _is_at(store, entry, vector),
                entry.wrong > 0,
                entry.created,
                entry.expires,
            )


def _is_at(store: Store, entry: Entry, vector: Vector) -> bool:
    try:
        near = store.nearest(entry.space, vector, _ALIKE)
    except FrugalError:  # vectors of other dimensions
        return False
    found = (candidate.read() for candidate in near if candidate.cosine > 0.99)
    return any(one is not None and one.id == entry.id for one in found)


def import_lines(
    store: Store, lines: Iterable[Line], scope: str | None = None, partition: str = ""
) -> Imported:
    """Store entries under today's date; what is in the store and newer stays.

    Args:
        store: Where they go.
        lines: What `read_lines` or `read_gptcache` gave.
        scope, partition: Of those that do not say theirs.

    Raises:
        FrugalError: A line is of another scope than the one given: its key cannot be changed.
    """
    embedder = MiniLM()
    stored, skipped = 0, Counter[str]()
    for batch in _batches(lines):
        now = time.time()
        entries: list[tuple[Line, NewEntry]] = []
        for line in batch:
            entry = _entry(store, line, scope, partition)
            if line.expires is not None and line.expires <= now:
                skipped["expired"] += 1
            elif line.created is not None and _is_newer(store.exact(entry.key), line.created):
                skipped["newer in the cache"] += 1
            else:
                entries.append((line, entry))
        asked = [line.question if line.by_meaning else "" for line, _ in entries]
        vectors = _vectors(embedder, asked)
        placed = [
            NewEntry(e.key, e.space, e.scope, e.question, e.answer, vector, e.tags, e.expires)
            for (_, e), vector in zip(entries, vectors, strict=True)
        ]
        ids = store.add(placed) if placed else []
        for id, (line, _) in zip(ids, entries, strict=True):
            if line.wrong:
                store.mark_wrong(id)
        stored += len(ids)
    return Imported(stored, dict(skipped))


def _entry(store: Store, line: Line, scope: str | None, partition: str) -> NewEntry:
    if line.scope is not None and scope not in (None, line.scope):
        raise FrugalError(
            f"an entry is of the scope {line.scope!r}, not of {scope!r}: import it without --scope"
        )
    own = line.scope if line.scope is not None else scope or ""
    cache = SemanticCache(store, scope=own)
    within = partition if line.partition is None else line.partition
    key = line.key or cache.key(line.question, within)
    _, frame = split(line.question) or ("", "")
    space = line.space or cache.space(within, frame)
    return NewEntry(key, space, own, line.question, line.answer, None, line.tags, line.expires)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while batch := list(islice(source, _BATCH)):
        yield batch


def _is_newer(entry: Entry | None, created: float) -> bool:
    return entry is not None and entry.created > created


def _vectors(embedder: Embedder, texts: list[str]) -> list[Vector | None]:
    """Vectors of those texts that have a meaning of their own."""
    asked = [(split(text) or ("", ""))[0] for text in texts]
    meant = [text for text in dict.fromkeys(asked) if text]
    found = dict(zip(meant, map(unit, embedder.embed(meant)), strict=True))
    return [found.get(text) for text in asked]


def read_lines(path: Path) -> list[Line]:
    """Entries of a JSON Lines file; of each, `question` and `answer` are needed.

    Raises:
        FrugalError: A line is broken; says which, and what is wrong.
    """
    found = []
    with path.open(encoding="utf-8-sig") as file:
        try:
            for number, text in enumerate(file, 1):
                if text.strip():
                    found.append(_line(text, f"{path}, line {number}"))
        except UnicodeDecodeError as error:
            raise FrugalError(f"{path}: this is no text in UTF-8 ({error.reason})") from error
    return found


_KINDS: dict[str, tuple[str, Any]] = {
    "question": ("a text", str),
    "scope": ("a text", str),
    "partition": ("a text", str),
    "key": ("a text", str),
    "space": ("a text", str),
    "by_meaning": ("true or false", bool),
    "wrong": ("true or false", bool),
}


def _line(text: str, where: str) -> Line:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrugalError(f"{where}: this is no JSON ({error})") from error
    if not isinstance(data, dict) or not {"question", "answer"} <= set(data):
        raise FrugalError(f'{where}: an entry is an object with "question" and "answer"')
    if unknown := sorted(set(data) - set(Line.__dataclass_fields__)):
        raise FrugalError(f"{where}: unknown field {unknown[0]!r}")
    if ("key" in data) != ("space" in data):
        raise FrugalError(f'{where}: "key" and "space" belong together')
    for name, (what, kind) in _KINDS.items():
        if name in data and not isinstance(data[name], kind):
            raise FrugalError(f"{where}: {name!r} must be {what}")
    for name in ("created", "expires"):
        if data.get(name) is not None and not _is_time(data[name]):
            raise FrugalError(f"{where}: {name!r} must be a Unix time")
    tags = data.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise FrugalError(f"{where}: 'tags' must be a list of texts")
    return Line(**{**data, "tags": tuple(tags)})


def _is_time(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)


def read_gptcache(folder: Path) -> tuple[list[Line], dict[str, int]]:
    """Entries of a folder that GPTCache wrote with SQLite; and how many were left out, by reason.

    Only `sqlite.db` is read, with SQLite alone and without writing. Of a question that was stored
    several times the newest answer counts.

    Raises:
        FrugalError: There is no such file, or it is not GPTCache's.
    """
    path = folder / "sqlite.db"
    if not path.is_file():
        if (folder / "data_map.txt").exists():
            raise FrugalError(f"{folder}: data_map.txt is a pickle, which could run any program")
        raise FrugalError(f"{folder}: no sqlite.db in it, as GPTCache writes it")
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            rows = connection.execute(
                "SELECT id, question, create_on, deleted, length(embedding_data) "
                "FROM gptcache_question ORDER BY id"
            ).fetchall()
            answers: dict[int, list[Any]] = {}
            for id, answer in connection.execute(
                "SELECT question_id, answer FROM gptcache_answer WHERE answer_type = ? ORDER BY id",
                (0,),
            ):
                answers.setdefault(id, []).append(answer)
            reported = connection.execute(
                "SELECT question_id FROM gptcache_session WHERE session_id = ?", (WRONG,)
            )
            wrong = {id for (id,) in reported}
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise FrugalError(f"{path}: not a database of GPTCache ({error})") from error
    found: dict[str, Line] = {}
    skipped = Counter[str]()
    for id, question, created, deleted, size in rows:
        texts = answers.get(id, [])
        if deleted:
            skipped["deleted"] += 1
            continue
        ours = joined(texts)
        if ours is not None:
            if "key" in ours:  # else a row of a journal
                found[ours["key"]] = _ours(ours, (size or 0) > 4, id in wrong)
        elif not isinstance(question, str) or not texts or not isinstance(texts[0], str):
            skipped["without a text"] += 1
        else:
            skipped["answered again later"] += question in found
            found[question] = Line(question, texts[0], created=_moment(created))
    return list(found.values()), {reason: n for reason, n in skipped.items() if n}


def _ours(data: dict[str, Any], by_meaning: bool, wrong: bool) -> Line:
    """An entry that `GPTCacheStore` wrote."""
    named = ("question", "answer", "scope", "key", "space", "created", "expires")
    given = {name: data[name] for name in named}
    return Line(tags=tuple(data["tags"]), by_meaning=by_meaning, wrong=wrong, **given)


def _moment(text: Any) -> float | None:
    try:
        return dt.datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
