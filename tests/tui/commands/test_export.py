from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from core.run.directory import RunDirectory
from tui.commands import export as exporting
from tui.commands.arguments import parse
from tui.commands.context import Context
from tui.commands.export import Wish, export
from tui.commands.export_arguments import answer_export

_APART = {"largest": 0.0584, "mean": 0.005, "relative": 3.4e-2}
_ANSWER = {
    "type": "result", "folder": "/somewhere/out", "form": "merged", "dtype": "bf16", "files": 7, "bytes": 270_000_000,
    "merge": {"dtype": "bf16", "merged": {"largest": 1e-6, "mean": 1e-7, "relative": 6.4e-7}, "quantized": _APART,
              "stored": _APART},
    "gguf": {"file": "out-bf16.gguf", "logits": _APART}, "pushed": "https://hub/me/out", "private": True,
}  # fmt: skip


@pytest.fixture
def run(piped: Context) -> RunDirectory:
    run = RunDirectory(piped.home.runs / "lora")
    run.model.mkdir(parents=True)
    run.config.touch()
    (run.model / "adapter_config.json").touch()
    return run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    questions: list[Mapping[str, Any]] = []

    def answer(
        question: Mapping[str, Any], context: Context, *, seconds: float, progress: Callable[[Mapping[str, Any]], None]
    ) -> dict[str, Any]:
        questions.append(question)
        for done in (0, 1, 1, 3):
            progress({"type": "progress", "stage": "merging", "done": done, "total": 3, "unit": "steps"})
        return dict(_ANSWER)

    monkeypatch.setattr(exporting, "ask", answer)
    return questions


def _words(stream: Any) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_arguments_become_a_question(
    piped: Context, run: RunDirectory, asked: list[Mapping[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer_export(parse(["export", "lora"]), piped)
    assert asked[0] == {
        "verb": "export", "run": str(run.path), "to": str(tmp_path / "lora-export"), "adapter_only": False,
        "dtype": None, "max_shard_size": "5GB", "gguf": False, "push": "", "private": True,
    }  # fmt: skip
    more = ["--to", "out/deep", "--adapter-only", "--dtype", "bf16", "--max-shard-size", "1GB", "--gguf"]
    answer_export(parse(["export", "lor", *more, "--push", "me/x", "--public", "--json"]), piped)
    assert asked[1] == {
        "verb": "export", "run": str(run.path), "to": str(tmp_path / "out" / "deep"), "adapter_only": True,
        "dtype": "bf16", "max_shard_size": "1GB", "gguf": True, "push": "me/x", "private": False,
    }  # fmt: skip


def test_what_was_made_is_said_and_the_folder_is_printed(
    piped: Context, run: RunDirectory, asked: list[Mapping[str, Any]]
) -> None:
    assert answer_export(parse(["export", "lora"]), piped) == 0
    assert _words(piped.output) == "/somewhere/out\n"
    assert _words(piped.words).splitlines() == [
        "merging: 0 of 3 steps",
        "merging: 1 of 3 steps",
        "merging: 3 of 3 steps",
        "the merged model, stored as bf16: 7 files, 270.0 MB",
        "merging changed the logits by 1e-06 at most, 1e-07 in the mean (6.4e-07 of the largest logit)",
        "against the quantised base with the adapter they differ by 0.058 at most, 0.005 in the mean "
        "(3.4e-02 of the largest logit)",
        "storing as bf16 changed them by 0.058 at most, 0.005 in the mean (3.4e-02 of the largest logit)",
        "out-bf16.gguf: read back, its logits differ by 0.058 at most, 0.005 in the mean "
        "(3.4e-02 of the largest logit)",
        "uploaded to https://hub/me/out (only you and those you let see it)",
    ]


def test_json_is_the_answer(piped: Context, run: RunDirectory, asked: list[Mapping[str, Any]]) -> None:
    answer_export(parse(["export", "lora", "--json"]), piped)
    assert json.loads(_words(piped.output)) == {name: value for name, value in _ANSWER.items() if name != "type"}


def test_what_cannot_be_meant_is_refused_before_anything_is_started(
    piped: Context, run: RunDirectory, asked: list[Mapping[str, Any]]
) -> None:
    with pytest.raises(UsageError, match="there is no --push"):
        answer_export(parse(["export", "lora", "--public"]), piped)
    (run.model / "adapter_config.json").unlink()
    with pytest.raises(UsageError, match="has no model yet"):
        export("lora", Wish(None, False, None, "5GB", False, "", False), piped, as_json=False)
    with pytest.raises(UsageError, match="there is no run"):
        export("other", Wish(None, False, None, "5GB", False, "", False), piped, as_json=False)
    assert not asked
