"""The command line: that nothing ends in a traceback, whatever the surroundings are."""

from __future__ import annotations

import subprocess

import pytest

import tui.__main__ as command_line
from core.run.directory import Home


def _answer(argv: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_an_unexpected_error_leaves_its_traceback_in_a_file(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> int:
        raise ZeroDivisionError("broken \x1b]0;title\x07 on purpose")

    monkeypatch.setenv("FOOTPLATE_HOME", str(home.path))
    monkeypatch.setattr(command_line, "_answer", fail)
    assert command_line.main(["presets"]) == 1
    said = capsys.readouterr().err
    (file,) = (home.path / "crashes").iterdir()
    assert str(file) in said
    assert "Traceback" not in said
    assert "\x1b" not in said
    assert "ZeroDivisionError: broken" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_a_home_that_cannot_be_written_is_exit_8(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> int:
        raise PermissionError(13, "Permission denied", "/nowhere")

    monkeypatch.setenv("FOOTPLATE_HOME", str(home.path))
    monkeypatch.setattr(command_line, "_answer", fail)
    assert command_line.main(["presets"]) == 8
    said = capsys.readouterr().err
    assert "/nowhere: Permission denied" in said
    assert "FOOTPLATE_HOME" in said


def test_without_a_terminal_there_is_no_console(footplate: list[str], environment: dict[str, str]) -> None:
    answer = _answer(footplate, environment)
    assert answer.returncode == 2
    assert "the console needs a terminal" in answer.stderr
    assert answer.stdout == ""


def test_a_closed_pipe_is_no_traceback(footplate: list[str], environment: dict[str, str]) -> None:
    line = f"set -o pipefail; {' '.join(footplate)} schema | true; echo ${{PIPESTATUS[0]}}"
    answer = _answer(["bash", "-c", line], environment)
    assert "Traceback" not in answer.stderr
    assert "Exception ignored" not in answer.stderr
    assert answer.stdout.strip() in ("0", "141")


@pytest.mark.parametrize(
    "change",
    [{"LANG": "C"}, {"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "ascii"}, {"LANG": ""}, {"TERM": ""}],
)
def test_poor_surroundings_are_survived(
    change: dict[str, str], footplate: list[str], environment: dict[str, str]
) -> None:
    for command in (["presets"], ["--help"], ["runs"]):
        answer = _answer([*footplate, *command], {**environment, **change})
        assert answer.returncode == 0, answer.stderr
        assert "Traceback" not in answer.stderr


def test_presets_are_listed_without_any_home(footplate: list[str], environment: dict[str, str]) -> None:
    del environment["FOOTPLATE_HOME"], environment["HOME"]
    answer = _answer([*footplate, "presets"], environment)
    assert answer.returncode == 0, answer.stderr
