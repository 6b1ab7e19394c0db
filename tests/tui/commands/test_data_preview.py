from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

import tui.__main__ as command_line
from core.errors import DataError, UsageError
from tui.commands.context import Context
from tui.commands.data_preview import Window, preview

PRESET = """\
phase: prepare
about: {title: mine}
data:
  kind: instructions
  sources: [{kind: json, path: %s}]
  tokenizer: {kind: train, vocabulary_size: 300}
"""


def _preset(context: Context, folder: Path, *rows: Any) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    file = folder / "mine.yaml"
    file.write_text(PRESET % path)
    return str(file)


def _printed(stream: object) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


ROWS = [{"instruction": f"ask {number}", "output": f"say {number}"} for number in range(8)]


def test_rows_as_they_come_out(piped: Context, tmp_path: Path) -> None:
    assert preview(_preset(piped, tmp_path, *ROWS), Window(start=2, rows=2), piped, as_json=False) == 0
    assert _printed(piped.output).splitlines() == [
        f"row 2  alpaca  {tmp_path}/rows.jsonl:3", "  user", "    ask 2", "  answer", "    say 2", "",
        f"row 3  alpaca  {tmp_path}/rows.jsonl:4", "  user", "    ask 3", "  answer", "    say 3", "",
    ]  # fmt: skip
    assert _printed(piped.words) == ""


def test_json_has_one_row_a_line_and_whole_texts(piped: Context, tmp_path: Path) -> None:
    row = {"instruction": "a" * 5000, "output": "b\x1b]0;t\x07"}
    preview(_preset(piped, tmp_path, row, *ROWS), Window(rows=3), piped, as_json=True)
    lines = _printed(piped.output).splitlines()
    assert [json.loads(line)["number"] for line in lines] == [0, 1, 2]
    first = json.loads(lines[0])
    assert first["format"] == "alpaca"
    assert (len(first["turns"][0]["text"]), first["turns"][1]["text"]) == (5000, "b\x1b]0;t\x07")
    assert "\x1b" not in lines[0]


def test_a_long_text_is_shortened_and_says_so(piped: Context, tmp_path: Path) -> None:
    row = {"instruction": "word " * 2000, "output": "\n".join("x" * 40)}
    preview(_preset(piped, tmp_path, row), Window(), piped, as_json=False)
    lines = _printed(piped.output).splitlines()
    assert len(lines) < 40
    assert "    ... 10,000 characters in all" in lines
    assert "    ... 79 characters in all" in lines


HOSTILE = ["\x1b[2J\x1b]0;owned\x07", "\u202egnp.exe", "a\rb\x08c", "[red]x[/]", "e" + "\u0301" * 500]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str, on_terminal: Context, tmp_path: Path) -> None:
    row = {"messages": [{"role": "system", "content": f"s {text}"}, {"role": "user", "content": f"u {text}"},
                        {"role": "assistant", "content": f"a {text}"}]}  # fmt: skip
    preview(_preset(on_terminal, tmp_path, row), Window(), on_terminal, as_json=False)
    shown = _printed(on_terminal.output).replace("\x1b[1m", "").replace("\x1b[m", "")
    assert not {character for character in shown if ord(character) < 32 and character != "\n"}
    assert "\u202e" not in shown
    assert shown.count("\u0301") <= 6
    assert "\x1b[1m" in _printed(on_terminal.output)  # the names of the turns stand out


