"""Whole runs on code: docstring to function in template code, and documents with a gap to fill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.data.manifest import read_manifest
from core.queries.model import SampleQuestion, sample
from core.run.directory import Home, RunDirectory
from core.run.events import Evaluated, Sampled
from tests.training_runs import events, new_run, pretrain_preset, work, write_texts

TOKENS = ["<|code|>", "<|/code|>"]
GAPS = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
PROMPT = "Add the number 3.\n\n### Input:\ndef add_3(a):"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    path = tmp_path_factory.mktemp("code") / "home"
    path.mkdir(mode=0o700)
    write_texts(path.parent / "texts")
    (path.parent / "source").mkdir()
    for number in range(40):
        (path.parent / "source" / f"module_{number}.py").write_text(
            f'def add_{number}(a):\n    """Add the number {number}."""\n    return a + {number}\n'
        )
    return Home(path)


@pytest.fixture(scope="module")
def base(home: Home) -> RunDirectory:
    preset = pretrain_preset(home.path.parent / "texts", model={"dropout": 0.0}, schedule={"steps": 4})
    run = new_run(home, {**preset, "schedule": {**preset["schedule"], "warmup_steps": 1}}, "base")
    assert work(run, 1) == 0
    return run


def tuning(home: Home, base: RunDirectory, data: dict[str, Any], **changes: Any) -> dict[str, Any]:
    preset = pretrain_preset(home.path.parent / "texts", **changes)
    return {
        **preset,
        "model": {"kind": "run", "run": base.name},
        "data": data,
        "schedule": {"kind": "constant", "peak_learning_rate": 1e-3, "warmup_steps": 0, "steps": 2},
        "batch": {"size": 2, "micro_size": 2, "sequence_length": 128},
        "cadence": {"evaluate_first": True, "evaluate_steps": 2, "sample_steps": 2, "checkpoint_steps": 2},
    }


def of(run: RunDirectory, kind: type) -> list[Any]:
    return [event for event in events(run) if isinstance(event, kind)]


@pytest.fixture(scope="module")
def tuned(home: Home, base: RunDirectory) -> RunDirectory:
    data = {
        "kind": "instructions",
        "sources": [{"kind": "functions", "path": str(home.path.parent / "source")}],
        "tokenizer": {"kind": "model", "added_tokens": TOKENS},
        "template": "code",
        "max_tokens": 128,
        "held_out_fraction": 0.4,
    }
    sampling = {"prompts": [PROMPT], "max_new_tokens": 4}
    run = new_run(home, tuning(home, base, data, phase="sft", sampling=sampling), "tuned")
    assert work(run, 1) == 0
    return run


def prepared(home: Home, kind: str, *added: str) -> Path:
    for manifest in (home.cache / "data").glob("*/manifest.json"):
        found = read_manifest(manifest.parent)
        if found.kind == kind and found.added_tokens == list(added):
            return manifest.parent
    raise AssertionError(f"no cached {kind} with {added}")


def grown(folder: Path, more: int) -> Any:
    """The model of a folder with further rows of its embeddings, the mean of those it has; in float64."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    weight = model.get_input_embeddings().weight.data
    mean = weight.mean(0, keepdim=True)
    model.resize_token_embeddings(len(weight) + more, mean_resizing=False)
    model.get_input_embeddings().weight.data[len(weight) :] = mean
    model.tie_weights()
    return model.eval()


def held_out_numbers(home: Home) -> list[int]:
    folder = prepared(home, "instructions", *TOKENS)
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    tokens = np.fromfile(folder / "held_out-00000.tokens", "<u2")
    texts = tokenizer.decode(tokens.tolist()).split("### Instruction:\nAdd the number ")[1:]
    return [int(text.split(".")[0]) for text in texts]


def test_the_loss_before_the_first_step_is_that_of_an_independent_loop(
    home: Home, base: RunDirectory, tuned: RunDirectory
) -> None:
    numbers = held_out_numbers(home)
    assert 5 < len(numbers) < 35
    tokenizer = AutoTokenizer.from_pretrained(tuned.model, local_files_only=True)
    model = grown(base.model, len(TOKENS))
    total, count = 0.0, 0
    for number in numbers:
        prompt = (
            f"### Instruction:\nAdd the number {number}.\n\n### Input:\n<|code|>def add_{number}(a):<|/code|>\n\n"
            "### Response:\n"
        )
        answer = f"<|code|>def add_{number}(a):\n    return a + {number}<|/code|><|endoftext|>"
        asked = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        ids = torch.tensor([asked + tokenizer(answer, add_special_tokens=False)["input_ids"]])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0]
        start = len(asked)
        total += float(functional.cross_entropy(logits[start - 1 : -1], ids[0, start:], reduction="sum"))
        count += len(ids[0]) - start
    first = of(tuned, Evaluated)[0]
    assert (first.step, first.tokens) == (0, count)
    assert first.values["eval/loss"] == pytest.approx(total / count, rel=2e-6)


def test_prompts_are_laid_in_the_template_while_training_and_afterwards(tuned: RunDirectory) -> None:
    (sampled,) = of(tuned, Sampled)
    assert sampled.prompt == PROMPT
    found = sample(SampleQuestion(verb="sample", run=str(tuned.path), prompt=PROMPT, max_new_tokens=2))
    tokenizer = AutoTokenizer.from_pretrained(tuned.model, local_files_only=True)
    text = (
        "### Instruction:\nAdd the number 3.\n\n### Input:\n<|code|>def add_3(a):<|/code|>\n\n### Response:\n"
    )  # fmt: skip
    assert found["template"] == "code"
    assert found["prompt_tokens"] == len(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_documents_with_a_gap_are_trained_on(home: Home, base: RunDirectory) -> None:
    data = {
        "kind": "text",
        "sources": [{"kind": "files", "path": str(home.path.parent / "texts")}],
        "tokenizer": {"kind": "model", "added_tokens": GAPS},
        "fill_in_the_middle": {"rate": 1.0},
        "held_out_fraction": 0.2,
    }
    run = new_run(home, tuning(home, base, data), "gaps")
    assert work(run, 1) == 0
    size = json.loads((base.model / "config.json").read_text())["vocab_size"]
    assert json.loads((run.model / "config.json").read_text())["vocab_size"] == size + 3
    folder = prepared(home, "text", *GAPS)
    tokens = np.fromfile(folder / "train-00000.tokens", "<u2")
    edges = np.fromfile(folder / "train-00000.documents", "<u8")
    assert [(tokens == size + number).sum() for number in range(3)] == [len(edges) - 1] * 3
