"""An adapter and its base made into one model, which is compared with the two of them (Hu et al. 2021, section 4.1)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from core.errors import NumericError, UsageError
from core.model.adapters import load_adapted
from core.model.base_record import AdapterRecord, check_base, read_record
from core.model.comparison import Difference, difference, logits_on, scores_on, token_rows
from core.model.gguf import Progress, silent
from core.model.placing import placed_whole
from core.model.reward_model import write_result
from core.model.reward_record import is_reward
from core.run.directory import Home

StoredType = Literal["fp32", "bf16", "fp16"]
TYPES: dict[StoredType, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
MERGE = "merge.json"
_TOLERANCE = 1e-4
"""Largest difference in float32, as a share of the largest logit: W x + s B (A x) and (W + s B A) x are other sums.

Over the 30 layers of SmolLM2 they lay 1.0e-5 apart, and 7.8e-7 when both were computed in float64; a layer that is left
out or scaled wrongly moves logits by 1e-2 and more."""
_NAMES: dict[str, StoredType] = {"F32": "fp32", "BF16": "bf16", "F16": "fp16"}


@dataclass(frozen=True)
class MergeReport:
    """What merging changed, over fixed rows of tokens, against the model with the adapter beside its weights.

    merged: both in float32, on the base that the result stores. quantized: against the quantised base that the adapter
    was trained on, None where it was trained on the base as it is. stored: what rounding to `dtype` changed on top,
    None for float32. These two are of a reward model's scores; `merged` is of the output head there too, which sees
    the whole of every hidden state.
    """

    dtype: StoredType
    merged: Difference
    quantized: Difference | None
    stored: Difference | None
    adapter_digest: str
    base_digest: str

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def merge_adapter(
    adapter_folder: Path,
    base_folder: Path,
    destination: Path,
    *,
    dtype: StoredType | None = None,
    progress: Progress = silent,
) -> MergeReport:
    """Write the base with the adapter merged into it, and its tokenizer; the folder appears whole or not at all.

    See `merge_into`. Raises: StorageError where the disk is full or fails; what `merge_into` raises.
    """
    with placed_whole(destination) as folder:
        return merge_into(folder, adapter_folder, base_folder, dtype=dtype, progress=progress)


def merge_into(
    folder: Path,
    adapter_folder: Path,
    base_folder: Path,
    *,
    dtype: StoredType | None = None,
    max_shard_bytes: int | None = None,
    progress: Progress = silent,
) -> MergeReport:
    """Write the merged model into a folder that is there, with merge.json, which says what was merged and how exactly.

    An adapter that was trained on a quantised base is merged into the base that was quantised, which has all its bits.
    Merged in float32; stored in the type of the base's weights unless `dtype` says another.
    Raises: UsageError for another base than the recorded one, or an adapter that is merged already; NumericError where
    the merged model is not the adapter's to 1e-4 of the largest logit, or a weight is beyond what is stored.
    """
    record = _checked(adapter_folder, base_folder)
    stored_type = dtype or type_of_weights(base_folder)
    said_on = scores_on if is_reward(adapter_folder) else logits_on
    progress("merging", 0, 3, "steps")
    on_quantized = None
    if record.quantization is not None:
        quantized = load_adapted(base_folder, adapter_folder, quantized=True, scoring=True)
        rows = _rows(quantized, record)
        on_quantized = said_on(quantized, rows)
        del quantized
    progress("merging", 1, 3, "steps")
    model = load_adapted(base_folder, adapter_folder, quantized=False, scoring=True)
    rows = _rows(model, record)
    before = logits_on(model, rows)
    model = _merged(model)
    after = logits_on(model, rows)
    found = difference(after, before)
    _check(found, adapter_folder)
    progress("merging", 2, 3, "steps")
    exact = said_on(model, rows)
    report = MergeReport(
        dtype=stored_type,
        merged=found,
        quantized=None if on_quantized is None else difference(exact, on_quantized),
        stored=None if stored_type == "fp32" else difference(said_on(rounded(model, stored_type), rows), exact),
        adapter_digest=adapter_digest(adapter_folder),
        base_digest=record.digest,
    )
    write_result(model.to(TYPES[stored_type]), adapter_folder, folder, max_shard_bytes=max_shard_bytes)
    (folder / MERGE).write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")
    progress("merging", 3, 3, "steps")
    return report


def merged_folder(adapter_folder: Path, base_folder: Path, home: Home, *, progress: Progress = silent) -> Path:
    """Return the folder with the merged model below the home's cache, in float32; it is made the first time.

    Raises: as `merge_adapter`.
    """
    record = _checked(adapter_folder, base_folder)
    check_base(record, base_folder)  # also where nothing is left to merge
    key = hashlib.sha256(f"{record.digest} {adapter_digest(adapter_folder)}".encode()).hexdigest()
    folder = home.cache / "models" / f"merged-{key}"
    if not (folder / MERGE).is_file():
        try:
            with placed_whole(folder, replace=folder.exists()) as unfinished:
                merge_into(unfinished, adapter_folder, base_folder, dtype="fp32", progress=progress)
        except UsageError:
            if not (folder / MERGE).is_file():  # else another run has made it meanwhile, and may be reading it
                raise
    return folder


def adapter_digest(folder: Path) -> str:
    """Return a SHA-256 over the names and contents of all files beside an adapter, its tokenizer among them."""
    whole = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            whole.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def type_of_weights(folder: Path) -> StoredType:
    """Return the type in which a model's folder stores most of its weights; fp32 for any but the three."""
    found: Counter[str] = Counter()
    for tensor in tensor_headers(folder):
        begin, end = tensor["data_offsets"]
        found[tensor["dtype"]] += end - begin
    return _NAMES.get(found.most_common(1)[0][0], "fp32") if found else "fp32"


