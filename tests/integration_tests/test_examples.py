"""The examples run as they stand, against a server that answers as their reader expects."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from frugal_core import Recording
from tests.servers import Answer, Request, ScriptedServer

_EXAMPLES = Path(__file__).parents[2] / "examples"
_SURE, _UNSURE = -0.01, -2.0


def _cheap(request: Request) -> Answer:
    """Knows France, and breaks every contract."""
    if "response_format" in request.body:
        return Answer.json({"name": "Ada Lovelace"})
    if "tools" in request.body:
        return Answer.calling("no_such_tool", {})
    if "numbered queries" in request.prompt:
        return Answer.json(dict.fromkeys("134", "Paris"))  # one is missing
    if "up or down?" in str(request.messages):
        return Answer(request.messages[-2]["content"])  # what the last example says
    known = "France" in request.prompt
    return Answer("Paris" if known else "Milan", logprob=_SURE if known else _UNSURE)


def _dear(request: Request) -> Answer:
    if "response_format" in request.body:
        return Answer.json({"name": "Ada Lovelace", "age": 36})
    messages = request.body["messages"]
    if "tools" in request.body and messages[-1]["role"] != "tool":
        return Answer.calling("get_weather", {"city": "Paris"})
    return Answer(f"{messages[-1]['content']}, they say" if "tools" in request.body else "Rome")


def _run(name: str, folder: Path, *arguments: str) -> str:
    with ScriptedServer({"gpt-4o-mini": _cheap, "gpt-4o": _dear}) as server:
        done = subprocess.run(
            [sys.executable, str(_EXAMPLES / name), *arguments],
            cwd=folder,
            env={
                **os.environ,
                "OPENAI_BASE_URL": server.base_url,
                "OPENAI_API_BASE": server.base_url,  # as LlamaIndex's class calls it
                "OPENAI_API_KEY": "test",
            },
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _recording(path: Path) -> str:
    """Questions that the cheap model can answer if they are about France."""
    rows = []
    for i in range(600):
        gold = "paris" if i % 2 else "rome"
        country = "France" if i % 2 else "Italy"
        said = {"gpt-4o-mini": "paris", "gpt-4o": gold}
        answers = {
            model: {"text": text, "input_tokens": 10, "output_tokens": 1, "confidence": -0.1}
            for model, text in said.items()
        }
        query = f"Capital of {country}, question {i}?"
        rows.append({"query": query, "reference": gold, "answers": answers})
    Recording.from_rows(rows).save(path)
    return str(path)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("swap.py", ["Paris", "gpt-4o-mini: accepted, score 0.990 >= 0.800", "no promise"]),
        ("streaming.py", ["Paris\n", "Rome (", "answered by gpt-4o)"]),
        (
            "tools_and_structured.py",
            ["'get_weather', 'args': {'city': 'Paris'}", "age=36) from gpt-4o\n"],
        ),
        ("langgraph_agent.py", ["Sunny in Paris, they say", "'total_tokens'"]),
        (
            "llama_index_cascade.py",
            ["gpt-4o-mini: Paris", "gpt-4o: Rome", "Sunny in Paris, they say"],
        ),
        ("compress.py", [" tokens -> ", "Paris\n", "Lima is the capital of Peru."]),
        ("few_shot.py", ["held-out rows, by the examples' vote", "down "]),
        (
            "many_queries.py",
            ["Paris (", " tokens, 4 in its request)", "1 in its request, asked again alone)"],
        ),
        ("cache.py", ["quickly? exact", "quickly? semantic", "with 95 % confidence"]),
        (
            "llama_index_cache.py",
            ["quickly? ['exact']", "quickly? ['semantic']", "Java quickly? []", "'entries': 2"],
        ),
    ],
)
def test_example(name: str, printed: list[str], tmp_path: Path) -> None:
    output = _run(name, tmp_path)
    assert [text for text in printed if text not in output] == []


def test_fit_and_run(tmp_path: Path) -> None:
    recording = _recording(tmp_path / "answers.jsonl.gz")
    output = _run("fit_and_run.py", tmp_path, recording, "Capital of France, once more?")
    assert "at most 2 points below gpt-4o" in output
    assert "on 120 other rows: accuracy 1.000 against 1.000" in output
    assert output.splitlines()[-1].lower().startswith("paris from ")
    policy = tmp_path / "cascade.frugal"
    questions = ["Capital of France, question 1?", "Capital of Italy, question 2?"]
    lines = _run("both_frameworks.py", tmp_path, str(policy), *questions).splitlines()
    for question, langchain, llama_index in (lines[:3], lines[3:]):
        assert question in questions
        assert langchain.split(None, 1)[1] == llama_index.split(None, 1)[1]


def test_every_example_is_short_and_tested() -> None:
    names = {path.name for path in _EXAMPLES.glob("*.py")}
    tested = Path(__file__).read_text(encoding="utf-8")
    assert names and all(f'"{name}"' in tested for name in names)
    assert all(len((_EXAMPLES / n).read_text("utf-8").splitlines()) <= 30 for n in names)
