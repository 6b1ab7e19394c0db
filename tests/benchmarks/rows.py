"""Instruction rows for the measurements: from a file, or made by code with the lengths of real ones."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_WRAPPED = re.compile(r".*### Instruction:\n(.*?)\n\n### Response:\s*", re.DOTALL)
_MADE_ROWS = 700
_SYLLABLES = [first + rest for first in "bdfgklmnprstv" for rest in ("a", "e", "i", "o", "u", "ar", "en", "is")]


def write_rows(source: Path | None, target: Path) -> int:
    """Write Alpaca rows (instruction, input, output) as JSON lines and return how many.

    Rows of `source` may also say context for the input and response for the output, or be prompt and response, as
    those of Dolly do. Raises: ValueError where no row can be used.
    """
    rows = list(_read(source)) if source is not None else list(made_rows())
    if not rows:
        raise ValueError(f"{source}: expected rows with instruction and output, found none")
    target.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return len(rows)


def _read(source: Path) -> Iterator[dict[str, str]]:
    text = source.read_text(encoding="utf-8")
    values = json.loads(text) if text.lstrip().startswith("[") else map(json.loads, text.splitlines())
    for row in values:
        if (alpaca := _as_alpaca(row)) and alpaca["instruction"].strip() and alpaca["output"].strip():
            yield alpaca


def _as_alpaca(row: dict[str, Any]) -> dict[str, str] | None:
    output = row.get("output") or row.get("response") or row.get("completion")
    instruction = row.get("instruction") or row.get("prompt")
    if not isinstance(output, str) or not isinstance(instruction, str):
        return None
    if wrapped := _WRAPPED.fullmatch(instruction):
        instruction = wrapped[1]
    return {"instruction": instruction, "input": row.get("input") or row.get("context") or "", "output": output}


def made_rows() -> Iterator[dict[str, str]]:
    """Yield rows whose lengths are spread as Dolly's: medians of 10 and 40 words, a long tail, some with an input."""
    generator = random.Random(17)
    words = ["".join(generator.choices(_SYLLABLES, k=generator.choice((1, 2, 2, 3)))) for _ in range(6000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]  # Zipf, as in any language

    def text(median: float, spread: float, most: int) -> str:
        count = min(most, max(2, round(median * math.exp(generator.gauss(0, spread)))))
        return " ".join(generator.choices(words, weights, k=count)) + "."

    for _ in range(_MADE_ROWS):
        given = text(90, 0.7, 250) if generator.random() < 0.25 else ""
        yield {"instruction": text(10, 0.6, 60), "input": given, "output": text(40, 0.9, 220)}
