from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config.adapter import LoRA, QLoRA
from core.errors import NumericError, UsageError
from core.model import merge
from core.model.adapters import load_adapted
from core.model.base_record import weights_digest
from core.model.comparison import difference, logits_on, token_rows
from core.model.load import load_folder
from core.model.merge import merge_adapter, merged_folder, type_of_weights
from core.run.directory import Home
from tests.core.model.adapters_by_code import write_adapter, write_base

Build = Callable[..., Any]


def _lora(**fields: Any) -> LoRA:
    return LoRA.model_validate({"kind": "lora", "rank": 4, **fields})


def _relative(one: Any, other: Any, rows: list[torch.Tensor]) -> float:
    return difference(logits_on(one, rows), logits_on(other, rows)).relative


@pytest.mark.parametrize(
    ("architecture", "numbers", "section"),
    [
        ("llama", {"tie_embeddings": True}, {}),
        ("llama", {"tie_embeddings": False, "key_value_heads": 2}, {"dora": True}),
        ("llama", {"tie_embeddings": False}, {"targets": ["all-linear", "lm_head"]}),
        ("gpt2", {}, {"rank_stabilised": True, "alpha": 3.0}),
        ("gpt2", {}, {"dora": True}),
        ("llama", {"tie_embeddings": True}, {"embeddings": "whole"}),
        ("llama", {"dropout": 0.5}, {"dropout": 0.5}),
    ],
)
def test_merged_is_the_model_with_the_adapter_beside_it(
    build: Build, tmp_path: Path, architecture: str, numbers: dict[str, Any], section: dict[str, Any]
) -> None:
    base = write_base(build(architecture, **numbers), tmp_path / "base")
    adapter = write_adapter(base, tmp_path / "adapter", _lora(**section))
    report = merge_adapter(adapter, base, tmp_path / "merged")
    merged = load_folder(tmp_path / "merged")
    adapted = load_adapted(base, adapter, quantized=False)
    rows = token_rows(merged)
    assert _relative(merged, adapted, rows) < 1e-5
    assert _relative(merged, load_folder(base), rows) > 1e-2, "the adapter does nothing, so nothing was tested"
    assert report.merged.relative < 1e-5
    assert report.quantized is None
    is_tied = merged.get_output_embeddings().weight is merged.get_input_embeddings().weight
    assert is_tied == numbers.get("tie_embeddings", True) == merged.config.tie_word_embeddings
    assert not [name for name, _ in merged.named_parameters() if "lora" in name or "base_layer" in name]


@pytest.mark.parametrize("tie_embeddings", [True, False])
def test_rows_of_new_tokens_are_merged_too(build: Build, tmp_path: Path, tie_embeddings: bool) -> None:
    base = write_base(build(tie_embeddings=tie_embeddings), tmp_path / "base")
    adapter = write_adapter(base, tmp_path / "adapter", _lora(), added=2)
    merge_adapter(adapter, base, tmp_path / "merged")
    merged, plain = load_folder(tmp_path / "merged"), load_folder(base)
    adapted = load_adapted(base, adapter, quantized=False)
    rows, before = merged.get_input_embeddings().weight, plain.get_input_embeddings().weight
    assert rows.shape[0] == before.shape[0] + 2
    assert torch.equal(rows[:-2], before)
    assert not torch.allclose(rows[-2:], before.mean(0).expand(2, -1), atol=1e-2)
    new = torch.tensor([[rows.shape[0] - 1, 3, rows.shape[0] - 2, 5]])
    assert _relative(merged, adapted, [new]) < 1e-5


def test_a_quantised_base_is_merged_in_its_original_and_the_difference_is_said(build: Build, tmp_path: Path) -> None:
    base = write_base(build(hidden_size=64), tmp_path / "base")
    section = QLoRA.model_validate({"kind": "qlora", "rank": 4, "compute_dtype": "fp32"})
    adapter = write_adapter(base, tmp_path / "adapter", section)
    report = merge_adapter(adapter, base, tmp_path / "merged")
    merged = load_folder(tmp_path / "merged")
    rows = token_rows(merged)
    assert _relative(merged, load_adapted(base, adapter, quantized=False), rows) < 1e-5
    quantized = load_adapted(base, adapter, quantized=True)
    expected = difference(logits_on(merged, rows), logits_on(quantized, rows))
    assert report.quantized is not None
    assert report.quantized.largest == pytest.approx(expected.largest, rel=1e-4)
    assert report.quantized.mean == pytest.approx(expected.mean, rel=1e-4)
    assert report.quantized.relative > 1e-3, "four bits change something"
    assert json.loads((tmp_path / "merged" / "merge.json").read_text()) == report.as_json()


def test_another_base_is_refused_with_both_digests(build: Build, tmp_path: Path) -> None:
    base, other = write_base(build(), tmp_path / "base"), write_base(build(seed=9), tmp_path / "other")
    adapter = write_adapter(base, tmp_path / "adapter", _lora())
    with pytest.raises(UsageError) as caught:
        merge_adapter(adapter, other, tmp_path / "merged")
    assert weights_digest(base)[:16] in str(caught.value)
    assert weights_digest(other)[:16] in str(caught.value)
    assert not (tmp_path / "merged").exists()


