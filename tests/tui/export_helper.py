"""A helper process that answers `export` as it is told: `python export_helper.py FOLDER`.

FOLDER/how holds ready, refuse or slow; every question is written to FOLDER/questions.jsonl with the process's number.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

APART = {"largest": 1.2e-6, "mean": 1e-7, "relative": 6.4e-7}


def main() -> None:
    folder = Path(sys.argv[1])
    for text in sys.stdin:
        question = json.loads(text)
        with (folder / "questions.jsonl").open("a") as log:
            log.write(json.dumps({"pid": os.getpid(), **question}) + "\n")
        print(json.dumps({"type": "progress", "stage": "merging", "done": 1, "total": 3, "unit": "steps"}), flush=True)
        how = (folder / "how").read_text()
        if how == "slow":
            time.sleep(60)
        answer = {
            "type": "result", "folder": question["to"], "form": "merged", "dtype": "bf16", "files": 7,
            "bytes": 270_000_000, "merge": {"merged": APART, "quantized": None, "stored": None, "dtype": "bf16"},
            "gguf": None, "pushed": "", "private": True,
        }  # fmt: skip
        refusal = {"type": "error", "message": "the disk [red]is full", "hint": "Free some space.", "exit_code": 8}
        print(json.dumps(refusal if how == "refuse" else answer), flush=True)


if __name__ == "__main__":
    main()
