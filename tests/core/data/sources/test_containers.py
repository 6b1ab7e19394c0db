"""What a file is, told by its name and beginning; and what is no data set."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import tarfile
from pathlib import Path

import pyarrow
import pytest
import zstandard
from pyarrow import parquet

from core.data.sources.containers import HEAD_BYTES, detect_container, read_container
from core.data.tally import Tally
from core.errors import DataError

LONG = "x" * 2 * HEAD_BYTES
ARTICLE = {"title": "Tea", "paragraphs": [{"context": LONG, "qas": [{"id": "1", "question": "?", "answers": []}]}]}
TASK = "Baking: Mix it\n2\na\nb\nc\nd\n"
BOOK = "The Project Gutenberg eBook of Tea\n\n*** START OF THE PROJECT GUTENBERG EBOOK TEA ***\nTea.\n"

FILES: dict[str, tuple[str, str | bytes, str]] = {
    "lines": ("a.jsonl", '{"a": 1}\n{"a": 2}\n', "json_lines"),
    "one line": ("a.jsonl", '{"a": {"b": 1}}', "json_lines"),
    "lines in json": ("a.json", '{"a": 1}\n{"a": 2}\n', "json_lines"),
    "long lines in json": ("a.json", json.dumps({"a": LONG}) + "\n\n" + json.dumps({"a": LONG}), "json_lines"),
    "a broken second line": ("a.json", '{"a": 1}\nbroken\n{"a": 2}', "json_lines"),
    "a broken first line": ("a.jsonl", '{"a": \n{"a": 2}', "json_lines"),
    "strings": ("a.jsonl", '"a"\n"b"\n', "json_lines"),
    "one record": ("a.json", '{"text": "a", "n": [1]}', "json_lines"),
    "array": ("a.json", '\ufeff\n [{"a": 1}]', "json_array"),
    "array after a mark": ("a.jsonl", '\ufeff\n[{"a": 1}]', "json_array"),
    "array of lines": ("a.jsonl", '[{"a": 1}]', "json_array"),
    "keyed": ("a.json", '{"1": {"a": 1}, "2": {"a": 2}}', "json_object"),
    "keyed, indented": ("a.json", json.dumps({"1": {"a": LONG}, "2": {"a": 1}}, indent=2), "json_object"),
    "keyed in jsonl": ("a.jsonl", json.dumps({"1": {"a": 1}, "2": {"a": 2}}, indent=2), "json_object"),
    "wrapped": ("a.json", '{"version": "1", "data": [{"a": 1}]}', "json_object"),
    "squad": ("a.json", json.dumps({"version": "1.1", "data": [ARTICLE]}), "squad"),
    "squad, indented": ("a.json", json.dumps({"data": [ARTICLE]}, indent=1), "squad"),
    "arrays a line": ("a.jsonl", "[1, 2]\n[3]\n", "json_lines"),
    "a first line that is a bracket": ("a.jsonl", '{\n{"a": 1}\n', "json_lines"),
    "csv": ("a.csv", "a,b\n1,2\n", "csv"),
    "tsv": ("a.tsv", "a\tb\n1\t2\n", "tsv"),
    "markdown": ("a.md", "# Tea\n", "markdown"),
    "html": ("a.htm", "<p>Tea", "html"),
    "html as text": ("a.txt", "\n<!DOCTYPE html>\n<html><p>Tea", "html"),
    "latex": ("a.tex", "\\section{Tea}", "latex"),
    "latex as text": ("2301.00001", "% Tea\n\\documentclass{article}\n", "latex"),
    "text": ("a.txt", "Tea is drunk hot.\n", "text"),
    "text of another name": ("a.train", "Tea is drunk hot.\n", "text"),
    "json lines as text": ("a.txt", '{"a": 1}\n{"a": 2}\n', "json_lines"),
    "numbers in words": ("a.txt", "1\n2\nthree\n", "text"),
    "paths in words": ("a.txt", "See data/a.csv and b.csv\n", "text"),
    "hellaswag": ("a.txt", TASK * 3000, "hellaswag_text"),
    "gutenberg": ("pg1.txt", BOOK, "gutenberg"),
    "mediawiki": ("dump.xml", '<mediawiki xmlns="x"><page>', "mediawiki"),
    "mediawiki without a name": ("dump", '<mediawiki xmlns="x">\n<page>', "mediawiki"),
    "pubmed": (
        "a.xml",
        '<?xml version="1.0"?>\n<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD" "http://x/y.dtd">\n<PubmedArticleSet>',
        "pubmed",
    ),
    "pmc": ("a.nxml", '<!DOCTYPE article [<!ENTITY a "b">]><!-- x --><article xml:lang="en">', "pmc"),
    "medquad": ("a.xml", '<?xml version="1.0"?><Document id="1"><QAPairs>', "medquad"),
    "warc": ("a.warc", b"WARC/1.0\r\nWARC-Type: warcinfo\r\n", "warc"),
    "wet by its records": ("a.gz", b"WARC/1.0\r\nWARC-Type: warcinfo\r\n\r\n\r\nWARC-Type: conversion\r\n", "wet"),
    "wat": ("a.warc.wat", b"WARC/1.0\r\nWARC-Type: metadata\r\n", "warc"),
    "code": ("a.rs", "fn main() {}", "code"),
    "empty": ("a.jsonl", "", "json_lines"),
    "empty text": ("a.txt", "", "text"),
    "a NUL in a line": ("a.jsonl", b'{"a": 1}\n\0\n', "json_lines"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_is_what_it_looks_like(tmp_path: Path, case: str) -> None:
    name, content, container = FILES[case]
    data = content.encode() if isinstance(content, str) else content
    (tmp_path / name).write_bytes(data)
    assert detect_container(tmp_path / name) == container
    packed = {".gz": gzip.compress(data), ".bz2": bz2.compress(data), ".zst": zstandard.compress(data)}
    for suffix, content in packed.items():
        (tmp_path / f"{name}{suffix}").write_bytes(content)
        assert detect_container(tmp_path / f"{name}{suffix}") == container


NO_DATA: dict[str, tuple[str, str | bytes, str]] = {
    "paths": (
        "a.warc.paths",
        "crawl-data/CC-MAIN-2024/warc/a-0.warc.gz\ncrawl-data/b.warc.gz\n",
        "a list of paths such",
    ),
    "urls": (
        "list.txt",
        "https://host/a/b.parquet?download=true\ns3://x/y.jsonl.zst\n",
        "a list of paths such as 'http",
    ),
    "labels": ("a.lst", "0\n1\n1\n0\n", r"a list of labels \(0, 1\)"),
    "labels in text": ("a.txt", "-1\n 12\n\n3", "a list of labels"),
    "registry": ("sets.json", '{\n"a": {"file_name": "a.json"}, "b": {"hf_hub_url": "x"}}', "a registry, which names"),
    "information": ("dataset_info.json", '{"features": {"a": 1}, "splits": {}}', "a registry, which names"),
    "configuration": ("a.json", '{\n "vocab": 3,\n "layers": {"a": 1}\n}', "one JSON object with the keys: 'vocab'"),
    "other XML": ("a.xml", "<rss><channel>", "XML with the outermost element 'rss'"),
    "no XML": ("a.xml", "words", "no XML"),
    "PDF": ("a.txt", b"%PDF-1.7\n", "a PDF document"),
    "tar": ("a.tar", b"\0" * 257 + b"ustar\0" + b"\0" * 300, "a tar archive"),
    "binary": ("a.bin", b"\1\2\0\3", r"binary data \(a NUL at byte 2\)"),
    "Latin": ("a.text2", "äöü äöü".encode("latin-1"), "bytes that are no UTF-8 text"),
    "UTF-16": ("a.jsonl", '{"a": 1}'.encode("utf-16"), "UTF-16 text"),
}


@pytest.mark.parametrize("case", NO_DATA)
def test_what_is_no_data_set_is_refused_with_what_it_is(tmp_path: Path, case: str) -> None:
    name, content, words = NO_DATA[case]
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=rf"{name}: expected a data set, found {words}") as error:
        detect_container(tmp_path / name)
    assert error.value.hint


def test_parquet_has_its_own_mark(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "a.data")
    assert detect_container(tmp_path / "a.data") == "parquet"


def test_a_package_of_latex_sources_is_a_paper(tmp_path: Path) -> None:
    path = tmp_path / "2301.00001.tar.gz"
    source = b"\\documentclass{article}\n\\begin{document}\nTea is drunk hot.\n\\end{document}\n"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("paper.tex")
        entry.size = len(source)
        archive.addfile(entry, io.BytesIO(source))
    assert detect_container(path) == "latex"
    (row,) = read_container(path, "latex", Tally("s", 1.0))
    assert "Tea is drunk hot." in row.values["text"]


def test_a_file_that_breaks_off_is_told_by_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    path.write_bytes(gzip.compress(b"WARC/1.0\r\nWARC-Type: warcinfo\r\n" * 100)[:-9])
    assert detect_container(path) == "warc"
    path.write_bytes(gzip.compress(b"")[:12])
    with pytest.raises(DataError, match="expected a whole gzip file, found its end at byte 12"):
        detect_container(path)


def test_code_comes_with_its_language(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("print()\n")
    (row,) = read_container(tmp_path / "a.py", "code", Tally("s", 1.0))
    assert row.values == {"text": "print()\n", "path": "a.py", "language": "Python"}
