"""`frugal cache`: what is stored, what would be served, and how entries come and go."""

from __future__ import annotations

import json
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from frugal_core.cache import SemanticCache
from frugal_core.cache.exchange import exported, import_lines
from frugal_core.cache.store.sqlite import SQLiteStore
from frugal_core.cli import cache_location
from frugal_core.cli.cache_check import check
from frugal_core.embedding import MiniLM
from tests.unit_tests.core.test_cli import refused, run

ASKED, STORED = "what is the best way to learn python", "What is the best way to learn Python?"
COMMANDS = ("stats", "list", "purge", "export", "import", "serve-check")


def backwards(texts: list[str]) -> Any:
    """Vectors of another embedder that are as long as the default's."""
    return MiniLM().embed([text[::-1] for text in texts])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A cache with entries of two scopes."""
    path = tmp_path / "cache.sqlite"
    with SemanticCache(path) as cache:
        cache.store(STORED, {"text": "Write programs."}, tags=["code"])
        cache.store("Who won the world cup in 2015?", "the US", tags=["sport"])
        cache.store("A private remark", "secret", "someone", semantic=False)
        assert cache.lookup(STORED) and cache.lookup(ASKED) and not cache.lookup("Why?")
    with SemanticCache(path, scope="other") as cache:
        cache.store("Who is there?", "nobody")
    return path


@pytest.fixture
def call(path: Path) -> Callable[..., dict[str, Any]]:
    """Run a command with --json on that cache."""

    def call(command: str, *more: object, location: object = path) -> dict[str, Any]:
        result = run("cache", command, *more, "--location", location, "--json")
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    return call


class TestEveryCommand:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_help_has_an_example(self, command: str) -> None:
        result = run("cache", command, "--help")
        assert result.exit_code == 0
        assert f"Example:  frugal cache {command} " in result.stdout
        assert "--json" in result.stdout and "--location" in result.stdout

    def test_the_bare_command_shows_them_all(self) -> None:
        result = run("cache")
        assert result.exit_code == 0
        assert all(command in result.stdout for command in COMMANDS)

    @pytest.mark.parametrize("command", [["stats"], ["list"], ["serve-check", "a"], ["export"]])
    def test_a_cache_that_is_not_there_is_not_made(
        self, tmp_path: Path, command: list[str]
    ) -> None:
        missing = tmp_path / "none.sqlite"
        said = refused(run("cache", *command, "--location", missing))
        assert f"{missing}: there is no cache" in said
        assert not missing.exists()

    def test_a_file_of_something_else_is_refused(self, tmp_path: Path) -> None:
        other = tmp_path / "notes.txt"
        other.write_text("no database" * 100)
        assert "notes.txt" in refused(run("cache", "stats", "--location", other))
        assert "file" in refused(run("cache", "stats", "--location", ":memory:"))

    def test_a_password_is_never_shown(self) -> None:
        url = "postgresql://me:hunter2@127.0.0.1:1/db?password=hunter3"
        for command in (["stats"], ["purge", "--everything", "--yes"], ["export"]):
            result = run("cache", *command, "--location", url)
            assert "hunter" not in refused(result)
        assert cache_location.shown(url) == "postgresql://127.0.0.1:1/db"
        assert "hunter" not in cache_location.shown("postgresql://me:hun/ter@[2@host/db")

    def test_the_location_may_come_from_the_environment(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FRUGAL_CACHE", str(path))
        assert json.loads(run("cache", "stats", "--json").stdout)["entries"] == 4

    def test_usage_errors_are_one_line(self, path: Path) -> None:
        result = run("cache", "list", "--limit", "0", "--location", path)
        assert result.exit_code == 2 and result.stderr.count("\n") == 1


def test_stats(path: Path, call: Callable[..., dict[str, Any]]) -> None:
    found = call("stats")
    assert (found["entries"], found["lookups"], found["exact_hits"]) == (4, 3, 1)
    assert found["semantic_hits"] == 1 and found["hit_rate"] == pytest.approx(2 / 3)
    assert found["bytes"] > 4000 and 0 < found["wrong_per_lookup"] < 0.01
    assert found["wrong_per_lookup_at_most"] <= 0.01 < found["wrong_per_hit"]
    assert call("stats", "--scope", "other")["entries"] == 1
    assert call("stats", "--error-bound", "0")["threshold"] is None
    printed = run("cache", "stats", "--location", path).stdout
    assert "hit rate 66.7 %" in printed and "Certificate: with 95 % confidence" in printed


def test_list_is_newest_first_and_hides_answers(
    path: Path, call: Callable[..., dict[str, Any]]
) -> None:
    rows = call("list", "--limit", 2)["entries"]
    assert [row["question"] for row in rows] == ["Who is there?", "A private remark"]
    assert all("answer" not in row for row in rows)
    assert call("list", "--scope", "other", "--answers")["entries"][0]["answer"] == "nobody"
    printed = run("cache", "list", "--location", path).stdout
    assert STORED in printed and "[code]" in printed and "secret" not in printed


def test_what_a_terminal_would_obey_is_not_printed(tmp_path: Path) -> None:
    with SemanticCache(tmp_path / "c.sqlite") as cache:
        cache.store("red \x1b[31m[bold]text\n\x07", "a")
    printed = run("cache", "list", "--location", tmp_path / "c.sqlite").stdout
    assert "\x1b" not in printed and "\x07" not in printed and "[bold]text" in printed


class TestPurge:
    def test_by_tag_scope_and_age(self, call: Callable[..., dict[str, Any]]) -> None:
        assert call("purge", "--older-than", "7d", "--yes") == {"deleted": 0}
        assert call("purge", "--tag", "code", "--scope", "other", "--yes") == {"deleted": 0}
        assert call("purge", "--tag", "code", "--yes") == {"deleted": 1}
        time.sleep(0.01)
        assert call("purge", "--older-than", "0s", "--scope", "", "--yes") == {"deleted": 2}
        assert call("purge", "--everything", "--yes") == {"deleted": 1}

    def test_it_asks(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        said = refused(run("cache", "purge", "--everything", "--location", path))
        assert said == "error: 4 entries would be deleted: add --yes\n"
        monkeypatch.setattr("frugal_core.cli.cache.someone_is_there", lambda: True)
        monkeypatch.setattr("typer.confirm", lambda question: "Delete 4 entries" not in question)
        result = run("cache", "purge", "--everything", "--location", path)
        assert result.exit_code == 1 and result.stdout == "Nothing was deleted.\n"

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ([], "say which entries"),
            (["--everything", "--tag", "a"], "leave --tag"),
            (["--older-than", "yesterday"], "--older-than yesterday: a number with"),
            (["--older-than", "-7d"], "--older-than -7d: a number with"),
        ],
    )
    def test_senseless_options(self, path: Path, options: list[str], words: str) -> None:
        assert words in refused(run("cache", "purge", *options, "--location", path))


class TestExchange:
    def test_what_is_exported_and_imported_is_served_the_same(
        self, path: Path, tmp_path: Path, call: Callable[..., dict[str, Any]]
    ) -> None:
        with SemanticCache(path) as cache:
            cache.report_wrong(cache.lookup(ASKED))  # type: ignore[arg-type]
            cache.store("How do I read a file in Rust?", "slowly")
        file = tmp_path / "out.jsonl"
        assert call("export", "-o", file) == {"exported": 5, "file": str(file)}
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert "vector" not in lines[0]
        assert [line["by_meaning"] for line in lines] == [True, True, False, False, True]
        target = tmp_path / "new.sqlite"
        assert call("import", file, location=target) == {"imported": 5, "skipped": {}}
        with SemanticCache(target) as cache:
            private = cache.lookup("A private remark", "someone")
            assert private is not None and private.answer == "secret"
            assert cache.lookup("a private remark?", "someone") is None
            assert cache.lookup(ASKED) is None, "it was reported wrong"
            assert cache.lookup(STORED) is not None
            again = cache.lookup("how do i read a file in rust")
            assert again is not None and again.layer == "semantic"
            assert cache.invalidate(tag="sport") == 1
        assert call("stats", "--scope", "other", location=target)["entries"] == 1

    def test_newer_entries_stay_and_the_expired_are_left_out(self, path: Path) -> None:
        with closing(SQLiteStore(path)) as store:
            lines = list(exported(store))
            assert import_lines(store, lines).stored == 4
            done = import_lines(store, lines)
            assert (done.stored, done.skipped) == (0, {"newer in the cache": 4})

    def test_stdout(self, path: Path) -> None:
        result = run("cache", "export", "--location", path, "--scope", "other")
        assert json.loads(result.stdout)["answer"] == "nobody"
        assert result.stderr == "1 entry exported\n"
        assert "-o FILE" in refused(run("cache", "export", "--location", path, "--json"))

    def test_lines_of_ones_own(self, tmp_path: Path, call: Callable[..., dict[str, Any]]) -> None:
        file, target = tmp_path / "own.jsonl", tmp_path / "new.sqlite"
        old = {"question": "old", "answer": 1, "expires": 5}
        rows = [{"question": STORED, "answer": "a", "tags": ["t"], "partition": "p"}, old]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        done = call("import", file, "--scope", "s", location=target)
        assert done == {"imported": 1, "skipped": {"expired": 1}}
        with SemanticCache(target, scope="s") as cache:
            assert cache.lookup(STORED) is None
            assert getattr(cache.lookup(ASKED, "p"), "layer", None) == "semantic"

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("{", "line 2: this is no JSON"),
            ("[1]", 'line 2: an entry is an object with "question" and "answer"'),
            ('{"question": 1, "answer": 1}', "line 2: 'question' must be a text"),
            ('{"question": "a", "answer": 1, "tags": "t"}', "'tags' must be a list"),
            ('{"question": "a", "answer": 1, "colour": 1}', "unknown field 'colour'"),
            ('{"question": "a", "answer": 1, "key": "k"}', "belong together"),
            ('{"question": "a", "answer": 1, "expires": "soon"}', "must be a Unix time"),
            ('{"question": "a", "answer": 1, "expires": NaN}', "must be a Unix time"),
        ],
    )
    def test_broken_lines_are_named_and_nothing_is_stored(
        self, tmp_path: Path, text: str, words: str
    ) -> None:
        file, target = tmp_path / "own.jsonl", tmp_path / "new.sqlite"
        file.write_text('{"question": "a", "answer": 1}\n' + text + "\n")
        assert words in refused(run("cache", "import", file, "--location", target))
        assert not target.exists()

    def test_an_export_of_another_scope_is_not_renamed(self, path: Path, tmp_path: Path) -> None:
        file = tmp_path / "out.jsonl"
        run("cache", "export", "-o", file, "--location", path, "--scope", "other")
        said = refused(run("cache", "import", file, "--location", path, "--scope", "mine"))
        assert "an entry is of the scope 'other', not of 'mine'" in said


class TestGPTCacheFolder:
    def test_rows_that_gptcache_wrote(
        self, tmp_path: Path, call: Callable[..., dict[str, Any]]
    ) -> None:
        pytest.importorskip("gptcache")
        from tests.unit_tests.core.cache.test_gptcache import manager

        made = manager(tmp_path, 4)
        import numpy as np

        for question, answer in ((STORED, "old"), ("Gone?", "x"), (STORED, "new"), ("Last?", "y")):
            made.save(question, answer, np.ones(4, dtype="float32"))
        made.s.mark_deleted([2])
        before = (tmp_path / "sqlite.db").read_bytes()
        target = tmp_path / "new.sqlite"
        done = call("import", tmp_path, location=target)
        assert done == {"imported": 2, "skipped": {"deleted": 1, "answered again later": 1}}
        assert (tmp_path / "sqlite.db").read_bytes() == before
        with SemanticCache(target) as cache:
            hit = cache.lookup(ASKED)
            assert hit is not None and hit.answer == "new" and cache.lookup("Gone?") is None

    def test_rows_of_our_store_on_gptcache(
        self, tmp_path: Path, call: Callable[..., dict[str, Any]]
    ) -> None:
        pytest.importorskip("gptcache")
        from frugal_core.cache.store.gptcache import GPTCacheStore
        from tests.unit_tests.core.cache.test_gptcache import manager

        with SemanticCache(GPTCacheStore(manager(tmp_path, 384)), scope="s") as cache:
            cache.store(STORED, {"text": "a" * 9000}, "p", ["t"])
            cache.store("exact alone", "b", semantic=False)
        target = tmp_path / "new.sqlite"
        assert call("import", tmp_path, location=target)["imported"] == 2
        with SemanticCache(target, scope="s") as cache:
            hit = cache.lookup(ASKED, "p")
            assert hit is not None and hit.answer == {"text": "a" * 9000}
            assert cache.lookup("exact alone") and not cache.lookup("Exact alone?")

    def test_other_folders_are_refused(self, tmp_path: Path, path: Path) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        assert "no sqlite.db" in refused(run("cache", "import", folder, "--location", path))
        (folder / "data_map.txt").write_bytes(b"")
        assert "pickle" in refused(run("cache", "import", folder, "--location", path))
        sqlite3.connect(folder / "sqlite.db").close()
        said = refused(run("cache", "import", folder, "--location", path))
        assert "not a database of GPTCache" in said


class TestServeCheck:
    def test_by_meaning(self, path: Path, call: Callable[..., dict[str, Any]]) -> None:
        found = call("serve-check", ASKED)
        assert (found["served"], found["layer"], found["from"]) == (True, "semantic", STORED)
        assert found["score"] >= found["threshold"] and found["neighbours"][0]["why"] == "served"
        printed = run("cache", "serve-check", ASKED, "--location", path).stdout
        assert printed.startswith(f"Served by meaning, from '{STORED}': score 1.0")
        assert call("stats")["lookups"] == 3, "a check is no lookup"

    def test_the_exact_layer(self, call: Callable[..., dict[str, Any]]) -> None:
        assert call("serve-check", STORED)["layer"] == "exact"
        assert call("serve-check", "A private remark", "--partition", "someone")["served"]
        assert call("serve-check", "Who is there?", "--scope", "other")["layer"] == "exact"

    def test_a_guard_objects(self, path: Path, call: Callable[..., dict[str, Any]]) -> None:
        found = call("serve-check", "Who won the world cup in 2016?")
        assert not found["served"] and found["neighbours"][0]["why"] == "guard: numbers"
        printed = run(
            "cache", "serve-check", "Who won the world cup in 2016?", "--location", path
        ).stdout
        assert printed.startswith("Not served: ") and "guard: numbers" in printed

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (["Why is the sky blue?", "--partition", "empty"], "nothing that it can be"),
            ([" "], "no words to be compared"),
            ([ASKED, "--error-bound", "0"], "nothing is served by meaning"),
        ],
    )
    def test_why_not(
        self, call: Callable[..., dict[str, Any]], arguments: list[str], why: str
    ) -> None:
        found = call("serve-check", *arguments)
        assert not found["served"] and why in found["why"]

    @pytest.mark.parametrize("question", [ASKED, "Who won the world cup?", "Is it raining today?"])
    def test_it_says_what_a_lookup_does(
        self, path: Path, call: Callable[..., dict[str, Any]], question: str
    ) -> None:
        with SemanticCache(path) as cache:
            hit = cache.lookup(question)
        assert call("serve-check", question)["layer"] == (hit and hit.layer)

    def test_what_frameworks_have_stored_is_found_without_naming_its_partition(
        self, path: Path, call: Callable[..., dict[str, Any]]
    ) -> None:
        with SemanticCache(path, scope="app") as cache:
            cache.store("How do I learn to cook?", 1, partition="digest of a model")
            cache.store(STORED, 1, partition="digest of another")
        with SemanticCache(path, scope="app", embed=backwards) as cache:
            cache.store("What is the best way to learn python quickly?", 1)
        scoped = partial(call, "serve-check", "--scope", "app")
        found = scoped(ASKED)
        assert (found["layer"], found["from"]) == ("semantic", STORED)
        assert [near["question"] for near in found["neighbours"]] == [STORED]
        assert scoped(STORED)["layer"] == "exact"
        assert not scoped("How do I learn Rust?")["served"]
        assert not scoped(STORED, "--partition", "digest of a model")["served"]

    def test_the_score_is_that_of_the_lookup(self) -> None:
        """What else is near has a say in it."""
        with SemanticCache(":memory:", error_bound=0.05) as cache:
            for what in ("learn to play the guitar", "learn the guitar fast", "tune a guitar"):
                cache.store(f"How do I {what}?", what)
            hit = cache.lookup("How can I learn to play the guitar?")
            found = check(cache, "How can I learn to play the guitar?", "")
        assert hit and hit.score < 1 and found["score"] == hit.score
        assert [n["why"] for n in found["neighbours"]] == ["served"] + 2 * [
            "a nearer one was scored"
        ]
