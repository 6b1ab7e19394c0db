"""Models from numbers, from folders and from names: built or loaded in float32, ready to train."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

import torch
from safetensors import safe_open

from core.config.model import GGUFModel, Model, PresetModel, PretrainedModel, RunModel, ScratchModel
from core.errors import UsageError
from core.model.base_record import Quantization
from core.model.embeddings import grow_embeddings
from core.model.quantized import loading, settle
from core.model.resolve import resolve_model
from core.model.reward_record import is_reward
from core.model.save import save_model
from core.model.scalar_head import add_head

__all__ = ["Vocabulary", "build_model", "load_folder", "resolve_model", "save_model"]

_SCORE = "score.weight"


@dataclass(frozen=True)
class Vocabulary:
    """The tokenizer that a model is built for: its tokens, the last `added` of which the base does not know."""

    size: int
    end_token_id: int
    added: int = 0


def build_model(
    model: Model,
    *,
    folder: Path | None,
    vocabulary: Vocabulary,
    seed: int,
    quantization: Quantization | None = None,
    device: torch.device | None = None,
) -> Any:
    """Return the model of a configuration as a transformers causal language model on `device` (empty: the CPU).

    Weights are float32, but for those that `quantization` keeps in 4 bits; training flags are set, the cache is off.
    Fresh weights are drawn from `seed`, and the global random generators stay where they were. `folder` is what
    `resolve_model` returned. Tokens that were added to the tokenizer get rows.
    Raises: UsageError where the folder holds no such model, or fewer embeddings than the tokenizer has tokens.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        match model:
            case ScratchModel():
                built = _fresh(model, vocabulary)
            case PretrainedModel() | GGUFModel() | RunModel() | PresetModel():
                assert folder is not None
                # Whether a reward model may be begun with is asked where the folder is found.
                built = load_folder(folder, quantization=quantization, device=device, scoring=True)
                grow_embeddings(built, vocabulary_size=vocabulary.size, added=vocabulary.added)
            case _:
                assert_never(model)
    _check_vocabulary(built, vocabulary.size)
    built.config.use_cache = False
    built.train()
    if model.gradient_checkpointing:
        built.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    return built.to(device) if device is not None else built


def load_folder(
    folder: Path,
    *,
    quantization: Quantization | None = None,
    device: torch.device | None = None,
    scoring: bool = False,
) -> Any:
    """Return the causal language model in `folder`, in float32 and evaluation mode.

    With `quantization` the weights of its linear layers, but for the output head, are kept in 4 bits; they are made so
    on `device`, which is meant for this case. With `scoring` the folder may hold a reward model: then the model has its
    head `score`, and an output head that says nothing where it is no part of the body.
    Raises: UsageError for a folder without config.json or safetensors, with code of its own, or with weights missing;
    for a classifier, unless it is a reward model and asked for.
    """
    from transformers import AutoModelForCausalLM

    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise UsageError(
            f"{folder} holds no model: config.json and weights as .safetensors are needed",
            hint="Weights as .bin are pickles and are not read: convert them with their own tools first.",
        )
    how = {} if quantization is None else loading(quantization, device or torch.device("cpu"))
    try:
        # A head that is not there is drawn, also the output head of a reward model; transformers would print a table of
        # what a reward model lacks and has left over.
        quiet = _without_warnings() if scoring and is_reward(folder) else nullcontext()
        with torch.random.fork_rng(devices=[]), quiet:
            loaded, report = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=torch.float32,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **how,
            )
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        raise UsageError(
            f"the model in {folder} cannot be loaded: {error}",
            hint="Code that comes with a model is never run; the architecture must be one that transformers has.",
        ) from error
    is_scorer = _check_kind(folder, report["unexpected_keys"], scoring=scoring)
    absent = sorted(map(str, report["missing_keys"])) + sorted(map(str, report["mismatched_keys"]))
    if is_scorer:
        absent = [name for name in absent if not _is_of_output_head(loaded, name)]
    if absent:
        raise UsageError(
            f"the weights in {folder} lack {len(absent)} tensors of {type(loaded).__name__}, such as {absent[0]}",
            hint="The folder may hold another kind of model, or a download may be incomplete.",
        )
    if quantization is not None:
        settle(loaded)
    if is_scorer:
        _put_score(loaded, folder)
    return loaded


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Run the block with only errors of transformers written to the log."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _check_kind(folder: Path, unexpected: Iterable[str], *, scoring: bool) -> bool:
    """Return whether the folder holds a reward model. Raises: UsageError where it is no model of what is asked for."""
    is_scorer = is_reward(folder)
    if is_scorer and not scoring:
        raise UsageError(
            f"{folder} holds a reward model, which scores texts and writes none",
            hint="Name a language model; `footplate score` gives the scores of a reward model.",
        )
    if not is_scorer and _SCORE in unexpected:
        raise UsageError(
            f"{folder} holds a sequence classifier, expected a language model",
            hint="A classifier can be one of the rewards of ppo and grpo (rewards: kind classifier).",
        )
    return is_scorer


