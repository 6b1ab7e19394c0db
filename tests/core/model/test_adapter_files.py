"""An adapter's folder: the same tensors after a reload, for peft itself too, and nothing that does not belong there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import CheckpointError, UsageError
from core.model.adapters import WEIGHTS, adapter_tensors, attach, load_adapted, save_adapter
from core.model.base_record import FILE, is_adapter, read_record, weights_digest
from core.model.save import save_model
from tests.core.model.adapted import ADDED, IDS, NF4, TOKENS, loaded, logits, lora, record_of, trained


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "values",
    [{}, {"embeddings": "whole"}, {"embeddings": "frozen"}, {"dora": True}, {"rank_stabilised": True, "dropout": 0.5}],
    ids=["new_tokens", "whole", "frozen", "dora", "rank_stabilised with dropout"],
)
def test_a_saved_adapter_gives_the_same_logits(
    base: Callable[..., Path],
    empty_tokenizer: Path,
    tmp_path: Path,
    architecture: str,
    tied: bool,
    values: dict[str, Any],
) -> None:
    folder, out = base(architecture, tie_embeddings=tied), tmp_path / "adapter"
    model = trained(folder, empty_tokenizer, out, **values)
    again = load_adapted(folder, out, quantized=False)
    assert not [name for name, module in again.named_modules() if module.training], "a dropout would be at work"
    assert torch.equal(logits(again), logits(model))
    assert again.generation_config.eos_token_id == [0, 7]
    assert is_adapter(out)
    assert read_record(out).added_token_ids == ADDED


def test_a_quantised_base_is_loaded_as_it_was_or_whole(
    base: Callable[..., Path], empty_tokenizer: Path, tmp_path: Path
) -> None:
    folder, out = base(), tmp_path / "adapter"
    model = trained(folder, empty_tokenizer, out, quantization=NF4)
    assert torch.equal(logits(load_adapted(folder, out, quantized=True)), logits(model))
    assert not torch.equal(logits(load_adapted(folder, out, quantized=False)), logits(model))


@pytest.mark.slow(reason="peft and transformers take ten seconds to import anew")
def test_peft_itself_reads_a_saved_adapter_in_a_fresh_process(
    base: Callable[..., Path], empty_tokenizer: Path, tmp_path: Path
) -> None:
    """F74: new-token rows are saved and come back byte for byte, where only peft and transformers are."""
    folder, out = base(), tmp_path / "adapter"
    model = trained(folder, empty_tokenizer, out)
    code = (
        "import sys, torch\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n"
        f"model = AutoModelForCausalLM.from_pretrained({str(folder)!r}, dtype=torch.float32)\n"
        f"model.resize_token_embeddings({TOKENS + 3}, mean_resizing=False)\n"
        f"model = PeftModel.from_pretrained(model, {str(out)!r}).eval()\n"
        f"ids = torch.tensor({IDS.tolist()})\n"
        "from safetensors.torch import save_file\n"
        "rows = model.get_base_model().get_input_embeddings().weight[-3:].detach().contiguous()\n"
        f"save_file({{'logits': model(ids).logits.detach(), 'rows': rows}}, {str(tmp_path / 'out.safetensors')!r})\n"
        "assert 'core' not in sys.modules\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr[-2000:]
    found = load_file(tmp_path / "out.safetensors")
    rows = adapter_tensors(model)["base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"]
    assert found["rows"].numpy().tobytes() == rows.detach().numpy().tobytes()
    torch.testing.assert_close(found["logits"], logits(model), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_a_file_that_holds_other_tensors_is_refused(
    base: Callable[..., Path], empty_tokenizer: Path, tmp_path: Path, change: str
) -> None:
    folder, out = base(), tmp_path / "adapter"
    trained(folder, empty_tokenizer, out)
    tensors = load_file(out / WEIGHTS)
    rows = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"
    match change:
        case "missing":
            del tensors[rows]
        case "extra":
            tensors["base_model.model.lm_head.weight"] = torch.zeros(2)
        case "shape":
            tensors[rows] = tensors[rows][:2].clone()
    save_file(tensors, out / WEIGHTS)
    words = {
        "missing": f"{rows} is missing",
        "extra": "lm_head.weight is not expected",
        "shape": r"\[2, 64\], expected",
    }
    with pytest.raises(UsageError, match=words[change]):
        load_adapted(folder, out, quantized=False)


def test_another_base_and_another_rank_are_refused(
    base: Callable[..., Path], build: Callable[..., Any], empty_tokenizer: Path, tmp_path: Path
) -> None:
    """F76, with both values."""
    folder, out = base(), tmp_path / "adapter"
    trained(folder, empty_tokenizer, out)
    other = tmp_path / "other"
    save_model(build(hidden_size=64, seed=9), empty_tokenizer, other)
    with pytest.raises(UsageError, match=f"digest {weights_digest(folder)[:16]}.*has {weights_digest(other)[:16]}"):
        load_adapted(other, out, quantized=False)
    config = json.loads((out / "adapter_config.json").read_text())
    (out / "adapter_config.json").write_text(json.dumps({**config, "r": 8}))
    with pytest.raises(UsageError, match=r"has the shape \[4, 64\], expected \[8, 64\]"):
        load_adapted(folder, out, quantized=False)
    (out / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["q_proj"]}))
    with pytest.raises(UsageError, match="is not expected"):
        load_adapted(folder, out, quantized=False)
    (out / FILE).unlink()
    with pytest.raises(UsageError, match=r"has no base\.json"):
        load_adapted(folder, out, quantized=False)


def test_less_than_what_was_trained_is_never_saved(
    base: Callable[..., Path], empty_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = base()
    model = attach(loaded(folder, added=3), lora(), seed=3, added_token_ids=ADDED)
    model.model.norm.weight.requires_grad_(True)  # somebody trains more than the adapter
    assert "base_model.model.model.norm.weight" in adapter_tensors(model)
    import peft

    everything = peft.get_peft_model_state_dict
    monkeypatch.setattr(
        peft,
        "get_peft_model_state_dict",
        lambda *a, **k: {name: t for name, t in everything(*a, **k).items() if "token_adapter" not in name},
    )
    with pytest.raises(CheckpointError, match="trainable_tokens_delta"):
        save_adapter(model, tmp_path / "adapter", record=record_of(folder), tokenizer=empty_tokenizer)
    assert not (tmp_path / "adapter").exists()


def test_the_same_adapter_is_the_same_bytes(base: Callable[..., Path], empty_tokenizer: Path, tmp_path: Path) -> None:
    folder = base()
    for name in ("one", "two"):
        trained(folder, empty_tokenizer, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