def tensor_headers(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield dtype, shape and data_offsets of each tensor in a folder's safetensors files, without reading its numbers.

    A file begins with the length of its header in 8 bytes, and the header as JSON.
    """
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        yield from (tensor for name, tensor in header.items() if name != "__metadata__")


def _checked(adapter_folder: Path, base_folder: Path) -> AdapterRecord:
    """Return the record of an adapter once it is known to be one, and not to be merged already."""
    if (adapter_folder / MERGE).is_file() or (adapter_folder / "config.json").is_file():
        what = "was merged already" if (adapter_folder / MERGE).is_file() else "is a whole model"
        raise UsageError(
            f"{adapter_folder} {what}: there is no adapter in it to merge",
            hint="Use the folder as it is.",
        )
    record = read_record(adapter_folder)
    try:
        merged = json.loads((base_folder / MERGE).read_bytes())["adapter_digest"]
    except (OSError, ValueError, KeyError, TypeError):
        merged = None
    if merged == adapter_digest(adapter_folder):
        raise UsageError(
            f"{adapter_folder} is merged into {base_folder} already: once more would add it twice",
            hint="Use the merged folder as it is, or merge into the base that the adapter was trained on.",
        )
    return record


def _rows(model: Any, record: AdapterRecord) -> list[torch.Tensor]:
    return token_rows(model, vocabulary_size=record.vocabulary_size, also=record.added_token_ids)


def _check(found: Difference, adapter_folder: Path) -> None:
    if not found.relative <= _TOLERANCE:
        raise NumericError(
            f"merging {adapter_folder} changes the logits by {found.relative:.1e} of the largest one, expected at "
            f"most {_TOLERANCE:.0e}: nothing was written",
            hint="Export the adapter alone (--adapter-only): merged it would not be the model that was trained.",
        )


def _merged(model: Any) -> Any:
    """Return the model with each addition in its weights and no layer of peft left; it is the same object."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    was_tied = model.config.tie_word_embeddings
    done: list[str] = []
    for name, layer in list(model.named_modules()):
        if any(name.startswith(f"{outer}.") for outer in done):
            continue  # a part of one that was merged
        if isinstance(layer, AuxiliaryTrainingWrapper):  # embeddings of which some rows were trained
            whole = layer.unload_and_optionally_merge_module(merge=True, safe_merge=True, adapter_names=None)
        elif isinstance(layer, BaseTunerLayer):
            layer.merge(safe_merge=True)
            whole = layer.get_base_layer()
        else:
            continue
        model.set_submodule(name, whole)
        done.append(name)
    del model.peft_config
    if was_tied:
        model.tie_weights()
    return model


def rounded(model: Any, dtype: StoredType) -> Any:
    """Return the model with its weights rounded to `dtype`, still in float32; it is the same object.

    What is computed besides, such as the angles of positions, is not rounded: it is not stored.
    Raises: NumericError where a weight is beyond the numbers of `dtype`.
    """
    for name, parameter in model.named_parameters():
        stored = parameter.data.to(TYPES[dtype])
        if not stored.isfinite().all() and parameter.isfinite().all():
            raise NumericError(
                f"{name} has a weight of {parameter.abs().max():.3g}, which {dtype} cannot hold: nothing was written",
                hint="Store it with --dtype bf16, which reaches as far as fp32.",
            )
        parameter.data = stored.float()
    return model