def _is_of_output_head(model: Any, tensor: str) -> bool:
    head = model.get_output_embeddings()
    return any(tensor.startswith(f"{name}.") for name, module in model.named_modules() if module is head)


def _put_score(model: Any, folder: Path) -> None:
    """Give the model the head of scores that a reward model's folder holds. Raises: UsageError where it holds none."""
    head = add_head(model, "score", seed=0)
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            if _SCORE in set(file.keys()):
                with torch.no_grad():
                    head.weight.copy_(file.get_tensor(_SCORE))
                return
    raise UsageError(f"the weights in {folder} lack {_SCORE}", hint="Take the folder as its run wrote it.")


def _fresh(model: ScratchModel, vocabulary: Vocabulary) -> Any:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoModelForCausalLM

    config = _llama if model.architecture == "llama" else _gpt2
    common = {
        "vocab_size": vocabulary.size,
        "use_cache": False,
        "bos_token_id": None,
        "eos_token_id": vocabulary.end_token_id,
        "pad_token_id": vocabulary.end_token_id,
    }
    try:
        return AutoModelForCausalLM.from_config(config(model, common), dtype=torch.float32)
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise UsageError(
            f"model: these numbers make no {model.architecture} model: {error}",
            hint="hidden_size must be a multiple of heads, heads of key_value_heads, and hidden_size/heads be even.",
        ) from error


def _llama(model: ScratchModel, common: dict[str, Any]) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        **common,
        hidden_size=model.hidden_size,
        intermediate_size=model.feed_forward_size or 64 * math.ceil(model.hidden_size * 8 / 3 / 64),
        num_hidden_layers=model.layers,
        num_attention_heads=model.heads,
        num_key_value_heads=model.key_value_heads or model.heads,
        max_position_embeddings=model.context_length,
        rope_parameters={"rope_type": "default", "rope_theta": model.rope_theta},
        tie_word_embeddings=model.tie_embeddings,
        attention_dropout=model.dropout,
    )


def _gpt2(model: ScratchModel, common: dict[str, Any]) -> Any:
    from transformers import GPT2Config

    return GPT2Config(
        **common,
        n_embd=model.hidden_size,
        n_inner=model.feed_forward_size,
        n_layer=model.layers,
        n_head=model.heads,
        n_positions=model.context_length,
        tie_word_embeddings=model.tie_embeddings,
        attn_pdrop=model.dropout,
        embd_pdrop=model.dropout,
        resid_pdrop=model.dropout,
    )


def _check_vocabulary(model: Any, vocabulary_size: int) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if vocabulary_size > rows:
        raise UsageError(
            f"the tokenizer has {vocabulary_size} tokens, the model embeds {rows}: ids from {rows} on have no row",
            hint="Use the tokenizer that belongs to the model (data.tokenizer.kind: model).",
        )
