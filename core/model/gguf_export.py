"""A model's folder written as a GGUF file by llama.cpp's converter, read back and compared."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import core
from core.errors import DataError, NumericError, UsageError
from core.model.comparison import Difference, difference, logits_on, token_rows
from core.model.converter import Converter
from core.model.gguf import Progress, convert_gguf, silent
from core.model.load import load_folder

OutType = Literal["f32", "f16", "bf16"]
_TOLERANCES: dict[OutType, float] = {"f32": 1e-5, "f16": 2e-2, "bf16": 1e-1}
"""Largest difference as a share of the largest logit. A weight keeps 24, 11 and 8 bits; what rounding moves the logits
by grows with depth. Two heads exchanged, or a norm left out, moves them by more than the largest logit."""
_SOURCE = Path(core.__file__).resolve().parent.parent
_TEXT = "def f(x):\n    return x  # 12345 it's a test, isn't it?\n\tThe loss falls … 🙂\n"


@dataclass(frozen=True)
class GGUFReport:
    """A GGUF file, and how far it is from the folder that it was made of."""

    file: Path
    outtype: OutType
    logits: Difference

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**asdict(self), "file": str(self.file)}


def write_gguf(
    folder: Path, file: Path, *, outtype: OutType, converter: Converter, progress: Progress = silent
) -> GGUFReport:
    """Write the model in `folder` as `file`, read that back, and compare its logits and its tokens.

    Raises: UsageError where the converter cannot convert it; NumericError or DataError where what is read back is
    another model, or another tokenizer. The file is not there then.
    """
    progress("writing GGUF", 0, 2, "steps")
    _run(converter, folder, file, outtype)
    progress("writing GGUF", 1, 2, "steps")
    try:
        report = GGUFReport(file, outtype, _compared(folder, file, outtype))
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    progress("writing GGUF", 2, 2, "steps")
    return report


def _run(converter: Converter, folder: Path, file: Path, outtype: OutType) -> None:
    command = [sys.executable, "-m", "core.model.gguf_runner", str(converter.script)]
    command += [str(folder), "--outfile", str(file), "--outtype", outtype]
    ended = subprocess.run(
        command, cwd=_SOURCE, env=dict(converter.environment), capture_output=True, text=True, errors="replace",
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if ended.returncode or not file.is_file():
        file.unlink(missing_ok=True)
        words = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
        raise UsageError(
            f"{converter.script} could not convert the model: {words[-1] if words else ended.returncode}",
            hint="It converts the architectures and tokenizers that llama.cpp runs. A newer llama.cpp may know more: "
            "set LLAMA_CPP to a checkout of it.",
        )


def _compared(folder: Path, file: Path, outtype: OutType) -> Difference:
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".gguf-check-") as name:
        back = convert_gguf(file, Path(name))
        _compare_tokens(folder, back)
        model = load_folder(folder)
        rows = token_rows(model)
        right = logits_on(model, rows)
        del model
        found = difference(logits_on(load_folder(back), rows), right)
    if not found.relative <= _TOLERANCES[outtype]:
        raise NumericError(
            f"the GGUF file's logits differ by {found.relative:.1e} of the largest one, expected at most "
            f"{_TOLERANCES[outtype]:.0e} for {outtype}: it was deleted",
            hint="The converter, or the reader of transformers, does not know this architecture well enough.",
        )
    return found


def _compare_tokens(folder: Path, back: Path) -> None:
    from tokenizers import Tokenizer

    one, other = (Tokenizer.from_file(str(place / "tokenizer.json")) for place in (folder, back))
    right = one.encode(_TEXT, add_special_tokens=False).ids
    found = other.encode(_TEXT, add_special_tokens=False).ids
    if found != right:
        raise DataError(
            f"the GGUF file's tokenizer reads a text as {found[:12]} and so on, expected {right[:12]}: it was deleted",
            hint="The converter does not know this tokenizer well enough; the folder without --gguf is right.",
        )
