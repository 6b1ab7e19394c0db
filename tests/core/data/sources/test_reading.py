"""Sources: what each yields, and what is said about rows that cannot be used."""

from __future__ import annotations

import ast
import gzip
import json
import resource
import subprocess
import sys
import sysconfig
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from core.config.sources import (
    Columns,
    FilesSource,
    HubSource,
    JSONSource,
    ParquetSource,
    PathSource,
    Source,
    StandardLibrarySource,
)
from core.data.readers import json_window
from core.data.sources.reading import documents, rows, source_files
from core.data.tally import Tally, check_shares
from core.errors import DataError, ExitCode, UsageError


def read(source: Source, max_bad_share: float = 1.0) -> tuple[list[tuple[str, str]], Tally]:
    """All documents of a source as (place, text), and what was counted."""
    tally = Tally("data.sources[0]", max_bad_share)
    return [(document.place, document.text) for document in documents(source, tally)], tally


def json_source(path: Path, text_field: str = "text") -> JSONSource:
    return JSONSource(kind="json", path=str(path), columns=Columns(text=text_field))


def files(path: Path, **fields: object) -> FilesSource:
    return FilesSource.model_validate({"kind": "files", "path": str(path), **fields})


# ---------------------------------------------------------------- files


def test_a_folder_is_walked_in_order_by_patterns(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "sub/c.txt", "sub/skip/d.txt", "note.bin", ".hidden.txt", ".git/e.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    found, tally = read(files(tmp_path, include=["*.txt"], exclude=["sub/skip/*"]))
    assert [text for _, text in found] == ["a.txt", "b.txt", "sub/c.txt"]
    assert (tally.rows, tally.documents, tally.text_bytes) == (3, 3, 19)


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(read(files(tmp_path))[0]) == 1


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("file", [("", "one\r\ntwo\n\n \nthree\n")]),
        ("line", [(":1", "one"), (":2", "two"), (":5", "three")]),
        ("paragraph", [(":1", "one\r\ntwo"), (":5", "three")]),
    ],
)
def test_a_document_is_a_file_a_line_or_a_paragraph(
    tmp_path: Path, document: str, expected: list[tuple[str, str]]
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\N{BYTE ORDER MARK}one\r\ntwo\n\n \nthree\n".encode())
    found, tally = read(files(path, document=document))
    assert found == [(f"{path}{place}", text) for place, text in expected]
    assert (tally.rows, tally.documents) == (1 if document == "file" else 5, len(expected))


@pytest.mark.parametrize(
    ("content", "words"), [(b"caf\xe9", "expected UTF-8 text, found .* at byte 3"), (b"a\0b", "a NUL character at 1")]
)
def test_a_file_that_is_no_text_is_counted(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "bad.txt").write_bytes(content)
    (tmp_path / "good.txt").write_text("good")
    (tmp_path / "empty.txt").write_text(" \n")
    found, tally = read(files(tmp_path))
    assert [text for _, text in found] == ["good"]
    assert (tally.rows, tally.empty, dict(tally.bad)) == (3, 1, {"encoding": 1})
    with pytest.raises(DataError, match=words) as error:
        check_shares([tally], 0.4)
    assert error.value.exit_code == ExitCode.DATA
    assert str(tmp_path / "bad.txt") in str(error.value)
    check_shares([tally], 0.5)


def test_a_path_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nope: expected a file or a folder, found nothing there") as error:
        read(files(tmp_path / "nope"))
    assert error.value.exit_code == ExitCode.USAGE


def test_a_folder_without_a_matching_file_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "a.rs").write_text("fn main() {}")
    with pytest.raises(DataError, match=r"expected files that match \*\.txt, \*\.md, \*\.py, found none"):
        read(files(tmp_path))


def test_a_source_of_empty_files_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    _, tally = read(files(tmp_path))
    with pytest.raises(DataError, match="found only empty text"):
        check_shares([tally], 0.01)


# ---------------------------------------------------------------- standard library


def test_the_standard_library_is_python_without_tests_and_in_a_fixed_order() -> None:
    source = StandardLibrarySource(kind="standard_library", max_bytes=300_000)
    chosen = source_files(source)
    root = Path(sysconfig.get_path("stdlib"))
    assert chosen == source_files(source)
    assert sum(path.stat().st_size for path in chosen) <= 300_000
    parts = {part for path in source_files(StandardLibrarySource(kind="standard_library"))
             for part in path.relative_to(root).parts}  # fmt: skip
    assert not parts & {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
    found, tally = read(source)
    assert len(found) > 3
    assert not tally.bad
    ast.parse(found[0][1])


def test_a_larger_share_of_the_standard_library_begins_with_the_smaller() -> None:
    small = source_files(StandardLibrarySource(kind="standard_library", max_bytes=100_000))
    large = source_files(StandardLibrarySource(kind="standard_library", max_bytes=500_000))
    assert large[: len(small)] == small
    assert len(large) > len(small)


# ---------------------------------------------------------------- JSON


def test_json_lines_and_arrays_plain_and_gzipped_yield_the_same(tmp_path: Path) -> None:
    objects = [{"text": f"line {number} – ü"} for number in range(5)]
    lines = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in objects)
    array = json.dumps(objects, indent=2, ensure_ascii=False)
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    (tmp_path / "b.json").write_text(array)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "d.json.gz").write_bytes(gzip.compress(array.encode()))
    expected = [value["text"] for value in objects]
    for name in ("a.jsonl", "b.json", "c.jsonl.gz", "d.json.gz"):
        assert [text for _, text in read(json_source(tmp_path / name))[0]] == expected, name
    assert len(read(json_source(tmp_path))[0]) == 20


def test_places_name_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[\n {"text": "x"},\n\n {"text":\n "y"}, {"text": "z"}]')
    (tmp_path / "b.jsonl").write_text('{"text": "x"}\n\n{"text": "y"}\n')
    assert [place.rsplit(":", 1)[1] for place, _ in read(json_source(tmp_path / "a.json"))[0]] == ["2", "4", "5"]
    assert [place.rsplit(":", 1)[1] for place, _ in read(json_source(tmp_path / "b.jsonl"))[0]] == ["1", "3"]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_an_array_is_read_the_same_in_chunks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(json_window, "_CHUNK", chunk)
    values = [{"text": "ä\n", "n": 12}, 123456789, {"text": '"]}', "n": [1, 2.5e3]}]
    path = tmp_path / "a.json"
    path.write_text(" " + json.dumps(values, ensure_ascii=False) + "\n")
    found, tally = read(json_source(path))
    assert [text for _, text in found] == ["ä\n", '"]}']
    assert (tally.rows, dict(tally.bad)) == (3, {"json": 1})


BAD_LINES = {
    "syntax": (b'{"text": ', "json", "expected a JSON object, found"),
    "no object": (b"[1, 2]", "json", "found list"),
    "two keys": (b'{"text": "a", "text": "b"}', "json", "key 'text' stands twice"),
    "deep": (b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "json", "nested too deeply"),
    "latin 1": (b'{"text": "caf\xe9"}', "encoding", "expected UTF-8"),
    "nul": (b'{"text": "a\\u0000b"}', "encoding", "a NUL character at 1"),
    "half a pair": (b'{"text": "\\ud83d"}', "encoding", "half a surrogate pair"),
    "no field": (b'{"body": "a"}', "no_text", "expected the field 'text', found 'body'"),
    "number": (b'{"text": 7}', "no_text", "expected text in the field 'text', found 7"),
    "null": (b'{"text": null}', "no_text", "found None"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_bad_line_is_counted_with_its_place(tmp_path: Path, case: str) -> None:
    line, code, words = BAD_LINES[case]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "good"}\n' + line + b'\n{"text": "also good"}\n')
    found, tally = read(json_source(path))
    assert [text for _, text in found] == ["good", "also good"]
    assert (tally.rows, dict(tally.bad)) == (3, {code: 1})
    assert tally.errors[0].startswith(f"{path}:2: ")
    assert words in tally.errors[0]


def test_only_the_first_errors_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "x"}\n' * 10 + "{\n" * 100)
    _, tally = read(json_source(path))
    assert (tally.bad.total(), len(tally.errors)) == (100, 20)
    with pytest.raises(DataError, match=r"100 of 110 rows \(90\.9 %\)(.|\n)*and 80 more"):
        check_shares([tally], 0.01)


def test_a_source_of_another_shape_is_left_after_a_thousand_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"body": "x"}\n' * 5000)
    with pytest.raises(DataError, match="1000 of 1000 rows"):
        read(json_source(path), max_bad_share=0.01)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'[{"text": "a"}, {"text": ]', "rows.json:1: expected a JSON value"),
        (b'[{"text": "a"} {"text": "b"}]', "expected ',', found '{'"),
        (b'[{"text": "a"},]', "found the end of the array"),
        (b'[{"text": "a"}', "does not end"),
        (b'[{"text": "a"}]\n{}', "expected nothing after the array"),
        ("\ufeff[]".encode("utf-16-le"), "found UTF-16"),
        (b'[{"text": "caf\xe9"}]', "expected UTF-8"),
    ],
)
def test_a_broken_array_is_an_error(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read(json_source(path))
    assert words in str(error.value)


def test_a_gzip_file_that_ends_early_is_an_error(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b'{"text": "%d"}\n' % (number**5) for number in range(2000)))
    (tmp_path / "rows.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"rows\.jsonl\.gz: expected a whole gzip file"):
        read(json_source(tmp_path / "rows.jsonl.gz"))


def test_a_giant_line_costs_no_memory(tmp_path: Path) -> None:
    """A line of 400 MB, gzipped, in a process that may take 400 MB of memory altogether."""
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b'{"text": "good"}\n{"text": "')
        for _ in range(100):
            file.write(b"x" * 4_000_000)
        file.write(b'"}\n{"text": "also good"}\n')
    code = (
        "from core.config.sources import JSONSource\nfrom core.data.sources.reading import documents\n"
        "from core.data.tally import Tally\n"
        f"tally = Tally('s', 1.0)\nsource = JSONSource(kind='json', path={str(path)!r})\n"
        "print([d.text for d in documents(source, tally)], dict(tally.bad))"
    )
    limit = 400 * 2**20
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[4]), "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
    assert answer.stdout == "['good', 'also good'] {'too_long': 1}\n", answer.stderr


# ---------------------------------------------------------------- Parquet and hub


def test_parquet_rows_and_a_missing_column(tmp_path: Path) -> None:
    table = pyarrow.table({"text": ["a", None, "", "b"], "n": [1, 2, 3, 4]})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    found, tally = read(ParquetSource(kind="parquet", path=str(tmp_path)))
    assert [text for _, text in found] == ["a", "b"]
    assert (tally.rows, tally.empty, dict(tally.bad)) == (4, 1, {"no_text": 1})
    assert tally.errors == [f"{tmp_path / 'a.parquet'}:row 2: expected text in the field 'text', found None"]
    with pytest.raises(DataError, match=r"expected a column 'body', found text, n"):
        read(ParquetSource(kind="parquet", path=str(tmp_path), columns=Columns(text="body")))
    values = [row.values for row in rows(ParquetSource(kind="parquet", path=str(tmp_path)), Tally("s", 1.0))]
    assert values[0] == {"text": "a", "n": 1}


def test_a_file_that_is_no_parquet_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match=r"a\.parquet: expected a Parquet file"):
        read(ParquetSource(kind="parquet", path=str(tmp_path)))


def test_a_local_folder_is_streamed_through_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps({"body": f"text {n}"}) + "\n" for n in range(5)))
    source = HubSource(kind="hub", name=str(folder), columns=Columns(text="body"), max_rows=3)
    found, tally = read(source)
    assert [text for _, text in found] == ["text 0", "text 1", "text 2"]
    assert tally.rows == 3
    with pytest.raises(UsageError, match=r"\[nope\]: expected a dataset that can be streamed"):
        read(HubSource(kind="hub", name=str(folder), split="nope"))


def test_plain_text_has_no_rows(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found a source of plain text"):
        list(rows(files(tmp_path), Tally("data.sources[0]", 1.0)))


# ---------------------------------------------------------------- paths of anything


def test_a_path_gives_the_documents_of_every_format(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n"b"\n{"content": "c"}\n')
    (tmp_path / "b.csv").write_text("id,body\n1,d\n2,e\n")
    (tmp_path / "c.md").write_text("# f\n")
    (tmp_path / "d.html").write_text(
        "<html><body><main><p>A page about tea, and how it is drunk.</p></main></body></html>"
    )
    (tmp_path / "e.py").write_text("print()\n")
    parquet.write_table(pyarrow.table({"content": ["g"], "n": [1]}), tmp_path / "f.parquet")
    (tmp_path / "LICENSE").write_text("MIT")
    found, tally = read(PathSource(kind="path", path=str(tmp_path)))
    texts = [text.strip() for _, text in found]
    assert [text for text in texts if "tea" not in text] == ["a", "b", "c", "d", "e", "# f", "print()", "g"]
    assert len(texts) == 9
    assert (tally.rows, tally.documents, tally.bad.total()) == (9, 9, 0)


def test_a_path_gives_rows_but_not_of_plain_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "a"}\n')
    (tmp_path / "b.tsv").write_text("prompt\tcompletion\nb\tc\n")
    source = PathSource(kind="path", path=str(tmp_path))
    tally = Tally("data.sources[0]", 1.0)
    assert [row.values for row in rows(source, tally)] == [{"prompt": "a"}, {"prompt": "b", "completion": "c"}]
    assert tally.rows == 2
    (tmp_path / "c.txt").write_text("words")
    with pytest.raises(UsageError, match=r"c\.txt: expected rows with instructions or messages, found plain text"):
        list(rows(source, Tally("data.sources[0]", 1.0)))


def test_a_table_at_a_path_must_have_text(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"a": ["x"], "b": ["y"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"data\.sources\[0\]: expected a column 'text', found a, b"):
        read(PathSource(kind="path", path=str(tmp_path)))
    assert read(PathSource(kind="path", path=str(tmp_path), columns=Columns(text="b")))[0][0][1] == "y"
