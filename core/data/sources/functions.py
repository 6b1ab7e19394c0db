"""Functions of Python source as instruction rows: what the docstring says, the signature, the code.

Taken are functions of a module and methods of its classes. As in CodeSearchNet (Husain et al. 2019, arXiv:1909.09436)
the first paragraph of the docstring says what is to be done, and left out are functions without one, tests, special
methods (__name__) and docstrings of fewer than three words; besides, functions that do nothing (pass, ..., or nothing
but an error raised) or are longer than 4,000 characters.
"""

from __future__ import annotations

import ast
import hashlib
import re
import tokenize
import warnings
from collections.abc import Iterator
from importlib.util import decode_source
from itertools import dropwhile, islice
from pathlib import Path

from core.config.sources import FunctionsSource
from core.data.rows import Row
from core.data.sources.folders import NOT_LIBRARY, existing, files_below, library_folder
from core.data.tally import RowError, Tally
from core.errors import DataError

LONGEST_CHARACTERS = 4000
_FEWEST_WORDS = 3
_BLANK_LINE = re.compile(r"\n\s*\n")
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_OPENING = frozenset({"FSTRING_START", "TSTRING_START"})
_CLOSING = frozenset({"FSTRING_END", "TSTRING_END"})


def function_files(source: FunctionsSource) -> list[Path]:
    """Return the Python files of a source in the order of their names' hashes, without tests and installed packages.

    Raises: UsageError where the path does not exist; DataError where there is no Python source.
    """
    place = library_folder() if source.path is None else existing(source.path)
    if place.is_file():
        return [place]
    names = [path.relative_to(place) for path in files_below(place, ["*.py"], [], without=NOT_LIBRARY)]
    if not names:
        raise DataError(
            f"{place}: expected files *.py, found none",
            hint="Name a folder of Python source; leave the path empty for the standard library.",
        )
    return [place / name for name in sorted(names, key=lambda name: hashlib.sha256(name.as_posix().encode()).digest())]


def read_functions(paths: list[Path], tally: Tally, most: int | None) -> Iterator[Row]:
    """Yield the functions of some files, at most so many: instruction, input, output. A broken file is a bad row."""
    yield from islice((row for path in paths for row in _of_file(path, tally)), most)


def _of_file(path: Path, tally: Tally) -> Iterator[Row]:
    parsed = _parsed(path, tally)
    if parsed is None:
        return
    text, module = parsed
    lines = text.split("\n")
    for function in _functions(module):
        if (values := _values(function, lines)) is not None:
            tally.rows += 1
            yield Row(values, f"{path}:{function.lineno}")


def _parsed(path: Path, tally: Tally) -> tuple[str, ast.Module] | None:
    """Return the text of a file, its line ends as newlines, and what it parses to; None of a broken one, a bad row."""
    line: int | None = None
    try:
        text = decode_source(path.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in a string is the file's own affair
            return text, ast.parse(text)
    except SyntaxError as error:
        found, line = error.msg, error.lineno
    except (ValueError, RecursionError, MemoryError) as error:  # bytes that are no text, a NUL, brackets without end
        found = str(error) or type(error).__name__
    tally.rows += 1
    tally.refuse(f"{path}:{line or 1}", RowError("syntax", f"expected Python source, found: {found}"))
    return None


def _functions(module: ast.Module) -> Iterator[_Function]:
    for statement in module.body:
        within = statement.body if isinstance(statement, ast.ClassDef) else [statement]
        yield from (inner for inner in within if isinstance(inner, _Function))


def _values(function: _Function, lines: list[str]) -> dict[str, object] | None:
    """Return the columns of a function by the lines of its file, None of one that is left out."""
    documented = ast.get_docstring(function) or ""
    words = _BLANK_LINE.split(documented.strip(), maxsplit=1)[0].split()
    if len(words) < _FEWEST_WORDS or _is_test_or_special(function.name) or _does_nothing(function.body[1:]):
        return None
    kept = _without_docstring(function, lines)
    if kept is None:
        return None
    code, signature = _dedented(kept, function.col_offset)
    function.body = function.body[1:]
    if len(code) > LONGEST_CHARACTERS or not _is_same(code, function):
        return None
    return {"instruction": " ".join(words), "input": signature, "output": code}


def _is_test_or_special(name: str) -> bool:
    return name.lower().startswith("test") or (name.startswith("__") and name.endswith("__"))


def _does_nothing(body: list[ast.stmt]) -> bool:
    return all(
        isinstance(one, ast.Pass | ast.Raise) or (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
        for one in body
    )


def _without_docstring(function: _Function, lines: list[str]) -> list[str] | None:
    """Return the lines of a function, decorators first; None where the docstring shares its lines with code."""
    docstring = function.body[0]
    assert docstring.end_lineno is not None
    assert docstring.end_col_offset is not None
    behind = lines[docstring.end_lineno - 1].encode()[docstring.end_col_offset :].strip()
    if behind and not behind.startswith(b"#"):
        return None
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)]) - 1
    body = lines[docstring.end_lineno : function.end_lineno]
    return lines[first : docstring.lineno - 1] + list(dropwhile(lambda line: not line.strip(), body))


def _dedented(lines: list[str], indentation: int) -> tuple[str, str]:
    """Return a function moved to the left margin, and its beginning up to the colon of its signature.

    What a string of several lines holds stays as it is.
    """
    prefix = lines[0][:indentation]
    inside: set[int] = set()
    opened: list[int] = []
    depth, is_signature, end = 0, False, (0, 0)
    for token in tokenize.generate_tokens(iter([f"{line}\n" for line in lines]).__next__):
        name = tokenize.tok_name[token.type]
        if token.type == tokenize.STRING:
            inside.update(range(token.start[0], token.end[0]))
        elif name in _OPENING:
            opened.append(token.start[0])
        elif name in _CLOSING:
            inside.update(range(opened.pop(), token.end[0]))
        elif token.type == tokenize.NAME and token.string == "def" and not depth:
            is_signature = True
        elif token.type == tokenize.OP and not opened:
            depth += (token.string in "([{") - (token.string in ")]}")
            if token.string == ":" and not depth and is_signature and end == (0, 0):
                end = token.end
    moved = [
        line if number in inside else line.removeprefix(prefix) if line.strip() else ""
        for number, line in enumerate(lines)
    ]
    last = lines[end[0] - 1][: end[1]]
    signature = [*moved[: end[0] - 1], last if end[0] - 1 in inside else last.removeprefix(prefix)]
    return "\n".join(moved), "\n".join(signature)


def _is_same(code: str, function: _Function) -> bool:
    """Whether code is this function and nothing else: a safeguard for layouts that nobody thought of."""
    try:
        found = ast.parse(code).body
    except (SyntaxError, ValueError):
        return False
    return len(found) == 1 and ast.dump(found[0]) == ast.dump(function)
