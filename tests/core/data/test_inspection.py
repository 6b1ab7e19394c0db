"""What inspection says of files, folders and other sources, good and bad, and that it holds little of them."""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from core.config.sources import CodeSource, Columns, HubSource, PathSource
from core.data.inspection import Inspection, inspect
from core.errors import DataError, UsageError

ROOT = Path(__file__).parents[3]


def lines(path: Path, *values: object) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def summary(found: Inspection) -> tuple[str, str, int, int, int | None]:
    return found.container, found.format, found.rows, found.bad_rows, found.documents


def test_rows_of_a_known_format(tmp_path: Path) -> None:
    row = {"instruction": "Say tea.", "input": "", "output": "Tea."}
    found = inspect(lines(tmp_path / "a.jsonl", row, {**row, "n": 1}, {**row, "output": None}, 7))
    assert summary(found) == ("json_lines", "alpaca", 4, 1, 2)
    assert found.unusable_rows == 1
    assert [(column.name, column.as_json()["type"], column.rows) for column in found.columns] == [
        ("instruction", "text", 3), ("input", "text", 3), ("output", "null or text", 3), ("n", "number", 1),
    ]  # fmt: skip
    assert found.columns[2].example == "Tea."
    assert [error.split(": ")[0].rpartition(":")[2] for error in found.errors] == ["4", "3"]


def test_documents_of_text(tmp_path: Path) -> None:
    found = inspect(lines(tmp_path / "a.jsonl", {"text": "a" * 200, "n": 1}, {"text": " "}, {"text": "a\0"}))
    assert summary(found) == ("json_lines", "json_lines", 3, 1, 1)
    assert found.columns[0].example == "a" * 79 + "…"
    (tmp_path / "b.txt").write_text("one\ntwo\n\nthree\n")
    assert summary(inspect(tmp_path / "b.txt")) == ("text", "text", 4, 0, 1)
    source = PathSource(kind="path", path=str(tmp_path / "b.txt"), document="line")
    assert summary(inspect(source)) == ("text", "text", 4, 0, 3)


def test_rows_that_say_nothing_by_themselves(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("first,second\na,b\nc,d\n")
    assert summary(inspect(path)) == ("csv", "csv", 2, 0, None)
    source = PathSource(kind="path", path=str(path), columns=Columns(text="second"))
    assert summary(inspect(source)) == ("csv", "csv", 2, 0, 2)
    source = PathSource(kind="path", path=str(path), columns=Columns(prompt="first", response="second"))
    assert inspect(source).documents == 2


def test_a_folder_adds_up_its_files_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", {"text": "a"}, {"text": "b"})
    (tmp_path / "b.txt").write_text("c\nd\n{\n")
    parquet.write_table(pyarrow.table({"text": ["e"]}), tmp_path / "c.parquet")
    (tmp_path / "LICENSE").write_text("MIT")
    (tmp_path / "labels.lst").write_text("0\n1\n")
    found = inspect(tmp_path)
    assert summary(found) == ("mixed", "mixed", 6, 0, 4)
    assert [(Path(file.path).name, file.container, file.rows, file.documents) for file in found.files] == [
        ("a.jsonl", "json_lines", 2, 2), ("b.txt", "text", 3, 1), ("c.parquet", "parquet", 1, 1),
    ]  # fmt: skip
    assert found.bytes == sum((tmp_path / name).stat().st_size for name in ("a.jsonl", "b.txt", "c.parquet"))
    assert [(Path(one.what).name, one.reason) for one in found.left_out] == [
        ("LICENSE", "tells about the data"),
        ("labels.lst", "expected a data set, found a list of labels (0, 1)"),
    ]
    values = json.loads(json.dumps(found.as_json()))
    assert (values["rows"], values["columns"][0], values["files"][1]["container"]) == (6, "text", "text")


def test_a_limit_ends_reading(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", *({"text": str(number)} for number in range(500)))
    found = inspect(path, limit=7)
    assert (found.rows, found.documents, found.is_complete) == (7, 7, False)
    assert inspect(path, limit=1000).is_complete


def test_other_sources(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/a.py").write_text("print()\n")
    (tmp_path / "code/b.bin").write_bytes(b"\0")
    found = inspect(CodeSource(kind="code", path=str(tmp_path / "code")))
    assert summary(found) == ("code", "code", 1, 0, 1)
    assert [(one.what, one.reason) for one in found.left_out] == [("1 files", "unknown_language")]
    (tmp_path / "set").mkdir()
    lines(tmp_path / "set/train.jsonl", {"prompt": "a", "completion": "b"})
    found = inspect(HubSource(kind="hub", name=str(tmp_path / "set")))
    assert (found.format, found.rows, found.documents) == ("prompt_completion", 1, 1)


def test_a_file_that_breaks_off_counts_up_to_there(tmp_path: Path) -> None:
    whole = b"".join(b'{"text": "%d"}\n' % number**9 for number in range(20_000))
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(whole)[:-5000])
    found = inspect(path)
    assert 1000 < found.rows < 20_000
    assert (found.bad_rows, found.documents) == (1, found.rows - 1)
    assert "expected a whole gzip file, found its end at byte" in found.errors[0]
    (tmp_path / "b.json").write_text('[{"text": "a"}, {"text": }]')
    assert summary(inspect(tmp_path / "b.json")) == ("json_array", "json_array", 2, 1, 1)
    (tmp_path / "c.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="expected a Parquet file"):
        inspect(tmp_path / "c.parquet")
    assert inspect(tmp_path).bad_rows == 3


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("")
    assert summary(inspect(tmp_path / "a.jsonl")) == ("json_lines", "json_lines", 0, 0, 0)
    with pytest.raises(UsageError, match="found nothing there"):
        inspect(tmp_path / "nope")


def test_only_so_many_columns_are_kept(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", *({"text": "a", f"key {number}": number} for number in range(2000)))
    assert len(inspect(path).columns) == 1000


def test_a_malformed_file_costs_no_memory(tmp_path: Path) -> None:
    """Faults of every kind and a line of 200 MB, in a process that may take 450 MB altogether."""
    path = tmp_path / "a.jsonl"
    good = json.dumps({"text": "some words " * 20}) + "\n"
    faults = {
        "deep": '{"text": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "NUL": '{"text": "a\0b"}',
        "escaped NUL": '{"text": "a\\u0000b"}',
        "number": '{"text": 7}',
        "list": "[1]",
        "repeated": '{"text": "a", "text": "b"}',
        "cut": '{"text": "a',
    }
    with path.open("w") as file:
        for number in range(50_000):
            file.write(good)
            if number % 1000 == 999:
                file.write('{"text": \n')
        for fault in faults.values():
            file.write(fault + "\n")
        file.write('{"text": "')
        for _ in range(100):
            file.write("x" * 2_000_000)
        file.write('"}\n' + good)
    code = (
        "from pathlib import Path\nfrom core.data.inspection import inspect\n"
        f"found = inspect(Path({str(path)!r}))\n"
        "print(found.rows, found.bad_rows, found.documents, len(found.errors), found.errors[0])"
    )
    limit = 450 * 2**20
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
    # The row whose text is a number is no broken row: it has no text.
    bad = 50 + len(faults) - 1 + 1
    assert answer.stdout.startswith(f"{50_001 + 50 + len(faults) + 1} {bad} 50001 20 {path}:1001: expected"), answer
    assert "(the line begins at byte" in answer.stdout
