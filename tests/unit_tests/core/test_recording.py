"""Recordings: what is read, what is written, and what is said about a broken file."""

from __future__ import annotations

import csv
import gzip
import json
import math
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.errors import RecordingError
from frugal_core.recording import Query, Recording, normalise, text_groups, to_row
from frugal_core.table import find_labels
from tests.unit_tests.core.helpers import PRICES, answer, closed, free, with_gaps

ROWS: list[dict[str, Any]] = [
    {
        "id": "first",
        "query": 'Größe 金 🪙, "quoted"\nand a second line',
        "reference": "up",
        "answers": {
            "small": answer(
                "up", cached_tokens=7, written_tokens=3, confidence=-0.25, correct=True
            ),
            "large": answer("Down.", confidence=0.0, correct=False),
        },
    },
    {"id": "second", "query": "", "answers": {"small": answer(""), "large": answer("x\ty,z")}},
    {"id": "third", "query": "none", "answers": {}, "failures": {"small": "TimeoutError: slow"}},
]


def write_lines(path: Path, rows: Iterable[Any]) -> Path:
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    path.write_text(text, encoding="utf-8")
    return path


def flat(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with an answer's fields as columns `MODEL.field`."""
    table = []
    for row in rows:
        cells = {k: v for k, v in row.items() if k not in ("answers", "failures")}
        for model, fields in row["answers"].items():
            cells |= {f"{model}.{name}": value for name, value in fields.items()}
        if "failures" in row:
            cells["failures"] = json.dumps(row["failures"])
        table.append(cells)
    return table


def write_csv(path: Path, rows: list[dict[str, Any]], encoding: str = "utf-8") -> Path:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def same(a: Recording, b: Recording) -> bool:
    return [to_row(query) for query in a] == [to_row(query) for query in b]


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz", "r.gz", "r"])
def test_what_is_saved_is_what_is_loaded(tmp_path: Path, name: str) -> None:
    recording = Recording.from_rows(ROWS, prices=PRICES)
    recording.save(tmp_path / name)
    loaded = Recording.load(tmp_path / name, prices=PRICES)
    assert loaded.queries == recording.queries
    assert name.endswith("gz") == ((tmp_path / name).read_bytes()[:2] == b"\x1f\x8b")


def test_csv_reads_like_json_lines(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", flat(ROWS))
    assert same(Recording.load(path), Recording.from_rows(ROWS))


def test_gzipped_csv_is_read(tmp_path: Path) -> None:
    plain = write_csv(tmp_path / "r.csv", flat(ROWS))
    (tmp_path / "r.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert same(Recording.load(tmp_path / "r.csv.gz"), Recording.from_rows(ROWS))


def test_files_of_spreadsheets_with_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", flat(ROWS), encoding="utf-8-sig")
    assert same(Recording.load(path), Recording.from_rows(ROWS))
    lines = write_lines(tmp_path / "r.jsonl", ROWS)
    lines.write_text(lines.read_text(), encoding="utf-8-sig")
    assert same(Recording.load(lines), Recording.from_rows(ROWS))


def test_csv_may_hold_the_answers_as_json(tmp_path: Path) -> None:
    rows = [row | {"answers": json.dumps(row["answers"])} for row in ROWS[:1]]
    path = write_csv(tmp_path / "r.csv", rows)
    assert same(Recording.load(path), Recording.from_rows(ROWS[:1]))


@pytest.mark.parametrize("shape", ["flat", "nested"])
def test_parquet_reads_like_json_lines(tmp_path: Path, shape: str) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = closed(30).queries
    given_rows = [to_row(query) for query in rows]
    table = arrow.Table.from_pylist(flat(given_rows) if shape == "flat" else given_rows)
    parquet.write_table(table, tmp_path / "r.parquet")
    assert Recording.load(tmp_path / "r.parquet", prices=PRICES).queries == rows


def test_a_model_without_an_answer_stays_without_in_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    for name, rows in (("flat", flat(ROWS)), ("nested", ROWS[:2])):
        columns = dict.fromkeys(column for row in rows for column in row)
        table = arrow.Table.from_pylist([dict.fromkeys(columns) | row for row in rows])
        parquet.write_table(table, tmp_path / f"{name}.parquet")
        loaded = Recording.load(tmp_path / f"{name}.parquet")
        assert same(loaded, Recording.from_rows(ROWS[: len(rows)]))


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz"])
def test_a_recording_is_saved_whole_or_not_at_all(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    recording = Recording.from_rows(ROWS, prices=PRICES)
    recording.save(path)
    before = path.read_bytes()

    def full(query: Query) -> dict[str, Any]:
        if query.id == "second":
            raise OSError(28, "No space left on device")
        return to_row(query)

    monkeypatch.setattr("frugal_core.recording.to_row", full)
    with pytest.raises(OSError, match="No space"):
        recording.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="permissions and links of POSIX")
def test_saving_keeps_permissions_and_links(tmp_path: Path) -> None:
    path, fresh, link = tmp_path / "r.jsonl", tmp_path / "new.jsonl", tmp_path / "link.jsonl"
    recording = Recording.from_rows(ROWS, prices=PRICES)
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    recording.save(link)
    assert link.is_symlink() and same(Recording.load(path), recording)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    fresh.touch()
    usual = fresh.stat().st_mode
    fresh.unlink()
    recording.save(fresh)
    assert fresh.stat().st_mode == usual
    recording.save("/dev/null")
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("name", ["r.csv", "r.parquet", "r.csv.gz"])
def test_saving_under_a_name_that_could_not_be_read_back_is_refused(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(RecordingError, match="jsonl"):
        Recording.from_rows(ROWS).save(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_half_a_surrogate_pair_survives(tmp_path: Path) -> None:
    rows = [{"query": "broken \ud83d emoji", "answers": {"small": answer("\udc00 ä")}}]
    recording = Recording.from_rows(rows, prices=PRICES)
    recording.save(tmp_path / "r.jsonl")
    assert Recording.load(tmp_path / "r.jsonl").queries == recording.queries


def test_an_error_in_place_of_an_answer_is_a_failure() -> None:
    row = {"query": "q", "answers": {"small": {"error": "timed out"}, "large": answer("x")}}
    query = Recording.from_rows([row]).queries[0]
    assert query.failures == {"small": "timed out"} and list(query.answers) == ["large"]
    assert Recording.from_rows([to_row(query)]).queries == (query,)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"query": None}, ["query", "expected a string"]),
        ({"query": 7}, ["query", "found int"]),
        ({"answers": None}, ["answers", "one answer per model"]),
        ({"answers": ["x"]}, ["answers", "one answer per model"]),
        ({"answers": {"m": "text"}}, ["answers.m", "expected an object"]),
        ({"answers": {"m": answer("x") | {"text": None}}}, ["answers.m.text", "a string"]),
        ({"answers": {"m": answer("x", input_tokens=None)}}, ["answers.m.input_tokens"]),
        ({"answers": {"m": answer("x", input_tokens=-1)}}, ["answers.m.input_tokens", "-1"]),
        ({"answers": {"m": answer("x", output_tokens=1.5)}}, ["answers.m.output_tokens", "1.5"]),
        ({"answers": {"m": answer("x", output_tokens=True)}}, ["answers.m.output_tokens"]),
        ({"answers": {"m": answer("x", output_tokens=math.inf)}}, ["answers.m.output_tokens"]),
        ({"answers": {"m": answer("x", cached_tokens="4")}}, ["answers.m.cached_tokens"]),
        ({"answers": {"m": answer("x", confidence=0.9)}}, ["answers.m.confidence", "log"]),
        ({"answers": {"m": answer("x", confidence="high")}}, ["answers.m.confidence", "'high'"]),
        ({"answers": {"m": answer("x", correct="yes")}}, ["answers.m.correct", "'yes'"]),
        ({"answers": {"m": answer("x", correct=2)}}, ["answers.m.correct", "2"]),
        ({"reference": ["up"]}, ["reference", "list"]),
        ({"failures": ["m"]}, ["failures", "object"]),
    ],
)
def test_a_malformed_row_is_named_with_file_line_and_field(
    tmp_path: Path, change: dict[str, Any], says: list[str]
) -> None:
    good = {"query": "q", "answers": {"m": answer("x")}}
    path = write_lines(tmp_path / "broken.jsonl", [good, "", good | change])
    with pytest.raises(RecordingError) as caught:
        Recording.load(path)
    for words in (f"{path}, line 3", *says):
        assert words in str(caught.value)
    with pytest.raises(RecordingError, match=r"^row 1"):
        Recording.from_rows([good | change])


@pytest.mark.parametrize("line", ["{", "[" * 50_000, "nonsense", '{"query": "q"'])
def test_a_line_that_is_no_json_is_named(tmp_path: Path, line: str) -> None:
    path = write_lines(tmp_path / "broken.jsonl", [ROWS[0], line])
    with pytest.raises(RecordingError, match="line 2: not JSON"):
        Recording.load(path)


def test_a_line_that_is_no_object_is_named(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "broken.jsonl", [ROWS[0], "[1, 2]"])
    with pytest.raises(RecordingError, match="line 2: expected an object, found list"):
        Recording.load(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("query,m.text,m.input_tokens\nq,x,many\n", "line 2, m.input_tokens: 'many' is no number"),
        ("query,m.text,m.input_tokens\nq,x,1\n", "line 2, answers.m.output_tokens"),
        ("id,m.text\n1,x\n", "line 2, query"),
        ("query,answers\nq,{broken\n", "line 2, answers: not JSON"),
        ("query,failures\nq,{broken\n", "line 2, failures: not JSON"),
        ("query,answers\nq,[1]\n", "line 2, answers: expected an object"),
        ("query,m.text\nq,one,two\n", "line 2: more cells than columns"),
        ('query,m.text,m.input_tokens\n"two\nlines",x,many\n', "line 3, m.input_tokens"),
        (f"query\n{'x' * (2**24 + 1)}\n", "field larger than field limit"),
    ],
)
def test_a_malformed_csv_row_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "broken.csv"
    path.write_text(text)
    with pytest.raises(RecordingError) as caught:
        Recording.load(path)
    assert str(path) in str(caught.value) and says in str(caught.value)


