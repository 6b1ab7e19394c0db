"""Low-rank additions to a frozen model, through peft: put on, written, and put on again.

The layers are injected into the transformers model itself, so that everything that reads, packs, compiles, evaluates
or writes with a model sees an ordinary one.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.config.adapter import LoRA, QLoRA
from core.errors import CheckpointError, UsageError
from core.model.active_adapter import recompute_under_its_adapter
from core.model.base_record import AdapterRecord, check_base, read_record, write_record
from core.model.embeddings import embedding_matrices, freeze_output_head, grow_embeddings
from core.model.injection import DEFAULT, adapter_of, check_layers, inject, lora_config, trained_rows
from core.model.load import load_folder
from core.model.placing import placed_whole
from core.model.quantized import computing_in
from core.model.save import copy_tokenizer, ending_at
from core.model.scalar_head import HEAD_NAMES, HeadName, add_head, head_of
from core.model.targets import adapted_layers
from core.model.verification import undisturbed

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."  # what peft puts before the names of its own model
_TOKENS = 16
_TOLERANCE = 1e-4
"""Largest difference of logits at the start with DoRA, as a share of the largest one: it divides and multiplies by the
norm of each weight column. Without it the start is the base bit for bit."""


@dataclass(frozen=True)
class Part:
    """One adapter of a model, and the heads of one number that are trained and saved with it."""

    name: str = DEFAULT
    heads: tuple[HeadName, ...] = ()

    def has(self, parameter: str) -> bool:
        """Tell whether a parameter of the model belongs here, if it is trained at all."""
        adapter, head = adapter_of(parameter), head_of(parameter)
        return adapter == self.name if adapter is not None else head is None or head in self.heads

    def is_alone_in(self, parameter: str) -> bool:
        """Tell whether a parameter is of this adapter or its heads, and not of the model that other adapters share."""
        return adapter_of(parameter) == self.name or head_of(parameter) in self.heads


def attach(model: Any, adapter: LoRA | QLoRA, *, seed: int, added_token_ids: Sequence[int] = ()) -> Any:
    """Return `model` with the section's additions in its layers, frozen but for them, in float32.

    A is drawn from `seed` and B is zero: the logits are those of the base. With embeddings: new_tokens the rows of
    `added_token_ids` are trained too, in the embeddings and in the head, with whole the two matrices.
    Raises: UsageError for targets that the model has not, or where the start would not be the base.
    """
    names = adapted_layers(model, adapter.targets)
    config = lora_config(model, adapter, names, trained_rows(model, adapter, names, added_token_ids))
    before = fixed_logits(model)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        inject(model, config, with_embeddings=adapter.embeddings == "whole")
    check_layers(model, names)
    check_start(model, before, dora=adapter.dora)
    recompute_under_its_adapter(model)
    return model


def check_start(model: Any, before: Tensor, *, dora: bool) -> None:
    """Refuse additions that are not nothing at their start; `before` is what `fixed_logits` gave without them.

    Raises: UsageError.
    """
    tolerance = _TOLERANCE if dora else 0.0
    difference = (fixed_logits(model) - before).abs().max() / before.abs().max().clamp_min(1e-30)
    if not difference <= tolerance:
        raise UsageError(
            f"additions of zero change the logits of {type(model).__name__} by {difference:.1e} of the largest one",
            hint="Set adapter.embeddings to frozen, or adapter.dora to false: peft does not hold for them here.",
        )


def fixed_logits(model: Any) -> Tensor:
    """Return the logits of some tokens, in float32, or under autocast where frozen weights are stored narrow."""
    embedding = embedding_matrices(model)[0]
    ids = torch.arange(_TOKENS, device=embedding.device)[None] % len(embedding)
    narrow = {p.dtype for p in model.parameters()} & {torch.bfloat16, torch.float16}
    under = torch.autocast(ids.device.type, next(iter(narrow), None), enabled=bool(narrow))
    with undisturbed(model), torch.no_grad(), computing_in(model, torch.float32), under:
        logits: Tensor = model(input_ids=ids, use_cache=False).logits
    return logits


def adapter_tensors(model: Any, part: Part = Part()) -> dict[str, Tensor]:
    """Return the trained tensors of one of a model's adapters, under the names of peft's file; they share its memory.

    Raises: CheckpointError where one that is trained has no name there: less than what was trained is never written.
    """
    from peft import get_peft_model_state_dict

    trained = {p.data_ptr(): name for name, p in model.named_parameters() if p.requires_grad and part.has(name)}
    state = _with_all_rows(model, part.name)
    named = get_peft_model_state_dict(model, state, adapter_name=part.name, save_embedding_layers=False)
    named |= {name: tensor.data for name, tensor in model.named_parameters() if adapter_of(name) is None}
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


def _with_all_rows(model: Any, adapter: str) -> dict[str, Tensor]:
    """Return the model's tensors, with empty ones for rows of embeddings that other adapters have and this one has not.

    peft asks every adapter for rows where one has some.
    """
    from peft.utils.other import TrainableTokensWrapper

    tensors: dict[str, Tensor] = model.state_dict()
    for name, module in model.named_modules():
        if isinstance(module, TrainableTokensWrapper):
            tensors.setdefault(f"{name}.token_adapter.trainable_tokens_delta.{adapter}", torch.empty(0))
    return tensors


def save_adapter(
    model: Any,
    destination: Path,
    *,
    record: AdapterRecord,
    tokenizer: Path,
    stop_token_ids: Sequence[int] = (),
    part: Part = Part(),
) -> None:
    """Write an adapter of `model` in peft's layout, with base.json, the tokenizer and how texts end.

    The folder appears when it is complete.
    Raises: CheckpointError where a trained tensor would be left out; StorageError where the disk is full or fails.
    """
    with placed_whole(destination) as folder:
        write_adapter(model, folder, record=record, part=part)
        ending_at(model, stop_token_ids).save_pretrained(folder)
        copy_tokenizer(tokenizer, folder)


def write_adapter(model: Any, folder: Path, *, record: AdapterRecord, part: Part = Part()) -> None:
    """Write an adapter of `model` and base.json into a folder that is there.

    Raises: CheckpointError where a trained tensor would be left out.
    """
    tensors = adapter_tensors(model, part)
    config = copy.deepcopy(model.peft_config[part.name])
    config.base_model_name_or_path = record.model.get("path")  # by which peft's own tools find the base
    config.inference_mode = True
    if part.heads:
        _make_classifier(config, model, part)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS, {"format": "pt"})
    config.save_pretrained(folder)
    _sort_lists(folder / CONFIG)
    write_record(folder, record)


def _make_classifier(config: Any, model: Any, part: Part) -> None:
    """Say in peft's settings that heads are saved beside the additions, and nothing of an output head."""
    config.modules_to_save = list(part.heads)
    config.task_type = "SEQ_CLS" if part.heads == ("score",) else None
    if config.trainable_token_indices:
        head = model.get_output_embeddings()
        names = {name for name, module in model.named_modules() if module is head}
        kept = {name: ids for name, ids in config.trainable_token_indices.items() if name not in names}
        config.trainable_token_indices = kept or None


