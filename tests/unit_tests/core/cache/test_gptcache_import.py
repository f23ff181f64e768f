"""Importing GPTCache runs nothing that lies about, and installs nothing."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "from frugal_core.cache.store.gptcache import import_gptcache; "


class _Harm:
    def __reduce__(self) -> tuple[object, ...]:
        return open, ("harmed", "w")


def run(program: str, folder: Path) -> str:
    """What a program writes; the last line on stderr if it fails."""
    # Not in the folder of the tests: sys.path holds the working directory.
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, timeout=100
    )
    return done.stdout + (done.stderr.strip().splitlines()[-1] if done.returncode else "")


def test_a_pickle_in_the_working_directory_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("gptcache")
    (tmp_path / "data_map.txt").write_bytes(pickle.dumps(_Harm()))
    said = run(PROGRAM + "import_gptcache()", tmp_path)
    assert "StoreError: importing GPTCache would unpickle" in said
    assert str(tmp_path / "data_map.txt") in said and "move that file away" in said
    assert not (tmp_path / "harmed").exists()
    run("import gptcache", tmp_path)
    assert (tmp_path / "harmed").exists(), "GPTCache no longer unpickles: the guard can go"


def test_a_missing_package_is_named_and_not_installed(tmp_path: Path) -> None:
    pytest.importorskip("gptcache")
    program = PROGRAM + (
        "import subprocess, builtins\n"
        "def ran(*a, **k): print('RAN', a)\n"
        "subprocess.check_call = ran\n"
        "gptcache = import_gptcache()\n"
        "from gptcache.utils import _check_library, dependency_control\n"
        "for call in (lambda: _check_library('nowhere', package='nowhere==1; touch x'),\n"
        "             lambda: dependency_control.prompt_install('other')):\n"
        "    try: call()\n"
        "    except ImportError as error: print(error)\n"
    )
    assert run(program, tmp_path).splitlines() == [
        "GPTCache needs nowhere==1; touch x, which is not installed: "
        "pip install 'nowhere==1; touch x'",
        "GPTCache needs other, which is not installed: pip install other",
    ]


def test_without_gptcache_it_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['gptcache'] = None; " + PROGRAM
    for call in ("import_gptcache()", "GPTCacheStore(None)", "FrugalEvaluation()"):
        said = run(f"{program}from frugal_core.cache.store.gptcache import *; {call}", tmp_path)
        assert said.endswith(
            "StoreError: GPTCache is not installed: pip install 'frugal-cascade[gptcache]'"
        )


def test_the_modules_do_not_import_it(tmp_path: Path) -> None:
    assert run(PROGRAM + "import sys; print('gptcache' in sys.modules)", tmp_path) == "False\n"
