"""Results as tables for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return columns that line up; the first to the left, the others to the right."""
    lines = [list(head), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    texts = [
        "  ".join(cell.ljust(width) if not column else cell.rjust(width)
                  for column, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]  # fmt: skip
    return "\n".join([texts[0], "  ".join("-" * width for width in widths), *texts[1:]])


def training_table(result: dict[str, Any]) -> str:
    """Return one race: speed, memory and losses of each entrant, and how much faster Footplate is."""
    step, rates = result["a_step"], result["matrix"]
    title = (
        f"{result['name']}, {result['dtype']}: {result['parameters'] / 1e6:.1f} M parameters, a step has "
        f"{step['tokens']:.0f} tokens, {step['targets']:.0f} targets, {step['documents']:.0f} documents; medians of "
        f"{result['steps']} steps after {result['warm_up']}; matrix products {rates['best_flops'] / 1e9:.0f} GFLOP/s"
    )
    rows = [_training_row(entry) for entry in result["entrants"]]
    head = ["", "tok/s", "Footplate is", "quartiles", "by CPU time", "peak MB", "Footplate has", "6N use", "done use",
            "loss differs"]  # fmt: skip
    return f"{title}\n{table(head, rows)}"


def _training_row(entry: dict[str, Any]) -> list[str]:
    if "failure" in entry:
        return [entry["name"], "failed", *[""] * 7, entry["failure"][-60:]]
    low, high = entry["footplate_speed_ratio_spread"]
    device = entry.get("device_peak_bytes")
    return [
        entry["name"],
        f"{entry['tokens_per_second']:,.0f}",
        f"{entry['footplate_speed_ratio']:.3f} x",
        f"{low:.2f}-{high:.2f}",
        f"{entry['footplate_cpu_ratio']:.3f} x",
        f"{entry['peak_bytes'] / 1e6:,.0f}" + (f" (GPU {device / 1e6:,.0f})" if device else ""),
        f"{entry['footplate_memory_ratio']:.2f} x",
        f"{entry['model_flop_utilisation']:.2f}",
        f"{entry['done_flop_utilisation']:.2f}",
        f"{entry['largest_loss_difference']:.1e}",
    ]


def facts_table(title: str, facts: dict[str, Any]) -> str:
    """Return names and numbers."""
    rows = [[name.replace("_", " "), _number(value)] for name, value in facts.items() if not isinstance(value, list)]
    return f"{title}\n{table(['', ''], rows)}"


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}" if abs(value) < 10 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
