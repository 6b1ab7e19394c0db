"""Functions of Python source as rows: which are taken, what a row says, broken files."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from core.config.data import InstructionData
from core.config.sources import FunctionsSource
from core.data.fingerprints import cache_key
from core.data.inspection import inspect
from core.data.prepare import prepare
from core.data.preview import preview
from core.data.progress import Work, silent
from core.data.sources.reading import describe, records, rows, source_files, units_of
from core.data.tally import Tally
from core.errors import DataError, UsageError

WORK = Work(silent, lambda: False)
MODULE = '''\
"""A module."""
import functools


def add(a, b=1, *, c: int = 2) -> int:
    """Return the sum of
    two numbers.

    Further words about it.
    """

    # added from left to right
    return a + b + c


async def fetch(name):
    """Bring the page of a name."""  # noqa
    return await name


class Box:
    """A box of several things."""

    def __init__(self):
        """Make an empty box now."""
        self.held = []

    @functools.lru_cache(
        maxsize=3,
    )
    def text(
        self,
        width: dict[str, int] = {"a:": 1},  # a colon
    ) -> str:
        """Return what is written on the box."""
        def inner():
            """A function within another one."""
            return 1
        return f"""
two lines {
            self.held}
      kept as they are
""" + "é" + \'\'\'
  another\'\'\'

    def empty(self):
        """Return nothing at all, ever."""

    def abstract(self):
        """Return something in a subclass."""
        raise NotImplementedError


def test_add():
    """Check that numbers are added."""
    assert add(1, 2) == 3


def undocumented(a):
    return a


def short(a):
    """Short words."""
    return a


def one_line(a): "Return what was given."; return a


def tabs(a):
\t"""Return it with a tab."""
\tif a:

\t\treturn a
\treturn "\\t"
'''


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "module.py").write_text(MODULE, encoding="utf-8")
    return tmp_path / "source"


def source_at(path: Path | None, **fields: object) -> FunctionsSource:
    return FunctionsSource.model_validate({"kind": "functions", "path": None if path is None else str(path), **fields})


def read(source: FunctionsSource) -> tuple[dict[str, dict[str, str]], Tally]:
    tally = Tally(describe(source, 0), 1.0)
    return {row.place: row.values for row in rows(source, tally)}, tally


def test_functions_with_a_docstring_become_rows(module: Path) -> None:
    found, tally = read(source_at(module))
    place = module / "module.py"
    assert list(found) == [f"{place}:5", f"{place}:16", f"{place}:31", f"{place}:71"]
    assert tally.rows == 4
    assert found[f"{place}:5"] == {
        "instruction": "Return the sum of two numbers.",
        "input": "def add(a, b=1, *, c: int = 2) -> int:",
        "output": "def add(a, b=1, *, c: int = 2) -> int:\n    # added from left to right\n    return a + b + c",
    }
    assert found[f"{place}:16"]["output"] == "async def fetch(name):\n    return await name"
    assert found[f"{place}:71"]["output"] == 'def tabs(a):\n\tif a:\n\n\t\treturn a\n\treturn "\\t"'


def test_a_method_is_moved_to_the_margin_and_its_strings_stay(module: Path) -> None:
    found, _ = read(source_at(module))
    row = found[f"{module / 'module.py'}:31"]
    assert row["input"] == (
        "@functools.lru_cache(\n    maxsize=3,\n)\ndef text(\n    self,\n"
        '    width: dict[str, int] = {"a:": 1},  # a colon\n) -> str:'
    )
    assert row["output"].startswith(row["input"] + "\n    def inner():\n        ")
    assert row["output"].endswith("\n      kept as they are\n\"\"\" + \"é\" + '''\n  another'''")
    original = next(
        node for node in ast.walk(ast.parse(MODULE)) if isinstance(node, ast.FunctionDef) and node.name == "text"
    )
    original.body = original.body[1:]
    assert ast.dump(ast.parse(row["output"]).body[0]) == ast.dump(original)


def test_of_the_standard_library_every_output_parses_and_begins_with_its_input() -> None:
    found, tally = read(source_at(None, max_rows=400))
    assert len(found) == tally.rows == 400
    assert not tally.bad
    for place, row in found.items():
        (function,) = ast.parse(row["output"]).body
        assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        assert row["output"].startswith(row["input"]), place
        assert row["input"].endswith(":")
        assert not function.name.startswith(("test", "__"))
        assert len(row["output"]) <= 4000
        assert ast.get_docstring(function) is None


def test_functions_that_are_too_long_are_left_out(module: Path) -> None:
    body = "".join(f"    value_{number} = {number}\n" for number in range(300))
    (module / "long.py").write_text(f'def long():\n    """Set very many values here."""\n{body}')
    assert "long" not in str([row["input"] for row in read(source_at(module))[0].values()])


def test_a_broken_file_is_a_bad_row_with_its_line(module: Path) -> None:
    (module / "broken.py").write_text("def f():\n    return (1\n\n\nclass")
    (module / "bytes.py").write_bytes(b"x = 1\ny = '\xff'\n")
    (module / "nul.py").write_bytes(b"x = '\0'\n")
    (module / "latin.py").write_bytes(
        "# -*- coding: latin-1 -*-\ndef f(a):\n    '''Give back a letter.'''\n    return 'ü'\n".encode("latin-1")
    )
    (module / "test_more.py").write_text("def f(:")  # a folder of tests would be left out, a file is not
    found, tally = read(source_at(module))
    assert found[f"{module / 'latin.py'}:2"]["output"] == "def f(a):\n    return 'ü'"
    assert len(found) == 5
    assert tally.bad == {"syntax": 4}
    assert tally.rows == 9
    errors = {error.split(": ")[0]: error for error in tally.errors}
    assert errors.keys() == {
        f"{module}/broken.py:2", f"{module}/bytes.py:1", f"{module}/nul.py:1", f"{module}/test_more.py:1",
    }  # fmt: skip
    assert "expected Python source, found: '(' was never closed" in errors[f"{module}/broken.py:2"]


def test_folders_of_tests_and_of_installed_packages_are_left_out(module: Path) -> None:
    for name in ("tests", "test", "site-packages", ".git"):
        (module / name).mkdir()
        (module / name / "inner.py").write_text(MODULE)
    assert source_files(source_at(module)) == [module / "module.py"]


def test_a_folder_without_python_and_a_place_without_anything_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected files \*.py, found none"):
        source_files(source_at(tmp_path))
    with pytest.raises(UsageError, match="expected a file or a folder, found nothing there"):
        source_files(source_at(tmp_path / "absent"))


def test_files_come_in_the_order_of_their_names_hashes_and_units_give_the_same_rows(module: Path) -> None:
    for number in range(12):
        text = f'def f_{number}(a):\n    """Return the number {number}."""\n    return {number}\n'
        (module / f"file_{number}.py").write_text(text)
    source = source_at(module)
    whole, _ = read(source)
    names = [path.name for path in source_files(source)]
    assert names != sorted(names)
    units = units_of(source, 0, split_bytes=1)
    assert [Path(unit.file).name for unit in units] == names
    parts = [row.place for unit in units for row in records(source, Tally("", 1.0), unit)]
    assert parts == list(whole)
    limited = source_at(module, max_rows=5)
    (unit,) = units_of(limited, 0, split_bytes=1)
    assert [row.place for row in records(limited, Tally("", 1.0), unit)] == list(whole)[:5]
    assert list(read(limited)[0]) == list(whole)[:5]


def data_of(path: Path | None, **fields: object) -> InstructionData:
    return InstructionData.model_validate(
        {
            "kind": "instructions",
            "sources": [source_at(path, **fields).model_dump()],
            "tokenizer": {"kind": "train", "vocabulary_size": 300},
            "template": "alpaca",
            "held_out_fraction": 0.0,
        }
    )


def test_the_cache_is_named_by_the_files_and_not_by_where_they_lie(module: Path, tmp_path: Path) -> None:
    before = cache_key(data_of(module), 1, None)
    moved = module.rename(tmp_path / "moved")
    assert cache_key(data_of(moved), 1, None) == before
    assert cache_key(data_of(moved, max_rows=2), 1, None) != before
    (moved / "module.py").write_text(MODULE.replace("a + b + c", "c + b + a"))
    assert cache_key(data_of(moved), 1, None) != before


def test_a_preview_and_an_inspection_show_the_rows(module: Path) -> None:
    shown = preview(data_of(module), start=1, count=2)
    assert shown.formats == ("alpaca",)
    assert [row.place.rpartition(":")[2] for row in shown.rows] == ["16", "31"]
    found = inspect(source_at(module))
    assert (found.format, found.rows, found.documents) == ("alpaca", 4, 4)
    assert [column.name for column in found.columns] == ["instruction", "input", "output"]


def test_functions_are_prepared_as_instructions(tmp_path: Path) -> None:
    made = prepare(data_of(None, max_rows=60), tmp_path / "made", seed=1, model_tokenizer=None, work=WORK)
    (record,) = made.manifest.sources
    assert (record.rows, record.documents, record.format) == (60, 60, "alpaca")
    assert made.manifest.train.documents == 60
