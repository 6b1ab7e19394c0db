"""Each decoder layer compiled, so that one graph serves all of them and every row."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from core.errors import UsageError


def compile_layers(model: Any) -> int:
    """Compile every decoder layer in place and return how many there are; names of parameters stay as they are.

    The first steps take seconds to minutes more. Rows should have one length: another one is another graph. The number
    of documents in a row may change.
    Raises: UsageError where the model says of no layer that it is one, or where the compiler's own tools are missing.
    """
    names = set(model._no_split_modules or ())
    layers = [module for module in model.base_model.modules() if type(module).__name__ in names]
    if not layers:
        raise UsageError(f"{type(model).__name__} has no layers to compile", hint="Set model.compile to false.")
    _check_tools(next(model.parameters()).device)
    for layer in layers:
        layer.compile()
    model.base_model.register_forward_pre_hook(_let_documents_vary, with_kwargs=True)
    return len(layers)


def _let_documents_vary(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    # Said beforehand, this saves the second compilation by which dynamo would find out.
    boundaries = keywords.get("cu_seq_lens_q")
    if boundaries is not None:
        torch._dynamo.maybe_mark_dynamic(boundaries, 0)


def _check_tools(device: torch.device) -> None:
    if device.type == "cpu":
        from torch._inductor.cpp_builder import get_cpp_compiler
        from torch._inductor.exc import InvalidCxxCompiler

        try:
            get_cpp_compiler()
        except InvalidCxxCompiler as error:
            raise UsageError(
                "model.compile needs a C++ compiler on a CPU, and none was found",
                hint="Install g++ (Debian: `apt-get install g++`), or set model.compile to false.",
            ) from error
        return
    from torch.utils._triton import has_triton

    if not has_triton():
        raise UsageError(
            f"model.compile needs triton on {device}, and it is missing",
            hint="Install the torch build for this device, or set model.compile to false.",
        )