def test_a_cell_may_hold_a_whole_document(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    document = "word " * 100_000
    path.write_text(f"query,m.text,m.input_tokens,m.output_tokens\n{document},x,1,1\n")
    (query,) = Recording.load(path)
    assert query.text == document


def test_a_longer_limit_of_the_users_own_is_left_alone(tmp_path: Path) -> None:
    before = csv.field_size_limit(2**26)
    try:
        Recording.load(write_csv(tmp_path / "r.csv", flat(ROWS)))
        assert csv.field_size_limit() == 2**26
    finally:
        csv.field_size_limit(before)


def cut_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(b'{"query": "q", "answers": {}}\n' * 500)[:60])


def corrupt_gzip(path: Path) -> None:
    whole = bytearray(gzip.compress(bytes(range(256)) * 40))
    whole[40:60] = b"\xff" * 20
    path.write_bytes(bytes(whole))


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("r.jsonl.gz", cut_gzip, "cannot be read"),
        ("r.jsonl.gz", corrupt_gzip, "cannot be read"),
        ("r.jsonl.gz", lambda path: path.write_bytes(b"no gzip"), "cannot be read"),
        ("r.jsonl", lambda path: path.write_bytes(b"\xff\xfe{}"), "cannot be read"),
        ("r.jsonl", lambda path: path.write_text(""), "holds no query"),
        ("r.csv", lambda path: path.write_text("query,answers\n"), "holds no query"),
        ("r.parquet", lambda path: path.write_bytes(b"PAR1 no"), "not a Parquet file"),
        ("r.jsonl", lambda path: path.mkdir(), "no such file"),
        ("r.jsonl", lambda path: None, "no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, name: str, write: Callable[[Path], Any], says: str
) -> None:
    if ".parquet" in name:
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    write(path)
    with pytest.raises(RecordingError) as caught:
        Recording.load(path)
    assert str(caught.value).startswith(str(path)) and says in str(caught.value)