def test_merging_twice_is_refused(build: Build, tmp_path: Path) -> None:
    base = write_base(build(), tmp_path / "base")
    adapter = write_adapter(base, tmp_path / "adapter", _lora())
    merged = tmp_path / "merged"
    merge_adapter(adapter, base, merged)
    with pytest.raises(UsageError, match=r"is merged into .* already"):
        merge_adapter(adapter, merged, tmp_path / "again")
    with pytest.raises(UsageError, match="was merged already"):
        merge_adapter(merged, base, tmp_path / "again")
    with pytest.raises(UsageError, match="is a whole model"):
        merge_adapter(base, base, tmp_path / "again")


def test_weights_keep_the_type_of_the_base_unless_another_is_asked_for(build: Build, tmp_path: Path) -> None:
    base = write_base(build(), tmp_path / "base", torch.bfloat16)
    adapter = write_adapter(base, tmp_path / "adapter", _lora())
    own = merge_adapter(adapter, base, tmp_path / "own")
    assert own.dtype == type_of_weights(base) == type_of_weights(tmp_path / "own") == "bf16"
    assert json.loads((tmp_path / "own" / "config.json").read_text())["dtype"] == "bfloat16"
    asked = merge_adapter(adapter, base, tmp_path / "asked", dtype="fp32")
    assert asked.dtype == type_of_weights(tmp_path / "asked") == "fp32"
    assert asked.stored is None
    rows = token_rows(load_folder(base))
    exact = load_folder(tmp_path / "asked")
    assert own.stored is not None
    assert own.stored.relative > 1e-4
    assert own.stored.relative == pytest.approx(_relative(load_folder(tmp_path / "own"), exact, rows), rel=1e-3)
    assert _relative(exact, load_adapted(base, adapter, quantized=False), rows) < 1e-5


def test_a_weight_that_fp16_cannot_hold_is_refused(build: Build, tmp_path: Path) -> None:
    model = build()
    with torch.no_grad():
        model.model.norm.weight[0] = 70_000.0
    base = write_base(model, tmp_path / "base")
    adapter = write_adapter(base, tmp_path / "adapter", _lora())
    with pytest.raises(NumericError, match=r"model.norm.weight has a weight of 7e\+04, which fp16 cannot hold"):
        merge_adapter(adapter, base, tmp_path / "merged", dtype="fp16")
    assert not (tmp_path / "merged").exists()
    assert merge_adapter(adapter, base, tmp_path / "merged", dtype="bf16").stored is not None


def test_a_merge_that_is_another_model_is_an_error_and_leaves_nothing(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_base(build(), tmp_path / "base")
    adapter = write_adapter(base, tmp_path / "adapter", _lora())
    right = merge._merged

    def wrong(model: Any) -> Any:
        merged = right(model)
        with torch.no_grad():
            merged.model.layers[0].mlp.up_proj.weight.mul_(1.001)
        return merged

    monkeypatch.setattr(merge, "_merged", wrong)
    with pytest.raises(NumericError, match="expected at most 1e-04"):
        merge_adapter(adapter, base, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    assert not list(tmp_path.glob(".merged*"))


def test_a_merged_model_is_made_once_for_each_adapter(
    build: Build, tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_base(build(), tmp_path / "base", torch.bfloat16)
    adapter = write_adapter(base, tmp_path / "adapter", _lora())
    folder = merged_folder(adapter, base, home)
    assert folder.parent == home.cache / "models"
    assert type_of_weights(folder) == "fp32", "what trains on reads float32"
    other = write_adapter(base, tmp_path / "other", _lora(alpha=5.0))
    assert merged_folder(other, base, home) != folder

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("merged again")

    monkeypatch.setattr(merge, "merge_into", never)
    assert merged_folder(adapter, base, home) == folder
    with pytest.raises(UsageError, match="belongs to a base"):
        merged_folder(adapter, write_base(build(seed=9), tmp_path / "another"), home)


def test_a_merged_model_that_another_run_reads_is_not_replaced(
    build: Build, tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_base(build(), tmp_path / "base")
    adapter = write_adapter(base, tmp_path / "adapter", _lora())
    made = merge.merge_into

    def after_another(*where: Any, **how: Any) -> Any:
        monkeypatch.setattr(merge, "merge_into", made)
        theirs.append(merged_folder(adapter, base, home).stat().st_ino)
        return made(*where, **how)

    theirs: list[int] = []
    monkeypatch.setattr(merge, "merge_into", after_another)
    assert merged_folder(adapter, base, home).stat().st_ino == theirs[0]
    assert len(list((home.cache / "models").iterdir())) == 1
    (merged_folder(adapter, base, home) / merge.MERGE).unlink()
    assert (merged_folder(adapter, base, home) / merge.MERGE).is_file(), "what is not whole is made again"
