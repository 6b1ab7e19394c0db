from __future__ import annotations

import stat
from pathlib import Path

import pytest

from core.run.directory import Home
from tui.commands.context import Context
from tui.commands.findings import home_findings, logout_finding, package_finding, terminal_findings


def _login_manager(folder: Path, *, kills: str, lingers: str) -> dict[str, str]:
    program = folder / "loginctl"
    program.write_text(
        "#!/bin/sh\ncase $1 in\n"
        f"show-session) echo KillUserProcesses={kills};;\nshow-user) echo Linger={lingers};;\nesac\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


@pytest.mark.parametrize(
    ("kills", "lingers", "user", "state"),
    [("no", "no", 1000, "ok"), ("yes", "no", 1000, "note"), ("yes", "yes", 1000, "ok"), ("yes", "no", 0, "ok")],
)
def test_logout(kills: str, lingers: str, user: int, state: str, tmp_path: Path) -> None:
    """F49: said where KillUserProcesses would end a run; root's processes are excluded by logind."""
    finding = logout_finding(_login_manager(tmp_path, kills=kills, lingers=lingers), user=user)
    assert finding.state == state
    assert ("enable-linger" in finding.hint) is (state == "note")


def test_logout_without_a_login_manager(tmp_path: Path) -> None:
    assert logout_finding({"PATH": str(tmp_path)}, user=1000).state == "ok"


def test_a_missing_package_says_how_to_get_it() -> None:
    finding = package_finding("footplate-has-no-such-dependency")
    assert finding.state == "missing"
    assert "pip install" in finding.hint


def test_home_that_does_not_exist_yet_is_not_made(tmp_path: Path) -> None:
    findings = {finding.about: finding for finding in home_findings(Home(tmp_path / "a" / "b"))}
    assert findings["home"].state == "ok"
    assert "made by the first run" in findings["home"].text
    assert findings["locks"].state == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_is_a_file_is_said(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    (finding,) = home_findings(Home(file))
    assert finding.state == "missing"
    assert "is a file" in finding.text


def test_terminal_that_cannot_draw(on_terminal: Context) -> None:
    dumb = Context(on_terminal.home, {"TERM": "dumb", "LANG": "C"}, on_terminal.output, on_terminal.words, True)
    states = {finding.about: finding.state for finding in terminal_findings(dumb)}
    assert states == {"terminal": "note", "locale": "note"}
