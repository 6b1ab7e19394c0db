"""The command line: what is accepted, what is said about the rest, and that nothing ends in a traceback."""

from __future__ import annotations

import subprocess

import pytest

import tui.__main__ as command_line
from core.errors import UsageError
from core.run.directory import Home


def _answer(argv: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)


def _refusal(*argv: str) -> str:
    with pytest.raises(UsageError) as caught:
        command_line._parse(list(argv))
    return str(caught.value)


@pytest.mark.parametrize(("typed", "meant"), [("chek", "check"), ("atach", "attach"), ("quickstart", None)])
def test_unknown_command_names_the_nearest(typed: str, meant: str | None) -> None:
    words = _refusal(typed)
    assert typed in words
    assert (f"`footplate {meant}`" in words) is (meant is not None)
    assert "presets, schema" in words


def test_unknown_option_names_the_nearest() -> None:
    assert "Did you mean --detach?" in _refusal("run", "quickstart", "--detatch")


def test_options_are_not_abbreviated() -> None:
    assert "--det" in _refusal("run", "quickstart", "--det")


def test_missing_argument_is_named() -> None:
    assert "RUN" in _refusal("stop")


def test_number_that_is_none_is_refused() -> None:
    assert "--max-new-tokens" in _refusal("sample", "a", "--prompt", "b", "--max-new-tokens", "many")


def test_set_may_be_given_again() -> None:
    asked = command_line._parse(["run", "quickstart", "--set", "a.b=1", "--set", "c=[1, 2]", "--json"])
    assert (asked.set, asked.json, asked.detach, asked.name) == (["a.b=1", "c=[1, 2]"], True, False, None)


@pytest.mark.parametrize(
    "command",
    ["run", "check", "presets", "schema", "runs", "attach", "logs", "stop", "checkpoint", "resume", "sample", "fetch",
     "doctor", "data", "data inspect", "data preview", "data filter-report", "data tokens"],
)  # fmt: skip
def test_every_command_of_the_contract_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        command_line._parse([*command.split(), "--help"])
    assert left.value.code == 0
    assert f"footplate {command}" in capsys.readouterr().out


def test_help_has_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command_line._parse(["--help"])
    out = capsys.readouterr().out
    assert "footplate run quickstart" in out
    assert "75 checkpointed after a signal" in out


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
