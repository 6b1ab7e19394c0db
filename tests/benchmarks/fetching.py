"""Fetches the real model in a process of its own: `python -m tests.benchmarks.fetching HOME`."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Fetch SmolLM2 where it is not there yet, and print its folder."""
    from core.model.fetch import fetch_smollm2
    from core.run.directory import Home

    print(json.dumps({"folder": str(fetch_smollm2(Home(Path(sys.argv[1]))).resolve())}))


if __name__ == "__main__":
    main()
