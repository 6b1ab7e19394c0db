"""Names of runs, and finding them (F84)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigurationError, UsageError
from core.run.directory import RUN_NAME, Home, check_run_name
from core.run.launch import create_run
from core.run.runs import find_run, find_run_with_model, list_runs, next_name
from core.run.stages import StageRun, write_stages

BAD_NAMES = [
    "../x", "/etc/x", "a/b", ".", "..", "", "x" * 65, "x" * 300, "a\0b", "a\nb", "a\n", "\x1b[2J", "-rf", ".hidden",
    "trailing ", " leading", "a b", "caf\u00e9", "cafe\u0301", "\u202eabc", "_a", "a\u2215b", "\uff41",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_is_refused_and_nothing_is_made(home: Home, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_run(home, name, "tiny", "")
    assert caught.value.exit_code == 2
    assert "64" in caught.value.hint
    assert not home.runs.exists()


@given(st.text(max_size=80))
def test_only_names_of_the_allowed_letters_pass(name: str) -> None:
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    is_good = 0 < len(name) <= 64 and set(name) <= allowed and name[0] not in "._-"
    try:
        assert check_run_name(name) == name
        assert is_good
    except ConfigurationError:
        raise AssertionError from None
    except UsageError:
        assert not is_good


def test_a_taken_name_is_refused_and_a_default_name_counts_on(home: Home) -> None:
    create_run(home, "mine", "tiny", "a: 1\n")
    with pytest.raises(UsageError, match="there is a run named mine already"):
        create_run(home, "mine", "tiny", "a: 2\n")
    assert (home.runs / "mine" / "config.yaml").read_text() == "a: 1\n"
    assert [create_run(home, None, "tiny", "").name for _ in range(3)] == ["tiny", "tiny-1", "tiny-2"]
    assert next_name(home, "tiny") == "tiny-3"


@pytest.mark.parametrize("stem", ["../../etc", "my preset!", "x" * 200, "---", "\u00e9t\u00e9", ""])
def test_a_default_name_is_always_a_good_one(home: Home, stem: str) -> None:
    for _ in range(2):
        assert RUN_NAME.fullmatch(create_run(home, None, stem, "").name)


def test_a_run_is_found_by_name_beginning_and_path(home: Home, tmp_path: Path) -> None:
    for name in ("quick", "quick-1", "other"):
        create_run(home, name, "", "")
    assert find_run(home, "quick").name == "quick", "a whole name wins over a beginning"
    assert find_run(home, "quick-").name == "quick-1"
    assert find_run(home, "o").name == "other"
    assert find_run(home, str(home.runs / "other")).path == home.runs / "other"
    (tmp_path / "link").symlink_to(home.runs / "other")
    assert find_run(home, str(tmp_path / "link")).path == home.runs / "other"
    with pytest.raises(UsageError, match="could be quick, quick-1"):
        find_run(home, "qui")
    with pytest.raises(UsageError, match="no run 'othre'") as caught:
        find_run(home, "othre")
    assert "Did you mean other?" in caught.value.hint
    for nothing in ("", "../home", str(tmp_path), ".."):
        with pytest.raises(UsageError):
            find_run(home, nothing)


def test_the_list_is_newest_first_and_holds_only_runs(home: Home, tmp_path: Path) -> None:
    assert list_runs(home) == []
    for index, name in enumerate(("a", "c", "b")):
        run = create_run(home, name, "", "")
        os.utime(run.config, (1000 + index, 1000 + index))
    (home.runs / "empty").mkdir()
    (home.runs / ".hidden").mkdir()
    (home.runs / "file").touch()
    (home.runs / "link").symlink_to(home.runs / "a")
    assert [run.name for run in list_runs(home)] == ["b", "c", "a"]


def test_a_run_without_a_model_is_refused_and_a_pipeline_names_those_of_its_stages(home: Home) -> None:
    run = create_run(home, "path", "", "a: 1\n")
    with pytest.raises(UsageError, match="path has no model yet"):
        find_run_with_model(home, "pa")
    write_stages(run, {"tune": StageRun("path-tune"), "judge": StageRun("path-judge")})
    with pytest.raises(UsageError, match="path is a pipeline") as caught:
        find_run_with_model(home, "pa")
    assert caught.value.hint == "Name one of them: path-tune, path-judge."
    run.model.mkdir()
    (run.model / "config.json").touch()
    assert find_run_with_model(home, "pa") == run
