"""LaTeX files and arXiv's packages."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from core.data.readers.latex import read_arxiv_package, read_latex
from core.data.rows import Row
from core.data.tally import Tally

MAIN = """\\documentclass{article}
\\input{macros}
\\title{Engines}
\\begin{document}
Before. \\input{parts/one} \\include{gone} After \\tool.
\\end{document}
"""


def package(files: dict[str, str | bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def read(path: Path, content: bytes) -> tuple[list[Row], Tally]:
    path.write_bytes(content)
    tally = Tally("latex", 1.0)
    reader = read_latex if ".tex" in path.name else read_arxiv_package
    return list(reader(path, tally)), tally


def test_a_package_is_one_paper_with_its_parts(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "00README": "x",
        "anc/data": b"\0\1\2",
        "macros.tex": "\\newcommand{\\tool}{the hammer}",
        "parts/one.tex": "Part one, \\input{two}.",
        "parts/two.tex": "part two \\input{parts/one}",
        "supplement.tex": "\\documentclass{article} no document " * 50,
        "figure.pdf": b"%PDF-1.4 \\documentclass{a} \\begin{document}",
        "../../outside.tex": "\\begin{document}outside\\end{document}",
    }
    rows, tally = read(tmp_path / "2401.00001.tar.gz", package({**files, "main.tex": MAIN}))
    assert [row.values for row in rows] == [
        {"text": "Engines\n\nBefore. Part one, part two. After the hammer.", "title": "Engines"}
    ]
    assert rows[0].place.endswith("2401.00001.tar.gz:main.tex")
    assert (tally.rows, tally.bad) == (1, {})
    assert list(tmp_path.parent.rglob("outside.tex")) == []


def test_a_package_may_be_a_single_source(tmp_path: Path) -> None:
    rows, _ = read(tmp_path / "hep-th9901001.gz", gzip.compress(MAIN.encode()))
    assert rows[0].values["text"] == "Engines\n\nBefore. After."


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (gzip.compress(b"%PDF-1.4 no source"), "format"),
        (package({"readme.txt": "nothing"}), "format"),
        (package({"paper.tex": b"%PDF-1.4 \\begin{document}"}), "format"),
        (package({"main.tex": MAIN * 50})[:-40], "damaged"),
        (package({"main.tex": MAIN, "b.tex": b"x" * (16 * 2**20)}), "too_long"),
    ],
)
def test_what_is_no_paper_is_a_bad_row(tmp_path: Path, content: bytes, code: str) -> None:
    rows, tally = read(tmp_path / "a.tar.gz", content)
    assert (rows, tally.rows, tally.bad) == ([], 1, {code: 1})


def test_parts_that_multiply_are_refused(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"p{n}.tex": f"\\input{{p{n + 1}}}" * 9 + "x" * 100 for n in range(9)}
    rows, tally = read(tmp_path / "a.tar.gz", package({**files, "main.tex": MAIN.replace("parts/one", "p0")}))
    assert (rows, tally.bad) == ([], {"too_long": 1})


def test_rows_of_a_file_are_its_lines(tmp_path: Path) -> None:
    rows, tally = read(tmp_path / "chapter.tex", b"\\chapter{One}\n% note\nText na\xefve.\n\\input{other}\nend")
    assert [row.values["text"] for row in rows] == ["One\n\nText naïve. end"]
    assert (tally.rows, tally.repaired) == (5, {"latin-1": 1})


def test_a_file_of_definitions_is_empty(tmp_path: Path) -> None:
    rows, tally = read(tmp_path / "macros.tex", b"\\newcommand{\\a}{b}\n\\newcommand{\\c}{d}\n")
    assert (rows, tally.rows, tally.empty, tally.bad) == ([], 2, 1, {})
