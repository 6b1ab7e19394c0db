"""The held-out loss of each group of sources, in whole runs, against loops over single documents."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from core.run.directory import Home, RunDirectory
from core.run.events import Evaluated, Finished, Started
from tests.training_runs import (
    WORDS,
    broken_off,
    events,
    new_run,
    pretrain_preset,
    sft_preset,
    trace,
    work,
    write_instructions,
)

LENGTH = 512
"""One sequence holds all that is held out, so that no document is cut, with groups or without."""
FIELDS: dict[str, Any] = {
    "model": {"dropout": 0.0, "context_length": LENGTH},
    "batch": {"size": 1, "micro_size": 1, "sequence_length": LENGTH},
    "schedule": {"steps": 4},
    "cadence": {"evaluate_steps": 2, "sample_steps": 0, "checkpoint_steps": 1, "keep_checkpoints": 2},
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home, beside it texts of three kinds, each of which begins with its kind."""
    path = tmp_path_factory.mktemp("groups") / "home"
    path.mkdir(mode=0o700)
    generator = np.random.default_rng(4)
    for kind in ("medical", "other", "general", "medical again"):
        (path.parent / kind).mkdir()
        for number in range(16):
            words = generator.choice(WORDS, size=int(generator.integers(3, 12)))
            (path.parent / kind / f"{number:02}.txt").write_text(f"{kind} {' '.join(words)} {number}\n")
    return Home(path)


def text_sources(home: Home, *, groups: bool) -> list[dict[str, Any]]:
    """Two sources of one group with another group and one without any between them."""
    names = {"medical": "medical", "other": None, "general": "general", "medical again": "medical"}
    return [
        {"kind": "files", "path": str(home.path.parent / kind)} | ({"group": group} if groups and group else {})
        for kind, group in names.items()
    ]


def grouped_run(home: Home, name: str, *, groups: bool = True, **changes: Any) -> RunDirectory:
    preset = pretrain_preset(home.path.parent, **FIELDS)
    preset["data"] |= {"sources": text_sources(home, groups=groups), "held_out_fraction": 0.25}
    return new_run(home, preset | changes, name)


@pytest.fixture(scope="module")
def grouped(shared: Home) -> RunDirectory:
    run = grouped_run(shared, "grouped")
    assert work(run, 1) == 0
    return run


def last_evaluation(run: RunDirectory) -> Evaluated:
    return [event for event in events(run) if isinstance(event, Evaluated)][-1]


def prepared(home: Home, *, groups: bool, kind: str) -> Path:
    for manifest in (home.cache / "data").glob("*/manifest.json"):
        values = json.loads(manifest.read_text())
        if ("groups" in values["splits"]["held_out"]) == groups and values["kind"] == kind:
            return manifest.parent
    raise AssertionError("nothing prepared")


def held_out(folder: Path) -> list[tuple[list[int], list[int]]]:
    """Read ids and marks as a stranger would; every token of a text but the first counts."""
    tokens = np.fromfile(folder / "held_out-00000.tokens", "<u2")
    edges = np.fromfile(folder / "held_out-00000.documents", "<u8").astype(int)
    marks = folder / "held_out-00000.supervised"
    counts = np.fromfile(marks, "u1") if marks.exists() else np.ones(len(tokens), int)
    return [(tokens[a:b].tolist(), counts[a:b].tolist()) for a, b in itertools.pairwise(edges)]


def mean_losses(run: RunDirectory, folder: Path, names: dict[str, str]) -> dict[str, float]:
    """The loss of the documents that say a name, and of all, document by document in float64 with full logits."""
    model = AutoModelForCausalLM.from_pretrained(run.model, dtype=torch.float64, attn_implementation="eager").eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json"))
    sums: dict[str, list[float]] = {}
    for ids, counts in held_out(folder):
        text = tokenizer.decode(ids)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
        nats = F.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")[torch.tensor(counts[1:]) > 0]
        for name in ["eval/loss", *(series for series, word in names.items() if word in text)]:
            sums.setdefault(name, []).extend(nats.tolist())
    return {name: sum(nats) / len(nats) for name, nats in sums.items()}


