"""`frugal compress`: a text in, fewer tokens out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from frugal_core.cli import app
from tests.unit_tests.core.test_cli import run

TEXT = """Lima is the capital of Peru. It was founded in 1535. Its ceviche is famous everywhere.

The coast is foggy for most of the year. Nobody knows why. It rains once in a while.
{"population": 10,
 "area": 2}
The end of the report is near, they say, and it is about time."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "report.md"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_help_has_an_example() -> None:
    result = run("compress", "--help")
    assert result.exit_code == 0 and "Example:  frugal compress report.md" in result.stdout


def test_the_text_on_stdout_and_what_was_saved_on_stderr(path: Path) -> None:
    result = run("compress", path, "--question", "When was Lima founded?", "--model", "gpt-4o")
    assert result.exit_code == 0
    assert "founded in 1535" in result.stdout and '{"population":10,"area":2}' in result.stdout
    assert len(result.stdout) < 0.6 * len(TEXT)
    assert "tokens ->" in result.stderr and "USD saved" in result.stderr


def test_json(path: Path) -> None:
    result = run("compress", path, "--budget", 40, "--json")
    found = json.loads(result.stdout)
    assert found["tokens_after"] <= found["budget"] == 40 < found["tokens_before"]
    assert {part["reason"] for part in found["dropped"]} == {"relevance"}
    assert result.stderr == ""


def test_show_has_everything_with_what_was_dropped_marked(path: Path) -> None:
    shown = run("compress", path, "--show", "--question", "When was Lima founded?").stdout
    assert "[-The coast is foggy" in shown and "[-It was founded" not in shown
    bare = shown.replace("[-", "").replace("-]", "")
    assert "".join(bare.split()) == "".join(TEXT.split())


def test_standard_input() -> None:
    result = CliRunner().invoke(app, ["compress", "-", "--ratio", "3"], input="Short text.")
    assert (result.exit_code, result.stdout) == (0, "Short text.\n")
    assert "unchanged: short" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ratio", 0.5], "ratio=0.5"),
        (["--ratio", 2, "--budget", 9], "give one of them"),
        (["--budget", 2], "too small"),
        (["--budget", 0], "--budget 0: a whole number"),
        (["--protect", "("], "regular expressions"),
        (["--on-overflow", "what"], "on_overflow='what'"),
    ],
)
def test_what_is_refused(path: Path, arguments: list[object], message: str) -> None:
    result = run("compress", path, *arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert message in result.stderr and result.stderr.count("\n") == 1


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing = run("compress", tmp_path / "none.txt")
    assert missing.exit_code == 2 and "none.txt" in missing.stderr
    (tmp_path / "picture").write_bytes(b"\xff\xd8\xff")
    broken = run("compress", tmp_path / "picture")
    assert broken.exit_code == 2 and "no text in UTF-8" in broken.stderr
