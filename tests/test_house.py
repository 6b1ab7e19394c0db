"""The house rules that a program can check."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("core", "tui")
MOST_LINES = 320
MOST_FUNCTION_LINES = 60
BANNED_NAMES = {"utils.py", "helpers.py", "common.py"}
READERS_OF_THE_ENVIRONMENT = {
    "core/worker.py", "core/query.py", "core/run/launch.py", "core/run/supervise.py", "core/run/guard.py",
    "tui/__main__.py",
}  # fmt: skip


def _sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _tool(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not installed: pip install -e '.[test]'")
    return found


def _run(*argv: str) -> None:
    answer = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert answer.returncode == 0, f"{' '.join(argv)}\n{answer.stdout[-6000:]}{answer.stderr[-3000:]}"


def test_ruff_finds_nothing() -> None:
    _run(_tool("ruff"), "check", "--no-cache", ".")


def test_mypy_finds_nothing() -> None:
    _run(sys.executable, "-m", "mypy")


def test_import_contracts_hold() -> None:
    _run(_tool("lint-imports"), "--no-cache")


def test_files_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in _sources()}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_functions_are_short() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in _sources()
        for node in _functions(path)
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > MOST_FUNCTION_LINES
    }
    assert long == {}


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [str(path) for path in _sources() if path.name in BANNED_NAMES] == []


def test_no_class_manages_or_is_only_a_base() -> None:
    names = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in _sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and re.search(r"Manager|^_?Base|Helper", node.name)
    ]
    assert names == []


def test_the_environment_is_read_in_few_places() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for path in _sources()
        if re.search(r"\bos\.(environ|getenv)\b", path.read_text(encoding="utf-8"))
    }
    assert readers <= READERS_OF_THE_ENVIRONMENT


def test_no_shell_and_no_pickle() -> None:
    pattern = re.compile(r"shell\s*=\s*True|os\.system\(|\bimport pickle\b|trust_remote_code\s*=\s*True")
    assert [str(path) for path in _sources() if pattern.search(path.read_text(encoding="utf-8"))] == []


def test_every_test_folder_mirrors_a_source_folder() -> None:
    for path in (ROOT / "tests").rglob("test_*.py"):
        parts = path.relative_to(ROOT / "tests").parts
        if len(parts) > 1 and parts[0] in PACKAGES:
            assert (ROOT / Path(*parts[:-1])).is_dir(), path


def test_doctor_asks_for_every_dependency() -> None:
    from tui.commands.findings import PACKAGES as asked

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {re.split(r"[<>=!~ \[;]", line)[0] for line in project["dependencies"]}
    assert set(asked) == named
