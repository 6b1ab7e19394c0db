"""Dropout switched off: for a while, with the rest of evaluation mode, or for good in a model that is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run the block in evaluation mode; the training flag of every module is put back."""
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, flag in flags:
            module.training = flag


def switch_off_dropout(model: nn.Module) -> int:
    """Give every dropout of `model` the probability 0, also while it is trained; return how many had another one.

    The model stays in training mode, in which alone activations are checkpointed. Attention keeps its probability as a
    number of its own and not as a module (`attention_dropout`): such numbers are found by their name.
    """
    changed = 0
    for module in model.modules():
        if isinstance(module, nn.Dropout) and module.p:
            module.p, changed = 0.0, changed + 1
        for name, value in list(vars(module).items()):
            if "dropout" in name and isinstance(value, float) and value:
                setattr(module, name, 0.0)
                changed += 1
    return changed