def test_a_hostile_name_of_a_file_stays_text(piped: Context, tmp_path: Path) -> None:
    folder = tmp_path / "a\x1b[31mb"
    folder.mkdir()
    (folder / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n{\n')
    preview(str(folder / "rows.jsonl"), Window(), piped, as_json=False)
    assert "\x1b" not in _printed(piped.output) + _printed(piped.words)


def test_preferences_judgements_and_unsupervised_answers(piped: Context, tmp_path: Path) -> None:
    rows = [{"prompt": "q", "chosen": "good", "rejected": "bad"}, {"prompt": "q", "completion": "x", "label": False}]
    for row in rows:
        preview(_preset(piped, tmp_path, row), Window(), piped, as_json=False)
    text = _printed(piped.output)
    assert "  chosen: answer\n    good\n  rejected: answer\n    bad\n" in text
    assert "  judged bad\n" in text


def test_bad_rows_are_said_on_the_stream_for_words(piped: Context, tmp_path: Path) -> None:
    preview(_preset(piped, tmp_path, "{broken \x1b[2J", *ROWS), Window(), piped, as_json=True)
    words = _printed(piped.words)
    assert f"! {tmp_path}/rows.jsonl:1: " in words
    assert "1 bad row(s) so far." in words
    assert "\x1b" not in words
    assert len(_printed(piped.output).splitlines()) == 5


def test_behind_the_last_row(piped: Context, tmp_path: Path) -> None:
    assert preview(_preset(piped, tmp_path, *ROWS), Window(start=100), piped, as_json=True) == 0
    assert _printed(piped.output) == ""
    assert "There are 8 rows." in _printed(piped.words)


@pytest.mark.parametrize(
    "window", [Window(start=-1), Window(rows=0), Window(rows=10**7), Window(shape="alpaca"), Window(columns=("a",))]
)
def test_what_cannot_be_meant(window: Window, piped: Context, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        preview(_preset(piped, tmp_path, *ROWS), window, piped, as_json=False)


def test_rows_of_no_format_are_exit_5(piped: Context, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="colour"):
        preview(_preset(piped, tmp_path, {"colour": 1}), Window(), piped, as_json=False)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["preview"], "PATH|PRESET"),
        (["preview", "/no/such/file"], "there is nothing at /no/such/file"),
        (["preview", "x", "--row", "3"], "Did you mean --rows?"),
        (["preview", "x", "--rows", "many"], "--rows"),
        (["prview", "x"], "preview"),
        ([], "COMMAND"),
    ],
)
def test_wrong_usage_is_exit_2(
    argv: list[str], words: str, piped: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOOTPLATE_HOME", str(piped.home.path))
    assert command_line.main(["data", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert "Traceback" not in err


def test_columns_that_nobody_knows(piped: Context, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"colour\\u001b": "red\\u001b[2J", "size": 3}\n')
    preview(str(path), Window(), piped, as_json=False)
    assert _printed(piped.output).splitlines()[1:] == ["  colour␛", "    red␛[2J", "  size", "    3", ""]
    assert "--column text=NAME" in _printed(piped.words)
    preview(str(path), Window(columns=("text=colour\x1b",)), piped, as_json=True)
    assert json.loads(_printed(piped.output).splitlines()[-1])["text"] == "red\x1b[2J"


def test_many_bad_rows_are_said_in_few_words(piped: Context, tmp_path: Path) -> None:
    preview(_preset(piped, tmp_path, *ROWS, *["{"] * 100), Window(rows=20), piped, as_json=True)
    words = _printed(piped.words).splitlines()
    assert len(words) == 6
    assert words[-1] == "100 bad row(s) so far."


def test_the_answer_that_a_prompt_comes_with(piped: Context, tmp_path: Path) -> None:
    file = Path(_preset(piped, tmp_path, *ROWS))
    file.write_text(file.read_text().replace("instructions", "prompts"))
    preview(str(file), Window(rows=1), piped, as_json=False)
    assert _printed(piped.output).splitlines()[1:] == [
        "  user", "    ask 0", "  the answer that comes with it", "    say 0", "",
    ]  # fmt: skip


def test_damaged_answers_are_those_of_the_presets_seed(piped: Context, tmp_path: Path) -> None:
    file = Path(_preset(piped, tmp_path, {"instruction": "ask", "output": "1 2 3 4 5 6 7 8 9"}))
    text = file.read_text().replace("instructions", "preferences") + "  damage: {rule: shuffle_words}\n"
    said = []
    for seed in (1, 1, 2):
        file.write_text(f"{text}seed: {seed}\n")
        before = len(_printed(piped.output))
        preview(str(file), Window(rows=1), piped, as_json=False)
        said.append(_printed(piped.output)[before:])
    assert said[0] == said[1] != said[2]
    assert "  chosen: answer\n    1 2 3 4 5 6 7 8 9\n  rejected: answer\n" in said[0]
