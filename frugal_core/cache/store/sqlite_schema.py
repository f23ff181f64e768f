"""Tables and statements of the SQLite store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

VERSION = 1
# Texts are JSON, see `encoded`. The vectors lie apart, sorted by space, so that a view is loaded
# without reading answers; the triggers keep all tables in step whoever deletes.
SCHEMA = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, space TEXT NOT NULL,
    scope TEXT NOT NULL, created REAL NOT NULL, used REAL NOT NULL, expires REAL,
    wrong INTEGER NOT NULL DEFAULT 0, checksum INTEGER NOT NULL, tags TEXT NOT NULL,
    question TEXT NOT NULL, answer TEXT NOT NULL
);

CREATE INDEX entries_used ON entries (scope, used);

CREATE INDEX entries_expires ON entries (expires) WHERE expires IS NOT NULL;

CREATE TABLE vectors (
    space TEXT NOT NULL, id INTEGER NOT NULL, until REAL, vector BLOB NOT NULL,
    PRIMARY KEY (space, id)
) WITHOUT ROWID;

CREATE TABLE tags (
    tag TEXT NOT NULL, entry INTEGER NOT NULL, PRIMARY KEY (tag, entry)
) WITHOUT ROWID;

CREATE INDEX tags_entry ON tags (entry);

CREATE TABLE total (entries INTEGER NOT NULL);

INSERT INTO total VALUES (0);

CREATE TRIGGER entry_added AFTER INSERT ON entries BEGIN
    UPDATE total SET entries = entries + 1;
END;

CREATE TRIGGER entry_deleted AFTER DELETE ON entries BEGIN
    UPDATE total SET entries = entries - 1;
    DELETE FROM vectors WHERE space = old.space AND id = old.id;
END;

CREATE TRIGGER tags_deleted AFTER DELETE ON entries WHEN old.tags <> '[]' BEGIN
    DELETE FROM tags WHERE entry = old.id;
END;

CREATE TABLE leases (
    key TEXT PRIMARY KEY, owner TEXT NOT NULL, expires REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE notes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, body TEXT NOT NULL
);

CREATE INDEX notes_name ON notes (name)
"""
ENTRY = "SELECT id, key, space, scope, question, answer, tags, created, expires, wrong, checksum"
BY_KEY = f"{ENTRY} FROM entries WHERE key = ?"
BY_ID = f"{ENTRY} FROM entries WHERE id = ?"
_FEW = 32
INSERT = (
    "INSERT INTO entries (key, space, scope, created, used, expires, checksum, tags, question, "
    "answer) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
DELETE_UNUSED = """
DELETE FROM entries WHERE id IN (
    SELECT id FROM entries WHERE :scope IS NULL OR scope = :scope ORDER BY used, id
    LIMIT max(0, (SELECT count(*) FROM entries WHERE :scope IS NULL OR scope = :scope) - :most)
)
"""
NOTE = "INSERT INTO notes (name, body) VALUES (?, ?)"
NOTES = "SELECT id, body FROM notes WHERE name = ? AND id > ? ORDER BY id"
VIEWED = "FROM vectors WHERE space = ? AND (until IS NULL OR until > ?)"


def neighbours(space: str, ids: Sequence[int], now: float) -> tuple[str, list[Any]]:
    """The statement, and its parameters, that reads of living rows of a space what is compared.

    Rows of it are: id, question, wrong, vector.
    """
    if len(ids) <= _FEW:
        return _neighbours(",".join("?" * len(ids))), [space, *ids, now]
    return _neighbours("SELECT value FROM json_each(?)"), [space, json.dumps(ids), now]


@cache
def _neighbours(ids: str) -> str:
    return (
        "SELECT id, question, wrong, vector FROM vectors JOIN entries USING (space, id) "
        f"WHERE space = ? AND id IN ({ids}) AND (expires IS NULL OR expires > ?)"
    )