def test_an_id_used_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "twice.jsonl", [ROWS[0], ROWS[1], ROWS[0]])
    with pytest.raises(RecordingError) as caught:
        Recording.load(path)
    message = str(caught.value)
    assert f"{path}, line 3, id: 'first'" in message and f"{path}, line 1" in message


def test_rows_without_ids_are_numbered() -> None:
    row: dict[str, Any] = {"query": "q", "answers": {}}
    rows = [row | {"id": None}, row]
    assert [query.id for query in Recording.from_rows(rows)] == ["1", "2"]


def correct_with(grader: Any, text: str, gold: str) -> bool | None:
    row = {"query": "q", "reference": gold, "answers": {"m": answer(text)}}
    return Recording.from_rows([row], grader=grader).queries[0].answers["m"].correct


@pytest.mark.parametrize(
    ("grader", "text", "gold", "correct"),
    [
        ("normalised", ' "UP." ', "up", True),
        ("normalised", "up or down", "up", False),
        ("normalised", "STRASSE", "straße", True),
        ("normalised", "", "", True),
        ("normalised", "4", "4.0", True),
        ("normalised", " **4.50** ", "4.5.", True),
        ("normalised", "+007", "7", True),
        ("normalised", "-4", "4", False),
        ("normalised", ".5", "0.50", True),
        ("normalised", ".5", "5", False),
        ("normalised", "0.1", "0.10000000000000001", False),
        ("normalised", "$4.00", "$4", True),
        ("normalised", "4.0 %", "4%", True),
        ("normalised", "4%", "4", False),
        ("normalised", "$4", "4", False),
        ("normalised", "4.0 apples", "4 apples", False),
        ("normalised", "1.2.3", "1.2.30", False),
        ("normalised", "1e2", "100", False),
        ("normalised", "12:30", "12.30", False),
        ("exact", "4", "4.0", False),
        ("exact", "up", "up", True),
        ("exact", "Up", "up", False),
        ("number", "It costs $1,234.50 in all", "1234.5", True),
        ("number", "first 3, then 4", "4", True),
        ("number", "-4", "4", False),
        ("number", "none", "4", False),
        ("contains", "I think it is Paris, France.", "paris", True),
        ("contains", "Lyon", "paris", False),
        (lambda text, gold: text[::-1] == gold, "pu", "up", True),
    ],
)
def test_graders(grader: Any, text: str, gold: str, correct: bool) -> None:
    assert correct_with(grader, text, gold) is correct