def test_the_loss_of_each_group_equals_that_of_its_documents(shared: Home, grouped: RunDirectory) -> None:
    found = last_evaluation(grouped)
    folder = prepared(shared, groups=True, kind="text")
    names = {"eval/loss_medical": "medical", "eval/loss_general": "general"}
    expected = mean_losses(grouped, folder, names)
    assert set(found.values) == {*expected, "eval/perplexity"}
    for name, loss in expected.items():
        assert found.values[name] == pytest.approx(loss, rel=1e-5), name
    assert abs(expected["eval/loss_medical"] - expected["eval/loss"]) > 1e-3, "else a mixing up would not be seen"
    assert found.tokens == sum(len(ids) - 1 for ids, _ in held_out(folder))


def test_groups_are_declared_and_named_at_the_end(grouped: RunDirectory) -> None:
    (start,) = [event for event in events(grouped) if isinstance(event, Started)]
    assert start.facts["held_out_sequences"] == 4, "two ranges of medical, one of general, one of no group"
    assert [series.name for series in start.series if series.panel == "loss"] == [
        "train/loss", "eval/loss", "eval/loss_medical", "eval/loss_general",
    ]  # fmt: skip
    (end,) = [event for event in events(grouped) if isinstance(event, Finished)]
    assert end.facts["eval/loss_medical"] == last_evaluation(grouped).values["eval/loss_medical"]


@pytest.mark.slow(reason="further whole runs: half a minute on a busy machine")
def test_naming_groups_changes_neither_training_nor_the_loss_of_all(shared: Home, grouped: RunDirectory) -> None:
    plain = grouped_run(shared, "plain", groups=False)
    assert work(plain, 1) == 0
    (one, other) = (last_evaluation(run) for run in (plain, grouped))
    assert set(one.values) == {"eval/loss", "eval/perplexity"}
    assert one.tokens == other.tokens
    assert one.values["eval/loss"] == pytest.approx(other.values["eval/loss"], rel=1e-6)
    assert trace(plain).parameters == trace(grouped).parameters


@pytest.mark.slow(reason="further whole runs: half a minute on a busy machine")
def test_prepared_data_brings_its_groups_and_a_resume_is_exact(shared: Home, grouped: RunDirectory) -> None:
    data = {"kind": "text", "sources": text_sources(shared, groups=True), "held_out_fraction": 0.25}
    data["tokenizer"] = {"kind": "train", "vocabulary_size": 300}
    about = {"title": "data"}
    assert work(new_run(shared, {"phase": "prepare", "about": about, "data": data}, "prepared"), 1) == 0

    whole = grouped_run(shared, "whole", data={"kind": "run", "run": "prepared"})
    assert work(whole, 1) == 0
    assert last_evaluation(whole).values == last_evaluation(grouped).values
    broken = grouped_run(shared, "broken", data={"kind": "run", "run": "prepared"})
    broken_off(broken, saves=3)
    assert work(broken, 2) == 0
    assert trace(broken) == trace(whole)


@pytest.mark.slow(reason="further whole runs: half a minute on a busy machine")
def test_groups_of_instructions(shared: Home, grouped: RunDirectory) -> None:
    """Examples are packed within their group; the loss counts their answers."""
    sources = []
    for name, seed in (("first", 6), ("second", 7)):
        path = write_instructions(shared.path.parent / f"{name}.jsonl", rows=20, seed=seed)
        path.write_text(path.read_text().replace("Say", f"Say {name}"))
        sources.append({"kind": "json", "path": str(path), "group": name})
    preset = sft_preset(path, grouped.name, **{key: FIELDS[key] for key in ("batch", "schedule", "cadence")})
    preset["data"] |= {"sources": sources, "held_out_fraction": 0.3, "max_tokens": LENGTH}
    run = new_run(shared, preset, "tuned")
    assert work(run, 1) == 0
    names = {"eval/loss_first": "Say first", "eval/loss_second": "Say second"}
    expected = mean_losses(run, prepared(shared, groups=True, kind="instructions"), names)
    found = last_evaluation(run)
    assert {name: found.values[name] for name in expected} == {
        name: pytest.approx(loss, rel=1e-5) for name, loss in expected.items()
    }
    assert len(expected) == 3
