"""SQL of the Postgres store, and what goes in and comes out.

Texts of the user are kept as JSON in ASCII: Postgres refuses NUL bytes and lone surrogates. They
are parameters always, never part of a statement.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from frugal_core.cache.store.base import Entry, NewEntry, Selection, unit
from frugal_core.cache.store.selecting import encoded

Row = tuple[Any, ...]

COLUMNS = "id, key, space, scope, question, answer, tags, created, expires, wrong"
NOW = "extract(epoch FROM now())::float8"
# `turn` makes adders wait for one another, so that ids are seen in the order they are given.
ADD = f"""
    WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(%(turn)s))
    INSERT INTO frugal.entries
        (key, space, scope, question, answer, fields, tags, vector, expires, created, used)
    SELECT %(key)s::text, %(space)s::text, %(scope)s::text, %(question)s::text, %(answer)s::text,
        %(fields)s::text[], %(tags)s::text[], %(vector)s::vector, %(expires)s::float8,
        {NOW}, {NOW}
    FROM turn
    WHERE (%(dimensions)s::int = (SELECT vector_dims(vector) FROM frugal.entries
        WHERE space = %(space)s AND vector IS NOT NULL LIMIT 1)) IS NOT FALSE
    ON CONFLICT (key) DO UPDATE SET id = EXCLUDED.id, space = EXCLUDED.space,
        scope = EXCLUDED.scope, question = EXCLUDED.question, answer = EXCLUDED.answer,
        fields = EXCLUDED.fields, tags = EXCLUDED.tags, vector = EXCLUDED.vector,
        expires = EXCLUDED.expires, created = EXCLUDED.created, used = EXCLUDED.used, wrong = 0
    RETURNING id
"""
ALIVE = f"(expires IS NULL OR expires > {NOW})"
INHABITANTS = f"space = %(space)s AND vector IS NOT NULL AND {ALIVE}"
# `size` says how many there are to find. An index may find fewer: it meets the dead first and
# leaves them out afterwards.
NEAREST = f"""
    SELECT size, cosine, {COLUMNS}
    FROM (SELECT count(*) AS size FROM
        (SELECT 1 FROM frugal.entries WHERE {INHABITANTS} LIMIT %(count)s) AS few) AS sizes
    LEFT JOIN (SELECT -(vector <#> %(vector)s::vector) AS cosine, {COLUMNS}
        FROM frugal.entries WHERE {INHABITANTS}
        ORDER BY {{distance}} LIMIT %(count)s) AS found ON true
"""
BY_ROWS = NEAREST.format(distance="vector <#> %(vector)s::vector")
# Only this expression matches the index of a space, if it has one.
BY_INDEX = NEAREST.format(
    distance="vector::vector({dimensions}) <#> %(vector)s::vector({dimensions})"
)
EVICT = """
    DELETE FROM frugal.entries WHERE id = ANY(ARRAY(
        SELECT id FROM frugal.entries WHERE %(scope)s::text IS NULL OR scope = %(scope)s
        ORDER BY used, id
        LIMIT greatest(
            (SELECT count(*) FROM frugal.entries WHERE %(scope)s::text IS NULL OR scope = %(scope)s)
            - %(most)s, 0)))
"""
TOUCH = f"""
    UPDATE frugal.entries SET used = greatest(used, {NOW} - age)
    FROM unnest(%(ids)s::bigint[], %(ages)s::float8[]) AS touched (touched_id, age)
    WHERE id = touched_id
"""
LEASE = f"""
    INSERT INTO frugal.leases AS held (key, owner, until)
    VALUES (%(key)s, %(owner)s, {NOW} + %(seconds)s)
    ON CONFLICT (key) DO UPDATE SET owner = EXCLUDED.owner, until = EXCLUDED.until
    WHERE held.owner = EXCLUDED.owner OR held.until <= extract(epoch FROM clock_timestamp())
    RETURNING 1
"""
NOTE = """
    WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(%(turn)s))
    INSERT INTO frugal.notes (name, record)
    SELECT %(name)s, record FROM turn, unnest(%(records)s::text[]) AS record
"""
UNNOTE = "DELETE FROM frugal.notes WHERE name = %(name)s RETURNING number, record"


def new_row(new: NewEntry, turn: int) -> dict[str, Any]:
    """Parameters of `ADD`."""
    answer = encoded(new.answer)
    vector = None if new.vector is None else unit(new.vector)
    return {
        "turn": turn,
        "key": encoded(new.key),
        "space": encoded(new.space),
        "scope": encoded(new.scope),
        "question": encoded(new.question),
        "answer": answer,
        "fields": [_field(*pair) for pair in json.loads(answer).items()]
        if isinstance(new.answer, dict)
        else [],
        "tags": [encoded(tag) for tag in new.tags],
        "vector": vector,
        "dimensions": None if vector is None else len(vector),
        "expires": new.expires,
    }


def _field(name: str, value: Any) -> str:
    """A field of an answer in short, to be found by: equal for equal values, whatever they hold."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = json.dumps([name, value], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def entry(row: Row) -> Entry:
    """An entry from its `COLUMNS`."""
    id, key, space, scope, question, answer, tags, created, expires, wrong = row
    return Entry(
        id=id,
        key=json.loads(key),
        space=json.loads(space),
        scope=json.loads(scope),
        question=json.loads(question),
        answer=json.loads(answer),
        tags=tuple(json.loads(tag) for tag in tags),
        created=created,
        expires=expires,
        wrong=wrong,
    )


def condition(selection: Selection) -> tuple[str, dict[str, Any]]:
    """A condition on `entries`, and its parameters."""
    fields = [_field(*pair) for pair in json.loads(encoded(dict(selection.where))).items()]
    given = {
        "scope": None if selection.scope is None else encoded(selection.scope),
        "space": None if selection.space is None else encoded(selection.space),
        "tags": None if selection.tag is None else [encoded(selection.tag)],
        "before": selection.created_before,
        "fields": fields or None,
        "ids": None if selection.ids is None else [int(id) for id in selection.ids],
    }
    terms = {
        "scope": "scope = %(scope)s",
        "space": "space = %(space)s",
        "tags": "tags @> %(tags)s::text[]",
        "before": "created < %(before)s",
        "fields": "fields @> %(fields)s::text[]",
        "ids": "id = ANY(%(ids)s::bigint[])",
    }
    given = {name: value for name, value in given.items() if value is not None}
    used = [terms[name] for name in given] + [f"expires <= {NOW}"] * selection.dead
    return " AND ".join(used) or "true", given