def _sort_lists(path: Path) -> None:
    """Give what peft wrote from a set the same order every time."""
    values = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(values["target_modules"], list):
        values["target_modules"].sort()
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_adapted(
    base_folder: Path,
    adapter_folder: Path,
    *,
    quantized: bool,
    device: torch.device | None = None,
    scoring: bool = False,
) -> Any:
    """Return the base with the adapter beside its weights, in evaluation mode, with nothing to train.

    With `quantized` the base is in 4 bits as it was in the training, where it was; else in float32. With `scoring` it
    may be a reward model, which then has its head `score`.
    Raises: UsageError for another base than the recorded one, for tensors that are missing, unexpected or of another
    shape; for a reward model that was not asked for.
    """
    from transformers import GenerationConfig

    record = read_record(adapter_folder)
    check_base(record, base_folder)
    tensors, config = read_adapter(adapter_folder)
    part = Part(heads=heads_in(tensors))
    if part.heads and not scoring:
        raise UsageError(
            f"{adapter_folder} holds a reward model, which scores texts and writes none",
            hint="Name a language model; `footplate score` gives the scores of a reward model.",
        )
    quantization = record.quantization if quantized else None
    place = device or torch.device("cpu")
    model = load_folder(base_folder, quantization=quantization, device=place, scoring=scoring)
    grow_embeddings(model, vocabulary_size=record.vocabulary_size, added=len(record.added_tokens))
    with torch.random.fork_rng(devices=[]), known_as_usage(adapter_folder):
        inject(model, config, with_embeddings=record.embeddings_trained)
    for head in part.heads:
        freeze_output_head(model)
        add_head(model, head, seed=0)
    fill_adapter(model, tensors, adapter_folder, part)
    if (adapter_folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(adapter_folder)
    model.requires_grad_(False)
    model.eval()  # peft's dropouts are new, and new modules are in training mode
    return model.to(device) if device is not None else model


def read_adapter(folder: Path) -> tuple[dict[str, Tensor], Any]:
    """Return the tensors and the settings of an adapter's folder."""
    from peft import LoraConfig

    try:
        kind = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("peft_type")
        tensors = load_file(folder / WEIGHTS)
    except Exception as error:  # safetensors has exceptions of its own
        raise UsageError(f"{folder} holds no adapter that can be read: {error}") from error
    if kind != "LORA":
        raise UsageError(f"{folder / CONFIG}: peft_type is {kind}, expected LORA")
    with known_as_usage(folder):
        config = LoraConfig.from_pretrained(str(folder))
    config.inference_mode = False  # it would hide from `adapter_tensors` what was trained
    config.modules_to_save = None  # heads are put on by hand: peft would wrap them
    return tensors, config


@contextmanager
def known_as_usage(folder: Path) -> Iterator[None]:
    """Run the block in which peft says that the settings in `folder` do not hold, and say so as a UsageError."""
    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{folder / CONFIG} does not hold for its base: {error}") from error


def heads_in(tensors: Mapping[str, Tensor]) -> tuple[HeadName, ...]:
    """Return the heads of one number that an adapter's file holds."""
    return tuple(name for name in HEAD_NAMES if f"{_PREFIX}{name}.weight" in tensors)


def fill_adapter(model: nn.Module, tensors: Mapping[str, Tensor], folder: Path, part: Part = Part()) -> None:
    """Put the tensors of an adapter's folder into the model.

    Raises: UsageError where some are missing, unexpected or of another shape.
    """
    wanted = adapter_tensors(model, part)
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
