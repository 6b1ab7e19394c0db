"""The result of a run put into a folder of its own, to be used elsewhere."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from core.errors import StorageError, UsageError
from core.queries.model import Say
from core.queries.question import Question
from core.run.directory import Home, RunDirectory

_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9}


class ExportQuestion(Question):
    """Which run, into which folder, and in which form.

    adapter_only: the adapter as peft has it, without its base. dtype: how weights are stored; null: as the run's model
    or the adapter's base has them. gguf: a GGUF file besides. push: the name on the hub to upload to, "" for none.

    Answer: folder, form (full, merged, adapter), dtype, files, bytes, merge and gguf (differences of logits, or null),
    pushed (where on the hub, "" for nowhere), private.
    """

    run: str = Field(min_length=1, max_length=4096)
    to: str = Field(min_length=1, max_length=4096)
    adapter_only: bool = False
    dtype: Literal["fp32", "bf16", "fp16"] | None = None
    max_shard_size: str = "5GB"
    gguf: bool = False
    push: str = Field(default="", max_length=255)
    private: bool = True


def export(question: ExportQuestion, say: Say, home: Home, environment: Mapping[str, str]) -> dict[str, Any]:
    """Write the folder, whole or not at all, and upload it where that is asked for.

    `environment` says where a converter is.

    Raises: UsageError for a run without a model, a folder that is there already, or what does not fit together;
    StorageError without room; what merging, converting and uploading raise.
    """
    from core.model.export import Wish, plan_export, write_export
    from core.model.placing import placed_whole
    from core.model.push import check_push, push
    from core.model.run_record import read_run

    def progress(stage: str, done: float, total: float | None, unit: str) -> None:
        say({"type": "progress", "stage": stage, "done": done, "total": total, "unit": unit})

    run, destination = RunDirectory(Path(question.run)), Path(question.to)
    wish = Wish(question.adapter_only, question.dtype, shard_bytes(question.max_shard_size), question.gguf)
    record = read_run(run)
    _check_place(destination, run)
    if question.push:
        check_push(question.push, private=question.private)
    plan = plan_export(run, home, wish, environment=environment, progress=progress)
    _check_space(destination, plan.bytes_needed)
    with placed_whole(destination, replace=False) as folder:
        made = write_export(plan, folder, record, name=destination.name, progress=progress)
    pushed = ""
    if question.push:
        progress("uploading", 0, 1, "folders")
        pushed = push(destination, question.push, private=question.private)
    files = [path for path in destination.rglob("*") if path.is_file()]
    return {
        "folder": str(destination),
        "form": made.form,
        "dtype": made.dtype,
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "merge": made.merge.as_json() if made.merge else None,
        "gguf": {**made.gguf.as_json(), "file": made.gguf.file.name} if made.gguf else None,
        "pushed": pushed,
        "private": question.private,
    }


def shard_bytes(text: str) -> int:
    """Return the bytes of a size such as 5GB or 500MB. Raises: UsageError."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([KMG])B", text)
    size = round(float(found[1]) * _UNITS[found[2]]) if found else 0
    if size <= 0:
        raise UsageError(f"--max-shard-size {text}", hint="A number with KB, MB or GB, such as 5GB or 500MB.")
    return size


def _check_place(destination: Path, run: RunDirectory) -> None:
    if destination.resolve().is_relative_to(run.path.resolve()):
        raise UsageError(
            f"{destination} lies in the folder of the run itself, where nothing else belongs",
            hint="Name another folder with --to.",
        )
    if os.path.lexists(destination):
        raise UsageError(
            f"{destination} is there already", hint="Name another folder with --to, or move that one away."
        )
    above = next(path for path in destination.parents if os.path.lexists(path))
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UsageError(
            f"{destination} cannot be made: {above} is no folder that you may write to",
            hint="Name another folder with --to.",
        )


def _check_space(destination: Path, need: int) -> None:
    above = next(path for path in destination.parents if path.is_dir())
    free = shutil.disk_usage(above).free
    if need > free:
        raise StorageError(
            f"the export takes {need / 1e9:.2f} GB, the disk of {above} has {free / 1e9:.2f} GB",
            hint="Free some space, name a folder on another disk with --to, or store less with --dtype bf16.",
        )
