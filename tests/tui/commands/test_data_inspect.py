from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

import tui.__main__ as command_line
from core.errors import DataError, UsageError
from tui.commands.context import Context
from tui.commands.data_inspect import inspect
from tui.commands.output import cells


def _file(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def _printed(stream: object) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


ROWS = [{"instruction": f"ask {number}", "output": f"say {number}"} for number in range(4)]


def test_json_is_one_object(piped: Context, tmp_path: Path) -> None:
    path = _file(tmp_path / "rows.jsonl", *ROWS, "{broken", {"instruction": "a", "output": ""})
    assert inspect(str(path), None, piped, as_json=True) == 0
    (line,) = _printed(piped.output).splitlines()
    found = json.loads(line)
    assert (found["format"], found["container"], found["rows"], found["bad_rows"]) == ("alpaca", "json_lines", 6, 1)
    assert (found["documents"], found["unusable_rows"], found["complete"]) == (4, 1, True)
    assert found["columns"] == ["instruction", "output"]
    assert [column["name"] for column in found["column_details"]] == found["columns"]
    assert found["bytes"] == path.stat().st_size


def test_what_a_person_sees(piped: Context, tmp_path: Path) -> None:
    path = _file(tmp_path / "rows.jsonl", *ROWS, "{broken", {"instruction": "a", "output": ""})
    inspect(str(path), None, piped, as_json=False)
    lines = _printed(piped.output).splitlines()
    facts = dict(line.split(maxsplit=1) for line in lines[:3])
    assert facts == {"source": str(path), "format": "alpaca (json_lines)", "rows": "6"}
    assert "bad rows    1" in lines
    assert any(line.split() == ["instruction", "text", "5", "ask", "0"] for line in lines)
    assert any(line.startswith(f"! {tmp_path}") and ":5:" in line for line in lines)


def test_a_folder_lists_its_files_and_what_is_left_out(
    piped: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _file(tmp_path / "a.jsonl", *ROWS)
    _file(tmp_path / "b.jsonl", *({"prompt": "x" * 90, "completion": "日本" * 60} for _ in range(3)))
    _file(tmp_path / "LICENSE", "free")
    inspect(str(tmp_path), None, piped, as_json=False)
    text = _printed(piped.output)
    lines = text.splitlines()
    assert any(line.split()[:4] == ["alpaca", "4", "0", "4"] and line.endswith("a.jsonl") for line in lines)
    assert any(line.split()[:4] == ["prompt_completion", "3", "0", "3"] for line in lines)
    assert any(line.split()[0] == "LICENSE" for line in lines if line)
    assert "LICENSE" in text
    assert max(map(cells, lines[5:])) < 80
    assert "sources of their own" in _printed(piped.words)


def test_documents_of_several_containers_are_one_source(piped: Context, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# one\n")
    (tmp_path / "b.txt").write_text("two\n")
    inspect(str(tmp_path), None, piped, as_json=False)
    assert _printed(piped.words) == ""


def test_a_limit_is_told(piped: Context, tmp_path: Path) -> None:
    path = _file(tmp_path / "rows.jsonl", *ROWS * 10)
    inspect(str(path), 5, piped, as_json=False)
    assert "5 looked at, there are more" in _printed(piped.output)


def test_hostile_text_stays_text(on_terminal: Context, tmp_path: Path) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\u202e"
    folder = tmp_path / "a\x1b[31mb"
    folder.mkdir()
    row = {"instruction": hostile, "output": hostile, f"key {hostile}": hostile}
    path = _file(folder / "rows.jsonl", row, "{\x1b[2J")
    inspect(str(path), None, on_terminal, as_json=False)
    text = _printed(on_terminal.output)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text


def test_a_thousand_columns_and_files_are_cut(piped: Context, tmp_path: Path) -> None:
    _file(tmp_path / "a.jsonl", {f"column {number}": number for number in range(100)})
    for number in range(40):
        _file(tmp_path / f"{number}.txt", "words")
    inspect(str(tmp_path), None, piped, as_json=False)
    text = _printed(piped.output)
    assert "... 101 columns in all" in text  # `text` of the text files besides
    assert "... 41 files in all" in text


@pytest.mark.parametrize(
    ("path", "limit"), [("", None), ("/no/such/place", None), ("/tmp", 0), ("/tmp", -3), ("a\0b", None)]
)
def test_what_is_not_there_is_exit_2(path: str, limit: int | None, piped: Context) -> None:
    with pytest.raises(UsageError):
        inspect(path, limit, piped, as_json=False)


def test_what_is_no_data_is_exit_5(piped: Context, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 10)
    with pytest.raises(DataError):
        inspect(str(tmp_path / "a.bin"), None, piped, as_json=True)
    assert _printed(piped.output) == ""


def test_from_the_command_line(
    tmp_path: Path, piped: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOOTPLATE_HOME", str(piped.home.path))
    monkeypatch.chdir(tmp_path)
    _file(tmp_path / "rows.jsonl", *ROWS)
    assert command_line.main(["data", "inspect", "rows.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 4
    assert command_line.main(["data", "inspect", "rovs.jsonl", "--json"]) == 2
    out, err = capsys.readouterr()
    assert (out, "rovs.jsonl" in err) == ("", True)
