from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from core.config.phases import PretrainConfig
from core.config.presets import read_yaml, resolve
from core.data.manifest import Manifest, SourceRecord, SplitRecord
from core.model.base_record import AdapterRecord, Quantization
from core.model.card import Exported, card
from core.model.comparison import Difference
from core.model.merge import MergeReport
from core.model.run_record import RunRecord
from core.run.events import Evaluated, Finished, Notice, Resumed, Started
from tests.training_runs import pretrain_preset

_HOSTILE = "x\n---\n# <script>alert(1)</script> [a](http://evil) | `b` ```"


def _source(name: str, **fields: Any) -> SourceRecord:
    values: dict[str, Any] = {
        "source": name, "rows": 9, "documents": 8, "text_bytes": 70, "empty": 1, "bad": {}, "repaired": {},
        "errors": [], "files": [], "train_documents": 7, "train_tokens": 1234, "held_out_documents": 1,
        "held_out_tokens": 56,
    }  # fmt: skip
    return SourceRecord(**{**values, **fields})


def _manifest(*sources: SourceRecord, **fields: Any) -> Manifest:
    train = SplitRecord(documents=7, tokens=1234, supervised_tokens=1200, shards=[])
    held_out = SplitRecord(documents=1, tokens=56, supervised_tokens=55, shards=[])
    return Manifest(
        kind="text", digest="d" * 64, made_from="e" * 64, vocabulary_size=300, end_token_id=0, stop_token_ids=[0],
        template="none", added_tokens=[], sources=list(sources), dropped=fields.get("dropped", {}), tokenizer=[],
        splits={"train": train, "held_out": held_out},
    )  # fmt: skip


@pytest.fixture
def run() -> RunRecord:
    preset = pretrain_preset(Path("/home/somebody/secret/texts"), about={"title": "A small model"})
    config = resolve(read_yaml(json.dumps(preset), "preset.yaml"))
    assert isinstance(config, PretrainConfig)
    return RunRecord(
        name="small",
        config=config,
        started=Started(phase="pretrain", facts={"device": "CPU of a kind", "dtype": "fp32", "tokens_per_step": 192}),
        finished=Finished(step=20, facts={"peak_memory_bytes": 1_500_000_000}),
        resumed=(),
        notices=(),
        evaluated=tuple(Evaluated(step=n, values={"eval/loss": 5 - n / 10}, tokens=9, seconds=1) for n in range(40)),
        loss=((1, 5.0), (10, 3.0), (20, 2.0)),
        losses=((1, 5.0), (19, 1.75), (20, 2.0)),
        manifest=_manifest(_source("data.sources[0] (files, /home/somebody/secret/texts)")),
        versions={"torch": "2.13.0", "python": "3.11"},
        seconds=75.0,
    )


def _body(text: str) -> str:
    return ModelCard(text).text


def test_what_the_run_was_is_said(run: RunRecord) -> None:
    text = card(run, Exported("full", "fp32", 123456))
    for words in (
        "# A small model", "over 20 steps", "123,456 parameters, stored as fp32", "CPU of a kind", "1.50 GB",
        "| time, with preparing and waiting | 75 s |",
        "Training loss: 5 at step 1, lowest 1.75 at step 19, last 2 at step 20.", "█▃▁",
        "1,234 tokens to train on (1,200 that the loss counts), 56 held out", "torch 2.13.0", "| seed | 17 |",
        "| 0 | 5 |", "| 39 | 1.1 |", "peak_learning_rate: 0.01",
    ):  # fmt: skip
        assert words in text, words
    assert len(re.findall(r"\n\| \d+ \| \d", text)) == 12, "of 40 evaluations twelve are shown"
    assert "## Marks\n\nNone." in text
    data = ModelCard(text).data
    assert (data.library_name, data.license, data.base_model) == ("transformers", "unknown", None)
    assert data.tags == ["footplate", "pretrain"]
    assert [(one.metric_type, one.metric_value) for one in data.eval_results] == [("loss", pytest.approx(1.1))]


def test_places_of_this_machine_are_not_said(run: RunRecord) -> None:
    text = card(run, Exported("full", "fp32", 1))
    assert "somebody" not in text
    assert "secret" not in text
    assert "(files, …/texts)" in text
    assert 'path: "…/texts"' in text or "path: …/texts" in text


def test_marks_name_no_place_of_this_machine(run: RunRecord) -> None:
    notes = (
        "data.sources: [{'path': '/home/somebody/secret/a'}] → [{'path': '/home/some body/secret/b'}]",
        "model.path: /home/somebody/secret/a → ~/secret/b",
    )
    notices = (
        Notice(level="warning", code="x", message="see https://example.org/a/b or /home/somebody/secret/c: 2/3"),
    )
    resumed = (Resumed(step=8, checkpoint="step-00000008", exact=False, notes=notes),)
    text = card(replace(run, notices=notices, resumed=resumed, went_on=True), Exported("full", "fp32", 1))
    marks = text.partition("## Marks")[2].partition("## Conf")[0]
    assert not [word for word in ("somebody", "some body", "secret") if word in marks]
    assert "'…/a'" in marks.replace("\\", "")
    assert "model.path: …/a → …/b" in marks
    assert "example.org/a/b or …/c: 2/3" in marks
    assert "the run was continued after this model was made" in marks


