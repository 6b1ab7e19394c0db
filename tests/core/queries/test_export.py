from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

from core import query
from core.errors import FootplateError, StorageError, UsageError
from core.model.adapters import load_adapted
from core.model.comparison import difference, logits_on, token_rows
from core.model.load import load_folder
from core.model.merge import type_of_weights
from core.model.resolve import base_of
from core.queries import export as exporting
from core.queries.export import ExportQuestion, export, shard_bytes
from core.run.directory import Home, RunDirectory
from tests import training_runs

_LORA = {"kind": "lora", "rank": 4}
_FRESH = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from peft import PeftModel
folders, rows, result = json.loads(sys.argv[1])
found = {}
for folder, base in folders:
    model = AutoModelForCausalLM.from_pretrained(base or folder, dtype=torch.float32)
    if base:
        model = PeftModel.from_pretrained(model, folder)
    AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        found[folder] = [model.eval()(input_ids=torch.tensor(row)).logits[0] for row in rows]
torch.save(found, result)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with three finished runs: base (all parameters), tuned (LoRA on it), four (QLoRA on it)."""
    folder = tmp_path_factory.mktemp("runs")
    home = Home(folder / "home")
    home.path.mkdir(mode=0o700)
    texts = training_runs.write_texts(folder / "texts")
    rows = training_runs.write_instructions(folder / "rows.jsonl")
    short = {"schedule": {"steps": 6, "warmup_steps": 1}, "cadence": {"sample_steps": 0, "checkpoint_steps": 0}}
    base = {"kind": "scratch", "layers": 2, "hidden_size": 64, "heads": 2, "context_length": 128}
    presets = {
        "base": {**training_runs.pretrain_preset(texts, **short), "model": base},
        "tuned": {**training_runs.sft_preset(rows, "base", **short), "adapter": _LORA},
        "four": {**training_runs.sft_preset(rows, "base", **short), "adapter": {**_LORA, "kind": "qlora"}},
    }
    for name, preset in presets.items():
        run = training_runs.new_run(home, preset, name)
        run.attempt(1).path.mkdir(parents=True, mode=0o700)
        assert training_runs.work(run, 1) == 0
    return home


def _export(home: Home, run: str, to: Path, **fields: Any) -> dict[str, Any]:
    said: list[Any] = []
    question = ExportQuestion(verb="export", run=str(home.runs / run), to=str(to), **fields)
    answer = export(question, said.append, home, {"PATH": ""})
    assert all(line["type"] == "progress" for line in said)
    return json.loads(json.dumps(answer))  # it goes over a pipe


def _loaded(folder: Path, base: Path | None = None) -> Any:
    """The exported model as its card says it is loaded."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base or folder, dtype=torch.float32)
    return (PeftModel.from_pretrained(model, folder) if base is not None else model).eval()


