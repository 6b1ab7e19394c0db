"""What an export of a reward run holds; those of language models are tested with their runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

from core.config.phases import RewardConfig
from core.config.presets import read_yaml, resolve
from core.errors import UsageError
from core.model.export import Wish, plan_export, write_export
from core.model.gguf import silent
from core.model.reward_model import load_reward_model
from core.model.reward_record import read_reward_record
from core.model.run_record import RunRecord
from core.run.directory import Home, RunDirectory
from core.run.events import Evaluated, Finished, Started
from tests.core.model.rewards_by_code import Made, make_reward, padded_scores, scores_of, section

PRESET = {
    "phase": "reward",
    "about": {"title": "Which answer is better"},
    "model": {"kind": "pretrained", "path": "org/base"},
    "data": {"kind": "preferences", "sources": [{"kind": "json", "path": "/somewhere/pairs.jsonl"}], "max_tokens": 64},
    "schedule": {"kind": "cosine", "peak_learning_rate": 1e-4, "warmup_steps": 1, "steps": 5},
    "batch": {"size": 4, "micro_size": 4, "sequence_length": 64},
}


def record_of() -> RunRecord:
    config = resolve(read_yaml(json.dumps(PRESET), "preset.yaml"))
    assert isinstance(config, RewardConfig)
    return RunRecord(
        name="judge", config=config, started=Started(phase="reward"), finished=Finished(step=5), resumed=(),
        notices=(), evaluated=(Evaluated(step=5, values={"eval/accuracy": 0.75}, tokens=9, seconds=1),), loss=(),
        losses=None, manifest=None, versions={}, seconds=1.0,
    )  # fmt: skip


@pytest.fixture
def export(build: Callable[..., Any], home: Home, tmp_path: Path) -> Callable[..., tuple[Made, Path]]:
    def exported(kind: str = "", **wish: Any) -> tuple[Made, Path]:
        made = make_reward(build, tmp_path, section=section(kind) if kind else None)
        run = RunDirectory(home.runs / "judge")
        run.path.mkdir(parents=True)
        made = replace(made, folder=made.folder.rename(run.model))
        plan = plan_export(run, home, Wish(**wish), environment={}, progress=silent)
        folder = tmp_path / "exported"
        folder.mkdir()
        write_export(plan, folder, record_of(), name="judge", progress=silent)
        return made, folder

    return exported


@pytest.mark.parametrize("kind", ["", "lora", "qlora"])
def test_it_is_a_classifier_that_the_card_loads(
    kind: str, export: Callable[..., tuple[Made, Path]], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, folder = export(kind)
    card = ModelCard.load(folder / "README.md")
    assert card.data.pipeline_tag == "text-classification"
    assert "A reward model, trained on pairs of answers over 5 steps." in card.text
    assert "The score of a conversation is the model's one logit" in card.text
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(card.text.partition("```python\n")[2].partition("```")[0], names)
    found = padded_scores(names["model"], names["tokenizer"])
    assert read_reward_record(folder) == read_reward_record(made.folder)
    torch.testing.assert_close(scores_of(load_reward_model(folder, home)), found, rtol=0, atol=1e-5)
    if kind != "qlora":  # merged into the base that was quantised
        torch.testing.assert_close(found, made.scores, rtol=0, atol=1e-4)


def test_an_adapter_alone_is_one_that_peft_loads(export: Callable[..., tuple[Made, Path]]) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    made, folder = export("lora", adapter_only=True)
    assert (folder / "reward.json").is_file()
    assert str(made.base) not in "".join(path.read_text() for path in folder.glob("*.json"))
    assert "num_labels=1" in (folder / "README.md").read_text()
    base = AutoModelForSequenceClassification.from_pretrained(made.base, num_labels=1, pad_token_id=95)
    rows = torch.tensor([[3, 1, 4, 1, 5, 0]])
    with torch.no_grad():
        found = PeftModel.from_pretrained(base, folder).eval()(input_ids=rows).logits[0]
    torch.testing.assert_close(found, made.scores[:1], rtol=0, atol=1e-5)


def test_no_gguf_file_is_made_of_it(export: Callable[..., tuple[Made, Path]]) -> None:
    with pytest.raises(UsageError, match="judge made a reward model: a GGUF file holds models that write text"):
        export(gguf=True)
