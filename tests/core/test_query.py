from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core import query
from core.config.model import ScratchModel
from core.errors import StorageError
from core.model.load import Vocabulary, build_model
from core.model.save import save_model
from core.run.directory import Home

ROOT = Path(__file__).parent.parent.parent


def _ask(home: Home, *questions: Any) -> list[dict[str, Any]]:
    lines = b"".join(q if isinstance(q, bytes) else json.dumps(q).encode() + b"\n" for q in questions)
    answers = io.StringIO()
    query.serve(io.BytesIO(lines), answers, home)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


@pytest.fixture
def run(home: Home, tmp_path: Path) -> Path:
    """A finished pre-training run: its configuration and its model."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path / "tokenizer"
    folder.mkdir()
    words = {"<|endoftext|>": 0, **{f"w{number}": number for number in range(1, 40)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w1"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}))
    scratch = ScratchModel(kind="scratch", layers=1, hidden_size=16, heads=2, context_length=32)
    model = build_model(scratch, folder=None, vocabulary=Vocabulary(40, 0), seed=1)
    path = home.runs / "first"
    path.mkdir(parents=True, mode=0o700)
    home.runs.chmod(0o700)
    save_model(model, folder, path / "model")
    (path / "config.yaml").write_text(
        "phase: pretrain\nabout: {title: t}\nmodel: {kind: scratch, layers: 1, hidden_size: 16, heads: 2}\n"
        "data: {kind: run, run: prepared}\nschedule: {kind: constant, peak_learning_rate: 1e-3, steps: 1}\n"
        "batch: {size: 1, micro_size: 1, sequence_length: 16}\n"
    )
    return path


def test_sample_continues_the_prompt_and_repeats_itself(home: Home, run: Path) -> None:
    question = {"verb": "sample", "run": str(run), "prompt": "w3 w4", "max_new_tokens": 5, "seed": 3}
    first, again, other = _ask(home, question, question, {**question, "seed": 4})
    assert first["type"] == "result"
    assert (first["prompt_tokens"], first["template"]) == (2, "none")
    assert first["text"] == again["text"] != other["text"]
    assert all(word.startswith("w") for word in first["text"].split())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"prompt": ""}, "prompt"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"max_new_tokens": "5"}, "max_new_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"seed": 1.5}, "seed"),
        ({"sed": 1}, "sed"),
        ({"run": "/no/such/run"}, "has made no model"),
    ],
)
def test_a_wrong_question_is_answered_by_an_error(home: Home, run: Path, wrong: dict[str, Any], words: str) -> None:
    (answer,) = _ask(home, {"verb": "sample", "run": str(run), "prompt": "w3", **wrong})
    assert (answer["type"], answer["exit_code"]) == ("error", 2)
    assert words in answer["message"]


@pytest.mark.parametrize("line", [b"not json\n", b"[]\n", b'{"verb": "nothing"}\n', b"\xff\xfe\n", b"null\n"])
def test_nonsense_is_an_error_and_the_next_question_is_answered(home: Home, line: bytes) -> None:
    answers = _ask(home, line, {"verb": "fetch", "what": "everything"})
    assert [answer["type"] for answer in answers] == ["error", "error"]
    assert "everything" in answers[1]["message"]
    assert answers[1]["exit_code"] == 2


def test_fetch_tells_how_far_it_is(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(where: Home, progress: Any) -> Path:
        progress("downloading", 0, 1, "files")
        progress("downloading", 1, 1, "files")
        return where.cache / "there"

    monkeypatch.setattr("core.model.fetch.fetch_smollm2", fetch)
    answers = _ask(home, {"verb": "fetch", "what": "smollm2"})
    assert [answer["type"] for answer in answers] == ["progress", "progress", "result"]
    assert answers[1] == {"type": "progress", "stage": "downloading", "done": 1, "total": 1, "unit": "files"}
    assert answers[2]["folder"] == str(home.cache / "there")


@pytest.mark.parametrize(
    ("error", "code"), [(StorageError("full", hint="free some"), 8), (ZeroDivisionError("x"), 1), (MemoryError(), 7)]
)
def test_an_error_carries_its_exit_code(
    home: Home, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fail(*_: Any) -> Path:
        raise error

    monkeypatch.setattr("core.model.fetch.fetch_smollm2", fail)
    (answer,) = _ask(home, {"verb": "fetch", "what": "smollm2"})
    assert (answer["type"], answer["exit_code"]) == ("error", code)
    assert answer["hint"]


def test_the_process_answers_on_standard_output_alone(environment: dict[str, str]) -> None:
    """One process, as the console starts it: doctor, then the end of its input."""
    done = subprocess.run(
        [sys.executable, "-m", "core.query"], input=b'{"verb": "doctor"}\n\n{"verb": "doctor"}\n',
        capture_output=True, cwd=ROOT, env=environment, timeout=120, check=True,
    )  # fmt: skip
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["type"] for answer in answers] == ["result", "result"]
    assert {"torch", "transformers", "device", "cuda", "bfloat16", "threads", "optional"} <= set(answers[0])