def test_equal_numbers_stay_different_labels() -> None:
    said = ["4", "4.0", "5", "6"]
    rows = [
        {"query": f"q{i}", "reference": said[i % 4], "answers": {"m": answer(said[i % 3])}}
        for i in range(60)
    ]
    assert find_labels(Recording.from_rows(rows)) == ["4", "4.0", "5", "6"]


def test_an_unknown_grader_is_refused_with_the_choice() -> None:
    with pytest.raises(RecordingError, match="exact, normalised, number, contains"):
        correct_with("fuzzy", "a", "a")


def test_the_files_own_judgement_wins_over_the_grader() -> None:
    answers = {"m": answer("wrong", correct=True), "n": answer("right", correct=False)}
    row = {"query": "q", "reference": "right", "answers": answers}
    query = Recording.from_rows([row]).queries[0]
    assert query.answers["m"].correct is True and query.answers["n"].correct is False


def test_without_a_gold_label_nothing_is_judged() -> None:
    query = Recording.from_rows([{"query": "q", "answers": {"m": answer("x")}}]).queries[0]
    assert query.answers["m"].correct is None


@pytest.mark.parametrize(
    ("given_confidence", "kept"),
    [(math.nan, None), (None, None), (-math.inf, -math.inf), (1e-9, 0.0), (-3, -3.0)],
)
def test_confidence_is_a_log_or_unknown(given_confidence: Any, kept: float | None) -> None:
    row = {"query": "q", "answers": {"m": answer("x", confidence=given_confidence)}}
    assert Recording.from_rows([row]).queries[0].answers["m"].confidence == kept


def test_confidence_in_csv_may_be_nan(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(
        "query,m.text,m.input_tokens,m.output_tokens,m.confidence,m.correct\n"
        "q,x,84.0,1,NaN,True\nr,x,84,1,-0.5,FALSE\n"
    )
    first, second = (query.answers["m"] for query in Recording.load(path))
    assert (first.input_tokens, first.confidence, first.correct) == (84, None, True)
    assert (second.confidence, second.correct) == (-0.5, False)


def test_split_keeps_equal_texts_together_and_loses_nothing() -> None:
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = [
        {"query": f"text {rng.integers(60)}", "answers": {}} for _ in range(300)
    ]
    recording = Recording.from_rows(rows)
    parts = recording.split(0.5, 0.3, 0.2, seed=3)
    assert sorted(query.id for part in parts for query in part) == sorted(q.id for q in recording)
    texts = [{query.text for query in part} for part in parts]
    assert not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]
    for part, share in zip(parts, (0.5, 0.3, 0.2), strict=True):
        assert len(part) == pytest.approx(300 * share, abs=20)


