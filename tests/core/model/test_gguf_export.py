from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import DataError, NumericError, UsageError
from core.model import gguf_export
from core.model.converter import SCRIPT, Converter, fetch_converter, find_converter
from core.model.gguf_export import write_gguf
from core.model.gguf_runner import splits_as_gpt2, with_context_length
from core.model.save import save_model
from core.run.directory import Home
from tests.core.model.adapters_by_code import write_base, write_tokenizer

Build = Callable[..., Any]


def _converter(tmp_path: Path, text: str) -> Converter:
    (tmp_path / SCRIPT).write_text(text)
    return find_converter(Home(tmp_path), {**os.environ, "LLAMA_CPP": str(tmp_path)})


def test_what_the_converter_said_is_told_and_no_file_stays(build: Build, tmp_path: Path) -> None:
    script = _converter(
        tmp_path,
        "import sys, pathlib\n"
        "pathlib.Path(sys.argv[sys.argv.index('--outfile') + 1]).write_bytes(b'half')\n"
        "raise NotImplementedError('no such architecture')\n",
    )
    folder = write_base(build(), tmp_path / "model")
    with pytest.raises(UsageError, match="NotImplementedError: no such architecture") as caught:
        write_gguf(folder, tmp_path / "x.gguf", outtype="f32", converter=script)
    assert "LLAMA_CPP" in caught.value.hint
    assert not (tmp_path / "x.gguf").exists()


def test_the_converter_gets_what_it_needs_and_no_login(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", "hf_secret")
    script = _converter(
        tmp_path,
        "import json, os, sys, pathlib\n"
        f"pathlib.Path({str(tmp_path / 'seen.json')!r}).write_text(json.dumps([sys.argv[1:], dict(os.environ)]))\n"
        "pathlib.Path(sys.argv[sys.argv.index('--outfile') + 1]).write_bytes(b'GGUF' + bytes(100))\n",
    )
    folder = write_base(build(), tmp_path / "model")
    with pytest.raises(UsageError, match="cannot be read"):
        write_gguf(folder, tmp_path / "x.gguf", outtype="bf16", converter=script)
    assert not (tmp_path / "x.gguf").exists()
    arguments, environment = json.loads((tmp_path / "seen.json").read_text())
    assert arguments == [str(folder), "--outfile", str(tmp_path / "x.gguf"), "--outtype", "bf16"]
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert "hf_secret" not in json.dumps(environment)


def test_a_file_that_reads_back_as_another_model_is_deleted(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = _converter(
        tmp_path, "import sys\nopen(sys.argv[sys.argv.index('--outfile') + 1], 'wb').write(b'GGUF' + bytes(9))\n"
    )
    model = build()
    folder = write_base(model, tmp_path / "model")
    with torch.no_grad():
        model.model.layers[0].self_attn.q_proj.weight.mul_(1.01)
    other = write_base(model, tmp_path / "other")
    monkeypatch.setattr(gguf_export, "convert_gguf", lambda *_: folder)
    report = write_gguf(folder, tmp_path / "x.gguf", outtype="f32", converter=script)
    assert report.logits.largest == 0
    assert report.as_json()["file"] == str(tmp_path / "x.gguf")

    monkeypatch.setattr(gguf_export, "convert_gguf", lambda *_: other)
    with pytest.raises(NumericError, match="expected at most 1e-05 for f32"):
        write_gguf(folder, tmp_path / "x.gguf", outtype="f32", converter=script)
    assert not (tmp_path / "x.gguf").exists()

    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["d"], tokenizer["model"]["vocab"]["e"] = (
        tokenizer["model"]["vocab"]["e"],
        tokenizer["model"]["vocab"]["d"],
    )
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(DataError, match="tokenizer reads a text as"):
        write_gguf(folder, tmp_path / "x.gguf", outtype="f32", converter=script)
    assert not (tmp_path / "x.gguf").exists()


def test_only_a_tokenizer_that_splits_as_gpt2_is_called_so(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path / "tokenizer", 300)
    assert splits_as_gpt2(folder)
    whole = json.loads((folder / "tokenizer.json").read_text())
    for change in (
        {"normalizer": {"type": "NFC"}},
        {"pre_tokenizer": None},
        {"pre_tokenizer": {**whole["pre_tokenizer"], "use_regex": False}},
        {"pre_tokenizer": {**whole["pre_tokenizer"], "add_prefix_space": True}},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [whole["pre_tokenizer"]]}},
    ):
        (folder / "tokenizer.json").write_text(json.dumps({**whole, **change}))
        assert not splits_as_gpt2(folder), change


def test_the_number_of_positions_has_gpt2s_own_name_too() -> None:
    def load(folder: str, *, is_mistral_format: bool) -> dict[str, Any]:
        assert not is_mistral_format
        return {"n_positions": 64} if folder == "gpt2" else {"max_position_embeddings": 64}

    loaded = with_context_length(load)
    assert loaded("gpt2", is_mistral_format=False) == {"n_positions": 64, "n_ctx": 64}
    assert loaded("llama", is_mistral_format=False) == {"max_position_embeddings": 64}


@pytest.mark.slow(reason="fetches the converter; it and the reader take 10 s a file")
@pytest.mark.parametrize(("architecture", "outtype"), [("llama", "f32"), ("llama", "f16"), ("gpt2", "bf16")])
def test_a_tiny_model_reads_back_from_the_real_converter(tmp_path: Path, architecture: str, outtype: Any) -> None:
    from core.data.tokens.tokenizer_files import train_tokenizer
    from core.model.load import load_folder

    train_tokenizer(
        ["the loss of the model falls " * 9, "it's 12345\n\tdef f(x):"],
        vocabulary_size=280,
        folder=tmp_path / "tokenizer",
    )
    home = Home(Path.home() / ".cache" / "footplate-tests")
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

    torch.manual_seed(5)
    config = (
        LlamaConfig(vocab_size=280, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                    num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True, eos_token_id=0)
        if architecture == "llama"
        else GPT2Config(vocab_size=280, n_embd=64, n_layer=2, n_head=4, n_positions=64, eos_token_id=0, bos_token_id=0)
    )  # fmt: skip
    save_model(AutoModelForCausalLM.from_config(config), tmp_path / "tokenizer", tmp_path / "model")
    assert load_folder(tmp_path / "model").config.model_type == architecture
    fetch_converter(home)
    converter = find_converter(home, {"PATH": ""})
    report = write_gguf(tmp_path / "model", tmp_path / "x.gguf", outtype=outtype, converter=converter)
    bound = {"f32": 1e-5, "f16": 2e-3, "bf16": 2e-2}[outtype]
    assert report.logits.relative < bound
    assert math.isfinite(report.logits.mean)
    assert (report.logits.largest > 0) or outtype == "f32"
