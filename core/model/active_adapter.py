"""Which of a model's adapters is at work: switched without a word about what is trained."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

NONE = ""
"""Stands for all adapters switched off: the base as it is."""


def active_adapter(model: Any) -> str:
    """Return the name of the adapter at work, NONE where all are switched off or there are none."""
    layer = next((module for module in model.modules() if hasattr(module, "lora_A")), None)
    if layer is None or layer.disable_adapters:
        return NONE
    name: str = layer.active_adapters[0]
    return name


def activate_adapter(model: Any, name: str) -> None:
    """Let the adapter `name` work, and no other; NONE switches all off. What is trained stays as it is.

    (peft's own switches set `requires_grad` of the chosen adapter, and take it from all others.)
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    if active_adapter(model) == name:
        return
    assert name == NONE or name in model.peft_config, f"the model has no adapter {name!r}"
    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper)]
    trained = [(p, p.requires_grad) for layer in layers for p in layer.parameters()]
    for layer in layers:
        layer.enable_adapters(name != NONE)
        if name != NONE:
            # A layer passes over a name that it has not; rows of embeddings do not know such a one.
            is_known = hasattr(layer, "lora_A") or name in layer._get_available_adapters()
            layer.set_adapter([name] if is_known else [])
    for parameter, requires_grad in trained:
        parameter.requires_grad_(requires_grad)


def recompute_under_its_adapter(model: Any) -> None:
    """Have gradient checkpointing, where it is on, compute a layer again under the adapter of its forward pass.

    Else a backward pass through two adapters, or one after another was switched on, would be wrong without a word.
    """
    if not getattr(model, "is_activation_checkpointing", False):
        return

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _Under(model, active_adapter(model))

    model.activation_checkpointing_enable(
        activation_checkpointing_kwargs={"use_reentrant": False, "context_fn": contexts}
    )


class _Under(AbstractContextManager[None]):
    """Runs a block under an adapter, and puts the one of before back; it may be entered again and again."""

    def __init__(self, model: Any, name: str) -> None:
        self._model, self._name, self._before = model, name, NONE

    def __enter__(self) -> None:
        self._before = active_adapter(self._model)
        activate_adapter(self._model, self._name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        activate_adapter(self._model, self._before)