def test_split_depends_on_the_seed_alone() -> None:
    recording = closed(100)
    once, again = recording.split(0.6, 0.4, seed=1), recording.split(0.6, 0.4, seed=1)
    other = recording.split(0.6, 0.4, seed=2)
    assert [part.queries for part in once] == [part.queries for part in again]
    assert {q.id for q in once[0]} != {q.id for q in other[0]}
    assert [len(part) for part in once] == [60, 40]


def test_split_of_less_than_everything() -> None:
    assert [len(part) for part in closed(100).split(0.1, 0.0, 0.2)] == [10, 0, 20]
    assert [len(part) for part in Recording.from_rows([]).split(0.5, 0.5)] == [0, 0]


@pytest.mark.parametrize("shares", [(), (0.7, 0.7), (-0.1, 0.5)])
def test_split_refuses_impossible_shares(shares: tuple[float, ...]) -> None:
    with pytest.raises(RecordingError, match="split"):
        closed(10).split(*shares)


def test_only_and_unlabelled_take_away_what_they_say() -> None:
    recording = closed(20)
    small = recording.only(["small"])
    assert small.models == ["small"] and recording.models == ["small", "medium", "large"]
    blind = recording.unlabelled()
    assert all(query.reference is None for query in blind)
    assert {a.correct for query in blind for a in query.answers.values()} == {None}
    assert [q.text for q in blind] == [q.text for q in recording]


def test_agreement_is_with_a_models_answer_as_the_grader_sees_it() -> None:
    rows: list[Any] = [
        {
            "query": "q1",
            "reference": "5",
            "answers": {"a": answer("it is 4", correct=False), "b": answer("4.0")},
        },
        {"query": "q2", "answers": {"a": answer("none", correct=True), "b": answer("none")}},
        {"query": "q3", "reference": "1", "answers": {"b": answer("1")}},
    ]
    recording = Recording.from_rows(rows, grader="number").agreeing_with("a")
    judged = [{m: a.correct for m, a in query.answers.items()} for query in recording]
    # No number is no answer to a grader of numbers; a model agrees with itself all the same.
    assert judged == [{"a": True, "b": True}, {"a": True, "b": False}, {"b": None}]
    assert [query.reference for query in recording] == ["it is 4", "none", None]


def test_missing_answers_are_kept_as_missing(tmp_path: Path) -> None:
    rows = with_gaps([to_row(query) for query in free(40)], 0.3)
    recording = Recording.from_rows(rows, prices=PRICES)
    recording.save(tmp_path / "gaps.jsonl")
    assert Recording.load(tmp_path / "gaps.jsonl").queries == recording.queries
    assert sum(len(query.answers) for query in recording) < 120


texts = st.text(max_size=30)


@given(texts)
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.lists(texts, max_size=20))
def test_text_groups_are_equal_exactly_where_texts_are(given_texts: list[str]) -> None:
    groups = text_groups(given_texts)
    for i, a in enumerate(given_texts):
        for j, b in enumerate(given_texts):
            assert (groups[i] == groups[j]) == (a == b)


@given(
    st.builds(
        dict,
        text=texts,
        input_tokens=st.integers(0, 10**6),
        output_tokens=st.integers(0, 10**6),
        cached_tokens=st.integers(0, 10),
        written_tokens=st.integers(0, 10),
        confidence=st.none() | st.floats(-50, 0),
        correct=st.none() | st.booleans(),
    ),
    texts,
    st.none() | texts,
)
def test_any_answer_survives_being_written_and_read(
    fields: dict[str, Any], text: str, failure: str | None
) -> None:
    row: dict[str, Any] = {"id": "1", "query": text, "answers": {"m": fields}}
    if failure is not None:
        row["failures"] = {"n": failure}
    query: Query = Recording.from_rows([row]).queries[0]
    written = json.dumps(to_row(query))
    assert Recording.from_rows([json.loads(written)]).queries == (query,)
