"""The client of the helper process, against helpers that misbehave."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from core.errors import ExitCode, UsageError
from core.run.directory import RunDirectory
from tui.commands import query
from tui.commands.context import Context
from tui.commands.query import QueryError, ask
from tui.commands.sample import Wish, sample

ANSWERS = {
    "good": """\
import json, sys
question = json.loads(sys.stdin.readline())
print("a library says hello")
print(json.dumps({"type": "progress", "stage": "loading", "done": 1, "total": 2}))
print(json.dumps({"type": "result", "text": question["prompt"] + "!"}), flush=True)
import time; time.sleep(60)
""",
    "error": 'print(\'{"type": "error", "message": "too big", "hint": "buy memory", "exit_code": 7}\')',
    "dies": "import sys; sys.exit('ImportError: no torch here')",
    "mute": "import time; time.sleep(60)",
}


@pytest.fixture(params=list(ANSWERS))
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    package = tmp_path / "source" / "core"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "query.py").write_text(ANSWERS[request.param])
    monkeypatch.setattr(query, "_SOURCE", package.parent)
    return str(request.param)


def test_answers(kind: str, piped: Context) -> None:
    seen: list[Mapping[str, Any]] = []
    question = {"verb": "sample", "prompt": "hello"}
    if kind == "good":
        assert ask(question, piped, seconds=20, progress=seen.append)["text"] == "hello!"
        assert [one["stage"] for one in seen] == ["loading"]
        return
    with pytest.raises(QueryError) as caught:
        ask(question, piped, seconds=20 if kind != "mute" else 0.3)
    expected = {
        "error": ("too big", ExitCode.MEMORY),
        "dies": ("ImportError: no torch here", ExitCode.UNEXPECTED),
        "mute": ("has said nothing", ExitCode.UNEXPECTED),
    }[kind]
    assert expected[0] in caught.value.message
    assert caught.value.exit_code == expected[1]


@pytest.mark.parametrize(
    "wish",
    [Wish("", 1, 1, 1), Wish("a", 0, 1, 1), Wish("a", 1, -1, 1), Wish("a", 1, float("nan"), 1), Wish("a", 1, 1, -1)],
)
def test_wishes_that_cannot_be_meant(wish: Wish) -> None:
    with pytest.raises(UsageError):
        wish.check()


def test_a_run_without_a_model_is_said_before_anything_is_started(piped: Context) -> None:
    run = RunDirectory(piped.home.runs / "a")
    run.path.mkdir(parents=True)
    run.config.touch()
    with pytest.raises(UsageError, match="a has no model yet"):
        sample("a", Wish("x", 1, 1, 1), piped, as_json=False)
