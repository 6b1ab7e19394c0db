"""A helper process that answers `measure` with figures of its own: `python measuring_helper.py FOLDER`.

FOLDER/slow, FOLDER/refuse and FOLDER/die hold kinds that take long, are refused, or end the helper. Every question is
written to FOLDER/questions.jsonl, with the process that it was asked of.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

SPEEDS = {"full": 100.0, "lora": 175.0, "qlora": 240.0}
PEAKS = {"full": 3.06e9, "lora": 1.7e9, "qlora": 1.36e9}


def answer(kind: str) -> dict[str, Any]:
    return {
        "type": "result", "kind": kind, "tokens_per_second": SPEEDS[kind], "peak_memory_bytes": PEAKS[kind],
        "weight_bytes": 158e6 if kind == "qlora" else 538e6, "optimizer_bytes": 2e6, "trainable_parameters": 921_600,
        "parameters": 135_436_608, "steps": 3, "step_tokens": 1024, "micro_batches": 2, "accumulation": 8,
        "dtype": "bf16", "device": "CPU of a test", "threads": 2, "data": "random tokens", "is_real": False,
    }  # fmt: skip


def main() -> None:
    folder = Path(sys.argv[1])
    for line in sys.stdin:
        question = json.loads(line)
        kind = question["config"].split("adapter:\n  kind: ")[1].split("\n")[0]
        with (folder / "questions.jsonl").open("a") as log:
            log.write(json.dumps({"kind": kind, "pid": os.getpid(), **question}) + "\n")
        print(json.dumps({"type": "progress", "stage": "step", "done": 1, "total": 4, "unit": ""}), flush=True)
        says = {
            name: (folder / name).read_text() if (folder / name).exists() else "" for name in ("slow", "refuse", "die")
        }
        if says["slow"] == kind:
            time.sleep(60)
        if says["die"] == kind:
            sys.exit("the system ended it")
        refused = {"type": "error", "message": "there is not memory enough", "hint": "Buy some.", "exit_code": 7}
        print(json.dumps(refused if says["refuse"] == kind else answer(kind)), flush=True)


if __name__ == "__main__":
    main()
