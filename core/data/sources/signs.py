"""What the beginning of a file tells about it, whatever it is called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.config.sources import Container

_TAR_AT, _TAR = 257, b"ustar"
# First bytes of files that hold no text, and what they are; with an offset where they stand later.
_BINARY = (
    (0, b"%PDF", "a PDF document"), (0, b"PK\x03\x04", "a ZIP archive"), (0, b"\xfd7zXZ\0", "an xz file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"), (0, b"Rar!", "a RAR archive"), (_TAR_AT, _TAR, "a tar archive"),
    (0, b"ARROW1", "an Arrow file"), (0, b"\xff\xff\xff\xff", "an Arrow stream"), (0, b"SQLite format 3", "a database"),
    (0, b"\x89PNG", "an image"), (0, b"\xff\xd8\xff", "an image"), (0, b"GIF8", "an image"), (0, b"RIFF", "media"),
    (0, b"\x7fELF", "a program"), (0, b"MZ", "a program"), (0, b"\x93NUMPY", "a NumPy array"), (0, b"GGUF", "a model"),
    (0, b"\x80\x04\x95", "a pickle"), (0, b"\xd0\xcf\x11\xe0", "an Office document"), (0, b"ORC", "an ORC file"),
    (0, b"Obj\x01", "an Avro file"), (0, b"\x89HDF", "an HDF5 file"), (0, b"\x04\x22\x4d\x18", "an LZ4 file"),
)  # fmt: skip
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_PATH = re.compile(
    r"(?:\w+://)?[^\s{}<>\"']+\.(?:warc|wet|wat|paths|parquet|jsonl?|csv|tsv|txt|gz|bz2|zst|xml|arrow)\b"
    r"[\w.\-/?=&%]*"
)
_LABEL = re.compile(r"[+-]?\d{1,6}")
_GUTENBERG = re.compile(r"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG|\*END\*? ?THE SMALL PRINT", re.IGNORECASE)
_PROLOGUE = re.compile(
    r"\A\s*(?:<\?.*?\?>\s*|<!--.*?-->\s*|<!DOCTYPE(?:\[.*?\]|[^\[>])*>\s*)*", re.DOTALL | re.IGNORECASE
)
_ROOT = re.compile(r"<(?:[\w.-]+:)?(?P<name>[\w.-]+)")
_ROOTS: dict[str, Container] = {
    "mediawiki": "mediawiki",
    "pubmedarticleset": "pubmed",
    "pubmedarticle": "pubmed",
    "medlinecitationset": "pubmed",
    "medlinecitation": "pubmed",
    "article": "pmc",
    "pmc-articleset": "pmc",
    "oai-pmh": "pmc",
    "html": "html",
    "document": "medquad",
}
_HTML_START = re.compile(r"\s*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_REGISTRY = re.compile(
    r'\s*\{\s*"[^"]+"\s*:\s*\{\s*"(?:file_name|hf_hub_url|ms_hub_url|om_hub_url|script_url|cloud_file_name)"\s*:'
)
_SQUAD = re.compile(r'"paragraphs"\s*:\s*\[\s*\{')
_TASK_LINES = 6


def foreign(head: bytes) -> str | None:
    """Return in words what a file is that holds no text; None where nothing says so."""
    for offset, magic, words in _BINARY:
        if head[offset : offset + len(magic)] == magic:
            return words
    return "UTF-16 text" if head.startswith(_UTF16) else None


def is_tar(head: bytes) -> bool:
    """Whether a file is a tar archive."""
    return head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR


def is_latex_package(head: bytes) -> bool:
    """Whether a tar archive is what arXiv gives of a paper."""
    return b".tex\0" in head or b"\\documentclass" in head


def is_latex(text: str) -> bool:
    """Whether a text is a LaTeX document."""
    return re.search(r"^\s*\\document(?:class|style)\b", text, re.MULTILINE) is not None


def xml_root(text: str) -> str | None:
    """Return the name of the outermost element, in lower case; None where the text is no XML."""
    start = _PROLOGUE.match(text)
    found = _ROOT.match(text, start.end() if start else 0)
    return found["name"].lower() if found else None


def xml_container(root: str) -> Container | None:
    """Return which container has this outermost element; None where none has."""
    return _ROOTS.get(root)


def is_html(text: str) -> bool:
    """Whether a text begins as a page."""
    return _HTML_START.match(text) is not None


def is_gutenberg(text: str) -> bool:
    """Whether a text has the line after which a Project Gutenberg book begins."""
    return _GUTENBERG.search(text) is not None


def is_wet(head: bytes) -> bool:
    """Whether WARC records are those of a WET file: their text was taken out."""
    return b"WARC-Type: conversion" in head


def is_path_list(lines: Sequence[str]) -> bool:
    """Whether every line is nothing but the name of a data file."""
    return bool(lines) and all(_PATH.fullmatch(line) for line in lines)


def is_label_list(lines: Sequence[str]) -> bool:
    """Whether every line is nothing but a small whole number."""
    return bool(lines) and all(_LABEL.fullmatch(line) for line in lines)


def is_hellaswag(lines: Sequence[str]) -> bool:
    """Whether lines come six by six: label and context, an index from 0 to 3, four endings."""
    tasks = [lines[start : start + _TASK_LINES] for start in range(0, len(lines) - _TASK_LINES + 1, _TASK_LINES)]
    return bool(tasks) and all(
        ": " in task[0] and task[1].strip() in ("0", "1", "2", "3") and all(ending.strip() for ending in task[2:])
        for task in tasks
    )


def is_registry(text: str) -> bool:
    """Whether a JSON object lists data sets by name, as LLaMA-Factory's dataset_info.json does."""
    return _REGISTRY.match(text) is not None


def is_squad(text: str) -> bool:
    """Whether a JSON object holds articles with paragraphs, as SQuAD does."""
    return '"data"' in text and _SQUAD.search(text) is not None
