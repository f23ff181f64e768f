"""What importing the core loads: nothing heavy, and never a framework."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import frugal_core

FRAMEWORKS = {
    "langchain",
    "langchain_core",
    "langchain_openai",
    "langchain_frugal",
    "langgraph",
    "llama_index",
    "llama_index_frugal",
    "openai",
}
HEAVY = FRAMEWORKS | {"sklearn", "scipy", "pandas", "matplotlib", "plotly", "torch", "faiss"}
HEAVY |= {"onnxruntime", "tokenizers", "pyarrow", "genai_prices", "gptcache"}


def loaded_by(statement: str) -> set[str]:
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize(
    "statement",
    ["import frugal_core", "import frugal_core.cascade", "from frugal_core import Recording"],
)
def test_the_core_loads_nothing_heavy(statement: str) -> None:
    assert not loaded_by(statement) & HEAVY


def test_the_bare_import_does_not_even_load_numpy() -> None:
    assert "numpy" not in loaded_by("import frugal_core, frugal_core.cascade")


def test_a_policy_is_loaded_and_run_without_scikit_learn() -> None:
    statement = "from frugal_core import Policy; import frugal_core.replay, frugal_core.evaluation"
    assert "sklearn" not in loaded_by(statement)


def imported(node: ast.AST) -> set[str]:
    """Packages that are imported anywhere below a node, `if TYPE_CHECKING` aside."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name):
        return set()
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").partition(".")[0]}
    return {name for child in ast.iter_child_nodes(node) for name in imported(child)}


def imported_on_import(tree: ast.Module) -> set[str]:
    return {
        name
        for node in tree.body
        if not isinstance(node, ast.FunctionDef | ast.ClassDef)
        for name in imported(node)
    }


def is_command(path: Path) -> bool:
    """The `frugal` command asks the user's models through LangChain, where it is installed."""
    return path.parts[0] in ("cli", "demo")


def test_no_module_of_the_core_imports_a_framework() -> None:
    root = Path(frugal_core.__file__).parent
    paths = [path.relative_to(root) for path in root.rglob("*.py")]
    assert len(paths) > 15
    offenders = {}
    for path in paths:
        tree = ast.parse((root / path).read_text(encoding="utf-8"))
        found = imported_on_import(tree) if is_command(path) else imported(tree)
        if found & FRAMEWORKS:
            offenders[str(path)] = sorted(found & FRAMEWORKS)
    assert offenders == {}


def test_every_public_name_can_be_imported() -> None:
    for name in frugal_core.__all__:
        assert getattr(frugal_core, name) is not None
    assert set(dir(frugal_core)) == set(frugal_core.__all__)
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        frugal_core.fitt  # noqa: B018
