"""What the command line accepts, and what it says about the rest."""

from __future__ import annotations

import pytest

from core.errors import UsageError
from tui.commands.arguments import parse


def _refusal(*argv: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(list(argv))
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
    asked = parse(["run", "quickstart", "--set", "a.b=1", "--set", "c=[1, 2]", "--json"])
    assert (asked.set, asked.json, asked.detach, asked.name) == (["a.b=1", "c=[1, 2]"], True, False, None)


@pytest.mark.parametrize(
    "command",
    ["run", "check", "presets", "schema", "runs", "attach", "logs", "stop", "checkpoint", "resume", "sample", "fetch",
     "doctor", "data", "data inspect", "data preview", "data filter-report", "data tokens"],
)  # fmt: skip
def test_every_command_of_the_contract_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse([*command.split(), "--help"])
    assert left.value.code == 0
    assert f"footplate {command}" in capsys.readouterr().out


def test_help_has_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    out = capsys.readouterr().out
    assert "footplate run quickstart" in out
    assert "75 checkpointed after a signal" in out
