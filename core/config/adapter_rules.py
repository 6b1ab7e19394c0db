"""Rules between the adapter and the rest of a training preset (see core/config/rules.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.config.partial import Partial
from core.config.yaml_text import shown
from core.errors import Problem


def _base(draft: Partial) -> Iterator[Problem]:
    kind = draft.at("adapter.kind")
    if kind in ("lora", "qlora") and draft.at("model.kind") == "scratch":
        message = "must be full with model.kind scratch: additions to random weights that stay as they are learn little"
        yield Problem("adapter.kind", message, found=shown(kind))


def _loss_scaling(draft: Partial) -> Iterator[Problem]:
    dtype = draft.at("precision.dtype", "auto")
    if draft.at("adapter.kind") != "qlora" or draft.at("adapter.compute_dtype") != "fp16":
        return
    if dtype in ("auto", "bf16", "fp32"):
        message = (
            f"must be auto, bf16 or fp32 with precision.dtype {dtype}: only precision.dtype fp16 scales the loss, "
        )
        yield Problem("adapter.compute_dtype", message + "without which gradients vanish in fp16", found="fp16")


ADAPTER_RULES: tuple[Callable[[Partial], Iterator[Problem]], ...] = (_base, _loss_scaling)