def test_a_full_model_is_exported_in_several_files(runs: Home, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    answer = _export(runs, "base", folder, max_shard_size="100KB")
    assert (answer["form"], answer["dtype"], answer["merge"], answer["pushed"]) == ("full", "fp32", None, "")
    assert (folder / "model.safetensors.index.json").is_file()
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    assert answer["bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    model = load_folder(RunDirectory(runs.runs / "base").model)
    rows = token_rows(model)
    assert difference(logits_on(_loaded(folder), rows), logits_on(model, rows)).largest == 0


def test_a_merged_model_and_its_adapter_alone_are_the_same(runs: Home, tmp_path: Path) -> None:
    run = RunDirectory(runs.runs / "tuned")
    base = base_of(run.model, runs)
    model = load_adapted(base, run.model, quantized=False)
    rows = token_rows(model)
    right = logits_on(model, rows)
    assert difference(right, logits_on(load_folder(base), rows)).relative > 1e-4, "nothing was trained"
    merged = _export(runs, "tuned", tmp_path / "merged")
    assert merged["form"] == "merged"
    assert merged["merge"]["merged"]["relative"] < 1e-5
    assert difference(logits_on(_loaded(tmp_path / "merged"), rows), right).relative < 1e-5
    alone = _export(runs, "tuned", tmp_path / "alone", adapter_only=True)
    assert alone["form"] == "adapter"
    assert not (tmp_path / "alone" / "config.json").exists()
    assert difference(logits_on(_loaded(tmp_path / "alone", base), rows), right).relative < 1e-5


@pytest.mark.slow(reason="a fresh process imports torch, transformers and peft")
def test_what_is_exported_has_the_same_logits_in_a_fresh_process(runs: Home, tmp_path: Path) -> None:
    run = RunDirectory(runs.runs / "tuned")
    base = base_of(run.model, runs)
    for name, fields in (("merged", {}), ("alone", {"adapter_only": True})):
        _export(runs, "tuned", tmp_path / name, **fields)
    _export(runs, "base", tmp_path / "full")
    rows = token_rows(load_folder(base))
    right = {
        "full": logits_on(load_folder(base), rows),
        "merged": logits_on(load_adapted(base, run.model, quantized=False), rows),
    }
    folders = [(str(tmp_path / "full"), ""), (str(tmp_path / "merged"), ""), (str(tmp_path / "alone"), str(base))]
    asked = json.dumps([folders, [row.tolist() for row in rows], str(tmp_path / "logits.pt")])
    environment = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PATH": ""}
    subprocess.run([sys.executable, "-c", _FRESH, asked], check=True, env=environment, cwd=tmp_path)
    found = torch.load(tmp_path / "logits.pt")
    for name, same in (("full", "full"), ("merged", "merged"), ("alone", "merged")):
        assert difference(found[str(tmp_path / name)], right[same]).relative < 1e-5, name


def test_an_adapter_of_a_quantised_base_is_merged_in_its_original(runs: Home, tmp_path: Path) -> None:
    answer = _export(runs, "four", tmp_path / "out", dtype="bf16")
    assert type_of_weights(tmp_path / "out") == "bf16"
    assert answer["merge"]["quantized"]["relative"] > 1e-3
    assert 0 < answer["merge"]["stored"]["relative"] < 0.1
    text = (tmp_path / "out" / "README.md").read_text()
    assert "merged against the quantised base" in text
    assert f"logits differ by {answer['merge']['quantized']['largest']:.3g} at most" in text


def test_the_card_is_one_that_the_hub_reads(runs: Home, tmp_path: Path) -> None:
    _export(runs, "tuned", tmp_path / "out", adapter_only=True)
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.library_name == "peft"
    assert card.data.license == "unknown"
    assert card.data.tags == ["footplate", "sft", "lora"]
    measured = {result.metric_type: result.metric_value for result in card.data.eval_results}
    events = training_runs.events(RunDirectory(runs.runs / "tuned"))
    last = next(event for event in reversed(events) if event.type == "evaluated")
    assert measured["loss"] == last.values["eval/loss"]
    assert str(tmp_path) not in card.content
    assert str(runs.path.parent) not in card.content, "a path of this machine is said to everyone"
    for path in (tmp_path / "out").iterdir():
        if path.suffix == ".json":
            assert str(runs.path.parent) not in path.read_text(), path


@pytest.mark.parametrize(
    ("run", "fields", "words"),
    [
        ("base", {"adapter_only": True}, "trained all parameters"),
        ("tuned", {"adapter_only": True, "dtype": "bf16"}, "exported as it was trained"),
        ("tuned", {"adapter_only": True, "gguf": True}, "exported as it was trained"),
        ("base", {"max_shard_size": "5 gigabytes"}, "--max-shard-size"),
        ("base", {"max_shard_size": "0GB"}, "--max-shard-size"),
        ("base", {"gguf": True}, "no converter"),
        ("none", {}, "is not a run"),
    ],
)
def test_what_does_not_fit_together_is_refused_before_any_work(
    runs: Home, tmp_path: Path, run: str, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(FootplateError, match=words):
        _export(runs, run, tmp_path / "out", **fields)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_not_touched(runs: Home, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        _export(runs, "base", tmp_path / "out")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is there already"):
        _export(runs, "base", tmp_path / "link")
    with pytest.raises(UsageError, match="lies in the folder of the run itself"):
        _export(runs, "base", runs.runs / "base" / "model" / "out")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="no folder that you may write to"):
        _export(runs, "base", tmp_path / "file" / "out")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "link", "out"]


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("tuned", "adapter_model.safetensors"),
        ("tuned", "base.json"),
        ("tuned", "tokenizer.json"),
        ("base", "tokenizer.json"),
    ],
)
def test_a_model_of_which_something_is_gone_is_not_exported(runs: Home, tmp_path: Path, run: str, name: str) -> None:
    file = runs.runs / run / "model" / name
    kept = file.rename(tmp_path / "kept")
    try:
        with pytest.raises(UsageError, match=f"model lacks {name}"):
            _export(runs, run, tmp_path / "out", adapter_only=run == "tuned")
    finally:
        kept.rename(file)
    assert not (tmp_path / "out").exists()


def test_without_room_nothing_is_begun(runs: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr(exporting.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(StorageError, match=r"takes 0\.\d+ GB"):
        _export(runs, "base", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_failure_while_writing_leaves_nothing(runs: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import core.model.export as writing

    def full(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "card", full)
    with pytest.raises(StorageError):
        _export(runs, "base", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_unfinished_run_has_nothing_to_export(runs: Home, tmp_path: Path) -> None:
    preset = training_runs.pretrain_preset(tmp_path / "texts")
    training_runs.write_texts(tmp_path / "texts", documents=3)
    training_runs.new_run(runs, preset, "new")
    with pytest.raises(UsageError, match="is not finished"):
        _export(runs, "new", tmp_path / "out")


def test_sizes_of_files_are_read() -> None:
    assert [shard_bytes(text) for text in ("5GB", "1.5MB", "500KB")] == [5_000_000_000, 1_500_000, 500_000]


def test_the_helper_process_exports(runs: Home, tmp_path: Path) -> None:
    question = {"verb": "export", "run": str(runs.runs / "tuned"), "to": str(tmp_path / "out"), "adapter_only": True}
    answers = io.StringIO()
    query.serve(io.BytesIO(b"".join(json.dumps(question).encode() + b"\n" for _ in range(2))), answers, runs)
    first, second = [json.loads(line) for line in answers.getvalue().splitlines() if '"progress"' not in line]
    assert (first["type"], first["form"], first["folder"]) == ("result", "adapter", str(tmp_path / "out"))
    assert (second["type"], second["exit_code"]) == ("error", 2)
    assert "is there already" in second["message"]
