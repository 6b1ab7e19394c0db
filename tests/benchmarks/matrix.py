"""The rate of matrix products on this machine, and the products that training needs.

`model_flop_utilisation` is the usual 6·N·tokens a second over that rate, N being all parameters, tied ones once: two
operations a parameter and token forwards, four backwards (Kaplan et al. 2020, arXiv:2001.08361, section 2.1).
`done_flop_utilisation` counts what this work really asks for: 6·B for each token, B being the parameters besides the
embeddings; 6·H for each token that has a target, H being vocabulary times width; and for causal attention inside
documents 6·layers·width·Σ length² (the 12·layers·width·length of a token of Chowdhery et al. 2022, arXiv:2204.02311,
appendix B, halved by causality). Where only low-rank additions are trained, 4 takes the place of the 6 of weights: two
operations forwards and two backwards, for a frozen weight needs no gradient; those of the additions are left out.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.referee import alone, environment

_SECONDS = 0.6


def step_flops(facts: dict[str, Any], step: int, *, a_weight: int = 6) -> float:
    """Return the operations that the forward and backward pass of a step ask for, so many a weight and token."""
    body = a_weight * facts["body_parameters"] * facts["tokens"][step]
    head = a_weight * facts["head_parameters"] * facts["targets"][step]
    attention = 6 * facts["layers"] * facts["width"] * facts["square_lengths"][step]
    return float(body + head + attention)


def rates(facts: dict[str, Any], dtype: str, *, threads: int, folder: Path) -> dict[str, Any]:
    """Return the operations a second of matrix products: square ones, those of the model, and the best of all."""
    rows = max(facts["tokens"])
    width, inner = facts["width"], facts["feed_forward"]
    shapes = {
        "square 1024": (1024, 1024, 1024),
        "square 2048": (2048, 2048, 2048),
        "feed forward": (rows, width, inner),
        "attention": (rows, width, width),
        "head": (256, width, facts["vocabulary"]),
    }
    arguments = [json.dumps(shapes), dtype]
    log = folder / "matrix.log"
    found = alone("tests.benchmarks.matrix", arguments, env=environment(threads), log=log)
    return {"flops": found, "best_flops": max(found.values())}


def main() -> None:
    """Print the best rate of each shape (rows, inner, columns)."""
    shapes, dtype = json.loads(sys.argv[1]), sys.argv[2]
    print(json.dumps({name: _rate(shape, dtype) for name, shape in shapes.items()}))


def _rate(shape: Sequence[int], dtype: str) -> float:
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    rows, inner, columns = shape
    left = torch.randn(rows, inner, device=device, dtype=kind)
    right = torch.randn(columns, inner, device=device, dtype=kind).t()  # as a linear layer keeps its weight
    result = torch.empty(rows, columns, device=device, dtype=kind)
    best, end = 0.0, time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        begin = time.perf_counter()
        torch.mm(left, right, out=result)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * rows * inner * columns / (time.perf_counter() - begin))
    return best


if __name__ == "__main__":
    main()
