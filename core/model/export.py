"""The folder that an export is: a whole model, a merged one, or an adapter; with its card, and GGUF where asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.model.adapters import CONFIG, WEIGHTS
from core.model.base_record import FILE, AdapterRecord, is_adapter, read_record
from core.model.card import Exported, Form, card
from core.model.converter import Converter, find_converter
from core.model.gguf import Progress
from core.model.gguf_export import OutType, write_gguf
from core.model.load import load_folder
from core.model.merge import TYPES, MergeReport, StoredType, merge_into, rounded, tensor_headers, type_of_weights
from core.model.resolve import base_of
from core.model.reward_model import write_result
from core.model.reward_record import FILE as REWARD
from core.model.reward_record import is_reward
from core.model.run_record import RunRecord
from core.model.save import copy_tokenizer
from core.run.directory import Home, RunDirectory

_BYTES: dict[StoredType, int] = {"fp32": 4, "bf16": 2, "fp16": 2}
_OUTTYPES: dict[StoredType, OutType] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_SPARE_BYTES = 64_000_000
"""For a tokenizer, the card, and what else is small."""


@dataclass(frozen=True)
class Wish:
    """In which form to export: dtype None stores weights as they are stored now."""

    adapter_only: bool = False
    dtype: StoredType | None = None
    max_shard_bytes: int = 5 * 10**9
    gguf: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to be written, once it is known that it can be.

    base: the folder of an adapter's base, None for a whole model or where it is not needed.
    """

    run: RunDirectory
    wish: Wish
    dtype: StoredType
    parameters: int
    record: AdapterRecord | None = None
    base: Path | None = None
    converter: Converter | None = None

    @property
    def bytes_needed(self) -> int:
        """Room that the export takes while it is made: a GGUF file is read back into float32 beside it."""
        if self.wish.adapter_only:
            return sum(path.stat().st_size for path in self.run.model.iterdir()) + _SPARE_BYTES
        one = self.parameters * _BYTES[self.dtype]
        return one + (one + self.parameters * _BYTES["fp32"] if self.wish.gguf else 0) + _SPARE_BYTES


def plan_export(
    run: RunDirectory, home: Home, wish: Wish, *, environment: Mapping[str, str], progress: Progress
) -> Plan:
    """Return what to write. Raises: UsageError where the run's model cannot be exported so, before any work."""
    _check_whole(run)
    if wish.gguf and is_reward(run.model):
        raise UsageError(
            f"{run.name} made a reward model: a GGUF file holds models that write text",
            hint="Leave --gguf out: the export is for transformers.",
        )
    if wish.adapter_only:
        return _adapter_alone(run, wish)
    converter = find_converter(home, environment) if wish.gguf else None
    if not is_adapter(run.model):
        stored = wish.dtype or type_of_weights(run.model)
        return Plan(run, wish, stored, _count(run.model), converter=converter)
    record, base = read_record(run.model), base_of(run.model, home, progress=progress)
    stored = wish.dtype or type_of_weights(base)
    return Plan(run, wish, stored, _count(base), record, base, converter)


def _check_whole(run: RunDirectory) -> None:
    """Refuse a run's model of which something is gone that an export would go out without."""
    needed = [WEIGHTS, CONFIG, FILE, "tokenizer.json"] if is_adapter(run.model) else ["tokenizer.json"]
    if gone := [name for name in needed if not (run.model / name).is_file()]:
        raise UsageError(f"{run.model} lacks {gone[0]}", hint="The run wrote it at its end: put it back.")


def _adapter_alone(run: RunDirectory, wish: Wish) -> Plan:
    if not is_adapter(run.model):
        raise UsageError(
            f"{run.name} trained all parameters: there is no adapter to export alone",
            hint="Leave --adapter-only out.",
        )
    if wish.gguf or wish.dtype is not None:
        raise UsageError(
            "an adapter alone is exported as it was trained, in float32 and for peft",
            hint="--dtype and --gguf are for whole models: leave --adapter-only out, or them.",
        )
    return Plan(run, wish, "fp32", _count(run.model), read_record(run.model))


def write_export(plan: Plan, folder: Path, run: RunRecord, *, name: str, progress: Progress) -> Exported:
    """Fill an empty folder; `name` is for the GGUF file. Raises: what merging and converting raise; OSError."""
    merge: MergeReport | None = None
    if plan.wish.adapter_only:
        _copy_adapter(plan.run.model, folder)
    elif plan.base is not None:
        merge = merge_into(
            folder, plan.run.model, plan.base, dtype=plan.dtype, max_shard_bytes=plan.wish.max_shard_bytes,
            progress=progress,
        )  # fmt: skip
    else:
        progress("writing", 0, 1, "models")
        model = rounded(load_folder(plan.run.model, scoring=True), plan.dtype).to(TYPES[plan.dtype])
        write_result(model, plan.run.model, folder, max_shard_bytes=plan.wish.max_shard_bytes)
        del model
        progress("writing", 1, 1, "models")
    gguf = None
    if plan.converter is not None:
        outtype = _OUTTYPES[plan.dtype]
        gguf = write_gguf(
            folder, folder / f"{name}-{outtype}.gguf", outtype=outtype, converter=plan.converter, progress=progress
        )
    form: Form = "adapter" if plan.wish.adapter_only else "full" if merge is None else "merged"
    made = Exported(form, plan.dtype, _count(folder), hub_name(plan.record), plan.record, merge, gguf)
    (folder / "README.md").write_text(card(run, made), encoding="utf-8")
    return made


def hub_name(record: AdapterRecord | None) -> str:
    """Return the name on the hub of an adapter's base, "" where it is not known to be from there."""
    if record is None or record.model.get("kind") != "pretrained":
        return ""
    path = str(record.model.get("path", ""))
    return "" if path.startswith(("/", ".", "~")) or path.count("/") > 1 or Path(path).exists() else path


def _copy_adapter(source: Path, folder: Path) -> None:
    """Copy the adapter in peft's layout; a base that is a place on this machine is named by its last part only."""
    for name in (WEIGHTS, "generation_config.json", REWARD):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    copy_tokenizer(source, folder)
    record = read_record(source)
    values: dict[str, Any] = json.loads((source / CONFIG).read_text(encoding="utf-8"))
    section = dict(record.model)
    if not hub_name(record):
        values["base_model_name_or_path"] = None
        if "path" in section:
            section["path"] = Path(str(section["path"])).name
    (folder / CONFIG).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    changed = record.model_copy(update={"model": section})
    (folder / FILE).write_text(changed.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _count(folder: Path) -> int:
    """Return how many numbers a folder's safetensors files hold: its parameters, tied ones once."""
    total = 0
    for tensor in tensor_headers(folder):
        numbers = 1
        for size in tensor["shape"]:
            numbers *= size
        total += numbers
    return total
