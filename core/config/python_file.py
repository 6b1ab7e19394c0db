"""Whether a Python file can have the function that a configuration names, found by reading it; nothing of it is run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

_NESTED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_BY_OTHER_WAYS = frozenset({"globals", "locals", "vars", "exec", "eval", "setattr", "modules", "__dict__"})
"""Names by which a module can give itself a name that stands nowhere in it as one."""
_MOST_NAMES = 10


def wrong_function(path: Path, function: str) -> tuple[Literal["path", "function"], str] | None:
    """Return which field is wrong and why, where running `path` cannot give the function; None where it may.

    Only what is sure is said: a name that is assigned, or may come from `import *` or `globals()`, is left to the run.
    """
    if not path.is_file():
        return "path", f"must be a Python file; {path} is {'a folder' if path.is_dir() else 'no file'}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        return "path", f"{path} cannot be read: {error.strerror}"
    except SyntaxError as error:
        at = f"line {error.lineno}: " if error.lineno else ""
        return "path", f"{path} is no Python that can be run: {at}{error.msg}"
    except (ValueError, RecursionError, MemoryError):  # a NUL; deeper than the parser goes
        return "path", f"{path} is no Python that can be run"
    if function in set(_names(module)) or _may_have_others(module):
        return None
    defined = [node.name for node in module.body if isinstance(node, ast.FunctionDef)]
    more = f" and {len(defined) - _MOST_NAMES} more" if len(defined) > _MOST_NAMES else ""
    has = f"it has {', '.join(defined[:_MOST_NAMES])}{more}" if defined else "it has none"
    return "function", f"{path} has no function {function}; {has}"


def _of_module(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what stands in a module outside of its functions and classes, these themselves included."""
    for inner in ast.iter_child_nodes(node):
        yield inner
        if not isinstance(inner, _NESTED | ast.Lambda):
            yield from _of_module(inner)


def _names(module: ast.Module) -> Iterator[str]:
    """Yield every name that the module may have once it has run, those that a function declares global included."""
    for node in _of_module(module):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.alias():
                yield (node.asname or node.name).split(".")[0]
            case ast.MatchAs(name=str() as name) | ast.MatchStar(name=str() as name):
                yield name
            case ast.MatchMapping(rest=str() as name):
                yield name
            case _:
                pass
    for node in ast.walk(module):
        if isinstance(node, ast.Global):
            yield from node.names


def _may_have_others(module: ast.Module) -> bool:
    """Tell whether the module may have names that are not written in it."""
    for node in ast.walk(module):
        match node:
            case ast.alias(name="*"):
                return True
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in _BY_OTHER_WAYS:
                return True
            case ast.FunctionDef(name="__getattr__"):
                return True
            case _:
                pass
    return False
