"""The model of a training run: built, adapted, checked, and what its result must say of its base."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from core.config.adapter import Full, LoRA, QLoRA
from core.config.model import GGUFModel, Model, PretrainedModel
from core.config.phases import TrainingConfig
from core.data.manifest import Manifest
from core.errors import UsageError
from core.model.base_record import AdapterRecord, Quantization, weights_digest
from core.model.compile import compile_layers
from core.model.fetch import SMOLLM2
from core.model.load import Vocabulary, build_model
from core.model.quantized import computing_in, count_parameters, quantization_of, weight_bytes
from core.model.reading import Reading
from core.model.verification import verify_reading
from core.training.device import TORCH_DTYPES, Dtype


@dataclass(frozen=True)
class Trainable:
    """A model on its device, how it reads packed documents as checked on this very model, and the run's facts on it.

    base_digest: of the folder that it was loaded from, "" for one from scratch. record: what an adapter's result says
    of its base, None where the whole model is trained.
    """

    model: PreTrainedModel
    reading: Reading
    facts: dict[str, str | int | float | bool]
    base_digest: str
    record: AdapterRecord | None


def trainable_model(
    config: TrainingConfig, manifest: Manifest, folder: Path | None, *, device: torch.device, dtype: Dtype
) -> Trainable:
    """Return the model that `config` trains; `folder` is where it lies, None for one from scratch.

    Raises: UsageError where the model, its adapter or its attention does not hold.
    """
    adapter = config.adapter
    added = 0 if folder is None else len(manifest.added_tokens)
    quantization = quantization_of(adapter, dtype) if isinstance(adapter, QLoRA) else None
    model = build_model(
        config.model,
        folder=folder,
        vocabulary=Vocabulary(manifest.vocabulary_size, manifest.end_token_id, added),
        seed=config.seed,
        quantization=quantization,
        device=device,
    )
    _check_length(model, config.batch.sequence_length)
    if isinstance(adapter, LoRA | QLoRA):
        from core.model.adapters import attach

        ids = range(manifest.vocabulary_size - added, manifest.vocabulary_size)
        attach(model, adapter, seed=config.seed, added_token_ids=ids)
    # On CUDA half precision picks other attention kernels, so the check runs under it; on a CPU it does not.
    autocast = TORCH_DTYPES[dtype] if device.type == "cuda" and dtype != "fp32" else None
    with computing_in(model, torch.float32):
        reading = verify_reading(model, config.model.attention, autocast=autocast)
    frozen = _store_frozen(model, adapter, dtype)
    if config.model.compile:
        compile_layers(model)
    facts: dict[str, str | int | float | bool] = {
        "adapter": adapter.kind,
        "parameters": count_parameters(model),
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "weight_bytes": weight_bytes(model),
        **({} if isinstance(adapter, Full) else {"frozen_weights": _frozen_words(quantization, frozen)}),
    }
    digest = "" if folder is None else weights_digest(folder)
    return Trainable(model, reading, facts, digest, _record(config, manifest, folder, digest, quantization))


def _store_frozen(model: PreTrainedModel, adapter: Full | LoRA | QLoRA, dtype: Dtype) -> Dtype:
    """Keep frozen matrices in the type of the products where that changes nothing; return the type that they have."""
    if isinstance(adapter, Full) or dtype == "fp32" or adapter.dora:  # DoRA takes norms of the weights, in float32
        return "fp32"
    from core.model.frozen import store_frozen

    return dtype if store_frozen(model, TORCH_DTYPES[dtype]) else "fp32"


def _frozen_words(quantization: Quantization | None, frozen: Dtype) -> str:
    if quantization is None:
        return frozen
    double = ", scales quantised" if quantization.double else ""
    return f"{quantization.kind}{double}, computed in {quantization.compute_dtype}"


def _record(
    config: TrainingConfig,
    manifest: Manifest,
    folder: Path | None,
    digest: str,
    quantization: Quantization | None,
) -> AdapterRecord | None:
    if folder is None or isinstance(config.adapter, Full):
        return None
    added = manifest.added_tokens
    return AdapterRecord(
        model=_as_named_from_anywhere(config.model).model_dump(mode="json"),
        digest=digest,
        vocabulary_size=manifest.vocabulary_size,
        added_tokens=added,
        added_token_ids=list(range(manifest.vocabulary_size - len(added), manifest.vocabulary_size)),
        embeddings_trained=config.adapter.embeddings == "whole",
        quantization=quantization,
    )


def _as_named_from_anywhere(model: Model) -> Model:
    """Return the section with a path on this machine made absolute."""
    if isinstance(model, PretrainedModel | GGUFModel) and model.path != SMOLLM2:
        path = Path(model.path).expanduser()
        return model.model_copy(update={"path": str(path.absolute())}) if path.exists() else model
    return model


def _check_length(model: PreTrainedModel, length: int) -> None:
    """Refuse sequences for which the model has no positions. Raises: UsageError."""
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit is not None and length > limit:
        raise UsageError(
            f"batch.sequence_length is {length}, the model has {limit} positions",
            hint=f"Give at most {limit}.",
        )
