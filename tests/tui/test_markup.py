"""No text reaches Textual's own widgets but through the two modules that make it harmless."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TUI = Path(__file__).parents[2] / "tui"
ALLOWED = {"widgets/titles.py"}
CALLS = {"Static", "Label", "notify", "Option", "Log", "RichLog", "Markdown", "Text", "Content", "from_markup"}
"""Constructors and methods that read markup or pass characters on as they are. Option is a dialog's own type."""
ATTRIBUTES = {"border_title", "border_subtitle", "tooltip", "title", "sub_title"}
TEXT_MADE_BY = {"safe", "safe_text", "safe_lines", "SafeText"}


def _sources() -> Iterator[Path]:
    for path in sorted(TUI.rglob("*.py")):
        name = path.relative_to(TUI).as_posix()
        if name not in ALLOWED and not name.startswith("commands/") and name != "__main__.py":
            yield path


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _violations(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _name(node.func) in CALLS:
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            if _name(node.func) != "Option" or any(isinstance(one, ast.JoinedStr) for one in arguments[1:]):
                found.append(f"line {node.lineno}: {_name(node.func)}(...)")
        if isinstance(node, ast.Call) and _name(node.func) in ("add_row", "add_column", "update_cell"):
            found += [
                f"line {one.lineno}: text in {_name(node.func)}"
                for one in node.args
                if isinstance(one, ast.Constant | ast.JoinedStr)
            ]
        if isinstance(node, ast.Assign):
            found += [
                f"line {node.lineno}: .{target.attr} = ..."
                for target in node.targets
                if isinstance(target, ast.Attribute) and target.attr in ATTRIBUTES
            ]
    return found


@pytest.mark.parametrize("path", list(_sources()), ids=lambda path: path.relative_to(TUI).as_posix())
def test_text_goes_to_textual_through_titles_only(path: Path) -> None:
    assert _violations(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        'Static("[red]x")', "Label(name)", "self.notify(message)", 'table.add_row("a", f"{x}")',
        "w.border_title = name", "Text(x)", 'table.update_cell(key, "column", f"{x}")', "w.tooltip = text",
    ],
)  # fmt: skip
def test_the_test_sees_what_it_is_there_for(source: str) -> None:
    assert _violations(source)


def test_safe_text_is_made_in_one_place_only() -> None:
    """`SafeText(...)` called elsewhere could carry anything."""
    makers = []
    for path in _sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _name(node.func) == "SafeText":
                makers.append(path.relative_to(TUI).as_posix())
    assert set(makers) <= {"services/safe_text.py", "widgets/plot.py"}
