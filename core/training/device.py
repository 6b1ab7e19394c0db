"""The device of this process, and what it computes fast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal

import torch

from core.config.optimization import Precision

Dtype = Literal["bf16", "fp16", "fp32"]

TORCH_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def choose_device() -> torch.device:
    """Return the first CUDA device, or the CPU where there is none."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def is_bf16_fast(device: torch.device) -> bool:
    """Tell whether matrix products in bfloat16 have instructions of their own on `device`."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    flags = _cpu_flags()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def resolve_dtype(precision: Precision, device: torch.device) -> Dtype:
    """Return the number type that the forward pass computes in."""
    if precision.dtype != "auto":
        return precision.dtype
    return "bf16" if is_bf16_fast(device) else "fp32"


def autocast(device: torch.device, dtype: Dtype) -> AbstractContextManager[object]:
    """Return the context in which the forward pass runs; weights stay in float32."""
    if dtype == "fp32":
        return nullcontext()
    return torch.autocast(device.type, TORCH_DTYPES[dtype])


def device_name(device: torch.device) -> str:
    """Return the name that a person knows the device by."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    for line in _cpu_lines("model name"):
        return f"CPU {line}"
    return "CPU"


def peak_memory_bytes(device: torch.device) -> int:
    """Return the most memory that this process has held: of the GPU on CUDA, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _cpu_flags() -> frozenset[str]:
    for line in _cpu_lines("flags"):
        return frozenset(line.split())
    return frozenset()


def _cpu_lines(key: str) -> list[str]:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.partition(":")[2].strip() for line in lines if line.startswith(key)]
