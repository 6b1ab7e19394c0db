"""Rows to picture the Data screen with: what functions of the standard library do, by their own docstrings."""

from __future__ import annotations

import ast
import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from core.config.drafts import Draft
from core.config.yaml_text import Value
from core.run.directory import Home
from tui.forms.form_state import FormState

_MODULES = ("statistics", "textwrap", "random", "heapq", "bisect", "calendar", "fractions", "shutil", "string",
            "tempfile", "functools", "fnmatch", "glob", "gzip", "inspect", "ipaddress", "shlex", "difflib",
            "contextlib", "copy", "csv", "dis", "filecmp", "keyword", "locale", "os", "pathlib")  # fmt: skip
_QUESTION = "What does this function of Python's standard library do?"
_FILTERS: list[Value] = [
    {"kind": "instruction_quality"},
    {"kind": "exact_duplicates", "on": "response"},
    {"kind": "near_duplicates"},
]


def write_rows(folder: Path) -> Path:
    """Write rows in Alpaca's form about the functions of this Python's standard library, and return the file."""
    path = folder / "docstrings.jsonl"
    with path.open("w", encoding="utf-8") as lines:
        for module in _MODULES:
            for signature, answer in _described(Path(sysconfig.get_path("stdlib"), f"{module}.py")):
                row = {"instruction": _QUESTION, "input": f"{module}: {signature}", "output": answer}
                lines.write(json.dumps(row) + "\n")
    return path


def _described(source: Path) -> Iterator[tuple[str, str]]:
    """Yield the signature and the first paragraph of the docstring of each function of a file, if there is one."""
    if not source.is_file():
        return
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name[0] != "_" and (words := ast.get_docstring(node)):
            yield f"def {node.name}({ast.unparse(node.args)})", words.split("\n\n")[0]


def pictured_form(rows: Path, home: Home) -> FormState:
    """Return a preparation of the rows with three filters, for SmolLM2's tokenizer where it is on this machine."""
    has_it = (home.cache / "models" / "smollm2").exists()
    tokenizer: Value = {"kind": "load", "path": "smollm2"} if has_it else {"kind": "train"}
    values: dict[str, Value] = {
        "phase": "prepare",
        "about": {"title": "What functions do"},
        "data": {
            "kind": "instructions", "sources": [{"kind": "path", "path": str(rows)}], "tokenizer": tokenizer,
            "filters": _FILTERS,
        },
    }  # fmt: skip
    draft = Draft(values)
    form = FormState("docstrings", draft, draft)
    form.change(draft)
    return form