def test_marks_say_what_was_not_exact(run: RunRecord) -> None:
    notices = (
        Notice(level="warning", code="inexact", message="this run is not exact since step 8", step=8),
        Notice(level="warning", code="non_finite", message="step 3 was refused", step=3),
        Notice(level="warning", code="non_finite", message="step 4 was refused", step=4),
        Notice(level="info", code="saved", message="all is well", step=5),
    )
    resumed = (
        Resumed(step=4, checkpoint="step-00000004"),
        Resumed(step=8, checkpoint="step-00000008", exact=False, notes=("device: CPU, now GPU",)),
    )
    text = card(replace(run, notices=notices, resumed=resumed), Exported("full", "fp32", 1))
    marks = text.partition("## Marks")[2].partition("## Conf")[0]
    assert "- resumed at step 4, exactly" in marks
    assert "- resumed at step 8, not exactly (device: CPU, now GPU)" in marks
    assert "- this run is not exact since step 8" in marks
    assert "- step 3 was refused (2 times)" in marks
    assert "all is well" not in marks


def test_a_merge_and_an_adapter_say_what_they_belong_to(run: RunRecord) -> None:
    record = AdapterRecord(
        model={"kind": "pretrained", "path": "org/base"}, digest="ab" * 32, vocabulary_size=302,
        added_tokens=["<|code|>", "<|/code|>"], added_token_ids=[300, 301],
        quantization=Quantization(kind="nf4", double=True, compute_dtype="bf16"),
    )  # fmt: skip
    merge = MergeReport("bf16", Difference(1e-6, 1e-7, 2e-7), Difference(0.5, 0.1, 0.0123), None, "a", "b")
    merged = card(run, Exported("merged", "bf16", 1, "org/base", record, merge))
    assert "logits differ by 0.5 at most and 0.1 in the mean (0.012 of the largest logit)" in merged
    assert ModelCard(merged).data.base_model == "org/base"
    assert 'AutoModelForCausalLM.from_pretrained(".")' in merged
    alone = card(run, Exported("adapter", "fp32", 1, "org/base", record))
    assert "abababababababab, in nf4 while it was trained" in alone
    assert "AutoModelForCausalLM.from_pretrained('org/base')" in alone
    assert "base.resize_token_embeddings(302)" in alone
    preset = record.model_copy(update={"model": {"kind": "preset", "preset": "quickstart"}})
    assert "Base: quickstart (weights' digest" in card(run, Exported("adapter", "fp32", 1, "", preset))
    assert ModelCard(alone).data.library_name == "peft"


def test_hostile_text_cannot_break_the_card(run: RunRecord) -> None:
    config = run.config.model_copy(
        update={
            "about": run.config.about.model_copy(update={"title": _HOSTILE}),
            "sampling": run.config.sampling.model_copy(update={"prompts": [_HOSTILE, "```\n# out\n```"]}),
        }
    )
    hostile = replace(
        run,
        name="small",
        config=config,
        started=run.started.model_copy(update={"facts": {"device": _HOSTILE}}),
        notices=(Notice(level="error", code="x", message=_HOSTILE),),
        manifest=_manifest(_source(_HOSTILE, licences={"L": _HOSTILE}), dropped={_HOSTILE: 3}),
        versions={"torch": _HOSTILE},
    )
    record = AdapterRecord(model={"kind": "pretrained", "path": _HOSTILE}, digest="ab" * 32, vocabulary_size=3)
    text = card(hostile, Exported("merged", "fp32", 1, "", record))
    data = ModelCard(text).data
    assert data.tags == ["footplate", "pretrain", "full"], "the header is what it should be"
    tokens = MarkdownIt("commonmark").enable("table").parse(_body(text))
    titles = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]
    assert titles[1:] == [
        "How to load", "Data", "Training", "Evaluation", "Marks", "Configuration", "Made with",
    ]  # fmt: skip
    kinds = {child.type for token in tokens for child in token.children or []}
    assert kinds <= {"text", "text_special"}, kinds
    assert not [token for token in tokens if token.type == "html_block"]


def test_without_data_and_evaluation_that_is_said(run: RunRecord) -> None:
    text = card(replace(run, manifest=None, evaluated=(), losses=None, loss=()), Exported("full", "fp32", 1))
    assert "cannot be read any more on the machine" in text
    assert "Nothing was held out" in text
    assert ModelCard(text).data.eval_results is None
