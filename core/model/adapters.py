"""Low-rank additions to a frozen model, through peft: put on, written, and put on again.

The layers are injected into the transformers model itself, so that everything that reads, packs, compiles, evaluates
or writes with a model sees an ordinary one.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.config.adapter import LoRA, QLoRA
from core.errors import CheckpointError, UsageError
from core.model.base_record import AdapterRecord, check_base, read_record, write_record
from core.model.embeddings import embedding_matrices, grow_embeddings
from core.model.load import load_folder
from core.model.placing import placed_whole
from core.model.quantized import computing_in
from core.model.save import copy_tokenizer, ending_at
from core.model.targets import adapted_layers, shortest
from core.model.verification import undisturbed

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_NAME = "default"
_PREFIX = "base_model.model."  # what peft puts before the names of its own model
_TOKENS = 16
_TOLERANCE = 1e-4
"""Largest difference of logits at the start with DoRA, as a share of the largest one: it divides and multiplies by the
norm of each weight column. Without it the start is the base bit for bit."""


def attach(model: Any, adapter: LoRA | QLoRA, *, seed: int, added_token_ids: Sequence[int] = ()) -> Any:
    """Return `model` with the section's additions in its layers, frozen but for them, in float32.

    A is drawn from `seed` and B is zero: the logits are those of the base. With embeddings: new_tokens the rows of
    `added_token_ids` are trained too, in the embeddings and in the head, with whole the two matrices.
    Raises: UsageError for targets that the model has not, or where the start would not be the base.
    """
    names = adapted_layers(model, adapter.targets)
    config = _lora_config(model, adapter, names, added_token_ids)
    before = _logits(model)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        _inject(model, config, with_embeddings=adapter.embeddings == "whole")
    _check_layers(model, names)
    _check_start(model, before, tolerance=_TOLERANCE if adapter.dora else 0.0)
    return model


def _lora_config(model: Any, adapter: LoRA | QLoRA, names: list[str], added_token_ids: Sequence[int]) -> Any:
    from peft import LoraConfig
    from transformers.pytorch_utils import Conv1D

    rows = None
    if added_token_ids and adapter.embeddings == "new_tokens":
        _check_head_for_rows(model)
        known = {id(module): name for name, module in model.named_modules()}
        modules = [model.get_input_embeddings(), model.get_output_embeddings()]
        # Tied: peft trains one copy of the rows in both.
        rows = {known[id(module)]: list(added_token_ids) for module in modules[: len(embedding_matrices(model))]}
        if both := rows.keys() & set(names):
            raise UsageError(
                f"adapter.targets: {both.pop()} has rows of new tokens to train, and takes no addition besides",
                hint="Leave it out of adapter.targets, or set adapter.embeddings to whole or frozen.",
            )
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        init_lora_weights=True if adapter.initialisation == "kaiming_uniform" else "gaussian",
        target_modules=shortest(names, model),
        fan_in_fan_out=all(isinstance(model.get_submodule(name), Conv1D) for name in names),
        use_rslora=adapter.rank_stabilised,
        use_dora=adapter.dora,
        trainable_token_indices=rows,
    )


def _check_head_for_rows(model: Any) -> None:
    if getattr(model.get_output_embeddings(), "bias", None) is not None:
        raise UsageError(
            f"the output head of {type(model).__name__} has a bias, which peft leaves out where rows of it are trained",
            hint="Set adapter.embeddings to whole or frozen for this model.",
        )


def _inject(model: Any, config: Any, *, with_embeddings: bool) -> None:
    """Put the layers of `config` into the model, and let them alone be trained, the embeddings besides if asked."""
    from peft import inject_adapter_in_model

    # A layer's additions get the type in which its base computes.
    with warnings.catch_warnings(), computing_in(model, torch.float32):
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out.*")  # peft mends it for each layer
        inject_adapter_in_model(config, model, adapter_name=_NAME)
    if not config.use_dora:  # which takes norms in the type of the input
        # peft would widen the input of an addition to float32, for autocast to narrow it again: a copy, the same bits.
        for module in model.modules():
            if hasattr(module, "lora_A") and hasattr(module, "lora_B"):
                module.cast_input_dtype_enabled = False
    matrices = embedding_matrices(model) if with_embeddings else []
    for matrix in matrices:  # in place, so that tied ones stay one; peft's copy of them would part GPT-2's
        matrix.requires_grad_(True)
    wrong = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad != (_is_of_adapter(name) or any(parameter is matrix for matrix in matrices))
        or (parameter.requires_grad and parameter.dtype is not torch.float32)
    ]
    assert not wrong, f"neither frozen nor trained in float32 as it should be: {wrong[0]}"


def _is_of_adapter(name: str) -> bool:
    return any(part.startswith("lora_") or part == "trainable_tokens_delta" for part in name.split("."))


def _check_layers(model: Any, names: Sequence[str]) -> None:
    found = [name for name, module in model.named_modules() if hasattr(module, "lora_A") and hasattr(module, "lora_B")]
    assert sorted(found) == sorted(names), f"peft put additions on {len(found)} layers instead of {len(names)}"


def _check_start(model: Any, before: Tensor, *, tolerance: float) -> None:
    difference = (_logits(model) - before).abs().max() / before.abs().max().clamp_min(1e-30)
    if not difference <= tolerance:
        raise UsageError(
            f"additions of zero change the logits of {type(model).__name__} by {difference:.1e} of the largest one",
            hint="Set adapter.embeddings to frozen, or adapter.dora to false: peft does not hold for them here.",
        )


def _logits(model: Any) -> Tensor:
    embedding = embedding_matrices(model)[0]
    ids = torch.arange(_TOKENS, device=embedding.device)[None] % len(embedding)
    with undisturbed(model), torch.no_grad(), computing_in(model, torch.float32):
        logits: Tensor = model(input_ids=ids, use_cache=False).logits
    return logits


def adapter_tensors(model: Any) -> dict[str, Tensor]:
    """Return the trained tensors of a model with an adapter, under the names of peft's file; they share its memory.

    Raises: CheckpointError where one that is trained has no name there: less than what was trained is never written.
    """
    from peft import get_peft_model_state_dict

    trained = {parameter.data_ptr(): name for name, parameter in model.named_parameters() if parameter.requires_grad}
    named = get_peft_model_state_dict(model, adapter_name=_NAME, save_embedding_layers=False)
    named |= {name: tensor.data for name, tensor in model.named_parameters() if not _is_of_adapter(name)}
    found: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in named.items():
        if tensor.data_ptr() in trained:
            found.setdefault(tensor.data_ptr(), (f"{_PREFIX}{name}", tensor))
    if lost := [name for pointer, name in trained.items() if pointer not in found]:
        raise CheckpointError(
            f"{len(lost)} tensors were trained and would not be saved, such as {lost[0]}",
            hint="Nothing was written. Please report this with the preset.",
        )
    return dict(found.values())


def save_adapter(
    model: Any, destination: Path, *, record: AdapterRecord, tokenizer: Path, stop_token_ids: Sequence[int] = ()
) -> None:
    """Write the adapter of `model` in peft's layout, with base.json, the tokenizer and how texts end.

    The folder appears when it is complete.
    Raises: CheckpointError where a trained tensor would be left out; StorageError where the disk is full or fails.
    """
    tensors = adapter_tensors(model)
    config = copy.deepcopy(model.peft_config[_NAME])
    config.base_model_name_or_path = record.model.get("path")  # by which peft's own tools find the base
    config.inference_mode = True
    with placed_whole(destination) as folder:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS, {"format": "pt"})
        config.save_pretrained(folder)
        _sort_lists(folder / CONFIG)
        write_record(folder, record)
        ending_at(model, stop_token_ids).save_pretrained(folder)
        copy_tokenizer(tokenizer, folder)


def _sort_lists(path: Path) -> None:
    """Give what peft wrote from a set the same order every time."""
    values = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(values["target_modules"], list):
        values["target_modules"].sort()
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_adapted(
    base_folder: Path, adapter_folder: Path, *, quantized: bool, device: torch.device | None = None
) -> Any:
    """Return the base with the adapter beside its weights, in evaluation mode, with nothing to train.

    With `quantized` the base is in 4 bits as it was in the training, where it was; else in float32.
    Raises: UsageError for another base than the recorded one, for tensors that are missing, unexpected or of another
    shape.
    """
    from transformers import GenerationConfig

    record = read_record(adapter_folder)
    check_base(record, base_folder)
    tensors, config = _read(adapter_folder)
    quantization = record.quantization if quantized else None
    model = load_folder(base_folder, quantization=quantization, device=device or torch.device("cpu"))
    grow_embeddings(model, vocabulary_size=record.vocabulary_size, added=len(record.added_tokens))
    with torch.random.fork_rng(devices=[]), _known_as_usage(adapter_folder):
        _inject(model, config, with_embeddings=record.embeddings_trained)
    _fill(model, tensors, adapter_folder)
    if (adapter_folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(adapter_folder)
    model.requires_grad_(False)
    model.eval()  # peft's dropouts are new, and new modules are in training mode
    return model.to(device) if device is not None else model


def _read(folder: Path) -> tuple[dict[str, Tensor], Any]:
    """Return the tensors and the settings of an adapter's folder."""
    from peft import LoraConfig

    try:
        kind = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("peft_type")
        tensors = load_file(folder / WEIGHTS)
    except Exception as error:  # safetensors has exceptions of its own
        raise UsageError(f"{folder} holds no adapter that can be read: {error}") from error
    if kind != "LORA":
        raise UsageError(f"{folder / CONFIG}: peft_type is {kind}, expected LORA")
    with _known_as_usage(folder):
        config = LoraConfig.from_pretrained(str(folder))
    config.inference_mode = False  # it would hide from `adapter_tensors` what was trained
    return tensors, config


@contextmanager
def _known_as_usage(folder: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{folder / CONFIG} does not hold for its base: {error}") from error


def _fill(model: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> None:
    wanted = adapter_tensors(model)
    wrong = [f"{name} is missing" for name in wanted if name not in tensors]
    wrong += [f"{name} is not expected" for name in tensors if name not in wanted]
    wrong += [
        f"{name} has the shape {list(tensors[name].shape)}, expected {list(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    if wrong:
        raise UsageError(
            f"{folder / WEIGHTS} does not hold what {CONFIG} says: {len(wrong)} tensors differ, {wrong[0]}",
            hint="Take the adapter's folder as its run wrote it.",
        )
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(tensors[name])
