from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.config.model import GGUFModel, PretrainedModel, RunModel, ScratchModel
from core.errors import StorageError, UsageError
from core.model.base_record import AdapterRecord, write_record
from core.model.load import Vocabulary, build_model, load_folder
from core.model.resolve import base_of, resolve_model
from core.model.save import save_model
from core.run.directory import Home


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A tokenizer of a few words, as preparing writes one."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path / "tokenizer"
    folder.mkdir()
    words = {"<|endoftext|>": 0, "<unk>": 1, **{f"w{number}": number for number in range(2, 96)}}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["<|endoftext|>"])
    made.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def test_the_seed_makes_the_weights_and_nothing_else_moves(build: Callable[..., Any]) -> None:
    before = torch.get_rng_state()
    torch.rand(1)
    torch.set_rng_state(before)
    first, again, other = (build(seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_built_model_is_what_the_numbers_say(architecture: str, build: Callable[..., Any]) -> None:
    model = build(architecture, feed_forward_size=48, context_length=40, tie_embeddings=False, dropout=0.25)
    config = model.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (2, 32, 4)
    assert config.max_position_embeddings == 40
    assert (config.eos_token_id, config.pad_token_id, config.bos_token_id) == (0, 0, None)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.training
    assert not config.use_cache
    assert model.get_output_embeddings().weight is not model.get_input_embeddings().weight
    assert 48 in {size for parameter in model.parameters() for size in parameter.shape}
    assert 0.25 in (getattr(config, "attention_dropout", None), getattr(config, "attn_pdrop", None))


def test_sizes_that_are_left_out_have_the_stated_values(build: Callable[..., Any]) -> None:
    assert build(hidden_size=96).config.intermediate_size == 256  # 8/3 of 96, a multiple of 64
    assert build(hidden_size=104).config.intermediate_size == 320  # 277.3 rounded up
    assert build("gpt2").transformer.h[0].mlp.c_fc.weight.shape == (32, 128)
    assert build(heads=4).config.num_key_value_heads == 4
    assert build(rope_theta=5000.0).config.rope_parameters["rope_theta"] == 5000.0


def test_numbers_that_make_no_model_are_an_error(build: Callable[..., Any]) -> None:
    """Rotary positions turn pairs of numbers: a head of 25 has one too many."""
    with pytest.raises(UsageError, match="head_dim"):
        build(hidden_size=100)


def _saved(model: Any, tokenizer: Path, folder: Path, **how: Any) -> Path:
    save_model(model, tokenizer, folder, **how)
    return folder


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_saved_model_loads_where_only_transformers_is(
    architecture: str, tied: bool, build: Callable[..., Any], tokenizer: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from core.model.verification import verify_reading

    model = build(architecture, tie_embeddings=tied)
    verify_reading(model, "auto")  # leaves "documents" as the attention, which nobody else knows
    folder = _saved(model, tokenizer, tmp_path / "run" / "model")
    loaded = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    assert loaded.config.use_cache
    assert not model.config.use_cache
    assert loaded.config._attn_implementation != "documents"
    assert (loaded.generation_config.eos_token_id, loaded.generation_config.pad_token_id) == (0, 0)
    stored = load_file(folder / "model.safetensors")
    assert len(stored) == len(list(model.named_parameters()))  # tied ones once
    assert AutoTokenizer.from_pretrained(folder, local_files_only=True)("w5 w7")["input_ids"] == [5, 7]
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip


def test_a_saved_model_ends_where_either_config_or_the_data_say(
    build: Callable[..., Any], tokenizer: Path, tmp_path: Path
) -> None:
    """A chat model's end of turn may stand in its generation config alone."""
    model = build()
    model.generation_config.eos_token_id = [7, 0]
    folder = _saved(model, tokenizer, tmp_path / "model", stop_token_ids=(9, 7))
    stored = json.loads((folder / "generation_config.json").read_text())
    assert stored["eos_token_id"] == [0, 7, 9]
    assert model.generation_config.eos_token_id == [7, 0]
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float32"
    again = _saved(load_folder(folder), folder, tmp_path / "again")
    assert json.loads((again / "generation_config.json").read_text()) == stored


def test_a_tokenizer_that_lies_beside_a_model_brings_only_itself(
    build: Callable[..., Any], tokenizer: Path, tmp_path: Path
) -> None:
    """A phase's tokenizer may come from the folder of the model it began with."""
    old = _saved(build(seed=1), tokenizer, tmp_path / "old")
    model = build(seed=2)
    new = _saved(model, old, tmp_path / "new")
    assert torch.equal(load_file(new / "model.safetensors")["model.norm.weight"], model.model.norm.weight)
    mine = load_file(new / "model.safetensors")["model.embed_tokens.weight"]
    assert torch.equal(mine, model.model.embed_tokens.weight)


def test_a_save_that_fails_leaves_what_was_there(
    build: Callable[..., Any], tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build()
    folder = _saved(model, tokenizer, tmp_path / "model")
    before = (folder / "model.safetensors").read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.model.save.shutil.copyfile", full)
    with pytest.raises(StorageError, match="No space left"):
        save_model(build(seed=9), tokenizer, folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "tokenizer"]
    monkeypatch.undo()
    save_model(build(seed=9), tokenizer, folder)
    assert (folder / "model.safetensors").read_bytes() != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "tokenizer"]


def test_a_run_model_goes_on_from_the_saved_weights(build: Callable[..., Any], tokenizer: Path, home: Home) -> None:
    model = build()
    _saved(model, tokenizer, home.runs / "first" / "model")
    choice = RunModel(kind="run", run="first")
    loaded = build_model(choice, folder=resolve_model(choice, home), vocabulary=Vocabulary(90, 0), seed=1)
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)
    assert loaded.training
    assert not loaded.config.use_cache


def test_more_tokens_than_embeddings_is_an_error(build: Callable[..., Any], tokenizer: Path, tmp_path: Path) -> None:
    folder = _saved(build(), tokenizer, tmp_path / "model")
    choice = PretrainedModel(kind="pretrained", path=str(folder))
    with pytest.raises(UsageError, match="97 tokens, the model embeds 96"):
        build_model(choice, folder=folder, vocabulary=Vocabulary(97, 0), seed=1)


def test_a_missing_tensor_is_an_error_and_not_drawn_anew(
    build: Callable[..., Any], tokenizer: Path, tmp_path: Path
) -> None:
    folder = _saved(build(), tokenizer, tmp_path / "model")
    stored = load_file(folder / "model.safetensors")
    del stored["model.layers.1.mlp.up_proj.weight"]
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"lack 1 tensors .*layers\.1\.mlp\.up_proj"):
        load_folder(folder)


def test_weights_as_pickle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(UsageError, match="safetensors") as caught:
        load_folder(tmp_path)
    assert "pickle" in caught.value.hint


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    folder = tmp_path / "model"
    folder.mkdir()
    classes = {"AutoConfig": "mine.MyConfig", "AutoModelForCausalLM": "mine.MyModel"}
    (folder / "config.json").write_text(json.dumps({"model_type": "mine", "auto_map": classes}))
    (folder / "mine.py").write_text(f"open({str(trace)!r}, 'w')")
    save_file({"x": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_folder(folder)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (PretrainedModel(kind="pretrained", path="/no/such/folder"), "there is no folder"),
        (PretrainedModel(kind="pretrained", path="a/b/c"), "there is no folder"),
        (GGUFModel(kind="gguf", path="/no/such.gguf"), "does not exist"),
        (GGUFModel(kind="gguf", path="smollm2"), "not on this machine"),
        (RunModel(kind="run", run="nothing"), "does not exist"),
    ],
)
def test_a_model_that_is_not_there_is_an_error_with_advice(choice: Any, words: str, home: Home) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        resolve_model(choice, home)
    assert caught.value.hint


def test_a_run_without_a_model_says_so(home: Home) -> None:
    (home.runs / "first").mkdir(parents=True)
    with pytest.raises(UsageError, match="has made no model"):
        resolve_model(RunModel(kind="run", run="first"), home)


def test_scratch_needs_no_folder(home: Home) -> None:
    scratch = ScratchModel(kind="scratch", layers=1, hidden_size=8, heads=1)
    assert resolve_model(scratch, home) is None


def test_the_hub_gives_safetensors_only(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub stands in: a repository that has only .bin weights comes without any."""
    asked: dict[str, Any] = {}

    def download(name: str, **keywords: Any) -> str:
        asked.update(name=name, **keywords)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    choice = PretrainedModel(kind="pretrained", path="some/model", revision="v2")
    with pytest.raises(UsageError, match=r"no weights as \.safetensors"):
        resolve_model(choice, home)
    assert (asked["name"], asked["revision"]) == ("some/model", "v2")
    assert not any(pattern.endswith((".bin", ".py", "*")) for pattern in asked["allow_patterns"])
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert resolve_model(choice, home) == tmp_path


def test_an_adapter_among_its_own_bases_is_refused(home: Home) -> None:
    for name, base in (("first", "second"), ("second", "first")):
        folder = home.runs / name / "model"
        folder.mkdir(parents=True)
        write_record(folder, AdapterRecord(model={"kind": "run", "run": base}, digest="ab" * 32, vocabulary_size=9))
    with pytest.raises(UsageError, match="which begins with itself"):
        base_of(home.runs / "first" / "model", home)
