"""What a call of the command is to measure, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """`folder` is a temporary one of this call; `smollm2` the real model's folder, None where it cannot be had.

    `models` and `dtypes` leave the others out; empty ones leave none out. `documents` are those that filters judge
    (JSON lines with a text), `pairs` and `prompts` rows of alignment; `datatrove` is the Python of an environment that
    has it.
    """

    folder: Path
    data: Path | None
    smollm2: Path | None
    threads: int
    quick: bool
    steps: int | None
    models: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    documents: Path | None = None
    datatrove: Path | None = None
    pairs: Path | None = None
    prompts: Path | None = None
