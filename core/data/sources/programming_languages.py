"""The programming language that a file's name tells, by the table that Pygments has of them."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache

# Where several languages share a suffix: the one that most files with it are written in.
_COMMONEST = {
    ".as": "ActionScript 3", ".asm": "NASM", ".b": "Brainfuck", ".bas": "VB.net", ".cl": "Common Lisp", ".cp": "C++",
    ".ecl": "ECL", ".feature": "Gherkin", ".fs": "F#", ".g": "GAP", ".gd": "GDScript", ".h": "C", ".hh": "C++",
    ".i": "SWIG", ".inc": "PHP", ".inf": "INI", ".lean": "Lean4", ".m": "Objective-C", ".mm": "Objective-C++",
    ".n": "Nemerle", ".p": "OpenEdge ABL", ".pl": "Perl", ".pm": "Perl", ".pro": "Prolog", ".s": "GAS", ".sc": "Scala",
    ".sql": "SQL", ".t": "Perl", ".ttl": "Turtle", ".v": "verilog", ".xsl": "XSLT", ".xslt": "XSLT",
    ".jsx": "JavaScript", ".mjs": "JavaScript", ".cjs": "JavaScript", ".vue": "Vue", ".svelte": "Svelte",
    ".ipynb": "Jupyter Notebook", ".cu": "CUDA", ".cuh": "CUDA", ".jsonl": "JSON Lines", ".mdx": "Markdown",
}  # fmt: skip
_NO_CODE = frozenset({"Text only", "Text output"})


def language_of(name: str) -> str | None:
    """Return the language of a file with this name (without its folders), None where none is known."""
    if name in _names():
        return _names()[name]
    suffix = name[name.rfind(".") :].lower() if "." in name[1:] else ""
    return _suffixes().get(suffix) or _by_pattern(suffix or name)


def known_languages() -> frozenset[str]:
    """Return every name that `language_of` gives."""
    return frozenset({*_suffixes().values(), *_names().values(), *_COMMONEST.values()})


@cache
def _by_pattern(name: str) -> str | None:
    return next((language for pattern, language in _patterns() if fnmatchcase(name, pattern)), None)


def _names() -> dict[str, str]:
    return _table()[0]


def _suffixes() -> dict[str, str]:
    return _table()[1]


def _patterns() -> tuple[tuple[str, str], ...]:
    return _table()[2]


@cache
def _table() -> tuple[dict[str, str], dict[str, str], tuple[tuple[str, str], ...]]:
    """Return languages by whole name, by suffix, and by what is left of the patterns."""
    from pygments.lexers import get_all_lexers  # type: ignore[import-untyped]

    names: dict[str, str] = {}
    suffixes: dict[str, str] = {}
    patterns: list[tuple[str, str]] = []
    for language, _, globs, _ in get_all_lexers(plugins=False):
        if language in _NO_CODE:
            continue
        for glob in globs:
            rest = glob.removeprefix("*")
            if any(sign in rest for sign in "*?["):
                patterns.append((glob, language))
            elif glob.startswith("*.") and "." not in rest[1:]:
                suffixes.setdefault(rest.lower(), language)
            else:
                names.setdefault(glob, language)
    return names, suffixes | _COMMONEST, tuple(patterns)
